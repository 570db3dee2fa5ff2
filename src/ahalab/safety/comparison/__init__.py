"""Figures and tables of a safety evaluation: rates with intervals, both conventions, with and without control."""

from ahalab.safety.comparison.reading import Evaluation, load_evaluation
from ahalab.safety.comparison.summary import Summary, summarise, summary_of

__all__ = ["Evaluation", "Summary", "load_evaluation", "summarise", "summary_of"]
