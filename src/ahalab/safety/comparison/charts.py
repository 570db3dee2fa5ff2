"""Charts of a summary, PNG and SVG: shares with Wilson's 95 % intervals, marked as the tables are."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.runs.atomic import write_bytes
from ahalab.safety.comparison.summary import Summary
from ahalab.safety.comparison.table import Row, Table, row_head
from ahalab.text.hostile import make_visible

UNSAFE, REJECTION, SAFE = "#c2410c", "#2456b8", "#0f7b53"
INK, MUTED, GRID = "#1c1d21", "#5b606b", "#d9dbe0"
LABEL_WIDTH = 34
"""Characters of a label's line."""


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of dot: which figures of a cell, and how it is called."""

    figure: str
    label: str
    colour: str


BOTH = (Series("unsafe", "unsafe", UNSAFE), Series("rejection", "rejected", REJECTION))


def draw_charts(summary: Summary, folder: Path) -> list[Path]:
    """Draw what the tables have into `folder`; charts of an earlier summary go. The files written."""
    drawn: list[tuple[str, bytes, bytes]] = []
    for table in summary.tables:
        kind = table.key.partition(":")[0]
        if kind == "table-10":
            drawn.append((_name(table), *_panels(table, BOTH)))
        elif kind == "table-9":
            drawn.append((_name(table), *_panels(table, (Series("safe", "not unsafe", SAFE),))))
        elif kind == "groups":
            drawn.append((_name(table), *_panels(table, BOTH)))
        elif kind == "over-refusal":
            drawn.append((_name(table), *_panels(table, (Series("rejection", "rejected", REJECTION),))))
    folder.mkdir(parents=True, exist_ok=True)
    kept = set()
    for name, png, svg in drawn:
        for path, data in ((folder / f"{name}.png", png), (folder / f"{name}.svg", svg)):
            write_bytes(path, data)
            kept.add(path)
    for old in (*folder.glob("*.png"), *folder.glob("*.svg")):
        if old not in kept:
            old.unlink()
    return sorted(kept)


def _name(table: Table) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", table.key).strip("-")


def _panels(table: Table, series: Sequence[Series]) -> tuple[bytes, bytes]:
    """A panel a column, a line a row, a dot with its interval for each figure; as PNG and SVG."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    rows = list(table.rows)
    labels = [_wrapped(row_head(row), LABEL_WIDTH) for row in rows]
    lines = sum(max(1, text.count("\n") + 1) for text in labels)
    notes = _wrapped("  ".join(_shown_notes(table)), 150)
    height = 1.5 + 0.27 * lines + 0.12 * len(rows) + 0.15 * (notes.count("\n") + 1)
    width = 3.6 + 2.15 * len(table.columns)
    with matplotlib.style.context(
        ["default", {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": table.key}]
    ):
        drawing = Drawing(figsize=(width, height), dpi=140, facecolor="white")
        FigureCanvasAgg(drawing)
        axes = drawing.subplots(1, len(table.columns), sharey=True, squeeze=False)[0]
        for place, (one, column) in enumerate(zip(axes, table.columns, strict=True)):
            _draw(one, rows, place, series)
            one.set_title(
                _wrapped(make_visible(column), 24), fontsize=9, loc="left", color=INK, parse_math=False
            )
        places = [-y for y in range(len(rows))]
        axes[0].set_yticks(places, labels, parse_math=False)
        axes[0].set_ylim(min(places) - 0.6, 0.6)
        drawing.suptitle(
            make_visible(table.head), x=0.01, y=0.995, ha="left", fontsize=11, color=INK, parse_math=False
        )
        if len(series) > 1:
            _key(drawing, series)
        drawing.text(0.01, 0.01, make_visible(notes), fontsize=7, color=MUTED, va="bottom", parse_math=False)
        below = (0.42 + 0.15 * (notes.count("\n") + 1)) / height
        sides = {"left": 2.9 / width, "right": 1 - 0.3 / width}
        drawing.subplots_adjust(**sides, top=1 - 0.95 / height, bottom=below, wspace=0.17)
        return _as(drawing, "png"), _as(drawing, "svg")


def _draw(axes: Any, rows: Sequence[Row], place: int, series: Sequence[Series]) -> None:
    for y, row in enumerate(rows):
        figures = row.cells[place].figures
        for number, one in enumerate(series):
            value = figures.get(one.figure)
            if value is None:
                continue
            at = -y + 0.13 * ((len(series) - 1) / 2 - number) * 2
            low, high = figures.get(f"{one.figure}_low"), figures.get(f"{one.figure}_high")
            if low is not None and high is not None:
                axes.plot([100 * low, 100 * high], [at, at], color=one.colour, linewidth=1.6)
            ours = row.source == "ours"
            axes.plot(
                [100 * value],
                [at],
                marker="o" if ours else "D",
                markersize=4.5 if ours else 4,
                color=one.colour,
                fillstyle="full" if ours else "none",
            )
    axes.set_xlim(-2, 102)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=MUTED)
    axes.tick_params(axis="y", labelcolor=INK)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("%", color=MUTED, fontsize=8)


def _key(drawing: Any, series: Sequence[Series]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=one.colour, marker="o", markersize=4.5, linewidth=1.6, label=one.label)
        for one in series
    ]
    drawing.legend(
        handles=handles, loc="upper right", ncols=len(series), frameon=False, fontsize=8, labelcolor=MUTED
    )


def _shown_notes(table: Table) -> list[str]:
    """What a picture must say when it is shown without its table."""
    theirs = any(row.source == "paper" for row in table.rows)
    first = "Lines are Wilson's 95 % intervals" + ("; diamonds are the paper's figures." if theirs else ".")
    return [first, *(one for one in table.notes if one.startswith(("[", "Rows marked")))]


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(make_visible(text), width)) or text


def _as(drawing: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with warnings.catch_warnings():
        # A target named in Chinese is drawn as boxes where matplotlib's font lacks it; no cause for alarm.
        warnings.filterwarnings("ignore", message="Glyph")
        drawing.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()
