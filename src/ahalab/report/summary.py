"""Everything the report says, read from a run folder into plain data; a damaged part becomes a notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.analysis.curves import Curves, is_number, read_curves
from ahalab.analysis.evaluations import Evaluation, read_figures
from ahalab.analysis.helpfulness import Help, measure_help
from ahalab.analysis.onset import Onset
from ahalab.analysis.samples import SampleScan, ShownSample, find_pair, scan_samples
from ahalab.analysis.stage_table import TABLE_NAME, StageTable, read_stage_table
from ahalab.analysis.tally import Tally
from ahalab.errors import AhaError, UserError
from ahalab.report.effort import Effort, measure_effort
from ahalab.report.groups import Groups, GroupWatcher
from ahalab.runs.atomic import read_json
from ahalab.runs.clock import BEGINNINGS, LEFT, StageClock
from ahalab.runs.folder import PARTIAL, RunFolder
from ahalab.runs.hashing import canonical_json
from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.manifest import MANIFEST_NAME, Manifest
from ahalab.runs.readers import METRICS_NAME, StageEntry, list_stages

BASE = "base"
"""The recipe's name for the weights a run starts from."""
SMALL_BASE = "small_base"
"""The recipe's name for the weights of its student."""
READ_APART = ("evaluate", "table")
MACHINE_NAME = "machine.json"
SIDE_BY_SIDE = 4
"""Evaluations in one table or drawing at most: the stage table is for more (our choice)."""
_READ_ERRORS = (AhaError, OSError, ValueError, TypeError)


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One stage as the table of stages shows it."""

    name: str
    kind: str
    finished: bool
    stopped: str | None
    seconds: float | None
    """Wall time over all attempts, from the run's events, else the sum of its timed parts; None when unknown."""
    settings: Mapping[str, Any]
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest says, but for evaluations and tables: those are read into types of their own."""


@dataclass(frozen=True, slots=True)
class Training:
    """A stage that left metrics: its curves and one pass over its samples."""

    stage: str
    source: str
    """The stage or base it started from."""
    curves: Curves
    samples: SampleScan
    groups: Groups
    """The same samples by prompt and by level."""
    time_shares: Mapping[str, float]
    """Seconds by part of a step, from `timings.jsonl`."""
    rewards: Mapping[str, Any] = field(default_factory=dict)
    """Reward part → its weight, where the stage has rewards; 0 is measured only."""
    onsets: Mapping[str, Onset] = field(default_factory=dict)
    """All reflective words together, then each word: from which step it is used more; empty without samples."""
    helps: Help | None = None
    """Whether answers with reflective words are right more often; None without samples."""


@dataclass(slots=True)
class Summary:
    """What is known of a run."""

    title: str
    base: str = "unknown"
    preset: str | None = None
    seed: str | None = None
    notices: list[str] = field(default_factory=list)
    stages: list[StageFacts] = field(default_factory=list)
    training: list[Training] = field(default_factory=list)
    comparisons: list[list[Evaluation]] = field(default_factory=list)
    """Evaluations of the same prompts, in the order in which their weights came to be, the base first."""
    efforts: Mapping[str, Effort] = field(default_factory=dict)
    """Evaluate stage → what right answers cost; of the evaluations that are shown side by side first."""
    pair: tuple[ShownSample, ShownSample] | None = None
    """One held-out prompt before and after training."""
    tables: dict[str, StageTable] = field(default_factory=dict)
    """Stage tables by the name of their stage."""
    students: frozenset[str] = frozenset()
    """Stages whose weights descend from the small base: not to be compared with what the base became."""
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def before_after(self) -> tuple[Evaluation, Evaluation] | None:
        """The first and the last weights that were evaluated on the same prompts, where they are not the same.

        Students are left out: their base is another one.
        """
        for evaluations in self.comparisons:
            ours = [evaluation for evaluation in evaluations if evaluation.of not in self.students]
            if ours and ours[0].of != ours[-1].of:
                return ours[0], ours[-1]
        return None

    @property
    def compared(self) -> list[list[Evaluation]]:
        """`comparisons` as they can be shown side by side: of many weights only the first and the last."""
        shown = []
        for evaluations in self.comparisons:
            ours = [evaluation for evaluation in evaluations if evaluation.of not in self.students]
            many = len(evaluations) > SIDE_BY_SIDE
            shown.append([ours[0], ours[-1]] if many and len(ours) > 1 else evaluations[:SIDE_BY_SIDE])
        return shown


def summarise(run_folder: Path, *, with_samples: bool = True) -> Summary:
    """Read a run folder. UserError only where there is no folder: all else that is missing becomes a notice.

    `with_samples=False` leaves the sample files alone: a table of figures need not read millions of rows.
    """
    if not run_folder.is_dir():
        raise UserError(f"{run_folder}: no such folder. Name the folder of a run, such as runs/quickstart.")
    summary = Summary(title=run_folder.resolve().name)
    recipe = _read_recipe(run_folder, summary)
    entries = _read_stages(run_folder, summary)
    wall, ended = _read_events(run_folder, summary)
    evaluations: list[tuple[Evaluation, StageEntry]] = []
    for entry in entries:
        kind, settings = _settings(recipe, entry)
        timed = _timed_seconds(entry.path, summary)
        stopped = entry.manifest.stopped if entry.manifest else ended.get(entry.name)
        # A killed attempt leaves no last event, a stage of many parts times only some of them.
        seconds = max(wall.get(entry.name, 0.0), sum(timed.values())) or None
        figures = entry.manifest.figures if entry.manifest and kind not in READ_APART else {}
        summary.stages.append(
            StageFacts(entry.name, kind, entry.finished, stopped, seconds, settings, figures)
        )
        _note_stage(entry, stopped, summary)
        if (entry.path / METRICS_NAME).exists():
            summary.training.append(_training(entry, settings, timed, summary, with_samples))
        if entry.manifest and "pass@1" in entry.manifest.figures:
            found, levels = read_figures(entry.manifest.figures)
            source = str(settings.get("from") or _guess_source(entry.name))
            source = BASE if source == summary.base else source
            evaluations.append((Evaluation(entry.name, source, found, levels, settings), entry))
        if kind == "table" and entry.manifest:
            _read_table(entry, summary)
        if entry.manifest and (kind == "rl" or not summary.environment):
            summary.environment = entry.manifest.environment
    summary.environment = summary.environment or _read_machine(run_folder, summary)
    if summary.seed is None and is_number(summary.environment.get("seed")):
        summary.seed = str(summary.environment["seed"])
    summary.students = _students(summary.stages)
    _compare(evaluations, summary, with_samples)
    if with_samples:
        _measure_efforts(entries, summary)
    if not summary.stages:
        summary.notices.append("No stage has begun in this folder, so there is nothing to plot yet.")
    return summary


def _read_recipe(run_folder: Path, summary: Summary) -> Mapping[str, Any]:
    try:
        recipe = RunFolder.open(run_folder).recipe()
    except _READ_ERRORS as error:
        summary.notices.append(f"The recipe could not be read. {error}")
        return {}
    summary.title = str(recipe.get("name") or summary.title)
    summary.base = str(recipe.get("base") or summary.base)
    summary.seed = str(recipe["seed"]) if is_number(recipe.get("seed")) else None
    presets = [recipe.get("preset"), *(config.get("preset") for _, config in _recipe_stages(recipe).values())]
    summary.preset = next((str(preset) for preset in presets if isinstance(preset, str)), None)
    return recipe


def _recipe_stages(recipe: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Stage name to (kind, its keys): `zero: {rl: {from: base}}`."""
    stages = recipe.get("stages")
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for name, body in stages.items() if isinstance(stages, Mapping) else ():
        if isinstance(body, Mapping):
            for kind, config in body.items():
                if isinstance(config, Mapping):
                    found.setdefault(str(name), (str(kind), config))
    return found


