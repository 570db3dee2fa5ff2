"""`aha recipes`: what is bundled."""

from __future__ import annotations

from ahalab.cli.console import output


def recipes() -> None:
    """List the bundled recipes."""
    from ahalab.pipeline.recipe import bundled_recipes

    for name, about in bundled_recipes().items():
        output.print(f"[bold]{name}[/]  {about}", highlight=False)
