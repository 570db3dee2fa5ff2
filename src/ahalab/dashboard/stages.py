"""A run's graph as the page shows it, read without the pipeline: its schemas need torch, and a page must stay small.

What `aha status` knows better: whether a finished stage is what the recipe asks for now. Here a stage is outdated where
its recorded settings differ from the recipe's, or where something that it reads is unfinished or outdated itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from ahalab.analysis.evaluations import as_figure
from ahalab.dashboard.catalog import FoundRun
from ahalab.errors import AhaError
from ahalab.pipeline.graph import children, other_inputs
from ahalab.pipeline.heartbeat import PROGRESS_NAME
from ahalab.runs.atomic import read_json
from ahalab.runs.folder import PARTIAL, RECIPE_NAME, RUN_NAME, RunFolder
from ahalab.runs.history import History
from ahalab.runs.lock import is_held
from ahalab.runs.manifest import MANIFEST_NAME, Manifest
from ahalab.runs.readers import METRICS_NAME, SAMPLES_NAME
from ahalab.stages.inputs import BASES, ArtifactKind, InputRef

READ_ERRORS = (AhaError, OSError, ValueError, TypeError, KeyError, RecursionError)
SHOWN = (
    "accuracy",
    "pass@1",
    "format",
    "language",
    "language_consistency",
    "preference",
    "auc",
    "candidates",
    "pairs_drawn",
    "pairs",
    "responses",
    "safe",
    "unsafe",
    "rows_trained",
    "rows",
    "documents",
    "loss",
    "held_out_loss",
    "orderings_hold",
    "orderings_measured",
)
"""Figures that may stand for a stage's result, the first four that it has (our choice)."""
SHOWN_FIGURES = 4
NOT_REFERENCES = frozenset(
    {
        "world",
        "domains",
        "name",
        "reference",
        "split",
        "rewards",
        "keep",
        "preset",
        "reviewed",
        "kind",
        "algorithm",
    }
)
"""Config keys whose words are no names of stages, whatever they say."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class StageView:
    """One stage of a run."""

    name: str
    kind: str
    state: str
    """"done", "reused", "running", "interrupted", "outdated", "waiting" or "broken"."""
    folder: Path | None
    reads: list[str] = field(default_factory=list)
    done: int | None = None
    total: int | None = None
    unit: str | None = None
    figures: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    note: str | None = None
    warnings: list[str] = field(default_factory=list)
    manifest: Manifest | None = None

    def as_json(self) -> dict[str, Any]:
        """For the page."""
        has = {
            name: self.folder is not None and (self.folder / file).exists()
            for name, file in (("metrics", METRICS_NAME), ("samples", SAMPLES_NAME))
        }
        keys = ("name", "kind", "state", "reads", "done", "total", "unit", "figures", "note", "warnings")
        return {key: getattr(self, key) for key in keys} | {"seconds": round(self.seconds, 1), "has": has}


@dataclass(slots=True)
class RunView:
    """A run with its stages in the recipe's order, and what could not be read."""

    name: str
    path: Path
    base: str | None = None
    seed: int | None = None
    at_work: bool = False
    notices: list[str] = field(default_factory=list)
    stages: list[StageView] = field(default_factory=list)
    tree: list[dict[str, Any]] = field(default_factory=list)
    """Roots: {"name", "label", "also", "below"}; a name that is no stage is a base."""

    def stage(self, name: str) -> StageView | None:
        """The stage of that name."""
        return next((one for one in self.stages if one.name == name), None)


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    refs: Mapping[str, InputRef]
    makes: ArtifactKind = "model"


