"""The paper's own figures (Appendix D.3), to stand beside ours: another question set, marked so in every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from ahalab.safety.comparison.table import EMPTY, Cell, Row

FILE = Path(__file__).with_name("paper.yaml")
MARK = "paper"


@lru_cache(maxsize=1)
def paper_figures() -> dict[str, Any]:
    """The data file."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return found


def note() -> str:
    """What must be said wherever a figure of the paper stands."""
    return f"Rows marked [{MARK}] are {paper_figures()['what']}. They are no baseline of ours."


def table_9_rows(benchmarks: Sequence[str], average: bool) -> list[Row]:
    """Rows of Table 9 for these benchmarks of ours, and the average over the paper's six."""
    table = paper_figures()["table-9"]
    name_of = {ours: theirs for theirs, ours in table["benchmarks"].items()}
    wanted = [name_of.get(one, "") for one in benchmarks] + (["average"] if average else [])
    rows = []
    for one in table["rows"]:
        values = dict(zip(table["columns"], one["values"], strict=True))
        cells = tuple(_bracketed(values, one.get("bare", {}), column) for column in wanted)
        rows.append(Row(one["model"], cells, marks=(MARK,), source="paper"))
    return rows


def table_10_rows(categories: Sequence[str]) -> list[Row]:
    """Rows of Table 10 for these categories, the overall figures last."""
    table = paper_figures()["table-10"]
    rows = []
    for one in table["rows"]:
        both = {
            name: (unsafe, reject)
            for name, unsafe, reject in zip(table["columns"], one["unsafe"], one["reject"], strict=True)
        }
        cells = tuple(_pair(both.get(name)) for name in (*categories, "overall"))
        rows.append(Row(one["model"], cells, marks=(MARK,), source="paper"))
    return rows


def table_11_rows() -> list[Row]:
    """Rows of Table 11."""
    return [
        Row(
            one["model"],
            (_change(*one["unsafe"]), _change(*one["reject"])),
            marks=(MARK,),
            source="paper",
        )
        for one in paper_figures()["table-11"]["rows"]
    ]


def multilingual_rows(columns: int) -> list[Row]:
    """The score over the paper's 50 languages in the first column; the others stay empty."""
    return [
        Row(
            one["model"],
            (Cell(f"{one['score']:.1f}", figures={"score": one["score"]}), *[EMPTY] * (columns - 1)),
            marks=(MARK,),
            source="paper",
        )
        for one in paper_figures()["multilingual"]["rows"]
    ]


def _bracketed(values: Mapping[str, float], bare: Mapping[str, float], column: str) -> Cell:
    if column not in values:
        return EMPTY
    inside = f" ({bare[column]:.1f})" if column in bare else ""
    return Cell(
        f"{values[column]:.1f}{inside}",
        figures={
            "safe": values[column] / 100,
            "without_control": bare[column] / 100 if column in bare else None,
        },
    )


def _pair(both: tuple[float, float] | None) -> Cell:
    if both is None:
        return EMPTY
    unsafe, reject = both
    return Cell(f"{unsafe:.1f} / {reject:.1f}", figures={"unsafe": unsafe / 100, "rejection": reject / 100})


def _change(origin: float, jailbreak: float) -> Cell:
    return Cell(
        f"{origin:.1f} → {jailbreak:.1f} ({jailbreak - origin:+.1f})",
        figures={"origin": origin / 100, "jailbreak": jailbreak / 100},
    )
