"""The stage table as a run left it: how good each row's weights are at what, and how sure the differences are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ahalab.analysis.evaluations import Figure, as_figure
from ahalab.errors import UserError
from ahalab.text.hostile import make_visible

TABLE_NAME = "table.json"
TABLE_FORMAT = 1
"""Raised when a key of `table.json` changes its meaning or goes away."""
EQUAL_LENGTH = "win_rate_equal_length"
"""A cell's companion: the win rate at equal length. No column of its own."""


@dataclass(frozen=True, slots=True)
class Column:
    """One measure of the table, in words."""

    label: str
    meaning: str


COLUMNS: dict[str, Column] = {
    "reasoning": Column("reasoning (all)", "share right over the prompts of all reasoning domains"),
    "math": Column("mathematics", "share right"),
    "logic": Column("logic", "share right"),
    "choice": Column("choice", "share right"),
    "code": Column("code", "share right"),
    "following": Column("instruction following", "share of answers that do what was asked"),
    "helpfulness": Column("helpfulness score", "mean rule score, 0 to 1"),
    "win_rate": Column("helpfulness win rate", "against the reference row's answers, a tie is half a win"),
    "safe": Column("safety", "share of safe answers"),
    "rejection": Column("bare refusals", "share of answers to unsafe requests"),
    "unsafe": Column("unsafe", "share of answers to unsafe requests"),
    "language_consistency": Column("language consistency", "share of words in the prompt's language"),
}
"""Known columns; another reasoning domain is called what it is called."""


def column_label(name: str) -> str:
    """The column in words."""
    return COLUMNS[name].label if name in COLUMNS else name


@dataclass(frozen=True, slots=True)
class TableRow:
    """One set of weights."""

    of: str
    """The stage (or base) whose weights these are."""
    stage: str
    """The evaluation the numbers come from."""
    cells: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class StageTable:
    """The whole table. Rows are weights here and columns are measures; people see it turned, as in the paper."""

    columns: Sequence[str]
    rows: Mapping[str, TableRow]
    differences: Mapping[tuple[str, str, str], Figure]
    """(row, other row, column) → paired mean of row minus other."""
    reference: str | None = None
    prompts: Mapping[str, int] = field(default_factory=dict)
    """Prompts by domain."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    orderings: Sequence[Mapping[str, Any]] = ()
    """As `ahalab.analysis.orderings.Outcome.as_dict` writes them."""

    def cell(self, row: str, column: str) -> Figure | None:
        """A row's figure, None where it was not measured."""
        found = self.rows.get(row)
        return found.cells.get(column) if found else None

    def difference(self, row: str, other: str, column: str) -> Figure | None:
        """Paired difference `row` minus `other`, whichever way round it was stored."""
        found = self.differences.get((row, other, column))
        if found is not None:
            return found
        turned = self.differences.get((other, row, column))
        if turned is None or turned.low is None or turned.high is None:
            return None
        return Figure(-turned.value, -turned.high, -turned.low, turned.n, turned.k)


def read_stage_table(content: object, where: str) -> StageTable:
    """The table from the content of a `table.json`; `where` names the file.

    Raises:
        UserError: not a table, or one of another format.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("rows"), Mapping):
        raise UserError(f"{where}: a stage table was expected, with `rows` and `differences`.")
    if content.get("format") != TABLE_FORMAT:
        raise UserError(
            f"{where}: stage table of format {content.get('format')}; this version reads format {TABLE_FORMAT}."
        )
    try:
        rows = {
            str(name): TableRow(
                of=str(row.get("of", name)),
                stage=str(row.get("stage", "")),
                cells={str(key): cell for key, value in row["cells"].items() if (cell := as_figure(value))},
            )
            for name, row in content["rows"].items()
        }
        differences = {
            (str(one["row"]), str(one["minus"]), str(one["column"])): figure
            for one in content.get("differences", ())
            if (figure := as_figure(one))
        }
        reference = content.get("reference")
        return StageTable(
            columns=[str(name) for name in content.get("columns", ())],
            rows=rows,
            differences=differences,
            reference=None if reference is None else str(reference),
            prompts={str(domain): int(count) for domain, count in content.get("prompts", {}).items()},
            settings=dict(content.get("settings", {})),
            orderings=[dict(one) for one in content.get("orderings", ())],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{where}: this is not what a table stage writes ({error!r}).") from error


def points(figure: Figure | None, *, signed: bool = False, digits: int = 1) -> str:
    """A share in points with its interval, "62.1 [58.0, 66.2]"; "–" where there is none; `digits` of the bounds'."""
    if figure is None:
        return "–"
    sign = "+" if signed else ""
    text = f"{100 * figure.value:{sign}.1f}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} [{100 * figure.low:{sign}.{digits}f}, {100 * figure.high:{sign}.{digits}f}]"


def cell_text(table: StageTable, row: str, column: str, digits: int = 1) -> str:
    """What stands in the table."""
    return points(table.cell(row, column), digits=digits)


def describe(table: StageTable, unit: str = "Points of 100, with 95 % intervals over prompts.") -> str:
    """How the numbers came about, in a sentence or three; `unit` says what the cells are."""
    counts = ", ".join(f"{count} {domain}" for domain, count in table.prompts.items())
    k = next((cell.k for row in table.rows.values() for cell in row.cells.values() if cell.k), None)
    said = f"{unit} Prompts: {counts}"
    said += f"; {k} sample{'' if k == 1 else 's'} each." if k else "."
    if table.reference is not None and "win_rate" in table.columns:
        said += f" Win rate: against the answers of {table.reference}, judged by the rule score, ties half."
    return said


def markdown(
    table: StageTable, cell: Callable[[str, str], str] | None = None, description: str | None = None
) -> str:
    """The table turned as in the paper: a line a measure, a column a set of weights; Markdown.

    `cell` (row, column) → text and `description` replace the table's own.
    """
    shown = cell or (lambda row, column: cell_text(table, row, column))
    names = list(table.rows)
    lines = [f"| | {' | '.join(map(markdown_cell, names))} | n |", f"|---|{'---|' * len(names)}---|"]
    for column, label in lines_of(table):
        cells = [shown(name, column) for name in names]
        lines.append(f"| {markdown_cell(label)} | {' | '.join(cells)} | {items_text(table, column)} |")
    return "\n".join([*lines, "", markdown_cell(description or describe(table)), ""])


def lines_of(table: StageTable) -> list[tuple[str, str]]:
    """(cell name, label) of the lines that are shown: the columns, the win rate also at equal length."""
    lines = []
    for column in table.columns:
        lines.append((column, column_label(column)))
        if column == "win_rate" and any(table.cell(row, EQUAL_LENGTH) for row in table.rows):
            lines.append((EQUAL_LENGTH, "– at equal length"))
    return lines


def items_text(table: StageTable, column: str) -> str:
    """How many prompts a line is over: "240", or "236–240" where rows differ."""
    counts = {cell.n for row in table.rows if (cell := table.cell(row, column)) and cell.n is not None}
    return "–".join(str(n) for n in sorted({min(counts), max(counts)})) if counts else "–"


def markdown_cell(text: str) -> str:
    """Text for a cell of a Markdown table: one line, no bar of its own, no markup."""
    return " ".join(make_visible(text).replace("|", "\\|").replace("<", "&lt;").split())