def read_run(path: Path) -> RunView:
    """The whole run; whatever is missing or broken becomes a notice or a stage's note, never an error."""
    run = RunFolder(path, "")
    view = RunView(path.name, path, at_work=is_held(path))
    if not (path / RUN_NAME).exists():
        view.notices.append(
            f"{RUN_NAME} is missing: the folder is only half made, or not a run's. What is there is shown."
        )
    recipe = read_recipe(path, view.notices)
    view.name = str(recipe.get("name") or path.name)
    view.base = str(recipe["base"]) if recipe.get("base") else None
    view.seed = recipe["seed"] if isinstance(recipe.get("seed"), int) else None
    planned = dict(planned_stages(recipe))
    names = list(dict.fromkeys([*planned, *_names_on_disk(run)]))
    history = History()
    try:
        history.read(run)
    except READ_ERRORS as error:
        view.notices.append(f"Events were read only in part: {error}")
    refs = {name: stage_references(*planned[name], names) if name in planned else {} for name in names}
    fresh: set[str] = set()
    for name in names:
        kind, config = planned.get(name, ("unknown kind", {}))
        stage = _look_at(run, name, kind, config, history, view.at_work)
        stage.reads = list(dict.fromkeys(ref.source for ref in refs[name].values()))
        stages_read = [source for source in stage.reads if source not in BASES]
        if stage.state in ("done", "reused") and all(source in fresh for source in stages_read):
            fresh.add(name)
        elif stage.state in ("done", "reused"):
            stage.state = "outdated"
        stage.seconds = history.seconds(name)
        view.stages.append(stage)
    view.tree = _tree({name: _Node(name, refs[name]) for name in names}, recipe)
    if not names:
        view.notices.append(
            "No stage has begun in this folder and no recipe names one: there is nothing to show yet."
        )
    return view


def list_run(found: FoundRun) -> dict[str, Any]:
    """What the list of runs says of one: cheap enough for every run at every look."""
    recipe = read_recipe(found.path, [])
    names = [name for name, _ in planned_stages(recipe)]
    done = sum((found.path / "stages" / name / MANIFEST_NAME).exists() for name in names)
    return {
        "id": found.id,
        "label": found.id,
        "name": str(recipe.get("name") or found.id),
        "path": str(found.path),
        "base": str(recipe.get("base") or ""),
        "at_work": is_held(found.path),
        "stages": len(names),
        "done": done,
    }


def planned_stages(recipe: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, Mapping[str, Any]]]]:
    """(stage, (kind, config)) of a resolved recipe: `zero: {rl: {from: base}}`."""
    stages = recipe.get("stages")
    for name, body in stages.items() if isinstance(stages, Mapping) else ():
        if isinstance(body, Mapping) and body:
            kind, config = next(iter(body.items()))
            yield str(name), (str(kind), config if isinstance(config, Mapping) else {})


def stage_references(kind: str, config: Mapping[str, Any], names: list[str]) -> dict[str, InputRef]:
    """Input name → what a stage reads there."""
    if kind == "sample" and config.get("from") == "teacher":
        return {"tokenizer": InputRef(BASES[0])}  # it counts the tokens of the rows
    return references(config, names)


def references(config: Any, names: list[str], key: str = "") -> dict[str, InputRef]:
    """Input name → what is read there: every word of a config that is a stage's name or a base's."""
    found: dict[str, InputRef] = {}
    if isinstance(config, str):
        if config in BASES or config in names:
            found[key] = InputRef(config)
    elif isinstance(config, Mapping):
        for name, value in config.items():
            if name not in NOT_REFERENCES:
                found |= references(value, names, f"{key}[{name}]" if key else str(name))
    elif isinstance(config, list):
        for number, value in enumerate(config):
            found |= references(value, names, f"{key}[{number}]")
    return found


def read_recipe(run: Path, notices: list[str]) -> Mapping[str, Any]:
    """The resolved recipe; empty, with a notice, where it cannot be read."""
    path = run / RECIPE_NAME
    try:
        stat = path.stat()
        recipe = _parse_recipe(str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        notices.append(f"{RECIPE_NAME} is missing: stages are shown in order of name.")
        return {}
    except (*READ_ERRORS, yaml.YAMLError) as error:
        notices.append(f"{RECIPE_NAME} could not be read: {error}")
        return {}
    if not isinstance(recipe, Mapping):
        notices.append(f"{RECIPE_NAME} is not a recipe: keys with values were expected.")
        return {}
    return recipe


@lru_cache(maxsize=64)
def _parse_recipe(path: str, *_: int) -> Any:
    """Again only when the file changed: YAML is slow."""
    return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_LOADER)


