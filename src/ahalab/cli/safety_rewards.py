"""`aha safety rewards`: training data for the safety reward model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ahalab.cli.data_watch import say, say_json

if TYPE_CHECKING:
    from ahalab.safety.protocols import Target
    from ahalab.safety.rewarding.job import ReplierConfig

app = typer.Typer(no_args_is_help=True, help="Make and check training data for a safety reward model.")

Folder = Annotated[Path, typer.Argument(help="Folder of the data set.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command()
def make(
    job: Annotated[Path, typer.Argument(help="Job file: prompts, who answers, who judges.")],
    to: Annotated[Path, typer.Option("--output", help="Folder of the data set; an unfinished one goes on.")],
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and skip bad rows instead of stopping.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked; ask nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask several models, label whole responses as safe or unsafe, keep evaluation prompts out."""
    from ahalab.cli.console import errors
    from ahalab.cli.progress import make_progress
    from ahalab.safety.rewarding.exclusion import Exclusion, benchmarks_of
    from ahalab.safety.rewarding.gathering import Watch
    from ahalab.safety.rewarding.job import load_job
    from ahalab.safety.rewarding.making import make as work
    from ahalab.safety.rewarding.making import prepare
    from ahalab.safety.rewarding.telling import told_plan, told_summary
    from ahalab.stages.context import Interrupt

    prepared = prepare(load_job(job), job.parent)
    benchmarks, missing = benchmarks_of(prepared.job.exclude, job.parent)
    if dry_run:
        say(told_plan(prepared, benchmarks, missing))
        return
    exclusion = Exclusion(benchmarks, prepared.job.exclude.cosine, missing)
    with Interrupt() as interrupt:
        watch = Watch(make_progress(errors), lambda: interrupt.asked)
        summary = work(prepared, to, exclusion, watch, skip_bad_rows=skip_bad_rows, open_local=_open_local)
    if as_json:
        say_json(summary)
    else:
        say(told_summary(summary, to))


@app.command()
def sample(
    folder: Folder,
    n: Annotated[int, typer.Option("--n", min=2, help="Responses to be labelled.")] = 200,
    seed: Annotated[int, typer.Option(help="Which sample.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a sample that is there.")] = False,
) -> None:
    """Draw a blind, stratified sample into one CSV file for each of two annotators. The files hold harmful text."""
    from ahalab.safety.rewarding.checking import draw

    drawn = draw(folder, n, seed, overwrite=overwrite)
    for stratum, count in drawn.items():
        say(f"{count:>5} {stratum}")
    say(
        f"{folder / 'check'}: a.csv and b.csv. Fill in the column label (safe or unsafe), each annotator alone."
    )


@app.command()
def agree(
    folder: Folder,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Replace labels where both annotators say otherwise than the judge."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the two files back: agreement of the annotators, and of the judge with them."""
    from ahalab.safety.rewarding.assembling import assemble
    from ahalab.safety.rewarding.checking import compare
    from ahalab.safety.rewarding.telling import told_check

    checked = compare(folder, apply=apply)
    if apply:
        assemble(folder)
    if as_json:
        say_json(checked.as_dict())
    else:
        say(told_check(checked))


@app.command()
def rules(
    name: Annotated[str | None, typer.Argument(help="One rule, or a .yaml file of your own.")] = None,
) -> None:
    """List the conversion rules of public sets, or check one."""
    from ahalab.safety.rewarding.rules import bundled_rules, load_rule

    for one in [name] if name else bundled_rules():
        rule = load_rule(one).rule
        say(f"{rule.name} (version {rule.version}) → {rule.yields}: {rule.describes} Licence: {rule.licence}")
        for left in rule.leaves_out if name else ():
            say(f"  not used: {left}")
        for drop in rule.drop if name else ():
            say(f"  left out: rows whose {drop.column} is {', '.join(map(str, drop.values))}: {drop.why}")


def _open_local(config: ReplierConfig, seed: int, stopping: Callable[[], bool]) -> Target:
    from ahalab.safety.running.targets import LocalTarget
    from ahalab.stages.safety_target import LocalModelTarget
    from ahalab.stages.suites.answerers import settle_threads

    local = LocalTarget(local=config.local or "", max_new_tokens=config.max_new_tokens)
    return LocalModelTarget(config.name, local, seed, settle_threads(None), stopping)
