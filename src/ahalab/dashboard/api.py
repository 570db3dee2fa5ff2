"""What the page asks for, as plain data; `server` puts it on the wire."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ahalab.dashboard.catalog import Catalog, FoundRun, find_evaluations
from ahalab.dashboard.curves import CurveCache, curves_as_json
from ahalab.dashboard.filters import parse_filter
from ahalab.dashboard.index import default_cache
from ahalab.dashboard.indexer import Indexer
from ahalab.dashboard.prompts import compare_prompt, suggest_prompts
from ahalab.dashboard.query import Search, read_row
from ahalab.dashboard.safety import Evaluations
from ahalab.dashboard.samples import brief, full
from ahalab.dashboard.stages import list_run, planned_stages, read_recipe, read_run, stage_folder
from ahalab.dashboard.tables import read_tables
from ahalab.errors import UserError
from ahalab.runs.folder import PARTIAL, RunFolder
from ahalab.runs.readers import METRICS_NAME, SAMPLES_NAME

Query = Mapping[str, str]
PAGE, LARGEST_PAGE = 25, 100
CURVES = 40
"""Curves in one answer at most."""


class Dashboard:
    """All runs, their indexes and caches; its methods answer the page. UserError for a question that makes no sense."""

    def __init__(self, catalog: Catalog, cache: Path | None = None) -> None:
        self.catalog = catalog
        self.indexer = Indexer(catalog, cache or default_cache())
        self.curve_cache = CurveCache()
        self.safety = Evaluations(Catalog(catalog.roots, find_evaluations, "safety evaluation"))

    def runs(self, query: Query) -> dict[str, Any]:
        """Every run in a line."""
        del query
        found = self.catalog.runs()
        return {
            "roots": [str(root) for root in self.catalog.roots],
            "runs": [list_run(run) | {"training": _with(run.path, METRICS_NAME)} for run in found],
            "safety": self.safety.listed(),
        }

    def run(self, query: Query) -> dict[str, Any]:
        """One run: its graph, its stages, and how far its samples are indexed."""
        found = self._run(query)
        view = read_run(found.path)
        return {
            "id": found.id,
            "name": view.name,
            "path": str(found.path),
            "base": view.base,
            "seed": view.seed,
            "at_work": view.at_work,
            "notices": [*view.notices, *self._trouble(found)],
            "stages": [stage.as_json() for stage in view.stages],
            "tree": view.tree,
            "index": self._indexed(found),
        }

    def curves(self, query: Query) -> dict[str, Any]:
        """Curves of one stage, those that `names` lists, separated by commas."""
        found = self._run(query)
        folder = _stage_folder(found, query.get("stage", ""))
        curves, current = self.curve_cache.get(folder)
        return curves_as_json(curves, query.get("names", "").split(",")[:CURVES], current)

    def tables(self, query: Query) -> dict[str, Any]:
        """Stage tables and evaluations of one run."""
        return read_tables(read_run(self._run(query).path))

    def facets(self, query: Query) -> dict[str, Any]:
        """What samples can be filtered by: stages with counts and steps, domains, words."""
        found = self._run(query)
        self.indexer.want(found.path)
        folders = _sample_folders(found.path)
        answer: dict[str, Any] = {"index": self._indexed(found), "stages": [], "domains": [], "words": []}
        try:
            with self.indexer.index(found.path).read() as connection:
                rows = connection.execute(
                    "SELECT stages.name, SUM(rows), MIN(step_min), MAX(step_max), MIN(total_min), MAX(total_max), "
                    "SUM(broken), SUM(truncated) FROM files JOIN stages ON stages.number = files.stage "
                    "GROUP BY stages.name"
                ).fetchall()
                names = connection.execute("SELECT kind, name FROM names ORDER BY bit, name").fetchall()
        except (FileNotFoundError, sqlite3.Error):
            return answer
        keys = ("stage", "samples", "step_min", "step_max", "total_min", "total_max", "broken", "truncated")
        by_name = {row[0]: dict(zip(keys, row, strict=True)) for row in rows}
        answer["stages"] = [by_name[name] for name in folders if name in by_name]
        answer["domains"] = sorted(name for kind, name in names if kind == "domain" and name)
        answer["words"] = [name for kind, name in names if kind == "word"]
        return answer

    def samples(self, query: Query) -> dict[str, Any]:
        """A page of samples, or as much of it as was found in time: `next` goes on."""
        found, folders = self._samples_of(query)
        limit = _limit(query)
        try:
            with self.indexer.index(found.path).read() as connection:
                search = Search(
                    connection, folders, parse_filter(query, list(folders)), query.get("order") == "newest"
                )
                result = search.find(limit, query.get("after"))
        except (FileNotFoundError, sqlite3.Error) as error:
            return {
                "samples": [],
                "next": None,
                "looked": 0,
                "trouble": _unindexed(error),
                "index": self._indexed(found),
            }
        return {
            "samples": [brief(hit) for hit in result.hits],
            "next": result.next,
            "looked": result.looked,
            "trouble": result.trouble,
            "index": self._indexed(found),
        }

    def count(self, query: Query) -> dict[str, Any]:
        """How many samples a filter leaves, as far as they were counted in time: `next` goes on."""
        found, folders = self._samples_of(query)
        try:
            with self.indexer.index(found.path).read() as connection:
                search = Search(connection, folders, parse_filter(query, list(folders)))
                hits, following = search.count(query.get("after"))
        except (FileNotFoundError, sqlite3.Error):
            return {"count": 0, "next": None}
        except ValueError:
            return {"count": None, "next": None}
        return {"count": hits, "next": following}

    def sample(self, query: Query) -> dict[str, Any]:
        """One sample with all its text."""
        found, folders = self._samples_of(query)
        key = query.get("key", "")
        if not key.isascii() or not key.isdigit() or len(key) > 18:
            raise UserError(f"key: {key!r} is not a sample's.")
        try:
            with self.indexer.index(found.path).read() as connection:
                hit = read_row(connection, folders, int(key))
        except (FileNotFoundError, sqlite3.Error):
            hit = None
        if hit is None:
            raise NotThere("This sample is not there: its file was written again, or is still to be indexed.")
        return full(hit, whole=query.get("whole") == "1")

    def prompt(self, query: Query) -> dict[str, Any]:
        """One prompt over the stages that have it; without `prompt`, prompts worth comparing."""
        found, folders = self._samples_of(query)
        prompt, sample = query.get("prompt", ""), query.get("sample", "0")
        number = int(sample) if sample.isascii() and sample.isdigit() and len(sample) < 6 else 0
        answer: dict[str, Any] = {
            "prompt_id": prompt,
            "stages": [],
            "suggested": [],
            "index": self._indexed(found),
        }
        try:
            with self.indexer.index(found.path).read() as connection:
                if prompt:
                    answer["stages"] = compare_prompt(connection, folders, list(folders), prompt, number)
                else:
                    answer["suggested"] = suggest_prompts(connection, folders, list(folders))
        except (FileNotFoundError, sqlite3.Error):
            pass
        return answer

    def _run(self, query: Query) -> FoundRun:
        name = query.get("run", "")
        found = self.catalog.runs()
        if not name and found:
            return found[0]
        return self.catalog.get(name)

    def _samples_of(self, query: Query) -> tuple[FoundRun, dict[str, Path]]:
        found = self._run(query)
        self.indexer.want(found.path)
        return found, _sample_folders(found.path)

    def _indexed(self, found: FoundRun) -> dict[str, Any]:
        progress = self.indexer.progress(found.path)
        return {
            "share": round(progress.share, 3),
            "bytes": progress.total,
            "looked": progress.looked,
            "trouble": progress.trouble,
        }

    def _trouble(self, found: FoundRun) -> list[str]:
        """What the index says of broken sample files."""
        try:
            with self.indexer.index(found.path).read() as connection:
                rows = connection.execute(
                    "SELECT stages.name, SUM(broken), MIN(trouble) FROM files "
                    "JOIN stages ON stages.number = files.stage WHERE trouble IS NOT NULL GROUP BY stages.name"
                ).fetchall()
        except (FileNotFoundError, sqlite3.Error):
            return []
        return [
            f"Stage {name}: {broken:,} sample rows could not be read. {text}" for name, broken, text in rows
        ]


class NotThere(UserError):
    """What was asked for does not exist (any more)."""


def _with(run: Path, name: str) -> list[str]:
    """The stages of a run that have that file or folder, in the recipe's order."""
    return list(_folders_with(run, name))


