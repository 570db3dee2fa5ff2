"""A stage that was made already is not made twice: taken back from the run's own attempts, or from a sibling run.

Only a finished stage of the same identity counts, its files checked against its manifest; from another run also only
one that was made by the same code on the same kind of machine, without the clock having decided anything.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ahalab.errors import AhaError, UserError
from ahalab.pipeline.identity import Identity, compare, recorded
from ahalab.pipeline.recipe import Stage
from ahalab.pipeline.trust import code_of
from ahalab.runs.atomic import TEMPORARY_PREFIX, remove_tree, replace_dir
from ahalab.runs.attempts import earlier_attempts, take_back
from ahalab.runs.folder import RunFolder
from ahalab.runs.hashing import config_hash, file_hash
from ahalab.runs.manifest import MANIFEST_NAME, Manifest

DECIDING = (
    "machine", "processor", "versions", "threads", "dtype", "device", "executor", "unsafe_no_isolation",
)  # fmt: skip
"""What of a manifest's environment decides bytes, besides the seed. Where programs ran is no part of a stage's
identity, because it should not change a verdict; but a run with isolation takes nothing over from one without."""

LINKED = (".safetensors",)
"""Files that are never edited, and large: another run's are linked. All others are copied, so that a person who edits
one edits no other run's."""

CODE_ROOMS = (
    "counter.py", "records.py", "text", "world", "policy", "endpoints", "prompts", "grading", "sandbox", "rollout",
    "learning", "rewards", "analysis", "evaluation", "teachers", "stages",
)  # fmt: skip
"""The code that may decide what a stage leaves."""

CODE_SUFFIXES = (".py", ".txt", ".json", ".jsonl", ".md", ".yaml")


def reuse(
    run: RunFolder, stage: Stage, identity: Identity, environment: Mapping[str, Any]
) -> tuple[Manifest, str] | None:
    """Put a finished stage of this identity in its place: (its manifest, where it came from), or None.

    Lock holder only, and nothing of the stage may lie in the run. Other runs are only read; one that is changed
    meanwhile is passed over.
    """
    for attempt in earlier_attempts(run, stage.name):
        manifest = _fitting(attempt, stage, identity)
        if manifest is not None and not manifest.changed_files(attempt):
            take_back(run, attempt, stage.name)
            return manifest, f"{attempt.parent.name}/{attempt.name}"
    for folder in _siblings(run, stage.name):
        manifest = _fitting(folder, stage, identity)
        if manifest is None or not _same_conditions(folder, manifest, identity, environment):
            continue
        if _copy(folder, run, stage.name, manifest):
            return manifest, _short(folder, run)
    return None


@cache
def code_hash() -> str:
    """A hash of the project's own code (without the bundled models): an edited checkout is another version."""
    package = Path(__file__).parent.parent
    found: dict[str, str] = {}
    for name in CODE_ROOMS:
        start = package / name
        for path in [start] if start.is_file() else start.rglob("*"):
            if path.suffix in CODE_SUFFIXES and path.is_file() and "bases" not in path.parts:
                found[path.relative_to(package).as_posix()] = file_hash(path)
    return config_hash(found)


def _fitting(folder: Path, stage: Stage, identity: Identity) -> Manifest | None:
    path = folder / MANIFEST_NAME
    try:
        manifest = Manifest.read(path) if path.is_file() else None
    except (UserError, OSError):
        return None  # another version's, half gone, or not ours to read: whoever owns it hears of it
    if manifest is None or manifest.stage != stage.name:
        return None
    return manifest if compare(stage, identity, recorded(manifest)).current else None


def _same_conditions(
    folder: Path, manifest: Manifest, identity: Identity, environment: Mapping[str, Any]
) -> bool:
    theirs = manifest.environment
    return (
        code_of(folder) == code_hash()
        and manifest.inputs == identity.inputs
        and theirs.get("seed") == identity.seed
        and theirs.get("reproducible") is True
        and all(theirs.get(name) == environment.get(name) for name in DECIDING)
    )


def _siblings(run: RunFolder, name: str) -> Iterator[Path]:
    """Folders of finished stages of that name in the other runs beside this one."""
    own = run.path.resolve()
    for other in sorted(own.parent.glob("[!.]*")):
        try:
            if other == own or not other.is_dir():
                continue
            attempts = earlier_attempts(RunFolder.open(other), name)
        except (AhaError, OSError):
            continue  # no run folder, or not ours to read
        yield other / "stages" / name
        yield from attempts


def _copy(source: Path, run: RunFolder, name: str, manifest: Manifest) -> bool:
    """Copy a stage, check every file, and give it its name last. False when the source changed under our hands."""
    run.stages_path.mkdir(exist_ok=True)
    temporary = run.stages_path / f"{TEMPORARY_PREFIX}reused-{name}"
    remove_tree(temporary)
    try:
        shutil.copytree(source, temporary, copy_function=_link_or_copy, ignore=_ignored)
        whole = Manifest.read(temporary) == manifest and not manifest.changed_files(temporary)
    except (OSError, shutil.Error, UserError):
        whole = False  # moved or deleted meanwhile, or the disk is full: making the stage will say so
    if whole:
        replace_dir(temporary, run.stage_dir(name))
    else:
        remove_tree(temporary)
    return whole


def _link_or_copy(source: str, target: str) -> str:
    if source.endswith(LINKED):
        try:
            os.link(source, target)
            return target
        except OSError:
            pass  # another file system, or one without links
    return str(shutil.copy2(source, target))


def _ignored(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "attempts" or name.startswith(TEMPORARY_PREFIX)]


def _short(folder: Path, run: RunFolder) -> str:
    return folder.relative_to(run.path.resolve().parent).as_posix()
