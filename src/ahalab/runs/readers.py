"""Reading a run folder, finished or at work: for analysis, reports and people. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.runs.folder import PARTIAL, RunFolder
from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.manifest import MANIFEST_NAME, Manifest

METRICS_NAME = "metrics.jsonl"
SAMPLES_NAME = "samples"


@dataclass(frozen=True, slots=True)
class StageEntry:
    """One stage that a run folder holds."""

    name: str
    path: Path
    manifest: Manifest | None
    """None while the stage is not finished."""

    @property
    def finished(self) -> bool:
        return self.manifest is not None


def read_metrics(stage_dir: Path) -> Iterator[dict[str, Any]]:
    """The rows of `metrics.jsonl`, one per step; none where the stage has written none yet.

    UserError when there is no such stage or a row is broken; a half-written last row is dropped.
    """
    path = _existing(stage_dir) / METRICS_NAME
    return read_jsonl(path) if path.exists() else iter(())


def read_samples(stage_dir: Path) -> Iterator[dict[str, Any]]:
    """The rows of `samples/*.jsonl` in order of file name, read lazily. Errors as `read_metrics`."""
    paths = sorted((_existing(stage_dir) / SAMPLES_NAME).glob("*.jsonl"))
    return chain.from_iterable(read_jsonl(path) for path in paths)


def list_stages(run: RunFolder | Path) -> list[StageEntry]:
    """The stages begun so far, in the recipe's order. UserError for no run folder or a broken manifest."""
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    entries: dict[str, StageEntry] = {}
    for path in sorted(run.stages_path.glob("[!.]*")) if run.stages_path.is_dir() else ():
        name = path.name.removesuffix(PARTIAL)
        done = path.name == name and (path / MANIFEST_NAME).exists()
        if path.is_dir() and (done or name not in entries):
            entries[name] = StageEntry(name, path, Manifest.read(path) if done else None)
    order = {name: number for number, name in enumerate(_recipe_order(run))}
    return sorted(entries.values(), key=lambda entry: (order.get(entry.name, len(order)), entry.name))


def _recipe_order(run: RunFolder) -> list[str]:
    stages = run.recipe().get("stages")
    return [str(name) for name in stages] if isinstance(stages, dict) else []


def _existing(stage_dir: Path) -> Path:
    if not stage_dir.is_dir():
        raise UserError(f"{stage_dir} is not there: a stage's folder was expected.")
    return stage_dir
