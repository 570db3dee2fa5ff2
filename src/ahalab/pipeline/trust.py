"""Whether what lies in a run folder may be gone on with: same code version, same inputs, files as they were written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ahalab.errors import UserError
from ahalab.pipeline.recipe import Recipe, Stage
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.folder import RunFolder
from ahalab.runs.hashing import config_hash
from ahalab.runs.manifest import Manifest

BEGUN_NAME = "begun.json"
"""In a stage's folder: the version and inputs it began with. A stage that is cut off may only go on with the same."""


def stage_hash(stage: Stage) -> str:
    """Hash of everything in the recipe and the code's version that decides what the stage computes."""
    return config_hash(
        {
            "kind": stage.kind.name,
            "version": stage.kind.version,
            **stage.config.model_dump(mode="json", by_alias=True),
        }
    )


def has_begun(run: RunFolder, stage: Stage) -> bool:
    """Whether an unfinished stage was begun, so that its preflight is over."""
    return (run.work_dir(stage.name) / BEGUN_NAME).is_file()


def begin(run: RunFolder, stage: Stage, inputs: Mapping[str, str]) -> bool:
    """Open the stage's work folder; True when it goes on with an earlier attempt.

    Raises:
        UserError: it was begun by another version of the code, or from other inputs.
    """
    folder = run.begin_stage(stage.name)
    path = folder / BEGUN_NAME
    stated: dict[str, Any] = {
        "kind": stage.kind.name,
        "version": stage.kind.version,
        "inputs": {name: inputs[source] for name, source in stage.inputs.items()},
    }
    if not path.is_file():
        write_json(path, stated)
        return False
    found = read_json(path)
    if found.get("version") != stated["version"]:
        raise _other_version(str(folder), stage)
    if found.get("inputs") != stated["inputs"]:
        raise _other_input(str(folder), stage, "begun")
    return True


def check_finished(run: RunFolder, stage: Stage, manifest: Manifest, inputs: Mapping[str, str]) -> None:
    """Refuse a finished stage that this recipe, this code or these inputs would not have made.

    `inputs` are the hashes known so far: a source that is not among them is checked once it is.

    Raises:
        UserError: saying what differs.
    """
    folder = run.stage_dir(stage.name)
    if manifest.config_hash != stage_hash(stage) or manifest.version != stage.kind.version:
        raise _other_version(str(folder), stage)
    for name, source in stage.inputs.items():
        if source in inputs and manifest.inputs.get(name) != inputs[source]:
            raise _other_input(str(folder), stage, "made")
    changed = manifest.changed_files(folder)
    if changed:
        raise UserError(
            f"{folder}: {', '.join(changed[:3])}{' …' if len(changed) > 3 else ''} changed or vanished since the stage "
            "finished. Put the files back, or delete that folder to have the stage made again."
        )


def check_finished_stages(recipe: Recipe, run: RunFolder, hashes: Mapping[str, str]) -> None:
    """`check_finished` for every finished stage, before anything runs."""
    for stage in recipe.stages.values():
        manifest = run.finished_stage(stage.name)
        if manifest is not None:
            check_finished(run, stage, manifest, hashes)


def artifact_hash(manifest: Manifest) -> str:
    """What a finished stage hands on: a hash over the files of its checkpoint."""
    return f"sha256:{config_hash({n: h for n, h in manifest.files.items() if n.startswith('checkpoint/')})}"


def _other_version(folder: str, stage: Stage) -> UserError:
    return UserError(
        f"{folder} was made by another version of the {stage.kind.name} stage (this one is {stage.kind.version}). "
        "Use the version of ahalab that began it, or choose another folder for a new run."
    )


def _other_input(folder: str, stage: Stage, how: str) -> UserError:
    sources = " and ".join(f"`{source}`" for source in stage.inputs.values())
    return UserError(
        f"{folder} was {how} from another {sources}: the files of that model have changed since. Put them back, "
        "delete this folder to have the stage made again, or choose another folder for a new run."
    )
