"""The run folder: where everything a run learns is kept, and how a stage in it begins and ends.

runs/<name>/run.json                  format of the folder and the version that made it; written last, so its
                                      presence says that the folder is whole
            recipe.resolved.yaml      the recipe with every default filled in
            events.jsonl              what happened when
            stages/<stage>.partial/   a stage at work
            stages/<stage>/           a finished stage: renamed once its manifest.json is in it
            attempts/<stage>.<n>/     a stage, finished or not, that the recipe or its inputs left behind
            attempts/recipe.resolved.<n>.yaml  a recipe of which some stages were changed
            report.html
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ahalab.errors import UserError
from ahalab.runs.atomic import (
    TEMPORARY_PREFIX,
    explaining_disk_errors,
    read_json,
    remove_leftovers,
    replace_dir,
    sync_folder,
    write_json,
    write_text,
)
from ahalab.runs.differences import differences, shorten
from ahalab.runs.faults import fault_point
from ahalab.runs.jsonl import JsonlWriter
from ahalab.runs.lock import LOCK_NAME, RunLock
from ahalab.runs.manifest import MANIFEST_NAME, Manifest

RUN_FORMAT = 1
"""Raised when the layout of the folder changes so that older code would misread it."""

RUN_NAME = "run.json"
RECIPE_NAME = "recipe.resolved.yaml"
PARTIAL = ".partial"

_STAGE_NAME = re.compile(r"\w[\w.-]*")
_SHOWN_DIFFERENCES = 12


@dataclass(frozen=True, slots=True)
class RunFolder:
    """An existing run folder. Made by `create_or_open` (to run) or `open` (to read)."""

    path: Path
    code_version: str
    """Version of ahalab that made the folder; the caller compares it with its own."""

    @classmethod
    def create_or_open(
        cls,
        path: Path,
        resolved_recipe: Mapping[str, Any],
        code_version: str,
        fixed: Collection[str] | None = None,
    ) -> RunFolder:
        """The run folder at `path` for this recipe: made when `path` is missing or empty.

        Never overwrites: UserError when the folder holds another recipe (naming the keys that differ), was
        written in another format, or is not a run folder. `fixed` are the keys at the recipe's head that may not
        differ; all when left out. `resolved_recipe` must be JSON-able. Take `lock` before writing more.
        """
        path = Path(path)
        recipe = json.loads(json.dumps(dict(resolved_recipe), allow_nan=False))
        if not (path / RUN_NAME).exists():
            _create(path, recipe, code_version)
        run = cls.open(path)
        theirs = run.recipe()
        if fixed is not None:
            theirs, recipe = ({key: one[key] for key in one if key in fixed} for one in (theirs, recipe))
        found = list(differences(theirs, recipe))
        if found:
            raise UserError(_other_recipe(run.recipe_path, found))
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run folder at `path`, to read. UserError when it is not one or is of another format."""
        path = Path(path)
        if not path.is_dir():
            raise UserError(f"{path} is not a run folder: there is no such folder.")
        if not (path / RUN_NAME).exists():
            raise UserError(
                f"{path} is not a run folder: it has no {RUN_NAME}. Name the folder that a run wrote."
            )
        about = read_json(path / RUN_NAME)
        if not isinstance(about, dict) or not {"format", "ahalab"} <= about.keys():
            raise UserError(
                f"{path / RUN_NAME} is not what a run writes: the keys format and ahalab were expected."
            )
        if about["format"] != RUN_FORMAT:
            raise UserError(
                f"{path} was written by ahalab {about['ahalab']} in run format {about['format']}; this "
                f"version reads format {RUN_FORMAT}. Use that version for it, or choose another folder for a "
                "new run."
            )
        return cls(path, str(about["ahalab"]))

    @property
    def recipe_path(self) -> Path:
        return self.path / RECIPE_NAME

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    @property
    def stages_path(self) -> Path:
        return self.path / "stages"

    @property
    def attempts_path(self) -> Path:
        return self.path / "attempts"

    def stage_dir(self, name: str) -> Path:
        """Where the stage lies once it is finished. UserError when the name cannot be a folder's."""
        if not _STAGE_NAME.fullmatch(name) or name.endswith(PARTIAL):
            raise UserError(
                f"stage name {name!r}: a name starts with a letter, digit or _, goes on with these, - or ., "
                f"and does not end in {PARTIAL}."
            )
        return self.stages_path / name

    def work_dir(self, name: str) -> Path:
        """Where the stage lies while it runs."""
        final = self.stage_dir(name)
        return final.with_name(final.name + PARTIAL)

    def recipe(self) -> dict[str, Any]:
        """The resolved recipe. UserError when the file is missing or broken."""
        try:
            recipe = yaml.safe_load(self.recipe_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{self.recipe_path} is missing. Put it back, or start a new run folder."
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{self.recipe_path} is not readable YAML: {error}") from error
        if not isinstance(recipe, dict):
            raise UserError(f"{self.recipe_path} is not a recipe: keys with values were expected.")
        return recipe

    def lock(self) -> RunLock:
        """The lock that whoever writes in this folder must hold: `with run.lock(): …`."""
        return RunLock(self.path)

    def event(self, kind: str, **data: Any) -> None:
        """Append to `events.jsonl`, with the wall time in UTC. EnvironmentFailure on a full disk."""
        if "time" in data:
            raise ValueError("an event's time is the clock's: give yours another name")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with JsonlWriter(self.events_path) as events:
            events.append({"time": now, "kind": kind, **data})

    def finished_stage(self, name: str) -> Manifest | None:
        """The manifest of a finished stage, else None. UserError when the manifest is broken."""
        manifest = self.stage_dir(name) / MANIFEST_NAME
        return Manifest.read(manifest) if manifest.exists() else None

    def begin_stage(self, name: str) -> Path:
        """The work folder of an unfinished stage: new, or as a killed process left it, tidied.

        Lock holder only. A folder under the final name without a manifest is no finished stage (ours is
        renamed with its manifest in it; a copy may have been cut short): it becomes the work folder again,
        and its checkpoints decide.
        """
        final, work = self.stage_dir(name), self.work_dir(name)
        with explaining_disk_errors(work):
            self.stages_path.mkdir(exist_ok=True)
            if (final / MANIFEST_NAME).exists():
                raise ValueError(f"stage {name} is finished: ask finished_stage first")
            if final.exists():
                if work.exists():
                    raise UserError(
                        f"{final} has no {MANIFEST_NAME} and {work} exists too: the folder was changed by "
                        "hand. Move one of the two away and run the same command."
                    )
                final.rename(work)
            work.mkdir(exist_ok=True)
            for parent, folders, _ in os.walk(work):
                remove_leftovers(Path(parent))
                folders[:] = [folder for folder in folders if not folder.startswith(TEMPORARY_PREFIX)]
            sync_folder(self.stages_path)
        return work

    def finish_stage(self, name: str) -> Path:
        """Rename the work folder, its manifest already in it, to the final name: the stage is done.

        Lock holder only. EnvironmentFailure when the disk is full.
        """
        final, work = self.stage_dir(name), self.work_dir(name)
        if not (work / MANIFEST_NAME).exists():
            raise ValueError(f"stage {name}: write {MANIFEST_NAME} before finishing the stage")
        if final.exists():
            raise ValueError(f"stage {name} is finished already")
        fault_point("stage.before_rename")
        replace_dir(work, final)
        fault_point("stage.after_rename")
        return final


def _create(path: Path, recipe: dict[str, Any], code_version: str) -> None:
    text = to_yaml(recipe)
    if path.is_dir():
        _refuse_foreign_content(path, text)
    # The lock keeps two processes from making the same folder; it also makes the folder itself.
    with RunLock(path):
        if (path / RUN_NAME).exists():
            return
        _refuse_foreign_content(path, text)
        write_text(path / RECIPE_NAME, text)
        with explaining_disk_errors(path):
            (path / "stages").mkdir(exist_ok=True)
        write_json(path / RUN_NAME, {"format": RUN_FORMAT, "ahalab": code_version})
        remove_leftovers(path)


def to_yaml(recipe: dict[str, Any]) -> str:
    """The recipe as YAML that reads back equal; Chinese stays legible."""
    legible = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)
    try:
        if yaml.safe_load(legible) == recipe:
            return legible
    except yaml.YAMLError:
        pass
    # A few characters (U+0085, lone surrogates) PyYAML writes raw and does not read back: escape everything.
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=False, width=100)