def _sample_folders(run: Path) -> dict[str, Path]:
    return {name: folder / SAMPLES_NAME for name, folder in _folders_with(run, SAMPLES_NAME).items()}


def _folders_with(run: Path, name: str) -> dict[str, Path]:
    folder = RunFolder(run, "")
    try:
        present = {
            path.name.removesuffix(PARTIAL) for path in folder.stages_path.iterdir() if path.name[0] != "."
        }
    except OSError:
        return {}
    order = {stage: number for number, (stage, _) in enumerate(planned_stages(read_recipe(run, [])))}
    found = {}
    for stage in sorted(present, key=lambda stage: (order.get(stage, len(order)), stage)):
        path = stage_folder(folder, stage)
        if path is not None and (path / name).exists():
            found[stage] = path
    return found


def _stage_folder(found: FoundRun, stage: str) -> Path:
    folders = _folders_with(found.path, METRICS_NAME)
    if stage not in folders:
        there = ", ".join(folders) or "none yet"
        raise NotThere(f"stage {stage!r} of {found.id} has no curves; there are curves of: {there}.")
    return folders[stage]


def _limit(query: Query) -> int:
    text = query.get("limit") or str(PAGE)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:4]) <= LARGEST_PAGE:
        raise UserError(f"limit: {text!r} is not a number from 1 to {LARGEST_PAGE}.")
    return int(text)


def _unindexed(error: Exception) -> str | None:
    return (
        None
        if isinstance(error, FileNotFoundError)
        else f"The index could not be read ({error}); it is made again."
    )