def _read_stages(run_folder: Path, summary: Summary) -> list[StageEntry]:
    try:
        return list_stages(run_folder)
    except _READ_ERRORS as error:
        text = str(error)
        if not any(text in notice for notice in summary.notices):
            summary.notices.append(f"The stages could not be listed as usual. {text}")
    entries = []
    stages = run_folder / "stages"
    for path in sorted(stages.glob("[!.]*")) if stages.is_dir() else ():
        if path.is_dir():
            manifest = None
            try:
                manifest = Manifest.read(path) if (path / MANIFEST_NAME).exists() else None
            except _READ_ERRORS as error:
                summary.notices.append(f"Stage {path.name}: its manifest could not be read. {error}")
            entries.append(StageEntry(path.name.removesuffix(PARTIAL), path, manifest))
    return entries


def _settings(recipe: Mapping[str, Any], entry: StageEntry) -> tuple[str, Mapping[str, Any]]:
    kind, planned = _recipe_stages(recipe).get(entry.name, ("unknown kind", {}))
    if entry.manifest is None:
        return kind, planned
    return entry.manifest.kind, {**planned, **entry.manifest.config}


def _note_stage(entry: StageEntry, stopped: str | None, summary: Summary) -> None:
    if stopped:
        summary.notices.append(f"Stage {entry.name} ended early: {stopped}")
    elif entry.manifest is None:
        summary.notices.append(
            f"Stage {entry.name} has not finished: its numbers are what had been written when this page was made."
        )


