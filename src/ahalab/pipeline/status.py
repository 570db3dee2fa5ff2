"""Where a run stands, read from its folder alone, also while another process is at work in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ahalab.errors import UserError
from ahalab.pipeline.heartbeat import PROGRESS_NAME
from ahalab.pipeline.identity import artifact_hash, compare, identify, recorded
from ahalab.pipeline.recipe import Recipe, Stage, parse_recipe
from ahalab.pipeline.remake import REMAKE_NAME
from ahalab.runs.atomic import read_json
from ahalab.runs.folder import RunFolder
from ahalab.runs.history import History
from ahalab.runs.lock import is_held

State = Literal["done", "reused", "running", "interrupted", "waiting", "outdated"]
"""`outdated`: there is a finished one, but what it was made from is being made again; it stays if that comes out the
same."""

MACHINE_FILE = "machine.json"


@dataclass(slots=True)
class StageStatus:
    """One stage of a run."""

    name: str
    kind: str
    state: State
    reads: list[str]
    done: int | None = None
    """Units (steps, prompts) so far, of an unfinished stage."""
    total: int | None = None
    unit: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    """The figures that stand for its result; of a running stage the newest."""
    seconds: float = 0.0
    """Wall time over all its attempts, those set aside too."""
    cost: float = 0.0
    """Core-hours or GPU-hours."""
    note: str | None = None
    """Where it was taken from, or why it ended early."""
    warnings: list[str] = field(default_factory=list)
    """What its result or its course so far warns of."""


@dataclass(slots=True)
class RunStatus:
    """A run: its stages in order, and what they cost."""

    path: str
    name: str
    base: str
    seed: int
    at_work: bool
    """A process holds the run's lock."""
    unit: Literal["core-hours", "GPU-hours"]
    price: float | None
    """Per unit, as asked with `--price`."""
    stages: list[StageStatus]

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def cost(self) -> float:
        """Core-hours or GPU-hours of all stages."""
        return sum(stage.cost for stage in self.stages)


def read_status(path: Path, price: float | None = None) -> tuple[RunStatus, Recipe]:
    """The status of the run at `path`, and its recipe (for the tree).

    A core-hour is an hour of one of the threads that the run computes with; graders are not counted.

    Raises:
        UserError: no run folder, or its recipe is one that this version cannot read.
    """
    run = RunFolder.open(path)
    recipe = parse_recipe(run.recipe(), str(run.recipe_path))
    at_work = is_held(run.path)
    machine = read_json(run.path / MACHINE_FILE) if (run.path / MACHINE_FILE).is_file() else {}
    on_gpu = machine.get("device", "cpu") != "cpu"
    history = History()
    history.read(run)
    remake = run.path / REMAKE_NAME
    to_move = read_json(remake)["to_move"] if remake.is_file() else []
    hashes: dict[str, str] = {}
    stages = []
    for stage in recipe.stages.values():
        status = _look_at(stage, recipe, run, hashes, history, at_work)
        if stage.name in to_move and status.state in ("done", "reused"):
            status.state = "outdated"
            hashes.pop(stage.name, None)
        status.seconds = round(history.seconds(stage.name), 3)
        status.cost = status.seconds / 3600 * (1 if on_gpu else int(machine.get("threads", 1)))
        stages.append(status)
    status_of_run = RunStatus(
        str(run.path),
        recipe.name,
        recipe.head.base,
        recipe.head.seed,
        at_work,
        "GPU-hours" if on_gpu else "core-hours",
        price,
        stages,
    )
    return status_of_run, recipe


def as_json(status: RunStatus) -> dict[str, Any]:
    """The twin for programs."""
    priced = status.price is not None
    stages = [
        {
            "stage": one.name,
            "kind": one.kind,
            "state": one.state,
            "reads": one.reads,
            "done": one.done,
            "total": one.total,
            "unit": one.unit,
            "figures": one.figures,
            "seconds": one.seconds,
            "cost": one.cost,
            **({"price": one.cost * (status.price or 0)} if priced else {}),
            "note": one.note,
            "warnings": one.warnings,
        }
        for one in status.stages
    ]
    return {
        "run": status.path,
        "name": status.name,
        "base": status.base,
        "seed": status.seed,
        "at_work": status.at_work,
        "cost_unit": status.unit,
        "seconds": status.seconds,
        "cost": status.cost,
        **({"price": status.cost * (status.price or 0)} if priced else {}),
        "stages": stages,
    }


def _look_at(
    stage: Stage, recipe: Recipe, run: RunFolder, hashes: dict[str, str], history: History, at_work: bool
) -> StageStatus:
    """One stage; adds the hash of what it leaves to `hashes` where it is current."""
    status = StageStatus(stage.name, stage.kind.name, "waiting", list(dict.fromkeys(stage.inputs.values())))
    try:
        manifest = run.finished_stage(stage.name)
    except UserError as error:
        status.note = str(error)
        return status
    if manifest is not None:
        status.figures = {
            name: manifest.figures[name] for name in stage.kind.shown if name in manifest.figures
        }
        status.warnings = _warnings(manifest.figures)
        comparison = compare(stage, identify(stage, recipe, hashes, with_data=False), recorded(manifest))
        made_again = any(source in recipe.stages and source not in hashes for source in stage.inputs.values())
        if comparison.recipe or comparison.inputs or made_again:
            status.state = "outdated"
            return status
        hashes[stage.name] = artifact_hash(manifest, stage.makes)
        status.state = "reused" if stage.name in history.reused else "done"
        status.note = history.reused.get(stage.name)
        return status
    folder = run.work_dir(stage.name)
    if not folder.is_dir():
        return status
    running = at_work and history.current == stage.name
    status.state = "running" if running else "interrupted"
    status.note = None if running else history.ended.get(stage.name)
    status.warnings = history.warnings.get(stage.name, [])
    progress = folder / PROGRESS_NAME
    try:
        seen = datetime.fromtimestamp(progress.stat().st_mtime, UTC)
        row = read_json(progress)
    except (OSError, UserError):
        return status  # not written yet, or the stage finished this very moment
    status.done, status.total, status.unit = row["done"], row["total"], row["unit"]
    status.figures = {name: row["figures"][name] for name in stage.kind.shown if name in row["figures"]}
    history.alive(stage.name, datetime.now(UTC) if running else seen)
    return status


def _warnings(figures: Mapping[str, Any]) -> list[str]:
    """Those of a finished stage, from its figures: events may be another run's."""
    hacking = figures.get("reward_hacking", {})
    found = [f"reward hacking, seen at step {hacking['step']}"] if hacking.get("hacked") else []
    return [*found, *(str(one) for one in figures.get("warnings", []))]
