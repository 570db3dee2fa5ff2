"""Charts of a summary, PNG and SVG: shares with Wilson's 95 % intervals, marked as the tables are."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.runs.atomic import write_bytes
from ahalab.safety.comparison.summary import Summary
from ahalab.safety.comparison.table import Row, Table, row_head
from ahalab.text.hostile import make_visible

LABEL_WIDTH = 34
"""Characters of a label's line."""
LABEL_INCHES = 2.9
MOST_ROWS = 120
"""Lines of a chart (our choice)."""

CHARTED = {
    "table-9": ("safe",),
    "table-10": ("unsafe", "rejection"),
    "groups": ("unsafe", "rejection"),
    "over-refusal": ("rejection",),
    "table-11": ("origin", "jailbreak"),
    "collateral": ("collateral", "caught"),
}
"""Kinds of tables that are drawn, and which of their figures; a column without any is left out."""
NAMES = {
    "safe": "safe",
    "unsafe": "unsafe",
    "rejection": "rejected",
    "origin": "plain questions",
    "jailbreak": "in templates",
    "collateral": "safe answers turned into rejections",
    "caught": "unsafe answers caught",
}


@dataclass(frozen=True, slots=True)
class Look:
    """Colours of a drawing."""

    ink: str
    muted: str
    grid: str
    figures: dict[str, str]
    """By figure."""


COLOURS = {"safe": 3, "unsafe": 2, "rejection": 1, "origin": 1, "jailbreak": 2, "collateral": 2, "caught": 3}
"""Of each figure, which of the report's series colours, from 1."""
SERIES = ("#2456b8", "#c2410c", "#0f7b53")
PICTURE = Look(
    "#1c1d21", "#5b606b", "#d9dbe0", {name: SERIES[number - 1] for name, number in COLOURS.items()}
)


def is_charted(table: Table) -> bool:
    """Whether a table is drawn."""
    return bool(charted_columns(table))


def charted_columns(table: Table) -> list[int]:
    """Places of the columns that have a figure to draw; none of a table that is too long for a picture."""
    if len(table.rows) > MOST_ROWS:
        return []
    wanted = CHARTED.get(kind_of(table), ())
    return [
        place
        for place in range(len(table.columns))
        if any(name in row.cells[place].figures for row in table.rows for name in wanted)
    ]


def kind_of(table: Table) -> str:
    """What a table is of any set: "table-10" of "table-10:safety-1120"."""
    return table.key.partition(":")[0]


def draw_charts(summary: Summary, folder: Path) -> list[Path]:
    """Draw what the tables have into `folder`; charts that an earlier summary drew there go. The files written."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = set()
    for table in filter(is_charted, summary.tables):
        drawing = draw(table)
        for kind in ("png", "svg"):
            path = folder / f"{name_of(table)}.{kind}"
            with style_of(table):
                write_bytes(path, _saved(drawing, kind))
            kept.add(path)
    ours = re.compile(rf"(?:{'|'.join(CHARTED)})(?:-.*)?\.(?:png|svg)")
    for old in folder.iterdir():
        if ours.fullmatch(old.name) and old not in kept:
            old.unlink()
    return sorted(kept)


def name_of(table: Table) -> str:
    """A table's key as a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", table.key).strip("-")


