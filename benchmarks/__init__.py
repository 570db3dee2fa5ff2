"""Benchmarks: ahalab beside its peers, alternating in one run. See README.md."""
