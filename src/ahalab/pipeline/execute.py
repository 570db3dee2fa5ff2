"""Runs a recipe in its run folder: skips what is done, makes again what changed, goes on where it was cut off."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ahalab import __version__
from ahalab.errors import AhaError, Interrupted
from ahalab.pipeline.checks import check_everything, input_paths, log_preflight, run_preflight
from ahalab.pipeline.execution import Execution
from ahalab.pipeline.heartbeat import PROGRESS_NAME, RecordedProgress
from ahalab.pipeline.identity import Identity, artifact_hash, compare, identify, stage_hash
from ahalab.pipeline.plan import Plan, make_plan
from ahalab.pipeline.recipe import Recipe, Stage
from ahalab.pipeline.reuse import code_hash, reuse
from ahalab.pipeline.threads import probe_threads
from ahalab.pipeline.trackers import check_trackers
from ahalab.pipeline.tracking import TrackedProgress, Tracking
from ahalab.pipeline.trust import begin, check_files, check_trusted, find_recorded
from ahalab.policy.locate import fingerprint
from ahalab.policy.memory import count_parameters
from ahalab.runs.atomic import read_json, remove_leftovers, write_json
from ahalab.runs.attempts import replace_recipe, set_aside
from ahalab.runs.environment import describe_environment
from ahalab.runs.folder import RUN_NAME, RunFolder
from ahalab.runs.hashing import file_hash
from ahalab.runs.manifest import Manifest
from ahalab.stages.preflight import PreflightReport
from ahalab.stages.rl_config import RLConfig

MACHINE_FILE = "machine.json"

CHECKED_NAME = "checked.json"
"""In the run folder: stage → the config that was checked before anything was spent."""

FIXED = ("name", "base", "seed", "threads")
"""Keys of a recipe's head that make another run: with another value nothing of the folder could stay."""

KEPT_FOLDERS = ("checkpoint", "samples", "tokenizer", "data")
KEPT_FILES = ("metrics.jsonl", "table.json", "table.md")
"""What a manifest hashes: everything promise 1 speaks of. Clock values (timings) and attempts are left out."""


def execute(recipe: Recipe, execution: Execution) -> RunFolder:
    """Make every stage of `recipe` (or what `execution.until` needs) that is not done.

    Nothing is written or moved before everything that can be checked has been, so that a recipe corrected after a
    refusal may take the same folder.

    Raises:
        UserError: the folder is another run's, a failed check, bad data, something changed behind the recipe's back.
        RunStopped: a stage ended itself.
        Interrupted: Ctrl-C; the same command goes on.
    """
    check_trackers(recipe.head.trackers)
    hashes = {base: fingerprint(recipe.base_of(base)) for base in recipe.used_bases}
    reports: dict[str, PreflightReport] = {}
    threads = None
    checked: dict[str, str] = {}
    if not (execution.run_path / RUN_NAME).exists():
        plan = make_plan(recipe, None, hashes, execution.start, execution.until)
        threads = _choose_threads(recipe)
        torch.set_num_threads(threads)
        reports = check_everything(recipe, execution, plan.scope.values())
        checked = {name: stage_hash(stage) for name, stage in plan.scope.items()}
    run = RunFolder.create_or_open(execution.run_path, recipe.resolved(), __version__, FIXED)
    with run.lock():
        remove_leftovers(run.stages_path)
        environment = _settle_machine(recipe, run, execution, threads)
        plan = make_plan(recipe, run, hashes, execution.start, execution.until)
        if execution.unsafe_no_isolation:
            run.event("unsafe_no_isolation")
        performance = _Performance(recipe, execution, run, plan, environment)
        performance.check(reports, checked)
        performance.tidy()
        performance.perform()
    return run


def dry_run(recipe: Recipe, execution: Execution) -> None:
    """Check everything that can be checked beforehand; writes nothing. Errors as `execute`."""
    check_trackers(recipe.head.trackers)
    hashes = {base: fingerprint(recipe.base_of(base)) for base in recipe.used_bases}
    run = None
    if (execution.run_path / RUN_NAME).exists():
        run = RunFolder.create_or_open(execution.run_path, recipe.resolved(), __version__, FIXED)
    plan = make_plan(recipe, run, hashes, execution.start, execution.until)
    if run is not None:
        for line in plan.lines(recipe, run):
            execution.progress.note(line)
    torch.set_num_threads(_choose_threads(recipe))
    check_everything(recipe, execution, plan.scope.values(), run, plan.hashes)


