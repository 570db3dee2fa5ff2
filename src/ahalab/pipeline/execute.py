"""Runs a recipe in its run folder: skips what is done, goes on where it was cut off, writes manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ahalab import __version__
from ahalab.errors import AhaError, Interrupted
from ahalab.pipeline.checks import check_everything, log_preflight, run_preflight
from ahalab.pipeline.execution import Execution
from ahalab.pipeline.recipe import Recipe, Stage
from ahalab.pipeline.threads import probe_threads
from ahalab.pipeline.trust import (
    artifact_hash,
    begin,
    check_finished,
    check_finished_stages,
    has_begun,
    stage_hash,
)
from ahalab.policy.locate import fingerprint
from ahalab.policy.memory import count_parameters
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.environment import describe_environment
from ahalab.runs.folder import RUN_NAME, RunFolder
from ahalab.runs.hashing import file_hash
from ahalab.runs.manifest import Manifest
from ahalab.stages.preflight import PreflightReport
from ahalab.stages.rl_config import RLConfig

MACHINE_FILE = "machine.json"

KEPT_FOLDERS = ("checkpoint", "samples", "tokenizer")
KEPT_FILES = ("metrics.jsonl",)
"""What a manifest hashes: everything promise 1 speaks of. Clock values (timings) and attempts are left out."""


def execute(recipe: Recipe, execution: Execution) -> RunFolder:
    """Run every unfinished stage of `recipe`.

    Nothing is written before everything that can be checked has been, so that a recipe corrected after a refusal
    may take the same folder.

    Raises:
        UserError: the folder belongs to another recipe, a failed preflight, bad data.
        RunStopped: a stage ended itself.
        Interrupted: Ctrl-C; the same command goes on.
    """
    hashes = {"base": fingerprint(recipe.head.base)} if _uses_base(recipe) else {}
    reports: dict[str, PreflightReport] = {}
    threads = None
    if not (execution.run_path / RUN_NAME).exists():
        threads = _choose_threads(recipe)
        torch.set_num_threads(threads)
        reports = check_everything(recipe, execution)
    run = RunFolder.create_or_open(execution.run_path, recipe.resolved(), __version__)
    with run.lock():
        environment = _settle_machine(recipe, run, execution, threads)
        check_finished_stages(recipe, run, hashes)
        for name, report in reports.items():
            log_preflight(run, name, report)
        for stage in recipe.stages.values():
            manifest = run.finished_stage(stage.name)
            if manifest is not None:
                check_finished(run, stage, manifest, hashes)
            else:
                manifest = _run_stage(stage, recipe, run, execution, environment, hashes, reports)
            if stage.kind.makes_checkpoint:
                hashes[stage.name] = artifact_hash(manifest)
    return run


def dry_run(recipe: Recipe, execution: Execution) -> None:
    """Check everything that can be checked beforehand; writes nothing. Errors as `execute`."""
    if _uses_base(recipe):
        fingerprint(recipe.head.base)
    if (execution.run_path / RUN_NAME).exists():
        RunFolder.create_or_open(execution.run_path, recipe.resolved(), __version__)
    torch.set_num_threads(_choose_threads(recipe))
    check_everything(recipe, execution)


def _uses_base(recipe: Recipe) -> bool:
    return any("base" in stage.inputs.values() for stage in recipe.stages.values())


def _run_stage(
    stage: Stage,
    recipe: Recipe,
    run: RunFolder,
    execution: Execution,
    environment: dict[str, Any],
    hashes: dict[str, str],
    checked: dict[str, PreflightReport],
) -> Manifest:
    if execution.interrupt.asked:
        raise Interrupted(f"{stage.name} has not begun; everything before it is saved.")
    paths = {
        name: recipe.head.base if source == "base" else str(run.stage_dir(source) / "checkpoint")
        for name, source in stage.inputs.items()
    }
    if isinstance(stage.config, RLConfig) and stage.name not in checked and not has_begun(run, stage):
        run_preflight(recipe, stage, execution, paths, run=run)
    continued = begin(run, stage, hashes)
    folder = run.work_dir(stage.name)
    run.event(
        "stage_continued" if continued else "stage_started", stage=stage.name, kind_of_stage=stage.kind.name
    )
    try:
        result = stage.kind.run(stage.config, execution.context(recipe, stage, paths, folder, run))
    except AhaError as error:
        run.event("stage_ended_early", stage=stage.name, reason=str(error))
        raise
    manifest = Manifest(
        stage=stage.name,
        kind=stage.kind.name,
        version=stage.kind.version,
        config_hash=stage_hash(stage),
        inputs={name: hashes[source] for name, source in stage.inputs.items()},
        config=stage.config.model_dump(mode="json", by_alias=True),
        environment={**environment, "seed": recipe.head.seed, "reproducible": result.reproducible},
        figures=dict(result.figures),
        files=_hash_files(folder),
    )
    manifest.write(folder)
    run.finish_stage(stage.name)
    run.event("stage_finished", stage=stage.name)
    return manifest


def _choose_threads(recipe: Recipe) -> int:
    parameters = count_parameters(recipe.head.base) if _uses_base(recipe) else 0
    return recipe.head.threads or probe_threads(parameters)


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
    return {**recorded, **now}


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _hash_files(folder: Path) -> dict[str, str]:
    files = [folder / name for name in KEPT_FILES if (folder / name).is_file()]
    for name in KEPT_FOLDERS:
        files += [path for path in (folder / name).rglob("*") if path.is_file() and path.name != "state.json"]
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in sorted(files)}
