"""`aha data check`: do the reference solutions of code problems pass their own tests?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ahalab.cli.console import errors, output
from ahalab.errors import Interrupted, UserError
from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from rich.console import Console

    from ahalab.datatools.reference import CheckSettings, Summary

SHOWN = 20


def check(
    file: Annotated[Path, typer.Argument(help="Code problems: .jsonl, .jsonl.gz, .parquet, .csv or .tsv.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the good problems here, in the project's own layout.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="What was found, a line a problem; FILE.check.jsonl when left out. Taken up again."
        ),
    ] = None,
    solutions: Annotated[
        int, typer.Option(min=1, help="Reference solutions tried of a problem at most.")
    ] = 3,
    strict: Annotated[
        bool, typer.Option("--strict", help="All that are tried must pass; otherwise one is enough.")
    ] = False,
    keep_unchecked: Annotated[
        bool, typer.Option("--keep-unchecked", help="Write problems without a reference solution too.")
    ] = False,
    layout: Annotated[
        str | None,
        typer.Option(help="contest, bug_fix, apps, livecodebench, codeforces; recognised when left out."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="NAME=COLUMN",
            help="Of another layout: our name of a column and the table's own.",
        ),
    ] = None,
    max_tests: Annotated[
        int | None, typer.Option(min=1, help="Tests of a problem; all when left out.")
    ] = None,
    time_factor: Annotated[float, typer.Option(help="Times the stated time limit.")] = 1.0,
    workers: Annotated[int | None, typer.Option(min=1, help="Grader processes; one a core.")] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and skip bad rows instead of stopping.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out where it is there.")] = False,
    show: Annotated[int, typer.Option(min=0, help="Failing problems in the printed table.")] = SHOWN,
    executor: Annotated[
        str,
        typer.Option(metavar="local|URL", help="Who runs the programs: this machine, or a sandbox service."),
    ] = "local",
    unsafe: Annotated[
        bool,
        typer.Option(
            "--unsafe-no-isolation",
            help="Run programs with resource limits alone where isolation cannot be had.",
        ),
    ] = False,
) -> None:
    """Run the reference solutions of code problems on their own tests; name and leave out what fails. Resumable."""
    from ahalab.cli.progress import make_progress
    from ahalab.datatools.reading import Watch
    from ahalab.datatools.reference import CheckSettings, ReferenceCheck, every_test
    from ahalab.datatools.stream import stem_of
    from ahalab.datatools.testcases.run import default_workers
    from ahalab.grading.pool import GraderPool
    from ahalab.sandbox.open import open_executor
    from ahalab.sandbox.settings import SandboxSettings
    from ahalab.stages.context import Interrupt
    from ahalab.validation import validate

    options = every_test().model_dump(exclude_unset=True) | {
        "columns": _columns(columns or []),
        "layout": layout,
        "time_factor": time_factor,
    }
    if max_tests is not None:
        options["max_tests"] = max_tests
    settings = CheckSettings(
        options=validate(type(every_test()), options, "aha data check"),
        solutions=solutions,
        strict=strict,
        keep_unchecked=keep_unchecked,
        skip_bad_rows=skip_bad_rows,
    )
    sandbox = SandboxSettings(executor, unsafe)
    open_executor(sandbox).close()  # refused before anything is read where programs cannot be run
    interrupt = Interrupt()
    watch = Watch(
        make_progress(errors), interrupt, "what was checked is in the report; the same command goes on."
    )
    with interrupt, GraderPool(workers or default_workers(), sandbox=sandbox) as pool:
        checking = ReferenceCheck(
            file,
            report or Path(f"{stem_of(file)}.check.jsonl"),
            pool,
            settings,
            out=out,
            overwrite=overwrite,
            watch=watch,
        )
        try:
            summary = checking.run()
        except KeyboardInterrupt:
            raise Interrupted(
                "stopped at once. The same command goes on from the last finished problem."
            ) from None
    print_summary(output, summary, settings, show)
    if out is not None:
        output.print(f"written: {out} ({summary.written:,} problems)", markup=False, highlight=False)
    output.print(f"report: {checking.report}", markup=False, highlight=False)


def print_summary(console: Console, summary: Summary, settings: CheckSettings, show: int) -> None:
    """Which problems are not good and why, and the counts."""
    failing = [one for one in summary.checked if not one.good(settings)]
    if failing and show:
        console.print(_table(summary, settings, show))
        if len(failing) > show:
            console.print(f"… and {len(failing) - show:,} more in the report", highlight=False)
    for line in summary_lines(summary):
        console.print(line, markup=False, highlight=False)


def summary_lines(summary: Summary) -> list[str]:
    """The counts in words."""
    lines = [
        f"layout: {summary.layout}",
        f"problems: {summary.problems:,}" + _counts(summary.verdicts),
        f"reference solutions tried: {summary.solutions.total():,}" + _counts(summary.solutions),
    ]
    if summary.left_out:
        lines.append(f"left out: {summary.left_out.total():,}" + _counts(summary.left_out))
    if summary.bad_rows:
        lines.append(f"bad rows skipped: {summary.bad_rows.total():,}" + _counts(summary.bad_rows))
    if summary.reused:
        lines.append(f"taken over from the report: {summary.reused:,}")
    return lines


def _counts(counts: dict[str, int]) -> str:
    parts = sorted(counts.items(), key=lambda part: (-part[1], part[0]))
    return f" ({', '.join(f'{count:,} {name}' for name, count in parts)})" if parts else ""


def _table(summary: Summary, settings: CheckSettings, show: int) -> Table:
    table = Table(title="not good", title_justify="left", title_style="bold")
    table.add_column("row", justify="right", no_wrap=True)
    table.add_column("problem", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("solutions tried", overflow="fold")
    for one in [one for one in summary.checked if not one.good(settings)][:show]:
        name = " · ".join(part for part in (one.id, one.title) if part) or "–"
        tried = ", ".join(one.solutions) or "–"
        table.add_row(
            str(one.row),
            escape(_plain(name)[:80]),
            one.verdict,
            escape(_plain(f"{tried} {one.detail}".strip())[:200]),
        )
    return table


def _plain(text: str) -> str:
    return make_visible(text.replace("\n", " "))


def _columns(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, column = text.partition("=")
        if not equals or not name or not column:
            raise UserError(f"--column {text!r}: expected NAME=COLUMN, for example question=prompt")
        found[name] = column
    return found
