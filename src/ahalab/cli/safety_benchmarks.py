"""`aha safety benchmarks`: which sets of questions are there, and what one of them holds; questions are not shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ahalab.cli.console import output
from ahalab.cli.data_watch import say, say_json

if TYPE_CHECKING:
    from ahalab.safety.protocols import Benchmark


def benchmarks(
    check: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Load one set (NAME or NAME?key=value) and count its items."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --check: file or folder of the set's rows.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="With --check: so many items, of each group its share.")
    ] = None,
    languages: Annotated[
        str | None, typer.Option(metavar="LANGUAGE,…", help="With --check: these languages only.")
    ] = None,
    show: Annotated[
        str | None, typer.Option(metavar="ID", help="With --check: say what one item is, without its text.")
    ] = None,
    show_text: Annotated[
        bool, typer.Option("--show-text", help="With --show: print the question too. It may be harmful.")
    ] = False,
    lm_eval: Annotated[
        bool, typer.Option("--lm-eval", help="Print the folder that lm-eval's --include_path takes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the sets of questions with source, licence, metric and deviations, or check that one loads."""
    from ahalab.errors import UserError
    from ahalab.safety.benchmarks.loading import load_benchmark
    from ahalab.safety.benchmarks.table import LM_EVAL_TASKS

    if check is None and (source or limit or languages or show):
        raise UserError("--source, --limit, --languages and --show need --check SPEC: which set is meant?")
    if show_text and show is None:
        raise UserError("--show-text needs --show ID: which question is meant?")
    if lm_eval:
        typer.echo(LM_EVAL_TASKS)
    elif check is None:
        _list(as_json)
    else:
        chosen = [one.strip() for one in languages.split(",") if one.strip()] if languages else None
        loaded = load_benchmark(check, source, limit=limit, languages=chosen)
        if show is not None:
            _show(loaded, show, show_text)
        else:
            _summary(loaded, as_json)


def _list(as_json: bool) -> None:
    from dataclasses import asdict

    from ahalab.safety.benchmarks.catalogue import BENCHMARKS
    from ahalab.safety.benchmarks.table import HEAD, found, rows

    if as_json:
        say_json({name: {**asdict(one), "found": found(one)} for name, one in BENCHMARKS.items()})
        return
    table = Table(title="sets of questions", title_justify="left", title_style="bold", show_lines=True)
    for head in (*HEAD, "found"):
        table.add_column(head, no_wrap=head == "set", overflow="fold")
    for cells, entry in zip(rows(), BENCHMARKS.values(), strict=True):
        table.add_row(*map(escape, cells), escape(found(entry)))
    output.print(table, soft_wrap=False)


def _summary(benchmark: Benchmark, as_json: bool) -> None:
    from ahalab.safety.benchmarks.choosing import counts
    from ahalab.safety.benchmarks.table import by_group, summary
    from ahalab.text.hostile import make_visible

    if as_json:
        there = [
            {"group": group, "language": language, "items": number}
            for (group, language), number in counts(benchmark.items).items()
        ]
        facts = {"name": benchmark.name, "items": len(benchmark.items), "scorer": benchmark.scorer}
        origin = {"source": benchmark.source, "licence": benchmark.licence, "sha256": benchmark.sha256}
        say_json({**facts, **origin, "options": dict(benchmark.options), "counts": there})
        return
    for line in summary(benchmark):
        say(make_visible(line))
    head, body = by_group(benchmark)
    table = Table()
    for place, name in enumerate(head):
        table.add_column(escape(make_visible(name)), justify="right" if place else "left")
    for cells in body:
        table.add_row(*(escape(make_visible(cell)) for cell in cells))
    output.print(table)


def _show(benchmark: Benchmark, wanted: str, with_text: bool) -> None:
    from ahalab.errors import UserError
    from ahalab.safety.benchmarks.table import described
    from ahalab.text.hostile import make_visible
    from ahalab.validation import suggestion

    lines = described(benchmark.items, wanted)
    if lines is None:
        near = suggestion(wanted, [item.id for item in benchmark.items]).partition(" Known here")[0]
        raise UserError(f"--show {wanted}: {benchmark.name} has no such item; {near}")
    for line in lines:
        say(make_visible(line))
    if with_text:
        say(make_visible(next(item.prompt for item in benchmark.items if item.id == wanted)))
    else:
        say("its text is not shown; --show-text prints it", "dim")
