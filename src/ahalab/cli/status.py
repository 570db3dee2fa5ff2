"""`aha status`: where a run stands, stage by stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from ahalab.cli.console import output

if TYPE_CHECKING:
    from ahalab.pipeline.recipe import Recipe
    from ahalab.pipeline.status import RunStatus, StageStatus

MARKS = {
    "done": ("✔", "green"),
    "reused": ("✔", "green"),
    "running": ("▶", "bold cyan"),
    "interrupted": ("‖", "yellow"),
    "outdated": ("↻", "yellow"),
    "waiting": ("·", "dim"),
}


def status(
    run: Annotated[Path, typer.Argument(help="A run folder, at work or not.")],
    price: Annotated[
        float | None, typer.Option(min=0.0, help="What a core-hour (on a GPU: a GPU-hour) costs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Show the graph of a run: the state, figures, time and cost of each stage. Reads the run folder only."""
    from ahalab.pipeline import status as reading

    found, recipe = reading.read_status(run, price)
    if as_json:
        typer.echo(json.dumps(reading.as_json(found), ensure_ascii=False, indent=2))
        return
    tree = draw(found, recipe)
    if output.is_terminal:
        output.print(tree, highlight=False)
    else:
        for line in plain(tree):
            output.print(line, highlight=False, markup=True)


def draw(found: RunStatus, recipe: Recipe) -> Tree:
    """The graph as a tree: a stage below the model it starts from, or the one thing it reads."""
    from ahalab.pipeline.graph import children

    below = children(recipe.stages)
    stages = {one.name: one for one in found.stages}
    tree = Tree(_head(found))

    def add(parent: Tree, name: str) -> None:
        if name in stages:
            node = parent.add(_line(found, stages[name], recipe))
        else:
            node = parent.add(f"{name}: {escape(recipe.base_of(name))}")
        for child in below.get(name, []):
            add(node, child)

    for name in below[None]:
        add(tree, name)
    return tree


def plain(tree: Tree, depth: int = 0) -> list[str]:
    """The tree as indented lines, for logs and pipes."""
    lines = [f"{'  ' * depth}{tree.label}"]
    for child in tree.children:
        lines += plain(child, depth + 1)
    return lines


def _head(found: RunStatus) -> str:
    done = sum(one.state in ("done", "reused") for one in found.stages)
    work = "at work" if found.at_work else "not at work"
    parts = [
        f"[bold]{escape(found.name)}[/]  base {escape(found.base)}, seed {found.seed}",
        f"{done} of {len(found.stages)} stages done, {work}",
        f"{_clock(found.seconds)}, {_cost(found, found.cost)}",
    ]
    return "  ".join(parts)


def _line(found: RunStatus, stage: StageStatus, recipe: Recipe) -> str:
    from ahalab.pipeline.graph import other_inputs

    mark, style = MARKS[stage.state]
    state: str = stage.state
    if stage.done is not None and stage.state == "running":
        state = f"running, {stage.unit} {stage.done} of {stage.total}"
    elif stage.done is not None:
        state = f"interrupted at {stage.unit} {stage.done} of {stage.total}"
    elif stage.state == "reused" and stage.note:
        state = f"reused from {stage.note}"
    parts = [f"[{style}]{mark}[/] [bold]{escape(stage.name)}[/] ({stage.kind})  [{style}]{escape(state)}[/]"]
    if stage.figures:
        parts.append(", ".join(f"{name} {_figure(value)}" for name, value in stage.figures.items()))
    if stage.seconds:
        parts.append(f"{_clock(stage.seconds)}, {_cost(found, stage.cost)}")
    others = other_inputs(recipe.stages[stage.name])
    if others:
        parts.append(f"[dim]also reads {escape(', '.join(others))}[/]")
    for text in [*([stage.note] if stage.note and stage.state != "reused" else []), *stage.warnings]:
        parts.append(f"[yellow]{escape(text)}[/]")
    return "  ".join(parts)


def _figure(value: Any) -> str:
    """A number in three digits; an estimate with its interval."""
    if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
        return f"{value['value']:.3g} [{value['low']:.3g}, {value['high']:.3g}]"
    if isinstance(value, float):
        return f"{value:.3g}"
    return escape(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)[:40])


def _cost(found: RunStatus, cost: float) -> str:
    text = f"{cost:.2f} {found.unit}"
    return text if found.price is None else f"{text} = {cost * found.price:.2f}"


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
