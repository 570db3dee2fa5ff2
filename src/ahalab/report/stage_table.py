"""The stage table as a section of the page: what each set of weights is good at, and the paper's orderings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ahalab.analysis.stage_table import COLUMNS, StageTable, describe, items_text, lines_of
from ahalab.report.markup import SCROLLING, Safe, element, join
from ahalab.report.summary import Summary

VERDICT_CLASSES = {"holds": "right", "does not": "wrong", "undecided": "open", "not measured": "unmeasured"}


def stage_tables_section(summary: Summary) -> Safe:
    """Every table stage of the run; nothing for a run without one."""
    if not summary.tables:
        return Safe("")
    several = len(summary.tables) > 1
    return join(
        element("h2", "Stage table"),
        [
            join(
                element("h3", name) if several else "",
                _table(table),
                _orderings(table) if table.orderings else "",
            )
            for name, table in summary.tables.items()
        ],
    )


def _table(table: StageTable) -> Safe:
    rows = []
    for column, label in lines_of(table):
        known = COLUMNS.get(column)
        unit = element("span", known.meaning, class_="unit") if known else ""
        cells = [_cell(table, row, column) for row in table.rows]
        rows.append(
            element(
                "tr",
                element("th", label, " ", unit, scope="row"),
                cells,
                element("td", items_text(table, column)),
            )
        )
    head = element(
        "tr", [element("th", name, scope="col") for name in ("points of 100", *table.rows, "prompts")]
    )
    caption = element("caption", describe(table))
    body = element("table", caption, element("thead", head), element("tbody", rows), class_="stage-table")
    return element("div", body, **SCROLLING)


def _cell(table: StageTable, row: str, column: str) -> Safe:
    figure = table.cell(row, column)
    if figure is None:
        return element("td", "–")
    value = f"{100 * figure.value:.1f}"
    if figure.low is None or figure.high is None:
        return element("td", value)
    spread = element("span", f"{100 * figure.low:.1f} to {100 * figure.high:.1f}", class_="range")
    return element("td", value, " ", spread)


def _orderings(table: StageTable) -> Safe:
    heading = element("h3", "The paper's orderings")
    intro = element(
        "p",
        "Each is judged by the 95 % interval of the paired difference between rows, in points. Undecided: the "
        "interval allows both; more prompts or seeds would tell.",
        class_="intro",
    )
    head = ("Ordering", "Verdict", "Decided by", "The paper")
    body = element("tbody", [_ordering(one) for one in table.orderings])
    made = element(
        "table",
        element("thead", element("tr", [element("th", name, scope="col") for name in head])),
        body,
        class_="orderings",
    )
    return join(heading, intro, element("div", made, **SCROLLING))


def _ordering(one: Mapping[str, Any]) -> Safe:
    verdict = str(one.get("verdict"))
    return element(
        "tr",
        element("th", str(one.get("sentence")), scope="row"),
        element("td", verdict, class_=VERDICT_CLASSES.get(verdict)),
        element("td", str(one.get("why"))),
        element("td", str(one.get("source"))),
    )
