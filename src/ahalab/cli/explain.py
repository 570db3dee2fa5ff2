"""`aha explain`: a recipe's graph and every resolved number, beside the paper's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from ahalab.cli.console import output
from ahalab.cli.run import SetOption, parse_sets

if TYPE_CHECKING:
    from ahalab.pipeline.recipe import Recipe

LEAST_WIDTH = 100
"""Columns of a terminal from which the meanings are shown too."""


def explain(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a bundled one.")],
    set_: SetOption = None,
) -> None:
    """Show what a recipe will do: the graph, every number, and where it differs from the paper."""
    from ahalab.pipeline.explain import explain_stage
    from ahalab.pipeline.recipe import load_recipe

    loaded = load_recipe(recipe, parse_sets(set_))
    output.print(draw(loaded), highlight=False)
    for stage in loaded.stages.values():
        beside = f", beside {stage.config.paper_role}" if stage.config.paper_role else ""
        table = Table(title=escape(f"{stage.name} ({stage.kind.name}){beside}"), title_justify="left")
        table.add_column("key", no_wrap=True)
        table.add_column("value", overflow="fold", max_width=40)
        table.add_column("paper", max_width=30)
        table.add_column("", no_wrap=True)
        explained = output.width >= LEAST_WIDTH
        if explained:
            table.add_column("meaning")
        for line in explain_stage(stage):
            mark = {True: "[green]same[/]", False: "[yellow]differs[/]", None: ""}[line.same]
            table.add_row(
                line.key,
                escape(line.value),
                escape(line.paper),
                mark,
                *([escape(line.meaning)] if explained else []),
            )
        output.print(table)


def draw(recipe: Recipe) -> Tree:
    """The graph as a tree: a stage below the model it starts from, or the one thing it reads."""
    from ahalab.pipeline.graph import children, other_inputs

    threads = recipe.head.threads or "probed"
    tree = Tree(
        f"[bold]{escape(recipe.name)}[/]  base {escape(recipe.head.base)}, seed {recipe.head.seed}, threads {threads}"
    )
    below = children(recipe.stages)

    def add(parent: Tree, name: str) -> None:
        if name in recipe.stages:
            stage = recipe.stages[name]
            others = ", ".join(other_inputs(stage))
            also = f", {'also ' if len(stage.inputs) > len(other_inputs(stage)) else ''}reads {others}"
            node = parent.add(f"[bold]{escape(name)}[/]  {stage.kind.name}{escape(also) if others else ''}")
        else:
            node = parent.add(f"{name}: {escape(recipe.base_of(name))}")
        for child in below.get(name, []):
            add(node, child)

    for name in below[None]:
        add(tree, name)
    return tree
