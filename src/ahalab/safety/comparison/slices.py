"""Every figure of an evaluation: a target's counts on each slice of the items. One row a slice, flat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.safety.comparison.counts import Counts, count
from ahalab.safety.comparison.reading import Evaluation, View, category_of, set_of
from ahalab.safety.records import SafetyItem


@dataclass(frozen=True, slots=True)
class Slice:
    """Which items a figure is over; "" for all of that kind."""

    benchmark: str
    """`set_of` its items."""
    harmful: bool
    language: str = ""
    category: str = ""
    group: str = ""

    def holds(self, item: SafetyItem) -> bool:
        """Whether an item belongs to it."""
        return (
            set_of(item) == self.benchmark
            and item.harmful == self.harmful
            and self.language in ("", item.language)
            and self.group in ("", item.group)
            and self.category in ("", category_of(item.group))
        )


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """The counts of one target on one slice."""

    target: str
    control_of: str
    view: View
    slice: Slice
    counts: Counts

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        which = self.slice
        return {
            "target": self.target,
            "control_of": self.control_of,
            "part": self.view,
            "benchmark": which.benchmark,
            "harmful": which.harmful,
            "language": which.language,
            "category": which.category,
            "group": which.group,
            **self.counts.as_dict(),
        }


def slices_of(items: Sequence[SafetyItem]) -> list[Slice]:
    """Each set's harmful and harmless items: all, by language, category, group, and category by language."""
    found: dict[Slice, None] = {}
    for item in items:
        category = category_of(item.group)
        whole = (set_of(item), item.harmful)
        found[Slice(*whole)] = None
        found[Slice(*whole, language=item.language)] = None
        if item.group:
            found[Slice(*whole, category=category, group=item.group)] = None
        if category:
            found[Slice(*whole, category=category)] = None
            found[Slice(*whole, language=item.language, category=category)] = None
    return list(found)


def figures(evaluation: Evaluation) -> Iterator[SliceFigures]:
    """Every target on every slice in every view of the replies."""
    items = list(evaluation.items.values())
    parts = {one: [item for item in items if one.holds(item)] for one in slices_of(items)}
    for target in evaluation.targets:
        for view in evaluation.views or ("answer",):
            for one, own in parts.items():
                yield SliceFigures(target.name, target.control_of, view, one, count(target, own, view))