def _refuse_foreign_content(path: Path, recipe_text: str) -> None:
    """UserError unless `path` is empty but for what a creation of this very run, cut short, leaves behind."""
    foreign = []
    for entry in sorted(path.iterdir()):
        ours = entry.name == LOCK_NAME or entry.name.startswith(TEMPORARY_PREFIX)
        if entry.name == RECIPE_NAME and entry.is_file():
            ours = entry.read_bytes() == recipe_text.encode()
        elif entry.name == "stages" and entry.is_dir():
            ours = not any(entry.iterdir())
        if not ours:
            foreign.append(entry.name)
    if foreign and not (path / RUN_NAME).exists():
        raise UserError(
            f"{path} is not a run folder: it has no {RUN_NAME} but holds {', '.join(foreign[:5])}"
            f"{' …' if len(foreign) > 5 else ''}. Choose another folder, or an empty one, for this run."
        )


def _other_recipe(path: Path, found: list[tuple[str, str, str]]) -> str:
    shown = [f"  {key}: {shorten(theirs)} there, {shorten(ours)} here" for key, theirs, ours in found]
    more = len(shown) - _SHOWN_DIFFERENCES
    if more > 0:
        shown = [*shown[:_SHOWN_DIFFERENCES], f"  … and {more} more"]
    return "\n".join(
        [
            f"{path} holds another recipe; it differs in",
            *shown,
            "Set these as they are there to go on with that run, or choose another folder for a new one.",
        ]
    )
