"""Safety evaluations for the page: tables and verdicts by id; a text only where it is asked for by its own question.

A summary is made once and again when its files have changed, at most every ten seconds. No text is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from ahalab.dashboard.catalog import Catalog, FoundRun
from ahalab.errors import UserError
from ahalab.safety.comparison.charts import CHARTED, COLOURS, NAMES, charted_columns, kind_of
from ahalab.safety.comparison.reading import (
    PARTS,
    Answered,
    category_of,
    group_name,
    in_order,
    load_evaluation,
)
from ahalab.safety.comparison.summary import Summary, summary_of
from ahalab.safety.comparison.table import Row, Table, explains_mark
from ahalab.safety.folder import ITEMS_NAME, REPLIES_NAME, read_rows
from ahalab.safety.records import Judgement, SafetyItem, TargetReply

Query = Mapping[str, str]
AGAIN_SECONDS = 10.0
"""A folder that is being filled is not summed up more often."""
KNOWN = ("id", "label", "language", "harmful", "verdicts")
"""Of a question, what the page is told; `id` is for addresses and `label` for eyes."""
MOST_ITEMS = 1_000
"""Of one group that are listed."""
MOST_CHARACTERS = 40_000
"""Of a text that is shown."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A summary as the page needs it, without texts."""

    stamp: tuple[tuple[str, int, int], ...]
    at: float
    view: dict[str, Any]
    items: dict[str, dict[str, Any]]
    """By id: set, group, language, harmful, and a verdict a target."""
    judge: str
    targets: tuple[str, ...]


