"""`aha safety translate`: a set of questions in more languages, through an endpoint, with checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ahalab.cli.console import output as console
from ahalab.cli.data_watch import say, say_json, say_written, watching
from ahalab.errors import UserError

if TYPE_CHECKING:
    from ahalab.safety.languages.translation import Translator

KEPT = "every reply so far is kept; the same command goes on from there."


def translate(
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FILE.jsonl", help="The translated set; more files lie beside it."),
    ],
    benchmark: Annotated[
        str | None, typer.Option(metavar="SPEC", help="What to translate, such as safety-1120.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="FILE", help="The set's own rows, where it is not bundled."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="CODE,…", help="Languages, ISO 639; a sample of its own after a colon: it,sw,jv:100."
        ),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL#MODEL", help="Who translates; or a YAML file of an endpoint.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="CODE", help="Language of the source; en where the set has it."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Questions of each language; all when left out.")
    ] = None,
    check: Annotated[
        int, typer.Option("--check", min=0, help="Translations of each language for a person to check.")
    ] = 20,
    checked: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Apply a person's filled file of checks; sends nothing."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    prompt: Annotated[
        Path | None, typer.Option(metavar="FILE.txt", help="Your own prompt file instead of the bundled one.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many calls it would take.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Translate a set of questions; check every translation by rules and a sample by a person. Resumable."""
    from ahalab.safety.languages.job import apply_check_file, check_output, write_translation

    check_output(output)
    if checked is not None:
        _report(apply_check_file(output, checked), output, as_json)
        return
    with watching(KEPT) as watch:
        job = _job(benchmark, source, to, endpoint, from_, sample, seed, prompt, output, watch.interrupt)
        if dry_run:
            _dry_run(job, as_json)
            return
        report = write_translation(job.plan, job.run(watch.progress), output, check)
    _report(report, output, as_json)


def _job(
    benchmark: str | None,
    source: Path | None,
    to: str | None,
    endpoint: str | None,
    from_: str | None,
    sample: int | None,
    seed: int,
    prompt: Path | None,
    output: Path,
    interrupt: Any,
) -> Translator:
    from ahalab.safety.benchmarks import load_benchmark
    from ahalab.safety.languages.items import beside
    from ahalab.safety.languages.plan import plan_translation, read_languages
    from ahalab.safety.languages.translation import PROMPT, Translator, load_prompt, read_endpoint

    if benchmark is None or to is None or endpoint is None:
        raise UserError(
            "aha safety translate: say what (--benchmark safety-1120), into what (--to it,sw) and by whom "
            "(--endpoint URL#MODEL); or apply a file of checks with --checked"
        )
    config = read_endpoint(endpoint)
    plan = plan_translation(load_benchmark(benchmark, source), read_languages(to, sample), from_, seed)
    paid = beside(output, "paid")
    return Translator(plan, config, paid, lambda: interrupt.asked, prompt=load_prompt(prompt or PROMPT))


def _dry_run(job: Translator, as_json: bool) -> None:
    wanted, kept = job.calls()
    if as_json:
        say_json({"calls": wanted - kept, "kept": kept, "languages": [one.language for one in job.plan.into]})
        return
    say(f"{job.plan.benchmark.name}: {job.plan.questions:,} questions in {job.plan.source}")
    for one in job.plan.into:
        say(f"  {one.language}: {len(job.plan.of_language(one.language)):,}")
    say(
        f"{wanted:,} translations, {kept:,} replies are kept already: {wanted - kept:,} calls, "
        "and more where a reply is not in form"
    )


def _report(report: dict[str, Any], output: Path, as_json: bool) -> None:
    from ahalab.safety.languages.items import beside
    from ahalab.safety.languages.job import rate_text

    if as_json:
        say_json(report)
        return
    table = Table(
        title=f"{report['benchmark']} from {report['from']}", title_justify="left", title_style="bold"
    )
    for place, head in enumerate(
        ("language", "questions", "passed", "left out", "identified", "a person's check")
    ):
        table.add_column(head, justify="right" if place in (1, 2, 3) else "left")
    for row in report["languages"]:
        size = f"{row['wanted']:,} of {row['questions']:,}" if row["sampled"] else f"{row['wanted']:,} (all)"
        table.add_row(
            escape(f"{row['name']} ({row['language']})"),
            size,
            f"{row['passed']:,}",
            f"{row['wanted'] - row['passed']:,}",
            "yes" if row["identified"] else "not known to the identifier",
            rate_text(row["check"]),
        )
    console.print(table)
    reasons: dict[str, int] = {}
    for row in report["languages"]:
        for reason, count in row["left_out"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    if reasons:
        say("left out: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()), "yellow")
    counts = report["counts"]
    say(
        f"{counts.get('calls', 0):,} calls, {counts.get('retries', 0):,} retries, "
        f"{counts.get('from_cache', 0):,} replies from before"
        + ("" if report["cost"] is None else f"; cost so far {report['cost']:,.4g}")
    )
    say_written(output, beside(output, "check.csv"), beside(output, "report.json"))
