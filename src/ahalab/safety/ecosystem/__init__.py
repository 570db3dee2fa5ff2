"""The benchmarks as tasks of Inspect AI, and finished evaluations as logs that open in its viewer (extra `inspect`)."""