def _names_on_disk(run: RunFolder) -> list[str]:
    try:
        folders = [path for path in run.stages_path.iterdir() if path.is_dir() and path.name[0] != "."]
    except OSError:
        return []
    return sorted(path.name.removesuffix(PARTIAL) for path in folders)


def stage_folder(run: RunFolder, name: str) -> Path | None:
    """Where a stage's files lie: the finished folder, else the one at work."""
    final = run.stages_path / name
    work = run.stages_path / f"{name}{PARTIAL}"
    if (final / MANIFEST_NAME).exists():
        return final
    return next((path for path in (work, final) if path.is_dir()), None)


def _look_at(
    run: RunFolder, name: str, kind: str, config: Mapping[str, Any], history: History, at_work: bool
) -> StageView:
    folder = stage_folder(run, name)
    stage = StageView(name, kind, "waiting", folder)
    if folder is None:
        return stage
    if (folder / MANIFEST_NAME).exists() and not folder.name.endswith(PARTIAL):
        try:
            stage.manifest = manifest = Manifest.read(folder)
        except READ_ERRORS as error:
            stage.state, stage.note = "broken", str(error)
            return stage
        stage.kind = manifest.kind
        stage.figures = _figures(manifest.figures)
        stage.warnings = _warnings(manifest.figures)
        stage.state = "reused" if name in history.reused else "done"
        stage.note = history.reused.get(name)
        if any(manifest.config[key] != value for key, value in config.items() if key in manifest.config):
            stage.state, stage.note = "outdated", "its settings are not the recipe's any more"
        return stage
    running = at_work and history.current == name
    stage.state = "running" if running else "interrupted"
    stage.note = None if running else history.ended.get(name)
    stage.warnings = history.warnings.get(name, [])
    try:
        progress = folder / PROGRESS_NAME
        seen = datetime.fromtimestamp(progress.stat().st_mtime, UTC)
        row = read_json(progress)
        stage.done, stage.total, stage.unit = int(row["done"]), int(row["total"]), str(row["unit"])
        stage.figures = _figures(row["figures"])
        history.alive(name, datetime.now(UTC) if running else seen)
    except READ_ERRORS:
        pass  # not written yet, or the stage finished this very moment: the next look shows it
    return stage


def _figures(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    shown = []
    for name in SHOWN:
        figure = as_figure(figures.get(name))
        if figure is not None:
            shown.append({"name": name, "value": figure.value, "low": figure.low, "high": figure.high})
    return shown[:SHOWN_FIGURES]


def _warnings(figures: Mapping[str, Any]) -> list[str]:
    hacking = figures.get("reward_hacking")
    hacked = isinstance(hacking, Mapping) and hacking.get("hacked")
    found = [f"reward hacking, seen at step {hacking['step']}"] if hacked and hacking else []
    warnings = figures.get("warnings")
    return [*found, *map(str, warnings if isinstance(warnings, list) else [])]


def _tree(nodes: Mapping[str, _Node], recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    below = children(nodes)
    seen: set[str] = set()

    def grow(name: str) -> dict[str, Any]:
        seen.add(name)
        label = name if name in nodes else f"{name}: {recipe[name]}" if recipe.get(name) else name
        also = other_inputs(nodes[name]) if name in nodes else []
        deeper = [grow(child) for child in below.get(name, []) if child not in seen]
        return {"name": name, "label": label, "also": also, "below": deeper}

    roots = [grow(name) for name in below[None]]
    # A circle, in a recipe changed by hand, hangs below no root.
    return [*roots, *(grow(name) for name in nodes if name not in seen)]
