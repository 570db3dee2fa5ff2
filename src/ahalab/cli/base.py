"""`aha base build`: make a bundled base from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.console import errors, output
from ahalab.cli.run import run_to_end
from ahalab.errors import UserError

app = typer.Typer(no_args_is_help=True, help="The bundled base models.")


@app.callback()
def _group() -> None:
    pass


@app.command("build")
def build(
    name: Annotated[str, typer.Argument(help="tiny or tiny-small")],
    steps: Annotated[int | None, typer.Option(help="Fewer steps, to try it out.")] = None,
    seed: Annotated[int, typer.Option(help="The bundled one is seed 0.")] = 0,
    runs: Annotated[Path, typer.Option(help="Folder that holds run folders.")] = Path("runs"),
    threads: Annotated[int | None, typer.Option(help="CPU threads; probed when left out.")] = None,
    to: Annotated[Path | None, typer.Option("--output", help="Also export the model folder here.")] = None,
) -> None:
    """Pretrain a bundled base on the tiny world's corpus and measure its card's rates. Resumable."""
    from ahalab.cli.progress import make_progress
    from ahalab.pipeline.bases import compare_with_card, export_base
    from ahalab.pipeline.execution import Execution
    from ahalab.pipeline.recipe import load_recipe
    from ahalab.policy.locate import BUILTIN
    from ahalab.validation import suggestion

    names = list(BUILTIN.values())
    if name not in names:
        raise UserError(f"aha base build {name}: no such bundled base; {suggestion(name, names)}")
    overrides = {"seed": seed, "stages.tiny.pretrain.steps": steps, "threads": threads}
    if steps is not None:
        # A base that was hardly trained rambles to the limit: a few prompts show that the card is measured.
        overrides |= {"stages.card.evaluate.n": 10, "stages.domains.evaluate.n": 12}
    recipe = load_recipe(
        f"{name}-base", {key: value for key, value in overrides.items() if value is not None}
    )
    suffix = f"-{steps}" if steps is not None else ""
    execution = Execution(runs / f"{name}-base-seed{seed}{suffix}", progress=make_progress(errors))
    run = run_to_end(recipe, execution)
    for line in compare_with_card(run, name):
        output.print(line, highlight=False)
    if to is not None:
        export_base(run, to, name)
        output.print(f"exported: {to}")
    output.print(f"run folder: {run.path}")
