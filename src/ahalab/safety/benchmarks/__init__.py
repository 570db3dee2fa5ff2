"""Sets of questions, ours and public ones: where they come from, how they are loaded, and metrics that need no judge."""

from ahalab.safety.benchmarks.catalogue import BENCHMARKS
from ahalab.safety.benchmarks.loading import load_benchmark

__all__ = ["BENCHMARKS", "load_benchmark"]