def _training(
    entry: StageEntry,
    settings: Mapping[str, Any],
    timed: Mapping[str, float],
    summary: Summary,
    with_samples: bool,
) -> Training:
    curves = read_curves(entry.path)
    groups, tally, samples = GroupWatcher(), Tally(), SampleScan()
    if with_samples:
        samples = scan_samples(entry.path, entry.name, curves.rollouts, [groups.add, tally.add_row])
    if curves.truncated or samples.truncated:
        summary.notices.append(
            f"Stage {entry.name}: a half-written last line was left out (a run at work, or a killed one)."
        )
    if curves.trouble:
        summary.notices.append(f"Stage {entry.name}: metrics were read only in part. {curves.trouble}")
    if samples.trouble:
        summary.notices.append(f"Stage {entry.name}: samples were read only in part. {samples.trouble}")
    if not curves.rows:
        summary.notices.append(f"Stage {entry.name}: no step has been written yet.")
    elif curves.rollouts and not any(curve.starts_at_step_0 for curve in curves.by_name.values()):
        summary.notices.append(
            f"Stage {entry.name}: the row of step 0 is missing, so nothing here shows the weights it started from."
        )
    return Training(
        entry.name,
        str(settings.get("from") or BASE),
        curves,
        samples,
        groups.close(),
        timed,
        _weights(settings.get("rewards")),
        tally.onsets() if tally.samples else {},
        measure_help(tally) if tally.samples else None,
    )


def _weights(rewards: object) -> Mapping[str, Any]:
    """Reward part → weight; a list is short for the weight 1 each, as in a recipe."""
    if isinstance(rewards, Mapping):
        return rewards
    return dict.fromkeys(map(str, rewards), 1.0) if isinstance(rewards, list) else {}


def _read_table(entry: StageEntry, summary: Summary) -> None:
    path = entry.path / TABLE_NAME
    try:
        summary.tables[entry.name] = read_stage_table(read_json(path), str(path))
    except _READ_ERRORS as error:
        summary.notices.append(f"Stage {entry.name}: its table could not be read. {error}")