class _Performance:
    """One invocation at work in a locked run folder."""

    def __init__(
        self, recipe: Recipe, execution: Execution, run: RunFolder, plan: Plan, environment: dict[str, Any]
    ) -> None:
        self.recipe, self.execution, self.run, self.plan = recipe, execution, run, plan
        self.environment, self.resolved = environment, recipe.resolved()
        self.reports: dict[str, PreflightReport] = {}

    def check(self, reports: dict[str, PreflightReport], checked: dict[str, str]) -> None:
        """Check what is to be made and was not checked yet; `reports` and `checked` are of a folder just made."""
        recipe, run, plan = self.recipe, self.run, self.plan
        path = run.path / CHECKED_NAME
        before: dict[str, str] = read_json(path) if path.is_file() else {}
        known = {**before, **checked}
        again = plan.remake.to_move if plan.remake is not None else []
        fresh = [
            stage
            for name, stage in plan.to_make.items()
            if name not in plan.begun and (name in again or known.get(name) != stage_hash(stage))
        ]
        for line in plan.lines(recipe, run):
            self.execution.progress.note(line)
        if fresh:
            reports = {**reports, **check_everything(recipe, self.execution, fresh, run, plan.hashes)}
            known.update((stage.name, stage_hash(stage)) for stage in fresh)
        if known != before:
            write_json(path, known)
        for name, report in reports.items():
            log_preflight(run, name, report)
        self.reports = reports

    def tidy(self) -> None:
        """Set aside what the recipe or `--from` left behind; only then the folder gets the new recipe."""
        run, plan = self.run, self.plan
        for name in plan.removed:
            self._set_aside(name, "no longer in the recipe")
        for name, reason in plan.outdated.items():
            self._set_aside(name, reason)
        if plan.remake is not None:
            if plan.remake.to_move:
                run.event("made_again", start=plan.remake.start, stages=plan.remake.to_move)
            plan.remake.begin(run)
        if plan.recipe_changed:
            replace_recipe(run, self.resolved)
            run.event("recipe_changed", stages=sorted(plan.outdated))

    def perform(self) -> None:
        """Every stage of the scope, in order."""
        plan, note = self.plan, self.execution.progress.note
        if plan.done and plan.to_make:
            note(f"{len(plan.done)} of {len(plan.scope)} stages are done already.")
        for number, (name, stage) in enumerate(plan.scope.items(), 1):
            place = f"stage {number} of {len(plan.scope)}: {name} ({stage.kind.name})"
            manifest = plan.done.get(name) or self._settle(stage)
            if manifest is None and self.execution.interrupt.asked:
                raise Interrupted(f"{name} has not begun; everything before it is saved.")
            manifest = manifest or self._reuse(stage, place)
            if manifest is None:
                note(place)
                manifest = self._make(stage)
            plan.hashes[name] = artifact_hash(manifest, stage.makes)
            if plan.remake is not None:
                plan.remake.finished(self.run, name)

    def _settle(self, stage: Stage) -> Manifest | None:
        """Decide about a stage whose inputs were not all known at the start; its manifest when it may stay."""
        run, note = self.run, self.execution.progress.note
        found = find_recorded(run, stage, self.resolved)
        if found is None or stage.name in self.plan.begun:
            return None
        comparison = compare(stage, identify(stage, self.recipe, self.plan.hashes), found)
        changed = comparison.inputs or comparison.recipe
        if changed:
            kept = self._set_aside(stage.name, f"other inputs: {', '.join(changed)}")
            note(f"{stage.name} is made again: {', '.join(changed)} came out different. The old one: {kept}")
            return None
        manifest = run.finished_stage(stage.name)
        check_trusted(run, stage, comparison, finished=manifest is not None)
        if manifest is not None:
            check_files(run.stage_dir(stage.name), stage, manifest)
            note(f"{stage.name} stays: what it reads came out the same.")
        return manifest

    def _reuse(self, stage: Stage, place: str) -> Manifest | None:
        run, plan = self.run, self.plan
        asked_again = plan.remake is not None and stage.name in plan.remake.stages
        if not self.execution.reuse or asked_again or run.work_dir(stage.name).exists():
            return None
        if run.stage_dir(stage.name).exists():
            return None  # without its manifest: it is taken up again
        identity = identify(stage, self.recipe, plan.hashes)
        found = reuse(run, stage, identity, self.environment)
        if found is None:
            return None
        manifest, source = found
        run.event("stage_reused", stage=stage.name, source=source)
        with self._tracking(identity, run.stage_dir(stage.name)) as tracking:
            tracking.finished(manifest.figures)
        self.execution.progress.note(f"{place}: made before with the same settings, taken from {source}")
        return manifest

    def _make(self, stage: Stage) -> Manifest:
        recipe, run, execution, plan = self.recipe, self.run, self.execution, self.plan
        paths = input_paths(recipe, run, stage)
        begun = find_recorded(run, stage, self.resolved) is not None
        if isinstance(stage.config, RLConfig) and stage.name not in self.reports and not begun:
            run_preflight(recipe, stage, execution, paths, run=run)
        identity = identify(stage, recipe, plan.hashes)
        last_sign = _last_sign(run.work_dir(stage.name))
        if begin(run, identity, code_hash()):
            run.event("stage_continued", stage=stage.name, kind_of_stage=stage.kind.name, last_sign=last_sign)
        else:
            run.event("stage_started", stage=stage.name, kind_of_stage=stage.kind.name)
        folder = run.work_dir(stage.name)
        progress = RecordedProgress(execution.progress, folder)
        context = execution.context(recipe, stage, paths, folder, run)
        with self._tracking(identity, folder) as tracking:
            context.progress = TrackedProgress(progress, tracking)
            try:
                result = stage.kind.run(stage.config, context)
            except AhaError as error:
                run.event("stage_ended_early", stage=stage.name, reason=str(error))
                raise
            tracking.finished(result.figures)
        progress.remove()
        manifest = Manifest(
            stage=stage.name,
            kind=stage.kind.name,
            version=stage.kind.version,
            config_hash=stage_hash(stage),
            inputs=dict(identity.inputs),
            config=dict(identity.config),
            environment={
                **self.environment,
                "seed": recipe.head.seed,
                "reproducible": result.reproducible,
            },
            figures=dict(result.figures),
            files=_hash_files(folder),
        )
        manifest.write(folder)
        run.finish_stage(stage.name)
        run.event("stage_finished", stage=stage.name)
        return manifest

    def _tracking(self, identity: Identity, folder: Path) -> Tracking:
        names = self.recipe.head.trackers
        return Tracking(names, self.run, identity, folder, self.execution.progress.note)

    def _set_aside(self, name: str, reason: str) -> str:
        moved = [str(path.relative_to(self.run.path)) for path in set_aside(self.run, name)]
        if moved:
            self.run.event("stage_set_aside", stage=name, reason=reason, kept=moved)
        return ", ".join(moved)


