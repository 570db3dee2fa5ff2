"""`aha explain`: a recipe's graph and every resolved number, beside the paper's."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from ahalab.cli.console import output
from ahalab.cli.run import SetOption, parse_sets

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
    threads = loaded.head.threads or "probed"
    tree = Tree(
        f"[bold]{escape(loaded.name)}[/]  base {escape(loaded.head.base)}, seed {loaded.head.seed}, threads {threads}"
    )
    for stage in loaded.stages.values():
        reads = ", ".join(stage.inputs.values()) or "nothing"
        tree.add(f"[bold]{escape(stage.name)}[/]  {stage.kind.name}, reads {escape(reads)}")
    output.print(tree, highlight=False)
    for stage in loaded.stages.values():
        table = Table(title=f"{escape(stage.name)} ({stage.kind.name})", title_justify="left")
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
