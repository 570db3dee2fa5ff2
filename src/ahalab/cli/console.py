"""The two consoles: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console

PLAIN_WIDTH = 140
"""Columns of a log file: nobody drags it wider, and a table squeezed into 80 is hard to read."""


def _width(stream: TextIO) -> int | None:
    """None lets rich ask the terminal."""
    return None if stream is not None and stream.isatty() else PLAIN_WIDTH


output = Console(soft_wrap=True, width=_width(sys.stdout))
errors = Console(stderr=True, soft_wrap=True, width=_width(sys.stderr))
