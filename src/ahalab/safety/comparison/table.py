"""A table as plain data, for the terminal, Markdown, the report and the page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ahalab.safety.comparison.rates import Rate

Convention = Literal["three-way", "refusal is safe", ""]


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place: the figure as it is read, its interval, and the numbers themselves."""

    text: str
    interval: str = ""
    figures: dict[str, float | int | None] = field(default_factory=dict)


EMPTY = Cell("–")


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `marks` are short words that warn of it; the table's notes explain them."""

    label: str
    cells: tuple[Cell, ...]
    target: str = ""
    marks: tuple[str, ...] = ()
    source: Literal["ours", "paper"] = "ours"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a heading, with the convention its figures follow and what must be known to read them."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    convention: Convention = "three-way"
    notes: tuple[str, ...] = ()
    first: str = "target"
    """Heading of the labels."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @property
    def head(self) -> str:
        """The title with the convention."""
        return f"{self.title} ({self.convention})" if self.convention else self.title


def percent(rate: Rate | None, name: str) -> Cell:
    """One rate as "25.2" with "[22.7, 27.8]"."""
    if rate is None:
        return EMPTY
    return Cell(points(rate.value), interval(rate), _numbers(name, rate))


def pair(first: Rate | None, second: Rate | None, names: tuple[str, str]) -> Cell:
    """Two rates as the paper's Table 10 has them: "25.2 / 5.6"."""
    if first is None or second is None:
        return EMPTY
    return Cell(
        f"{points(first.value)} / {points(second.value)}",
        f"{interval(first)} / {interval(second)}",
        {**_numbers(names[0], first), **_numbers(names[1], second)},
    )


def amount(value: float | int | None, name: str, digits: int = 0) -> Cell:
    """A number as it stands."""
    return EMPTY if value is None else Cell(f"{value:,.{digits}f}", figures={name: value})


def points(value: float) -> str:
    """A share in points of 100, one decimal."""
    return f"{100 * value:.1f}"


def interval(rate: Rate) -> str:
    """Both ends, in points of 100."""
    return f"[{points(rate.low)}, {points(rate.high)}]"


def _numbers(name: str, rate: Rate) -> dict[str, float | int | None]:
    return {
        name: rate.value,
        f"{name}_low": rate.low,
        f"{name}_high": rate.high,
        f"{name}_count": rate.count,
        f"{name}_n": rate.n,
    }


def row_head(row: Row) -> str:
    """The label with its marks."""
    return f"{row.label} [{', '.join(row.marks)}]" if row.marks else row.label


def explains_mark(note: str) -> bool:
    """Whether a note says what a mark means: the same below every table, so once is enough where all are together."""
    return note.startswith("[")


def without_empty(tables: Sequence[Table | None]) -> list[Table]:
    """The tables that have something to show."""
    return [one for one in tables if one is not None and one.rows]
