"""Benchmarks: ahalab beside its peers, alternating in one run. See README.md."""

from contextlib import suppress

with suppress(ImportError):  # a peer's own environment has no ahalab
    import ahalab  # noqa: F401 - says how threads wait, which must happen before torch is imported