class Evaluations:
    """The evaluations below the roots; may be asked from several threads. UserError for what is not there."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = Lock()
        self._made: dict[Path, _Made] = {}

    def listed(self) -> list[dict[str, Any]]:
        """Every evaluation in a line."""
        return [{"id": one.id, "label": one.id} for one in self._catalog.runs()]

    def evaluation(self, query: Query) -> dict[str, Any]:
        """Tables, notices and sub-categories of one evaluation."""
        found = self._find(query)
        return {"id": found.id, "label": found.id, "path": str(found.path), **self._get(found.path).view}

    def items(self, query: Query) -> dict[str, Any]:
        """Ids of one set and group with their verdicts."""
        made = self._get(self._find(query).path)
        name, group = query.get("set", ""), query.get("group", "")
        own = [one for one in made.items.values() if one["set"] == name and one["group"] == group]
        return {
            "targets": list(made.targets),
            "items": [{key: one[key] for key in KNOWN} for one in own[:MOST_ITEMS]],
            "count": len(own),
        }

    def item(self, query: Query) -> dict[str, Any]:
        """What is known of one question and its replies, but for their texts."""
        found = self._find(query)
        made = self._get(found.path)
        one = self._item(made, query)
        of = one["set"] + (f", {_named(one['group'])}" if one["group"] else "")
        return {**{key: one[key] for key in KNOWN}, "of": of, "targets": list(made.targets)}

    def texts(self, query: Query) -> dict[str, Any]:
        """The question and the replies themselves, read from the folder now."""
        found = self._find(query)
        made = self._get(found.path)
        wanted = str(self._item(made, query)["id"])
        item = next((one for one in read_rows(found.path / ITEMS_NAME, SafetyItem) if one.id == wanted), None)
        return {
            "question": _cut(item.prompt if item else ""),
            "replies": [self._reply(found.path, made, name, wanted) for name in made.targets],
        }

    def _reply(self, folder: Path, made: _Made, target: str, item: str) -> dict[str, Any]:
        replies = read_rows(folder / "targets" / target / REPLIES_NAME, TargetReply)
        reply = next((one for one in replies if one.item == item), None)
        path = folder / "judges" / made.judge / f"{target}.jsonl"
        judged = read_rows(path, Judgement) if made.judge and path.is_file() else iter(())
        rationales = [
            {"part": one.part, "text": _cut(one.rationale)}
            for one in judged
            if one.item == item and one.rationale
        ]
        return {
            "target": target,
            "thinking": _cut(reply.thinking if reply else ""),
            "answer": _cut(reply.answer if reply else ""),
            "rationales": rationales,
        }

    def _find(self, query: Query) -> FoundRun:
        name, found = query.get("evaluation", ""), self._catalog.runs()
        return found[0] if not name and found else self._catalog.get(name)

    def _item(self, made: _Made, query: Query) -> dict[str, Any]:
        name = query.get("item", "")
        if name not in made.items:
            raise UserError(f"there is no question {name!r} in this evaluation.")
        return made.items[name]

    def _get(self, path: Path) -> _Made:
        with self._lock:
            made, stamp = self._made.get(path), _stamp(path)
            if made is None or (made.stamp != stamp and time.monotonic() - made.at >= AGAIN_SECONDS):
                made = _make(path, stamp)
                self._made[path] = made
            return made


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of what a summary is made of."""
    patterns = (
        ITEMS_NAME,
        f"targets/*/{REPLIES_NAME}",
        "targets/*/target.json",
        "judges/*/*.json*",
        "labels/*.jsonl",
    )
    files = sorted(file for pattern in patterns for file in path.glob(pattern))
    return tuple((str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)


def _make(path: Path, stamp: tuple[tuple[str, int, int], ...]) -> _Made:
    summary = summary_of(load_evaluation(path), with_paper=True)
    evaluation = summary.evaluation
    items = {
        item.id: {
            "id": item.id,
            "label": item.id,
            "set": name,
            "group": item.group,
            "language": item.language,
            "harmful": item.harmful,
            "verdicts": [_verdicts(target, item.id) for target in evaluation.targets],
        }
        for name in evaluation.sets
        for item in evaluation.set_items(name)
    }
    names = tuple(target.name for target in evaluation.targets)
    return _Made(stamp, time.monotonic(), _view(summary), items, evaluation.judge, names)


def _verdicts(target: Answered, item: str) -> dict[str, Any]:
    """What one target's reply came to, part by part."""
    reply = target.replies.get(item)
    parts = [
        {"part": part, "verdict": target.verdict(item, part), "reason": target.reason(item, part)}
        for part in PARTS
        if target.verdict(item, part) is not None
    ]
    return {
        "parts": parts,
        "control": reply.control if reply else "",
        "error": reply.error if reply else "",
        "seconds": reply.seconds if reply else None,
        "tokens": reply.tokens_out if reply else None,
        "answered": reply is not None,
    }


def _view(summary: Summary) -> dict[str, Any]:
    evaluation = summary.evaluation
    return {
        "notices": summary.notices,
        "marks": list(
            dict.fromkeys(note for one in summary.tables for note in one.notes if explains_mark(note))
        ),
        "judge": evaluation.judge,
        "judge_model": str(evaluation.judge_identity.get("model") or ""),
        "targets": [one.name for one in evaluation.targets],
        "questions": len(evaluation.items),
        "tables": [_table(one) for one in summary.tables],
        "sets": [
            {"key": name, "label": name, "groups": _groups(evaluation.set_items(name))}
            for name in evaluation.sets
        ],
    }


def _groups(items: list[SafetyItem]) -> list[dict[str, Any]]:
    groups = in_order(item.group for item in items)
    if any(not item.group for item in items):
        groups.append("")
    return [
        {"key": group, "label": _named(group), "count": sum(item.group == group for item in items)}
        for group in groups
    ]


def _named(group: str) -> str:
    return f"{group} {group_name(group)}" if category_of(group) else group or "all"


def _table(table: Table) -> dict[str, Any]:
    figures = CHARTED.get(kind_of(table), ())
    return {
        "name": table.key,
        "kind": kind_of(table),
        "title": table.title,
        "convention": table.convention,
        "first": table.first,
        "columns": list(table.columns),
        "notes": [one for one in table.notes if not explains_mark(one)],
        "charted": [{"label": NAMES[name], "colour": COLOURS[name]} for name in figures],
        "charted_columns": charted_columns(table),
        "rows": [_row(one, figures) for one in table.rows],
    }


def _row(row: Row, figures: tuple[str, ...]) -> dict[str, Any]:
    cells = [
        {
            "text": cell.text,
            "interval": cell.interval,
            "dots": [
                [cell.figures.get(name), cell.figures.get(f"{name}_low"), cell.figures.get(f"{name}_high")]
                for name in figures
            ],
        }
        for cell in row.cells
    ]
    return {"label": row.label, "marks": list(row.marks), "source": row.source, "cells": cells}


def _cut(text: str) -> str:
    """A text that a page can show; where it is cut, it says so."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}\n[{len(text) - MOST_CHARACTERS:,} characters more: see the folder]"
