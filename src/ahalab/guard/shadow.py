"""Counts of what the control does, and in shadow mode of what it would have done. Plain numbers for metrics."""

from __future__ import annotations

import threading

from ahalab.guard.records import Decision, Mode


class Counts:
    """Named counters, each with a label ("" for none). Safe to use from several threads."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, label: str = "", by: int = 1) -> None:
        """Count one more."""
        with self._lock:
            labels = self._counts.setdefault(name, {})
            labels[label] = labels.get(label, 0) + by

    def of(self, name: str, label: str = "") -> int:
        """How often so far."""
        with self._lock:
            return self._counts.get(name, {}).get(label, 0)

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Name → label → count; a copy."""
        with self._lock:
            return {name: dict(labels) for name, labels in sorted(self._counts.items())}


def count_decision(counts: Counts, decision: Decision, mode: Mode) -> None:
    """A decision on an exchange, by what was done and why; shadow differences under `shadow_…`."""
    counts.add("decisions", decision.action)
    if decision.flagged:
        counts.add("flagged")
        for category in sorted({one.category for one in decision.spans}):
            counts.add("flagged_by_category", category)
    if decision.sampled:
        counts.add("sampled")
    review = decision.review
    if review is not None:
        counts.add("reviews", "violates" if review.violates else review.error.split(":")[0] or "clean")
        if decision.sampled and review.violates:
            counts.add("missed_by_keywords", decision.category)
    if decision.bypass:
        counts.add("bypasses", decision.bypass)
    if mode == "shadow":
        counts.add("shadow_exchanges")
        if decision.would != decision.action:
            label = decision.reason if decision.would == "refuse" else decision.category
            counts.add(f"shadow_would_{decision.would}", label)
    elif decision.action == "retract":
        counts.add("retracted", decision.category)
    elif decision.action == "refuse":
        counts.add("refused", decision.reason)