def _choose_threads(recipe: Recipe) -> int:
    sizes = [count_parameters(recipe.base_of(base)) for base in recipe.used_bases]
    return recipe.head.threads or probe_threads(max(sizes, default=0))


def _settle_machine(
    recipe: Recipe, run: RunFolder, execution: Execution, threads: int | None
) -> dict[str, Any]:
    """Threads and versions: probed at the first start, kept afterwards; a changed machine is said."""
    now = describe_environment()
    path = run.path / MACHINE_FILE
    if path.is_file():
        recorded: dict[str, Any] = read_json(path)
        changed = sorted(key for key, value in now.items() if recorded.get(key) != value)
        if changed:
            execution.progress.note(
                "this run was started on another machine or with other versions "
                f"({', '.join(changed)} differ): it goes on, but its bytes may differ from an undisturbed run's."
            )
            run.event("machine_changed", changed=changed)
    else:
        threads = threads or _choose_threads(recipe)
        recorded = {**now, "threads": threads, "dtype": "float32", "device": _device()}
        write_json(path, recorded)
    torch.set_num_threads(recorded["threads"])
    return {**recorded, **now, **_where_programs_run(recipe, execution)}


def _where_programs_run(recipe: Recipe, execution: Execution) -> dict[str, Any]:
    """What manifests say of it, where it is not in isolation on this machine."""
    executor = recipe.head.sandbox.executor
    found: dict[str, Any] = {} if executor == "local" else {"executor": executor}
    return {**found, "unsafe_no_isolation": True} if execution.unsafe_no_isolation else found


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _last_sign(folder: Path) -> str | None:
    """When a stage that was cut off last wrote its progress: its time counts up to then."""
    path = folder / PROGRESS_NAME
    if not path.is_file():
        return None
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds")


def _hash_files(folder: Path) -> dict[str, str]:
    files = [folder / name for name in KEPT_FILES if (folder / name).is_file()]
    for name in KEPT_FOLDERS:
        files += [path for path in (folder / name).rglob("*") if path.is_file() and path.name != "state.json"]
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in sorted(files)}
