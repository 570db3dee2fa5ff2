"""Suites: which questions, how they are put, which rule reads the answer. What a suite is, is data."""

from ahalab.evaluation.suites.catalogue import SUITES
from ahalab.evaluation.suites.items import Chosen, Items, choose, suite_items
from ahalab.evaluation.suites.suite import Suite

__all__ = ["SUITES", "Chosen", "Items", "Suite", "choose", "suite_items"]
