"""`aha data`: look at files of prompts, and make them better. One file a verb; this one only gathers them."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Inspect, convert, clean and rate files of prompts.")
