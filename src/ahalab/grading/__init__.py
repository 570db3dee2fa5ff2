"""Grading answers: verifiers by name, in killable processes that never import torch."""

from ahalab.grading.pool import GraderCounts, GraderPool
from ahalab.grading.verifiers import ANSWER_LIMIT, VERIFIERS

__all__ = ["ANSWER_LIMIT", "VERIFIERS", "GraderCounts", "GraderPool"]