def _students(stages: Sequence[StageFacts]) -> frozenset[str]:
    """The small base and the stages whose weights descend from it."""
    source = {stage.name: stage.settings.get("from") for stage in stages}
    found = {SMALL_BASE}
    for _ in stages:
        found |= {name for name, before in source.items() if isinstance(before, str) and before in found}
    return frozenset(found)


def _guess_source(stage: str) -> str:
    """Whose weights a stage evaluated, where neither manifest nor recipe says: by the words of its name."""
    return BASE if any(word in stage.lower() for word in ("before", "base", "step0", "step_0")) else stage


def _compare(evaluations: list[tuple[Evaluation, StageEntry]], summary: Summary, with_samples: bool) -> None:
    groups: dict[str, list[tuple[Evaluation, StageEntry]]] = {}
    for evaluation, entry in evaluations:
        config = entry.manifest.config if entry.manifest else {}
        groups.setdefault(canonical_json(config.get("prompts")), []).append((evaluation, entry))
    order = {stage.name: place for place, stage in enumerate(summary.stages)}
    for group in groups.values():
        # A student's weights come last, whenever it was trained.
        group.sort(key=lambda item: (item[0].of in summary.students, order.get(item[0].of, -1)))
        summary.comparisons.append([evaluation for evaluation, _ in group])
        ours = [item for item in group if item[0].of not in summary.students]
        if with_samples and len(ours) > 1 and summary.pair is None:
            (_, before), (_, after) = ours[0], ours[-1]
            summary.pair, trouble = find_pair((before.path, before.name), (after.path, after.name))
            if trouble:
                summary.notices.append(f"Held-out samples were read only in part. {trouble}")


def _measure_efforts(entries: Sequence[StageEntry], summary: Summary) -> None:
    shown = {evaluation.stage for evaluation in summary.compared[0]} if summary.comparisons else set()
    summary.efforts = {
        entry.name: measure_effort(entry.path, entry.name) for entry in entries if entry.name in shown
    }
    for name, effort in summary.efforts.items():
        # The pair of samples may have met the same damage.
        if effort.trouble and not any(effort.trouble in notice for notice in summary.notices):
            summary.notices.append(f"Stage {name}: samples were read only in part. {effort.trouble}")


def _timed_seconds(stage_dir: Path, summary: Summary) -> dict[str, float]:
    path = stage_dir / "timings.jsonl"
    sums: dict[str, float] = {}
    try:
        for row in read_jsonl(path) if path.exists() else ():
            for name, value in row.items():
                if name.startswith("seconds_") and is_number(value):
                    sums[name] = sums.get(name, 0.0) + float(value)
    except _READ_ERRORS as error:
        summary.notices.append(f"Times were read only in part. {error}")
    return sums


def _read_machine(run_folder: Path, summary: Summary) -> Mapping[str, Any]:
    """What the run wrote about its machine at its start: all there is before a stage has finished."""
    path = run_folder / MACHINE_NAME
    try:
        machine = read_json(path) if path.exists() else {}
    except _READ_ERRORS as error:
        summary.notices.append(f"The machine's description could not be read. {error}")
        return {}
    return machine if isinstance(machine, Mapping) else {}


def _read_events(run_folder: Path, summary: Summary) -> tuple[dict[str, float], dict[str, str]]:
    """(wall seconds by stage, why a stage that has not gone on since ended early)."""
    path = run_folder / "events.jsonl"
    seconds, ended = StageClock(), dict[str, str]()
    try:
        for event in read_jsonl(path) if path.exists() else ():
            stage, kind = event.get("stage"), str(event.get("kind"))
            if not isinstance(stage, str):
                continue
            seconds.saw(event)
            if kind == "stage_ended_early":
                ended[stage] = str(event.get("reason"))
            elif kind in (*BEGINNINGS, *LEFT):
                ended.pop(stage, None)
    except _READ_ERRORS as error:
        summary.notices.append(f"Events were read only in part. {error}")
    return seconds.totals(), ended
