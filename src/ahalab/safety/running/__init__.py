"""Running a safety evaluation: targets answer once, judges judge once, and no kill makes anybody pay twice."""
