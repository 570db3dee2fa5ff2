"""The option of every command that may run programs of answers."""

from __future__ import annotations

from typing import Annotated

import typer

UnsafeOption = Annotated[
    bool,
    typer.Option(
        "--unsafe-no-isolation",
        help="Run programs of answers although nothing keeps them in: only for code you trust.",
    ),
]

WARNING = (
    "--unsafe-no-isolation: where this machine has no isolation, programs that a model wrote run with your rights. "
    "They can read your files and use your network."
)
