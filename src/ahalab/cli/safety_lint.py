"""`aha safety lint`: which rules of the question set are broken, by id."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def lint(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of question files; the bundled ones when left out.")
    ] = None,
) -> None:
    """Check a question set against its rules (forms, situations, likeness, forbidden words, harmless twins)."""
    from ahalab.safety.lint import main

    raise typer.Exit(main([str(folder)] if folder else []))
