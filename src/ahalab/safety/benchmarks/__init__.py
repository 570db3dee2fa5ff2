"""Sets of questions, ours and public ones: where from, how loaded, and metrics that need no judge."""

from ahalab.safety.benchmarks.bbq import bbq_figures
from ahalab.safety.benchmarks.catalogue import BENCHMARKS
from ahalab.safety.benchmarks.compliance import compliance_figures
from ahalab.safety.benchmarks.copyright import copyright_figures
from ahalab.safety.benchmarks.deterministic import deterministic_judge
from ahalab.safety.benchmarks.loading import load_benchmark

__all__ = [
    "BENCHMARKS",
    "bbq_figures",
    "compliance_figures",
    "copyright_figures",
    "deterministic_judge",
    "load_benchmark",
]
