"""Tables for the terminal: preflight, memory, and the before-and-after summary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ahalab.analysis.evaluations import Evaluation, figure_ratio
from ahalab.analysis.stage_table import StageTable, cell_text, describe, items_text, lines_of
from ahalab.policy.memory import MemoryEstimate
from ahalab.report.summary import summarise
from ahalab.report.wording import interval
from ahalab.runs.atomic import format_size
from ahalab.stages.preflight import PreflightReport
from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from ahalab.report.seeds import RunTables

QUESTION_WIDTH = 36
"""Columns of a question at most; what is left of the line goes to the completion."""

LEAST_TEXT = 16


def print_preflight(console: Console, stage: str, report: PreflightReport) -> None:
    """Rewards of gold, empty and real samples, one line each; resolved batch figures; warnings."""
    if report.rows:
        console.print(_preflight_table(console.width, stage, report))
    if report.gold_graded:
        console.print(
            f"gold answers: {report.gold_graded} of {report.gold_graded} score full marks", highlight=False
        )
    figures = ", ".join(f"{name} {value:,}" for name, value in report.batch.items())
    console.print(f"resolved: {figures}", highlight=False)
    for notice in report.notices:
        console.print(f"note: {escape(notice)}", highlight=False)
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)


def _preflight_table(width: int, stage: str, report: PreflightReport) -> Table:
    names = list(report.rows[0].parts)
    numbers = [*names, "total"]
    questions = [_flat(row.question) for row in report.rows]
    texts = [_flat(row.text) for row in report.rows]
    faults = [row.fault or "" for row in report.rows]
    # rich shrinks a column by cutting its end, where the answer is: the widths are set here.
    fixed = _widest(row.what for row in report.rows) + sum(map(len, numbers))
    failed = min(_widest(["failed rule", *faults]), max(11, width // 6))
    free = width - fixed - failed - 3 * (len(numbers) + 4) - 1
    # On a narrow terminal the completion is worth more than the question.
    asked = min(_widest(["question", *questions]), QUESTION_WIDTH, free // 3) if free >= 3 * LEAST_TEXT else 0
    answered = max(LEAST_TEXT, min(_widest(["text", *texts]), free - asked if asked else free + 3))
    table = Table(title=f"preflight of {escape(stage)}", title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    if asked:
        table.add_column("question", no_wrap=True, width=asked)
    table.add_column("text", no_wrap=True, width=answered)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("failed rule", no_wrap=True, width=failed)
    for row, question, text, fault in zip(report.rows, questions, texts, faults, strict=True):
        table.add_row(
            row.what,
            *([escape(shorten(question, asked))] if asked else []),
            escape(shorten(text, answered)),
            *(_number(row.parts.get(name)) for name in names),
            _number(row.total),
            escape(shorten(fault, failed)),
        )
    return table


def print_memory(console: Console, estimate: MemoryEstimate) -> None:
    """The estimate, before anything is loaded."""
    parts = {
        "weights": estimate.weights,
        "gradients and optimizer": estimate.gradients_and_optimizer,
        "reference model": estimate.reference,
        "key-value cache": estimate.key_value_cache,
        "activations": estimate.activations,
        "logits": estimate.logits,
    }
    shown = ", ".join(f"{name} {format_size(size)}" for name, size in parts.items() if size)
    console.print(
        f"memory: about {format_size(estimate.total)} at the peak for {estimate.parameters:,} parameters ({shown})",
        highlight=False,
    )


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` terminal columns: its start, an ellipsis, and its end, where the answer is."""
    if cell_len(text) <= width:
        return text
    start = _fitting(text, (width - 1) // 3)
    end = _fitting(text[::-1], width - 1 - cell_len(start))[::-1]
    return f"{start}…{end}"


def _fitting(text: str, width: int) -> str:
    """The longest beginning of at most `width` columns; a Chinese character takes two."""
    used = 0
    for place, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[:place]
    return text


def _flat(text: str) -> str:
    return make_visible(text.strip().replace("\n", "⏎").replace("\t", " "))


def _widest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


SUMMARY_ROWS = (
    ("held-out pass@1", "pass@1"),
    ("held-out pass@16", "pass@16"),
    ("thinking tokens", "thinking_tokens"),
    ("tokens per answer", "tokens_per_answer"),
    ("reflective words per answer", "reflective_per_answer"),
    ("reflective words per 1,000 tokens", "reflective_per_1k"),
    ("well formed", "format"),
    ("language mixing", "language_mixing"),
)


def print_summary(console: Console, run: Path) -> None:
    """The stage tables with their orderings; without one, before and after with 95 % intervals and the ratio.

    Nothing where the run has neither.
    """
    summary = summarise(run, with_samples=False)
    for name, table in summary.tables.items():
        print_stage_table(console, f"{run.name}: {name}", table)
        print_orderings(console, table.orderings)
        console.print(make_visible(describe(table)), highlight=False, markup=False)
    if not summary.tables and summary.before_after is not None:
        _print_before_after(console, run.name, *summary.before_after)


def _print_before_after(console: Console, run: str, before: Evaluation, after: Evaluation) -> None:
    table = Table(
        title=f"{escape(run)}: before ({escape(before.of)}) and after ({escape(after.of)})",
        title_justify="left",
    )
    table.add_column("")
    for column in (before.stage, after.stage, "ratio"):
        table.add_column(escape(column), justify="right")
    for label, key in SUMMARY_ROWS:
        first, last = before.figures.get(key), after.figures.get(key)
        if first is not None and last is not None:
            times = figure_ratio(first, last)
            table.add_row(label, interval(first), interval(last), "" if times is None else f"× {times:.2f}")
    console.print(table)


VERDICT_STYLES = {"holds": "green", "does not": "red", "undecided": "yellow", "not measured": "dim"}


def print_stage_table(
    console: Console,
    title: str,
    table: StageTable,
    cell: Callable[[str, str, int], str] | None = None,
) -> None:
    """A line a measure, a column a set of weights; on a narrow terminal the intervals go below, then away.

    `cell` (row, column, digits of the interval) → text replaces the table's own.
    """
    shown = cell or (lambda row, column, digits: cell_text(table, row, column, digits))
    labels = [label for _, label in lines_of(table)]
    room = (console.width - _widest([*labels, ""]) - 12) // max(1, len(table.rows)) - 3
    made = Table(title=escape(make_visible(title)), title_justify="left", title_style="bold")
    made.add_column("points of 100")
    for row in table.rows:
        made.add_column(escape(make_visible(row)), justify="right", no_wrap=True)
    made.add_column("n", justify="right", no_wrap=True)
    lines = lines_of(table)
    form = next(
        form for form in CELL_FORMS if form is CELL_FORMS[-1] or _fits(form, lines, table, shown, room)
    )
    for column, label in lines:
        cells = [escape(form(shown, row, column)) for row in table.rows]
        made.add_row(escape(make_visible(label)), *cells, items_text(table, column))
    console.print(made)


CELL_FORMS: tuple[Callable[[Callable[[str, str, int], str], str, str], str], ...] = (
    lambda shown, row, column: shown(row, column, 1),
    lambda shown, row, column: shown(row, column, 1).replace(" ", "\n", 1),
    lambda shown, row, column: shown(row, column, 0).replace(" ", "\n", 1),
    lambda shown, row, column: shown(row, column, 0).partition(" ")[0],
)
"""From roomy to narrow: beside the value, below it, below it in whole points, without the interval."""


def _fits(
    form: Callable[[Callable[[str, str, int], str], str, str], str],
    lines: Sequence[tuple[str, str]],
    table: StageTable,
    shown: Callable[[str, str, int], str],
    room: int,
) -> bool:
    texts = (form(shown, row, column) for column, _ in lines for row in table.rows)
    return all(cell_len(line) <= room for text in texts for line in text.split("\n"))


def print_orderings(console: Console, orderings: Sequence[Mapping[str, Any]]) -> None:
    """Each ordering (as `Outcome.as_dict`; `by_run` where there are several runs) and the numbers that decide it."""
    for one in orderings:
        style = VERDICT_STYLES.get(str(one.get("verdict")), "")
        verdict = escape(make_visible(f"{one.get('verdict'):<12}"))
        sentence = escape(make_visible(str(one.get("sentence"))))
        console.print(
            f"[{style}]{verdict}[/] {sentence}" if style else f"{verdict} {sentence}", highlight=False
        )
        seeds = one.get("by_run")
        told = f"{one.get('why')}" + (f" · by run: {', '.join(seeds.values())}" if seeds else "")
        console.print(f"{'':<13}{make_visible(told)}", style="dim", highlight=False, markup=False)


def print_run_tables(console: Console, tables: RunTables) -> None:
    """The table of one run or the mean of several, its orderings, and how the numbers came about."""
    several = len(tables.contents) > 1
    print_stage_table(console, ", ".join(tables.contents), tables.table, tables.cell)
    orderings = tables.as_dict()["orderings"]
    print_orderings(console, orderings if several else [{**one, "by_run": None} for one in orderings])
    console.print(make_visible(tables.description()), highlight=False, markup=False)
