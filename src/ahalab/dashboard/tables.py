"""Stage tables and held-out evaluations of a run, as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ahalab.analysis.evaluations import Figure, read_figures
from ahalab.analysis.stage_table import (
    COLUMNS,
    TABLE_NAME,
    StageTable,
    describe,
    items_text,
    lines_of,
    read_stage_table,
)
from ahalab.dashboard.stages import READ_ERRORS, RunView
from ahalab.runs.atomic import read_json

EVALUATION_LINES = {
    "pass@1": "pass@1",
    "pass@16": "pass@16",
    "accuracy": "accuracy",
    "thinking_tokens": "thinking tokens",
    "tokens_per_answer": "tokens per answer",
    "reflective_per_answer": "reflective words per answer",
    "reflective_per_1k": "reflective words per 1,000 tokens",
    "format": "well formed",
    "language_consistency": "language consistency",
    "language_mixing": "language mixing",
    "truncated": "truncated",
}
"""Figures of an evaluation that get a line, in this order (our choice)."""


def read_tables(view: RunView) -> dict[str, Any]:
    """Every stage table, the evaluations side by side, and what could not be read."""
    tables, trouble = [], []
    for stage in view.stages:
        if stage.folder is None or not (stage.folder / TABLE_NAME).is_file():
            continue
        path = stage.folder / TABLE_NAME
        try:
            tables.append(_table(stage.name, read_stage_table(read_json(path), str(path))))
        except READ_ERRORS as error:
            trouble.append(f"Stage {stage.name}: its table could not be read. {error}")
    return {"tables": tables, "evaluations": _evaluations(view), "trouble": trouble}


def _table(name: str, table: StageTable) -> dict[str, Any]:
    rows = list(table.rows)
    lines = []
    for column, label in lines_of(table):
        known = COLUMNS.get(column)
        cells = [_cell(table.cell(row, column), 100) for row in rows]
        lines.append(
            {
                "label": label,
                "meaning": known.meaning if known else "",
                "cells": cells,
                "prompts": items_text(table, column),
            }
        )
    return {
        "stage": name,
        "rows": rows,
        "lines": lines,
        "about": describe(table),
        "orderings": [
            {key: str(one.get(key)) for key in ("sentence", "verdict", "why", "source")}
            for one in table.orderings
        ],
    }


def _evaluations(view: RunView) -> dict[str, Any]:
    """Figures of all finished evaluations: a line a figure, a column a stage."""
    columns: list[dict[str, Any]] = []
    found: list[Mapping[str, Figure]] = []
    for stage in view.stages:
        if stage.manifest is not None and stage.kind == "evaluate":
            columns.append({"stage": stage.name, "of": str(stage.manifest.config.get("from") or "")})
            found.append(read_figures(stage.manifest.figures)[0])
    lines = [
        {"label": label, "cells": [_cell(figures.get(name), 1) for figures in found]}
        for name, label in EVALUATION_LINES.items()
        if any(name in figures for figures in found)
    ]
    return {"columns": columns, "lines": lines}


def _cell(figure: Figure | None, scale: float) -> dict[str, Any] | None:
    if figure is None:
        return None
    low = None if figure.low is None else figure.low * scale
    high = None if figure.high is None else figure.high * scale
    return {"value": figure.value * scale, "low": low, "high": high}
