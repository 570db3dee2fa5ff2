"""What is checked before anything is spent: every stage's prompts, template and graders, and RL stages in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ahalab.pipeline.execution import Execution
from ahalab.pipeline.recipe import Recipe, Stage
from ahalab.policy.load import Policy, load_policy
from ahalab.runs.folder import RunFolder
from ahalab.stages.context import SilentProgress
from ahalab.stages.evaluate import EvaluateConfig
from ahalab.stages.preflight import PreflightReport, check_answers, preflight
from ahalab.stages.rl_config import RLConfig


class OneModel:
    """Loads bases and keeps the last one: the checks of several stages usually want the same."""

    def __init__(self) -> None:
        self._base: str | None = None
        self._policy: Policy | None = None

    def __call__(self, base: str) -> Policy:
        if self._policy is None or self._base != base:
            self._policy = None  # room for the next one before it is loaded
            self._base, self._policy = base, load_policy(base)
        return self._policy


def check_everything(recipe: Recipe, execution: Execution) -> dict[str, PreflightReport]:
    """Check all stages of a recipe that has not begun; writes nothing. Reports of the RL stages checked in full.

    A stage whose model another stage will make is checked with the base in its place: its tokenizer is the same.

    Raises:
        UserError: whatever a stage would stumble over later.
    """
    load = OneModel()
    reports = {}
    for stage in recipe.stages.values():
        if isinstance(stage.config, RLConfig) and stage.inputs["from"] == "base":
            report = run_preflight(recipe, stage, execution, {"from": recipe.head.base}, load=load)
            reports[stage.name] = report
        elif isinstance(stage.config, RLConfig | EvaluateConfig):
            from_base = _descends_from_base(stage, recipe)
            context = execution.context(recipe, stage, {"from": recipe.head.base}, Path(), None)
            # The stage itself says again what it skips.
            context.progress = SilentProgress()
            check_answers(stage.config, context, load if from_base else None)
    return reports


def run_preflight(
    recipe: Recipe,
    stage: Stage,
    execution: Execution,
    inputs: dict[str, str],
    *,
    run: RunFolder | None = None,
    load: Any = load_policy,
) -> PreflightReport:
    """Preflight of one RL stage, shown and logged."""
    assert isinstance(stage.config, RLConfig)
    context = execution.context(recipe, stage, inputs, Path(), run)
    report = preflight(stage.config, context, execution.on_memory, load)
    execution.on_preflight(stage.name, report)
    if run is not None:
        log_preflight(run, stage.name, report)
    return report


def log_preflight(run: RunFolder, stage: str, report: PreflightReport) -> None:
    """Keep the outcome among the run's events."""
    run.event("preflight", stage=stage, warnings=report.warnings, gold_graded=report.gold_graded)


def _descends_from_base(stage: Stage, recipe: Recipe) -> bool:
    source = stage.inputs.get("from")
    while source is not None and source != "base":
        source = recipe.stages[source].inputs.get("from")
    return source == "base"
