"""A stage's `metrics.jsonl` on its way to the recipe's trackers, while it grows and after a kill."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from ahalab.errors import AhaError
from ahalab.pipeline.identity import Identity
from ahalab.pipeline.trackers import (
    TRACKERS,
    TrackedStage,
    Tracker,
    TrackerName,
    flat_figures,
)
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.folder import RunFolder
from ahalab.runs.hashing import config_hash
from ahalab.runs.progress import Progress
from ahalab.runs.readers import METRICS_NAME

FOLDER = "trackers"
"""In the run folder: local files of trackers, and what was sent. No result depends on it."""
SENT_NAME = "sent.json"
"""{"run": id of this run folder, "sent": {tracker: {stage id: last step that was sent}}}."""
EVERY_SECONDS = 1.0
"""How often at most it is written down what was sent."""


class Tracking:
    """One stage and its trackers. A tracker that fails is left out until the stage is taken up again, and that is said.

    Rows are read from the file, so that a tracker can show nothing that the run folder does not hold. After a kill a
    few rows may be sent twice, with the same step and the same numbers.
    """

    def __init__(
        self,
        names: Sequence[TrackerName],
        run: RunFolder,
        identity: Identity,
        folder: Path,
        note: Callable[[str], None],
    ) -> None:
        """`folder` is the stage's own, `note` shows a line to the person."""
        self._names, self._run, self._folder, self._note = list(dict.fromkeys(names)), run, folder, note
        self._identity = identity
        self._place = run.path / FOLDER
        self._stage: TrackedStage | None = None
        self._open: dict[TrackerName, Tracker] = {}
        self._known: dict[str, Any] = {}
        self._sent: dict[TrackerName, int] = {}
        self._offset, self._written = 0, 0.0

    def poll(self) -> None:
        """Send the rows that were written since the last time. Never raises for a tracker's sake."""
        if not self._names:
            return
        rows = self._new_rows()
        if rows:
            self._send(rows)

    def finished(self, figures: Mapping[str, Any]) -> None:
        """The stage is done: the rest of its rows, then its results, to the trackers that do not have them yet."""
        self.poll()
        results = flat_figures({name: value for name, value in figures.items() if name != "settings"})
        if not self._names or not results:
            return
        self._begin()
        for name in list(self._names):
            self._try(name, lambda tracker: tracker.finish(results))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of every tracker, however the stage ended."""
        for name in list(self._open):
            self._try(name, lambda tracker: tracker.close())
            self._open.pop(name, None)
        if self._stage is not None:
            self._remember()

    def _new_rows(self) -> list[dict[str, Any]]:
        """Whole lines beyond what was read; a file that became shorter (a stage taken up again) is read anew."""
        path = self._folder / METRICS_NAME
        try:
            size = path.stat().st_size
            if size == self._offset:
                return []
            if size < self._offset:
                self._offset = 0
            with path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []  # no metrics: most stages have none
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line.strip()]

    def _send(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._begin()
        for name in list(self._names):
            for row in rows:
                step = int(row["step"])
                if step <= self._sent.get(name, 0):
                    continue
                if not self._try(name, partial(_log, step, flat_figures(row))):
                    break
                self._sent[name] = step
        if time.monotonic() - self._written >= EVERY_SECONDS:
            self._remember()

    def _begin(self) -> None:
        """Settle the stage's id and how far each tracker is, once."""
        if self._stage is not None:
            return
        self._place.mkdir(exist_ok=True)
        self._known = self._read()
        stage_id = config_hash([self._known["run"], self._identity.key])[:16]
        self._stage = TrackedStage(
            run=self._run.path.resolve().name,
            stage=self._identity.stage,
            kind=self._identity.kind,
            id=stage_id,
            settings=self._identity.config,
            folder=self._place,
        )
        for name in self._names:
            before = self._known["sent"].get(name, {})
            self._sent[name] = int(before.get(stage_id, 0)) if TRACKERS[name].remembers else 0

    def _try(self, name: TrackerName, what: Callable[[Tracker], None]) -> bool:
        """Do it, opening the tracker where it is not open; what it raises ends this tracker, not the run."""
        assert self._stage is not None
        try:
            if name not in self._open:
                self._open[name] = TRACKERS[name](self._stage)
            what(self._open[name])
        except Exception as error:  # whatever a library or its server does must not cost a training
            self._names.remove(name)
            self._open.pop(name, None)
            reason = f"{type(error).__name__}: {error}"
            after = self._sent.get(name, 0)
            self._run.event(
                "tracker_failed", stage=self._identity.stage, tracker=name, reason=reason, after_step=after
            )
            self._note(
                f"{self._identity.stage}: {name} failed after step {after} and gets no more figures of this stage "
                f"({reason}). The run goes on, and its folder has them all."
            )
            return False
        return True

    def _read(self) -> dict[str, Any]:
        try:
            known = read_json(self._place / SENT_NAME)
            if isinstance(known, dict) and isinstance(known.get("sent"), dict) and known.get("run"):
                return known
        except AhaError:
            pass  # nothing was sent yet, or nobody knows what was: then all is sent
        return {"run": secrets.token_hex(8), "sent": {}}

    def _remember(self) -> None:
        assert self._stage is not None
        for name, step in self._sent.items():
            self._known["sent"].setdefault(name, {})[self._stage.id] = step
        write_json(self._place / SENT_NAME, self._known)
        self._written = time.monotonic()


def _log(step: int, figures: Mapping[str, float], tracker: Tracker) -> None:
    tracker.log(step, figures)


class TrackedProgress:
    """Passes everything on to the progress that is shown, and lets the trackers look at the file on the way."""

    def __init__(self, shown: Progress, tracking: Tracking) -> None:
        self._shown, self._tracking = shown, tracking

    def begin(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._shown.begin(stage, total, unit, done)

    def advance(self, done: int, figures: Mapping[str, float | int | str | None]) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._shown.advance(done, figures)
        self._tracking.poll()

    def note(self, text: str) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._shown.note(text)

    def end(self) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._shown.end()
        self._tracking.poll()
