"""A running RL stage on disk: logs, samples, checkpoints, and how to go on from them.

A checkpoint stores file offsets. On resume everything written after it moves to `attempts/`, so the run's files
are those of a run that was never disturbed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ahalab.runs.atomic import read_json, replace_dir, sync_folder
from ahalab.runs.checkpoints import STATE_NAME, CheckpointStore
from ahalab.runs.jsonl import JsonlWriter, cut_to

LOGS = ("metrics.jsonl", "timings.jsonl")


@dataclass(slots=True)
class RunState:
    """Where a run stands. Everything the next rollout depends on, besides weights and optimizer."""

    step: int = 0
    rollout: int = 0
    position: int = 0
    """Prompts taken from the mixture so far."""
    reference_step: int = 0
    saved_step: int = 0
    wall_timeouts: int = 0
    watch: dict[str, Any] = field(default_factory=dict)
    hacking: dict[str, Any] = field(default_factory=dict)
    """State of the reward-hacking watch."""


class Ledger:
    """Writes the stage's files and finds the way back into them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = CheckpointStore(folder / "checkpoints")
        self.resumed_from: Path | None = None
        self._writers: dict[str, JsonlWriter] = {}
        self._last_rollout, self._rows = 0, 0

    def resume(self, load: Callable[[Path], None]) -> RunState:
        """State of the newest complete checkpoint, `load`ed; later rows are moved aside. Fresh when there is none."""
        self._take_back_final()
        checkpoint = self.store.latest()
        state, offsets = RunState(), dict.fromkeys(LOGS, 0)
        if checkpoint is not None:
            state = RunState(**checkpoint.state["run"])
            offsets = checkpoint.state["offsets"]
            load(checkpoint.path)
            self.resumed_from = checkpoint.path
        for name in LOGS:
            cut_to(self.folder / name, offsets[name], self.folder / "attempts")
        self._move_samples_after(state.rollout)
        return state

    def write_samples(self, rollout: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write all samples of one rollout, in (prompt, sample) order."""
        (self.folder / "samples").mkdir(exist_ok=True)
        with JsonlWriter(self._samples(rollout)) as writer:
            for row in rows:
                writer.append(row)

    def write_metrics(self, row: Mapping[str, Any]) -> None:
        """One row per step; no clock values."""
        self._rows = self._rows + 1 if row["rollout"] == self._last_rollout else 1
        self._last_rollout = row["rollout"]
        self._writer("metrics.jsonl").append(row)

    def metrics_rows_of(self, rollout: int) -> int:
        """How many metrics rows this process has written for `rollout`."""
        return self._rows if rollout == self._last_rollout else 0

    def write_timing(self, row: Mapping[str, Any]) -> None:
        """Clock values live apart from metrics."""
        self._writer("timings.jsonl").append(row)

    def save(self, state: RunState, write: Callable[[Path], None]) -> None:
        """A checkpoint: what `write` leaves, the state, and how far the logs reach."""
        offsets = {}
        for name in LOGS:
            self._writer(name).flush()
            offsets[name] = self._writer(name).offset
        self.store.save(state.step, write, {"run": asdict(state), "offsets": offsets})

    def finish(self) -> None:
        """Leave the last checkpoint as `checkpoint/`, loadable by plain transformers; drop the others."""
        self.close()
        final, last = self.folder / "checkpoint", self.store.latest()
        if last is not None:
            replace_dir(last.path, final)
        shutil.rmtree(self.store.folder, ignore_errors=True)

    def close(self) -> None:
        """Close the logs."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _take_back_final(self) -> None:
        """A kill between `finish` and the stage's own rename leaves the last checkpoint under its final name."""
        final = self.folder / "checkpoint"
        if final.is_dir():
            step = read_json(final / STATE_NAME)["step"]
            self.store.folder.mkdir(exist_ok=True)
            replace_dir(final, self.store.folder / f"step-{step:06d}")

    def _writer(self, name: str) -> JsonlWriter:
        if name not in self._writers:
            self._writers[name] = JsonlWriter(self.folder / name)
        return self._writers[name]

    def _samples(self, rollout: int) -> Path:
        return self.folder / "samples" / f"rollout-{rollout:06d}.jsonl"

    def _move_samples_after(self, rollout: int) -> None:
        folder = self.folder / "samples"
        late = [path for path in sorted(folder.glob("rollout-*.jsonl")) if _number(path) > rollout]
        for path in late:
            cut_to(path, 0, self.folder / "attempts")
            path.unlink()
        if late:
            sync_folder(folder)


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("rollout-"))
