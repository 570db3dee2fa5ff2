"""`aha safety export`: a finished evaluation as logs that other tools open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.data_watch import say


def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a safety evaluation.")],
    to: Annotated[
        Path,
        typer.Option("--inspect", metavar="DIR", help="Folder for the logs of Inspect AI (harmful text)."),
    ],
    judge: Annotated[
        str | None, typer.Option(help="Hash of the judge whose verdicts go along; the newest when left out.")
    ] = None,
) -> None:
    """Write one log of Inspect AI for each target and benchmark; `inspect view --log-dir DIR` opens them."""
    from ahalab.errors import UserError

    try:
        from ahalab.safety.ecosystem.export import export as write
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "inspect_ai":
            raise
        raise UserError("logs of Inspect AI need its package: pip install 'ahalab[inspect]'") from None
    written = write(folder, to, judge, note=say)
    say(f"{len(written)} logs. Look at them with: inspect view --log-dir {to}")
