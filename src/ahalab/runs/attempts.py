"""What a run leaves behind without losing it: stages that were outdated, recipes that were changed.

runs/<name>/attempts/<stage>.<n>/                a stage, finished or not
                     recipe.resolved.<n>.yaml    a recipe

All of it for the holder of the run's lock only, besides `earlier_attempts`. Each move is one rename: a kill leaves a
folder here or there, never in between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ahalab.runs.atomic import explaining_disk_errors, sync_folder, write_bytes, write_text
from ahalab.runs.faults import fault_point
from ahalab.runs.folder import RECIPE_NAME, RunFolder, to_yaml


def set_aside(run: RunFolder, stage: str) -> list[Path]:
    """Move what there is of a stage to `attempts/`; where it lies now. EnvironmentFailure when that fails."""
    moved = []
    for folder in (run.stage_dir(stage), run.work_dir(stage)):
        if not folder.exists():
            continue
        with explaining_disk_errors(run.attempts_path):
            run.attempts_path.mkdir(exist_ok=True)
            target = run.attempts_path / f"{stage}.{_highest(run, stage) + 1}"
            fault_point("attempts.before_rename")
            folder.rename(target)
            fault_point("attempts.after_rename")
            sync_folder(run.attempts_path)
            sync_folder(run.stages_path)
        moved.append(target)
    return moved


def earlier_attempts(run: RunFolder, stage: str) -> list[Path]:
    """The folders of a stage in `attempts/`, the newest first."""
    if not run.attempts_path.is_dir():
        return []
    found = {_number(path.name, stage, ""): path for path in run.attempts_path.iterdir()}
    return [found[number] for number in sorted(found, reverse=True) if number]


def take_back(run: RunFolder, attempt: Path, stage: str) -> Path:
    """Make a finished stage in `attempts/` the stage again; ValueError when there is one already."""
    final = run.stage_dir(stage)
    if final.exists() or run.work_dir(stage).exists():
        raise ValueError(f"stage {stage} is there: set it aside first")
    with explaining_disk_errors(final):
        run.stages_path.mkdir(exist_ok=True)
        attempt.rename(final)
        sync_folder(run.stages_path)
        sync_folder(attempt.parent)
    return final


def replace_recipe(run: RunFolder, resolved_recipe: Mapping[str, Any]) -> None:
    """Give the run another recipe (JSON-able); the present one is kept."""
    recipe = json.loads(json.dumps(dict(resolved_recipe), allow_nan=False))
    present = run.recipe_path.read_bytes()
    stem, suffix = RECIPE_NAME.removesuffix(".yaml"), ".yaml"
    with explaining_disk_errors(run.attempts_path):
        run.attempts_path.mkdir(exist_ok=True)
        highest = _highest(run, stem, suffix)
        newest = run.attempts_path / f"{stem}.{highest}{suffix}"
        # A process that was killed after this copy makes no second one.
        if not newest.is_file() or newest.read_bytes() != present:
            write_bytes(run.attempts_path / f"{stem}.{highest + 1}{suffix}", present)
    write_text(run.recipe_path, to_yaml(recipe))


def _highest(run: RunFolder, stem: str, suffix: str = "") -> int:
    """The highest number among `attempts/<stem>.<n><suffix>`; 0 when there is none."""
    return max((_number(path.name, stem, suffix) for path in run.attempts_path.iterdir()), default=0)


def _number(name: str, stem: str, suffix: str) -> int:
    """n of `<stem>.<n><suffix>`, else 0."""
    found = re.fullmatch(rf"{re.escape(stem)}\.([1-9]\d*){re.escape(suffix)}", name, re.ASCII)
    return int(found[1]) if found else 0
