"""What the verbs of `aha data` share: progress and Ctrl-C, reports as words or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ahalab.cli.console import errors, output
from ahalab.errors import Interrupted

if TYPE_CHECKING:
    from ahalab.datatools.reading import Watch

ANEW = "nothing was written; the same command begins anew."


@contextmanager
def watching(stopped: str = ANEW) -> Iterator[Watch]:
    """Somebody who looks on: progress on standard error, Ctrl-C stops cleanly. `stopped` says what then is there."""
    from ahalab.cli.progress import make_progress
    from ahalab.datatools.reading import Watch
    from ahalab.stages.context import Interrupt

    interrupt = Interrupt()
    watch = Watch(make_progress(errors), interrupt, stopped)
    with interrupt:
        try:
            yield watch
        except KeyboardInterrupt:
            raise Interrupted(f"stopped at once: {watch.stopped}") from None


def say(text: str, style: str | None = None) -> None:
    """One line for a person. It may hold text from a file, which is hostile."""
    from ahalab.text.hostile import make_visible

    output.print(make_visible(text), style=style, highlight=False, markup=False)


def say_json(found: Mapping[str, Any]) -> None:
    """A report for a program: JSON alone on standard output, its hidden characters escaped."""
    print(json.dumps(found, ensure_ascii=True, allow_nan=False, indent=2))


def say_skipped(skipped: Mapping[str, int]) -> None:
    """How many rows were left out, and why; nothing where none was."""
    if skipped:
        told = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())
        say(f"left out as bad: {sum(skipped.values()):,} rows ({told})", "yellow")


def say_speed(size: int, seconds: float) -> None:
    """Bytes and time."""
    from ahalab.runs.atomic import format_size

    say(f"{format_size(size)} in {seconds:.1f} s ({size / 1e6 / max(seconds, 1e-9):.1f} MB/s)", "dim")


def say_written(*paths: Path | str | None) -> None:
    """Where the results are."""
    for path in paths:
        if path is not None:
            say(f"written: {path}")
