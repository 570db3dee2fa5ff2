"""The thread that keeps all indexes up with their runs, and what it says of its progress."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from ahalab.dashboard.catalog import Catalog
from ahalab.dashboard.files import FileIndexer, FileState, forget, known_files, new_state
from ahalab.dashboard.index import Index, stage_number
from ahalab.dashboard.stages import stage_folder
from ahalab.runs.folder import PARTIAL, RunFolder
from ahalab.runs.readers import SAMPLES_NAME

PAUSE_SECONDS = 1.5
"""Between two looks at the runs; longer where a look itself takes long."""


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far the index of one run is, in bytes of sample files."""

    done: int = 0
    total: int = 0
    looked: bool = False
    """Whether the run has been looked at at all."""
    trouble: str | None = None

    @property
    def share(self) -> float:
        """0 to 1."""
        return 1.0 if not self.total else min(1.0, self.done / self.total)


class Indexer:
    """Start it, and it follows the catalog's runs until it is stopped; `first` puts the run that is looked at first."""

    def __init__(self, catalog: Catalog, cache: Path) -> None:
        self.catalog, self.cache = catalog, cache
        self._progress: dict[Path, IndexProgress] = {}
        self._wanted: Path | None = None
        self._lock = Lock()
        self._stop, self._wake = Event(), Event()
        self._thread: Thread | None = None

    def index(self, run: Path) -> Index:
        """The run's index."""
        return Index.of(run, self.cache)

    def progress(self, run: Path) -> IndexProgress:
        """How far the run's index is."""
        return self._progress.get(run, IndexProgress())

    def want(self, run: Path) -> None:
        """A person looks at this run: it comes first from now on."""
        with self._lock:
            if run != self._wanted:
                self._wanted = run
                self._wake.set()

    def start(self) -> None:
        """Begin to follow the runs."""
        self._thread = Thread(target=self._follow, name="indexer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End soon; what was indexed stays."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(10)

    def look(self) -> None:
        """One look at every run."""
        runs = [found.path for found in self.catalog.runs()]
        for run in sorted(runs, key=lambda path: path != self._wanted):
            if self._stop.is_set() or (self._wake.is_set() and run != self._wanted):
                break
            try:
                self._look_at(run)
            except (sqlite3.Error, OSError) as error:
                before = self.progress(run)
                text = f"The samples could not be indexed in {self.index(run).path}: {error}"
                self._progress[run] = IndexProgress(before.done, before.total, True, text)

    def _follow(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            begun = time.monotonic()
            self.look()
            self._wake.wait(
                max(PAUSE_SECONDS, 5 * (time.monotonic() - begun)) if not self._stop.is_set() else 0
            )

    def _look_at(self, run: Path) -> None:
        stages = sample_files(run)
        total = sum(stat.st_size for files in stages.values() for _, stat in files)
        if not total and not self.index(run).path.exists():
            self._progress[run] = IndexProgress(0, 0, True)
            return
        connection = self.index(run).open_to_write()
        try:
            self._bring_up(run, connection, stages, total)
            connection.commit()
        finally:
            connection.close()

    def _bring_up(
        self,
        run: Path,
        connection: sqlite3.Connection,
        stages: dict[str, list[tuple[Path, os.stat_result]]],
        total: int,
    ) -> None:
        numbers = {name: stage_number(connection, name) for name in stages}
        changed: list[tuple[Path, FileState, os.stat_result]] = []
        done = 0
        for (number,) in connection.execute("SELECT number FROM stages").fetchall():
            if number not in numbers.values():
                for left in known_files(connection, number).values():
                    forget(connection, left)
        for name, files in stages.items():
            known = known_files(connection, numbers[name])
            for gone in known.keys() - {path.name for path, _ in files}:
                forget(connection, known.pop(gone))
            for path, stat in files:
                state = known.get(path.name)
                if state is None:
                    state = known[path.name] = new_state(numbers[name], path.name, known)
                if (stat.st_ino, stat.st_size, stat.st_mtime_ns) == (state.inode, state.size, state.mtime):
                    done += stat.st_size
                else:
                    changed.append((path, state, stat))
        self._progress[run] = IndexProgress(done, total, not changed)
        indexer = FileIndexer(
            connection,
            lambda: not self._stop.is_set(),
            lambda inside: self._progress.__setitem__(run, IndexProgress(done + inside, total, True)),
        )
        for path, state, stat in changed:
            if self._stop.is_set() or (self._wake.is_set() and run != self._wanted):
                break
            try:
                indexer.follow(path, state, stat)
            except FileNotFoundError:
                continue  # a resume moved it just now: the next look sees that
            except OSError as error:
                state.inode, state.size, state.mtime = stat.st_ino, stat.st_size, stat.st_mtime_ns
                state.trouble = f"{path.name} cannot be read: {error.strerror or error}"
                state.write(connection)
            done += stat.st_size
            self._progress[run] = IndexProgress(done, total, True)


def sample_files(run: Path) -> dict[str, list[tuple[Path, os.stat_result]]]:
    """Stage → its sample files in order of name, as they are now."""
    folder = RunFolder(run, "")
    found: dict[str, list[tuple[Path, os.stat_result]]] = {}
    try:
        names = sorted(
            {path.name.removesuffix(PARTIAL) for path in folder.stages_path.iterdir() if path.is_dir()}
        )
    except OSError:
        return found
    for name in names:
        stage = stage_folder(folder, name) if not name.startswith(".") else None
        if stage is None:
            continue
        try:
            with os.scandir(stage / SAMPLES_NAME) as entries:
                listed = [
                    (Path(entry.path), entry.stat())
                    for entry in entries
                    if entry.name.endswith(".jsonl") and not entry.name.startswith(".") and entry.is_file()
                ]
        except OSError:
            continue
        found[name] = sorted(listed, key=lambda item: item[0].name)
    return found
