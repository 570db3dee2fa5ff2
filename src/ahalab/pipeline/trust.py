"""Whether what lies in a run folder may be gone on with, and what is refused instead of silently trusted.

What the recipe says is followed: a changed config makes the stage again. What changed behind the recipe's back (the
stage's code, the files of a base, data files, the stage's own files) is said and refused; `--from` makes it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.pipeline.identity import Comparison, Identity, Recorded, recorded
from ahalab.pipeline.recipe import Stage
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.folder import RunFolder
from ahalab.runs.manifest import Manifest

BEGUN_NAME = "begun.json"
"""In a stage's folder: what it began with. A stage that is cut off may only go on with the same."""

MIXED = "mixed"
"""Instead of the code's hash: the code was edited while the stage was unfinished."""


def find_recorded(run: RunFolder, stage: Stage, recipe_before: Mapping[str, Any]) -> Recorded | None:
    """What a stage in the run folder says it was or is being made from; None when it has not begun."""
    manifest = run.finished_stage(stage.name)
    if manifest is not None:
        return recorded(manifest)
    for folder in (run.work_dir(stage.name), run.stage_dir(stage.name)):
        path = folder / BEGUN_NAME
        if path.is_file():
            return _begun(read_json(path), stage, recipe_before)
    return None


def begin(run: RunFolder, identity: Identity, code: str) -> bool:
    """Open the stage's work folder; True when it goes on with an earlier attempt. `code` is a hash of ours."""
    path = run.begin_stage(identity.stage) / BEGUN_NAME
    if path.is_file():
        found = read_json(path)
        if found.get("code") not in (code, MIXED):
            write_json(path, {**found, "code": MIXED})
        return True
    write_json(
        path,
        {
            "kind": identity.kind,
            "version": identity.version,
            "seed": identity.seed,
            "config": dict(identity.config),
            "inputs": dict(identity.inputs),
            "code": code,
        },
    )
    return False


def code_of(folder: Path) -> str | None:
    """The code that made a stage, by its hash; `MIXED`, or None where it is not known."""
    path = folder / BEGUN_NAME
    code = read_json(path).get("code") if path.is_file() else None
    return code if isinstance(code, str) else None


def check_trusted(run: RunFolder, stage: Stage, comparison: Comparison, *, finished: bool) -> None:
    """Refuse a stage that other code or other files made than are here now.

    Raises:
        UserError: saying what differs and how to have the stage made again.
    """
    folder = run.stage_dir(stage.name) if finished else run.work_dir(stage.name)
    if comparison.version:
        raise UserError(
            f"{folder} was made by another version of the {stage.kind.name} stage (this one is "
            f"{stage.kind.version}). Use the version of ahalab that {'made' if finished else 'began'} it, or make it "
            f"again with {again(stage)}."
        )
    if comparison.outside:
        raise UserError(
            f"{folder} was {'made' if finished else 'begun'} from something else: {', '.join(comparison.outside)} "
            f"changed since. Put back what was there, or make the stage again with {again(stage)}."
        )


def check_files(folder: Path, stage: Stage, manifest: Manifest) -> None:
    """Refuse a finished stage whose own files are not as it wrote them.

    Raises:
        UserError: naming the files.
    """
    changed = manifest.changed_files(folder)
    if changed:
        raise UserError(
            f"{folder}: {', '.join(changed[:3])}{' …' if len(changed) > 3 else ''} changed or vanished since the stage "
            f"finished. Put the files back, or make the stage again with {again(stage)}."
        )


def again(stage: Stage) -> str:
    """What to add to the command to have a stage made again."""
    return f"`--from {stage.name}` (with what depends on it; the old ones are kept)"


def _begun(content: Any, stage: Stage, recipe_before: Mapping[str, Any]) -> Recorded:
    config = content.get("config")
    if config is None:
        # Begun by ahalab 0.1, which did not write the config down and ran in a folder of exactly one recipe.
        config = recipe_before.get("stages", {}).get(stage.name, {}).get(stage.kind.name)
    return Recorded(
        str(content.get("kind", stage.kind.name)),
        int(content.get("version", 0)),
        config,
        content.get("seed"),
        content.get("inputs", {}),
    )
