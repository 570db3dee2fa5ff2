"""`aha run`: perform a recipe, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from ahalab.cli.console import errors, output
from ahalab.cli.isolation import WARNING, UnsafeOption
from ahalab.errors import Interrupted, RunStopped, UserError

if TYPE_CHECKING:  # torch and transformers take seconds to import: only the verbs that need them pay
    from ahalab.pipeline.execution import Execution
    from ahalab.pipeline.recipe import Recipe
    from ahalab.runs.folder import RunFolder

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key: stages.zero.rl.steps=20"),
]
RunsOption = Annotated[Path, typer.Option(help="Folder that holds run folders.")]
SkipOption = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Count and skip bad data rows instead of stopping.")
]
DryOption = Annotated[
    bool, typer.Option("--dry-run", help="Only check: models, data, memory, graders on gold answers.")
]
ReuseOption = Annotated[
    bool,
    typer.Option(
        "--reuse/--no-reuse",
        help="Take stages made before with the same settings from runs in the same folder.",
    ),
]


def run(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of a bundled one (`aha recipes`).")
    ],
    base: Annotated[str | None, typer.Option(help="Another base model.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    runs: RunsOption = Path("runs"),
    threads: Annotated[int | None, typer.Option(help="CPU threads; probed when left out.")] = None,
    set_: SetOption = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STAGE", help="Make STAGE and what depends on it again; the old is kept."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Make only STAGE and what it needs, then stop.")
    ] = None,
    reuse: ReuseOption = True,
    skip_bad_rows: SkipOption = False,
    only_check: DryOption = False,
    unsafe: UnsafeOption = False,
) -> None:
    """Run a recipe. The same command goes on with an interrupted one, and makes again what was changed in it."""
    from ahalab.pipeline.recipe import load_recipe

    overrides = {"base": base, "seed": seed, "threads": threads}
    loaded = load_recipe(recipe, {k: v for k, v in overrides.items() if v is not None} | parse_sets(set_))
    perform(
        loaded,
        runs / (name or loaded.name),
        start=start,
        until=until,
        reuse=reuse,
        skip_bad_rows=skip_bad_rows,
        only_check=only_check,
        unsafe=unsafe,
    )


def parse_sets(settings: list[str] | None) -> dict[str, Any]:
    """`KEY=VALUE` pairs, values read as YAML. Raises UserError for one without `=` or with a broken value."""
    parsed = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UserError(f"--set {setting!r}: expected KEY=VALUE, for example stages.zero.rl.steps=20")
        try:
            parsed[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {setting!r}: the value is not valid YAML: {error}") from error
    return parsed


def perform(
    recipe: Recipe,
    path: Path,
    *,
    skip_bad_rows: bool,
    only_check: bool,
    start: str | None = None,
    until: str | None = None,
    reuse: bool = True,
    unsafe: bool = False,
) -> None:
    """Run `recipe` in `path`, print its figures, write its report. The options are those of `run`."""
    from ahalab.cli.progress import make_progress
    from ahalab.cli.tables import print_memory, print_preflight, print_summary
    from ahalab.pipeline.execute import dry_run
    from ahalab.pipeline.execution import Execution
    from ahalab.report.html import write_report

    if unsafe:
        errors.print(WARNING, style="yellow", highlight=False)
    execution = Execution(
        path,
        progress=make_progress(errors),
        skip_bad_rows=skip_bad_rows,
        start=start,
        until=until,
        reuse=reuse,
        unsafe_no_isolation=unsafe,
        on_preflight=lambda stage, report: print_preflight(errors, stage, report),
        on_memory=lambda estimate: print_memory(errors, estimate),
    )
    if only_check:
        dry_run(recipe, execution)
        output.print("dry run: everything checked, nothing was run or written.")
        return
    try:
        finished = run_to_end(recipe, execution)
    except RunStopped as error:
        raise RunStopped(f"{error}\nWhat came of it: {write_report(path)}") from error
    page = write_report(finished.path)
    print_summary(output, finished.path)
    output.print(f"run folder: {finished.path}\nreport: {page}", highlight=False)
    if until is not None:
        output.print(f"stopped after {until} as asked; without --until the run goes on.", highlight=False)


def run_to_end(recipe: Recipe, execution: Execution) -> RunFolder:
    """`execute`, with words for the two ways of being interrupted."""
    from ahalab.pipeline.execute import execute

    with execution.interrupt:
        try:
            return execute(recipe, execution)
        except Interrupted as error:
            raise Interrupted(f"{error} The same command goes on from here.") from error
        except KeyboardInterrupt:
            raise Interrupted("stopped at once. The same command goes on from the last checkpoint.") from None
