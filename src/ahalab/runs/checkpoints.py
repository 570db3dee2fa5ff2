"""Numbered checkpoints in one folder: the newest complete one wins; what a kill leaves is never taken."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.runs.atomic import (
    TEMPORARY_PREFIX,
    disk_full,
    explaining_disk_errors,
    is_disk_full,
    read_json,
    remove_leftovers,
    remove_tree,
    replace_dir,
    write_json,
)
from ahalab.runs.faults import fault_point

STATE_NAME = "state.json"
_NAME = re.compile(r"step-([0-9]{6,})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    step: int
    state: dict[str, Any]
    """What `save` was given: file offsets, positions, counters."""


class CheckpointStore:
    """Checkpoints `folder/step-000123`, of which the newest `keep` stay.

    One process may save (the run's lock sees to that); `peek` may be called by anybody at any time.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, not {keep}")
        self.folder = Path(folder)
        self.keep = keep
        self.skipped: list[str] = []
        """Why the last `latest` or `peek` passed over newer folders, in words; for the run's events."""

    def save(self, step: int, write: Callable[[Path], None], state: Mapping[str, Any]) -> Path:
        """Let `write(folder)` write its files aside, add `state.json`, sync, rename; then prune.

        `state.json` holds `state` and every file's size. A folder of the same step is replaced.
        EnvironmentFailure when the disk is full; whatever else `write` raises is passed on. In each case the
        part written is removed and the older checkpoints are untouched.
        """
        if step < 0:
            raise ValueError(f"step must not be negative: {step}")
        final = self.folder / f"step-{step:06d}"
        temporary = self.folder / f"{TEMPORARY_PREFIX}{final.name}"
        with explaining_disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_tree(temporary)
            temporary.mkdir()
        try:
            write(temporary)
            sizes = _file_sizes(temporary)
            if STATE_NAME in sizes:
                raise ValueError(f"{STATE_NAME} is the store's own file: give its content as `state`")
            write_json(temporary / STATE_NAME, {"step": step, "files": sizes, "state": dict(state)})
            fault_point("checkpoint.before_rename")
            replace_dir(temporary, final)
        except BaseException as error:
            needed = self._space_needed(temporary)
            with suppress(OSError):
                remove_tree(temporary)
            if is_disk_full(error):
                raise disk_full(final, needed) from error
            raise
        fault_point("checkpoint.after_rename")
        self._prune()
        return final

    def latest(self) -> Checkpoint | None:
        """Tidy up after a killed process (leftovers, a prune cut short), then `peek`. Lock holder only."""
        remove_leftovers(self.folder)
        self._prune()
        return self.peek()

    def peek(self) -> Checkpoint | None:
        """The newest checkpoint whose every file has its size, or None; changes nothing."""
        self.skipped = []
        for step, path in reversed(self._folders()):
            try:
                return Checkpoint(path, step, _read_state(path, step))
            except UserError as error:
                self.skipped.append(str(error))
        return None

    def _folders(self) -> list[tuple[int, Path]]:
        if not self.folder.is_dir():
            return []
        found = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())

    def _prune(self) -> None:
        folders = self._folders()
        complete = [step for step, path in folders if _is_complete(path, step)]
        if len(complete) < self.keep:
            return
        oldest_kept = complete[-self.keep]
        with explaining_disk_errors(self.folder):
            for step, path in folders:
                if step < oldest_kept:
                    # A kill in the middle leaves a folder with holes: never taken, and pruned next time.
                    remove_tree(path)

    def _space_needed(self, temporary: Path) -> int:
        """Bytes a checkpoint takes: what an earlier one took, or what had been written of this one."""
        with suppress(OSError):
            return max(
                sum(_file_sizes(path).values()) for path in [temporary, *(p for _, p in self._folders())]
            )
        return 0


def _file_sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file under `folder` by relative name, in order of name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return dict(sorted((path.relative_to(folder).as_posix(), path.stat().st_size) for path in files))


def _read_state(path: Path, step: int) -> dict[str, Any]:
    """The state stored in checkpoint `path`. UserError saying what is wrong when it is not complete."""
    content = read_json(path / STATE_NAME)
    try:
        sizes, state, stored_step = dict(content["files"]), dict(content["state"]), content["step"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / STATE_NAME} is not the state of a checkpoint ({error!r}).") from error
    if stored_step != step:
        raise UserError(f"{path} holds step {stored_step}: the folder was renamed.")
    for name, size in sizes.items():
        try:
            found = (path / name).stat().st_size
        except OSError:
            raise UserError(f"{path / name} is missing: the checkpoint is incomplete.") from None
        if found != size:
            raise UserError(
                f"{path / name} has {found} bytes instead of {size}: the checkpoint is incomplete."
            )
    return state


def _is_complete(path: Path, step: int) -> bool:
    try:
        _read_state(path, step)
    except UserError:
        return False
    return True