def draw(table: Table, look: Look = PICTURE, *, framed: bool = True, column_inches: float = 2.15) -> Any:
    """A panel a column, a line a row, a dot with its interval for each figure: a matplotlib drawing.

    `framed` gives it a title and what must be known where it is shown without its table.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    rows = list(table.rows)
    labels = [_wrapped(row_head(row), LABEL_WIDTH) for row in rows]
    lines = sum(text.count("\n") + 1 for text in labels)
    columns = charted_columns(table)
    heads = [_wrapped(table.columns[place], int(11 * column_inches)) for place in columns]
    notes = _wrapped("  ".join(_notes(table)), 150) if framed else ""
    above = 0.22 + 0.17 * max(head.count("\n") + 1 for head in heads) + (0.6 if framed else 0.0)
    below = 0.42 + (0.15 * (notes.count("\n") + 1) if framed else 0.0)
    height = above + below + 0.19 * lines + 0.16 * len(rows)
    width = LABEL_INCHES + 0.3 + column_inches * len(columns)
    with style_of(table):
        drawing = Drawing(figsize=(width, height), dpi=140, facecolor="white" if framed else "none")
        FigureCanvasAgg(drawing)
        panels = drawing.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for axes, place, head in zip(panels, columns, heads, strict=True):
            _draw_panel(axes, rows, place, CHARTED[kind_of(table)], look)
            axes.set_title(head, fontsize=9, loc="left", color=look.ink, parse_math=False)
        panels[0].set_yticks([-y for y in range(len(rows))], labels, parse_math=False)
        panels[0].set_ylim(0.6 - len(rows), 0.6)
        if framed:
            drawing.suptitle(
                make_visible(table.head),
                x=0.01,
                y=0.995,
                ha="left",
                fontsize=11,
                color=look.ink,
                parse_math=False,
            )
            _draw_key(drawing, CHARTED[kind_of(table)], look, 1 - 0.24 / height)
            drawing.text(0.01, 0.01, notes, fontsize=7, color=look.muted, va="bottom", parse_math=False)
        drawing.subplots_adjust(
            left=LABEL_INCHES / width,
            right=1 - 0.3 / width,
            top=1 - above / height,
            bottom=below / height,
            wspace=0.17,
        )
    return drawing


def style_of(table: Table) -> AbstractContextManager[None]:
    """What a drawing has to be made and saved in, so that it is the same bytes every time."""
    import matplotlib.style

    own = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": table.key}
    context: AbstractContextManager[None] = matplotlib.style.context(["default", own])
    return context


def _saved(drawing: Any, kind: str) -> bytes:
    """The drawing as "png" or "svg"."""
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with warnings.catch_warnings():
        # A target named in Chinese is drawn as boxes where matplotlib's font lacks it; no cause for alarm.
        warnings.filterwarnings("ignore", message="Glyph")
        drawing.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def _draw_panel(axes: Any, rows: Sequence[Row], place: int, figures: Sequence[str], look: Look) -> None:
    figures = [name for name in figures if any(name in row.cells[place].figures for row in rows)]
    for y, row in enumerate(rows):
        found = row.cells[place].figures
        for number, name in enumerate(figures):
            value, low, high = (found.get(key) for key in (name, f"{name}_low", f"{name}_high"))
            if value is None:
                continue
            at = -y + 0.26 * ((len(figures) - 1) / 2 - number)
            colour = look.figures[name]
            if low is not None and high is not None:
                axes.plot([100 * low, 100 * high], [at, at], color=colour, linewidth=1.6)
            ours = row.source == "ours"
            marker = {"marker": "o", "markersize": 4.5} if ours else {"marker": "D", "markersize": 4}
            axes.plot([100 * value], [at], color=colour, fillstyle="full" if ours else "none", **marker)
    axes.set_facecolor("none")
    axes.set_xlim(-2, 102)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.grid(axis="x", color=look.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=look.muted)
    axes.tick_params(axis="y", labelcolor=look.ink)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("%", color=look.muted, fontsize=8)


def _draw_key(drawing: Any, figures: Sequence[str], look: Look, top: float) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=look.figures[name], marker="o", markersize=4.5, linewidth=1.6, label=NAMES[name])
        for name in figures
    ]
    drawing.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, top),
        ncols=len(figures),
        frameon=False,
        fontsize=8,
        labelcolor=look.muted,
    )


def _notes(table: Table) -> list[str]:
    """What a picture must say when it is shown without its table."""
    theirs = any(row.source == "paper" for row in table.rows)
    first = "Lines are Wilson's 95 % intervals" + ("; diamonds are the paper's figures." if theirs else ".")
    return [first, *(one for one in table.notes if one.startswith(("[", "Rows marked")))]


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(make_visible(text), width)) or text
