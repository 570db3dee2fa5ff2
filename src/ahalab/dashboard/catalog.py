"""Which run folders the page is about: those named, and those lying in folders named. New ones are found by and by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from ahalab.errors import UserError
from ahalab.runs.atomic import TEMPORARY_PREFIX
from ahalab.runs.folder import RECIPE_NAME, RUN_NAME
from ahalab.runs.lock import LOCK_NAME
from ahalab.safety.folder import SETTINGS_NAME

LOOK_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run folder and the name it has in addresses."""

    id: str
    path: Path


class Catalog:
    """The runs below `roots`; may be asked from several threads. With another `find` it is of other folders."""

    def __init__(
        self,
        roots: Sequence[Path],
        find: Callable[[Path], list[Path]] | None = None,
        what: str = "run",
    ) -> None:
        for root in roots:
            if not root.is_dir():
                raise UserError(
                    f"{root}: no such folder. Name a run folder, such as runs/zero-quickstart, or a folder of runs."
                )
        self.roots = [root.resolve() for root in roots]
        self._find, self._what = find or find_runs, what
        self._lock = Lock()
        self._ids: dict[Path, str] = {}
        self._found: list[FoundRun] = []
        self._looked = 0.0

    def runs(self) -> list[FoundRun]:
        """In order of name within each root. Looks at the disk at most every two seconds."""
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_AGAIN_SECONDS or not self._looked:
                paths = dict.fromkeys(path for root in self.roots for path in self._find(root))
                self._found = [FoundRun(self._id(path), path) for path in paths]
                self._looked = time.monotonic()
            return list(self._found)

    def get(self, run: str) -> FoundRun:
        """The run of that id. UserError with the known ones when there is none."""
        found = {one.id: one for one in self.runs()}
        if run not in found:
            raise UserError(
                f"there is no {self._what} {run!r} here; there is: {', '.join(found) or 'none yet'}."
            )
        return found[run]

    def _id(self, path: Path) -> str:
        """The folder's name; the same name elsewhere gets a number. It stays as long as the page runs."""
        if path not in self._ids:
            taken, wanted, number = set(self._ids.values()), path.name or "run", 1
            while (name := wanted if number == 1 else f"{wanted}~{number}") in taken:
                number += 1
            self._ids[path] = name
        return self._ids[path]


def find_runs(root: Path) -> list[Path]:
    """The run folder `root` itself, or those directly in it; a folder that a run has only begun to make counts."""
    if is_run(root):
        return [root]
    if is_evaluation(root):
        return []
    return [path for path in _below(root) if is_run(path) or _only_begun(path)]


def find_evaluations(root: Path) -> list[Path]:
    """The safety evaluation `root` itself, or those directly in it."""
    return [root] if is_evaluation(root) else [path for path in _below(root) if is_evaluation(path)]


def is_evaluation(path: Path) -> bool:
    """Whether it is the folder of a safety evaluation."""
    return (path / SETTINGS_NAME).is_file()


def is_run(path: Path) -> bool:
    """Whether a run has written here."""
    return any((path / name).exists() for name in (RUN_NAME, RECIPE_NAME)) or (path / "stages").is_dir()


def _below(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _only_begun(path: Path) -> bool:
    try:
        return all(one.name == LOCK_NAME or one.name.startswith(TEMPORARY_PREFIX) for one in path.iterdir())
    except OSError:
        return False
