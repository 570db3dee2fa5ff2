"""Tables of `aha eval` for the terminal. What a model said is hostile text: it is made visible, never run."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ahalab.evaluation.suites.markdown import HEAD, notes, points, table
from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from ahalab.evaluation.decontamination import OverlapReport
    from ahalab.stages.suites.comparison import Compared

SHOWN_CHARACTERS = 600
"""Of one answer: its start and its end, where the answer is."""


def print_evaluation(console: Console, evaluation: Mapping[str, Any]) -> None:
    """One line a suite and domain; settings and counts below."""
    made = Table(
        title=f"evaluation of {_plain(str(evaluation['answerer']['model']))}",
        title_justify="left",
        title_style="bold",
    )
    for place, head in enumerate(HEAD):
        made.add_column(head, justify="left" if place == 0 else "right", no_wrap=True)
    for row in table(evaluation):
        made.add_row(*map(_plain, row))
    console.print(made)
    for line in notes(evaluation):
        console.print(make_visible(line), highlight=False, markup=False)


def print_answers(console: Console, folder: Path, count: int) -> None:
    """The first answers of each suite, with what was read out of them."""
    from ahalab.stages.suites.folder import suite_folders, suite_rows

    for path in suite_folders(folder):
        for row in islice(suite_rows(path), count):
            verdict = row["error"] or (
                "not graded" if row["correct"] is None else f"score {row['correct']:g}"
            )
            console.print(f"[bold]{_plain(row['question'])}[/]", highlight=False)
            console.print(f"[dim]{_plain(_shortened(row['text']))}[/]", highlight=False)
            told = f"answer {row['answer']!r} ({row['found']}), gold {row['gold']!r}: {verdict}"
            console.print(make_visible(told), highlight=False, markup=False)
            console.print()


def print_comparison(console: Console, found: Compared) -> None:
    """One line a suite: both means, their difference, and the test."""
    first, second = map(_plain, found.models)
    made = Table(title=f"{first} (A) less {second} (B)", title_justify="left", title_style="bold")
    for place, head in enumerate(("suite", "items", "A", "B", "A − B", "better/worse/equal", "p")):
        made.add_column(head, justify="left" if place == 0 else "right", no_wrap=True)
    for one in found.suites:
        result = one.comparison
        made.add_row(
            _plain(one.suite),
            str(one.shared),
            f"{100 * one.first:.1f}",
            f"{100 * one.second:.1f}",
            points(result.difference.as_dict()),
            f"{result.wins}/{result.losses}/{result.ties}",
            f"{result.p_value:.3g}",
        )
    console.print(made)
    for one in found.suites:
        console.print(f"{one.suite}: {one.comparison.test}", highlight=False, markup=False)
        if one.only_first or one.only_second:
            told = f"{one.suite}: left out, for only one graded them: {one.only_first} of A, {one.only_second} of B"
            console.print(told, highlight=False, markup=False)
        for key, (ours, theirs) in one.settings.items():
            console.print(f"{one.suite}: {key} differs, {ours} and {theirs}", highlight=False, markup=False)
    if found.left_out:
        console.print(f"in one folder only: {', '.join(found.left_out)}", highlight=False, markup=False)


def print_overlap(console: Console, suite: str, report: OverlapReport, path: Path) -> None:
    """How many items share a 10-gram with the training prompts, and where it is written which."""
    console.print(make_visible(f"{suite}: {report.sentence()}"), highlight=False, markup=False)
    console.print(f"written: {path}", highlight=False, markup=False)


def _shortened(text: str) -> str:
    half = SHOWN_CHARACTERS // 2
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:half]} … {text[-half:]}"


def _plain(text: str) -> str:
    return escape(make_visible(text))
