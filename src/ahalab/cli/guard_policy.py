"""`aha guard policy`: what a policy says, and whether it is sound."""

from __future__ import annotations

from typing import Annotated

import typer

from ahalab.cli.console import output


def policy(
    spec: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="A profile or a policy file.")
    ] = None,
) -> None:
    """Check a policy and print it; without an argument, name the profiles that are bundled."""
    from ahalab.guard.policy import FOLDER, open_policy
    from ahalab.guard.review.prompt import standards_text
    from ahalab.text.hostile import make_visible

    if spec is None:
        for name in sorted(one.stem for one in FOLDER.glob("*.yaml")):
            found = open_policy(name)
            output.print(f"{name}  {found.version}  {found.description}", highlight=False, markup=False)
        return
    found = open_policy(spec)
    matched = [name for name, is_matched in found.scope.model_dump().items() if is_matched]
    lines = [
        f"policy {found.name}, version {found.version}",
        found.description,
        f"mode {found.mode}, streaming {found.streaming}, on_error {found.on_error}",
        f"matched: {', '.join(matched) or 'nothing'}; unflagged dialogues reviewed: {found.sample_unflagged:.2%}",
        f"{len(found.standards)} standards:",
        standards_text(found),
    ]
    output.print("\n".join(make_visible(line) for line in lines if line), highlight=False, markup=False)
