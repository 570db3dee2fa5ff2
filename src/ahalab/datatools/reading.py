"""The good rows of a file, with progress, a way to stop, and one rule for bad rows: named, or counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.datatools.stream import Row, RowStream, open_stream
from ahalab.errors import Interrupted, UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.lines import bad_row_error
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.stages.context import Interrupt

TICK_ROWS = 256
"""Rows between two looks at the clock and at Ctrl-C."""
TICK_SECONDS = 0.2


@dataclass(slots=True)
class Watch:
    """Who looks on: shows progress, stops on Ctrl-C."""

    progress: Progress = field(default_factory=SilentProgress)
    interrupt: Interrupt = field(default_factory=Interrupt)
    stopped: str = "nothing was written; the same command begins anew."
    """What a person is told who stops the work."""

    def check(self) -> None:
        """Raises Interrupted when Ctrl-C was pressed."""
        if self.interrupt.asked:
            raise Interrupted(f"stopped: {self.stopped}")


class GoodRows:
    """One pass over the rows of a file; `rows`, `skipped` and `seconds` are told when it is over.

    Iterating raises UserError for the first bad row (file, row, column, what was expected) unless `skip_bad_rows`, and
    for a file without good rows; Interrupted after Ctrl-C.
    """

    def __init__(
        self,
        path: Path,
        watch: Watch,
        what: str,
        *,
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        may_be_none: bool = False,
    ) -> None:
        self.path, self.what = path, what
        self.rows = self.numbered = 0
        self.skipped: Counter[str] = Counter()
        self.seconds = 0.0
        self._watch, self._skip, self._encoding, self._may_be_none = (
            watch,
            skip_bad_rows,
            encoding,
            may_be_none,
        )

    def __iter__(self) -> Iterator[Row]:
        stream = open_stream(self.path, self._encoding)
        unit, scale = ("row", 1) if stream.format == "Parquet" else ("megabyte", 10**6)
        # Whole megabytes, so that the last one is reached.
        self._watch.progress.begin(self.what, max(1, stream.total // scale), unit)
        started = shown = time.monotonic()
        try:
            for place, row in enumerate(stream):
                if place % TICK_ROWS == 0:
                    self._watch.check()
                    if (now := time.monotonic()) - shown >= TICK_SECONDS:
                        shown = now
                        self._tell(stream, now - started, scale)
                self.numbered = row.number
                if row.bad is None:
                    self.rows += 1
                    yield row
                else:
                    self.leave_out(row.number, row.bad)
            self.seconds = time.monotonic() - started
            self._tell(stream, self.seconds, scale)
        finally:
            stream.close()
            self._watch.progress.end()
        if not self.rows and not self._may_be_none:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items())
            raise UserError(f"{self.path} has no good rows" + (f" ({reasons})" if reasons else ""))

    def leave_out(self, number: int, bad: BadRow) -> None:
        """A row is bad: count it, or refuse it. UserError as above."""
        if not self._skip:
            raise bad_row_error(str(self.path), number, bad)
        self.skipped[bad.reason] += 1

    def reject(self, row: Row, bad: BadRow) -> None:
        """A row that was given out turned out bad: it counts as one of the bad ones. UserError as above."""
        self.leave_out(row.number, bad)
        self.rows -= 1

    def told(self) -> dict[str, Any]:
        """Counts for a report, JSON-able."""
        return {"file": str(self.path), "rows": self.rows, "skipped": dict(self.skipped)}

    def _tell(self, stream: RowStream, seconds: float, scale: int) -> None:
        done = stream.done
        speed = done / scale / max(seconds, 1e-9)
        self._watch.progress.advance(
            min(done, stream.total) // scale if scale > 1 else done,
            {"rows": self.rows, f"{'rows' if scale == 1 else 'MB'}/s": speed},
        )
