"""The stage table's numbers: one cell a row and measure, and paired differences between rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from ahalab.evaluation.estimators import RESAMPLES, estimate_mean
from ahalab.evaluation.measures import TABLE_MEASURES, RowScores, domain_column
from ahalab.evaluation.paired import paired_difference
from ahalab.evaluation.win_rate import length_controlled, wins

WIN_RATE = "win_rate"
LENGTH_CONTROLLED = "win_rate_equal_length"
DOMAIN_ORDER = ("math", "logic", "choice", "code")


def table_numbers(
    rows: Mapping[str, RowScores], reference: str | None, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Cells and differences of rows that were evaluated on the same prompts, JSON-able.

    `reference` names the row whose answers the win rate compares with; None leaves the win rate out.
    """
    items = {name: dict(scores.items) for name, scores in rows.items()}
    if reference is not None:
        for name, scores in rows.items():
            won = wins(scores.answers, rows[reference].answers)
            if won:
                items[name][WIN_RATE] = won
    domains = next(iter(rows.values())).domains
    counts = Counter(domains.values())
    columns = _columns(domains, items)
    return {
        "columns": columns,
        "prompts": {name: counts[name] for name in (*DOMAIN_ORDER, *_others(domains)) if counts[name]},
        "cells": {name: _cells(name, rows, items[name], reference, columns, resamples) for name in rows},
        "differences": [
            {"row": ours, "minus": theirs, "column": column, **found}
            for ours, theirs in combinations(list(rows)[::-1], 2)
            for column in columns
            if (found := _difference(items, rows[ours].samples, ours, theirs, column, resamples))
        ],
    }


def _columns(domains: Mapping[str, str], items: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The columns that some row has a value in, in the order of the table."""
    measured = {column for found in items.values() for column in found}
    names: list[str] = []
    for measure in TABLE_MEASURES:
        names.append(measure)
        if measure == "reasoning":
            names += [domain_column(domain) for domain in (*DOMAIN_ORDER, *_others(domains))]
        elif measure == "helpfulness":
            names.append(WIN_RATE)
    return [name for name in names if name in measured]


def _others(domains: Mapping[str, str]) -> list[str]:
    return sorted(set(domains.values()).difference(DOMAIN_ORDER))


def _cells(
    name: str,
    rows: Mapping[str, RowScores],
    items: Mapping[str, Mapping[str, float]],
    reference: str | None,
    columns: list[str],
    resamples: int,
) -> dict[str, Any]:
    k = rows[name].samples
    cells: dict[str, Any] = {}
    for column in columns:
        values = items.get(column)
        cells[column] = (
            estimate_mean(list(values.values()), k, resamples=resamples).as_dict() if values else None
        )
    if reference is not None and cells.get(WIN_RATE):
        controlled = length_controlled(rows[name].answers, rows[reference].answers, k, resamples)
        cells[LENGTH_CONTROLLED] = controlled.as_dict() if controlled else None
    return cells


def _difference(
    items: Mapping[str, Mapping[str, Mapping[str, float]]],
    k: int,
    ours: str,
    theirs: str,
    column: str,
    resamples: int,
) -> dict[str, Any] | None:
    estimate = paired_difference(items[ours].get(column, {}), items[theirs].get(column, {}), k, resamples)
    return estimate.as_dict() if estimate else None
