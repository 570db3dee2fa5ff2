"""What is checked before anything is spent: every stage's prompts, template and graders, and RL stages in full."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.pipeline.execution import Execution
from ahalab.pipeline.graph import root
from ahalab.pipeline.recipe import Recipe, Stage
from ahalab.policy.load import Policy, load_policy
from ahalab.runs.folder import RunFolder
from ahalab.runs.progress import SilentProgress
from ahalab.stages.evaluate import EvaluateConfig
from ahalab.stages.inputs import BASES
from ahalab.stages.preflight import PreflightReport, check_answers, preflight
from ahalab.stages.rl_config import RLConfig

INNER = {"model": "checkpoint", "reward_model": "checkpoint", "dataset": "data"}
"""Where in a stage's folder its artifact lies; the others are the folder itself."""


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


def check_everything(
    recipe: Recipe,
    execution: Execution,
    stages: Iterable[Stage],
    run: RunFolder | None = None,
    there: Collection[str] = (),
) -> dict[str, PreflightReport]:
    """Check `stages`; writes nothing. Reports of the RL stages checked in full.

    A stage whose model another stage will make is checked with the base in its place: its tokenizer is the same.
    `there` are the stages of `run` that are finished: what they left is used.

    Raises:
        UserError: whatever a stage would stumble over later.
    """
    load = OneModel()
    reports = {}
    for stage in stages:
        paths = input_paths(recipe, run, stage, there)
        context = execution.context(recipe, stage, paths, Path(), None)
        # The stage itself says again what it skips.
        context.progress = SilentProgress()
        _check_vocabularies(recipe, stage, load)
        if isinstance(stage.config, RLConfig) and stage.inputs["from"] in BASES:
            reports[stage.name] = run_preflight(recipe, stage, execution, paths, load=load)
        elif isinstance(stage.config, RLConfig | EvaluateConfig):
            check_answers(stage.config, context, load if "from" in paths else None)
        if stage.kind.check is not None:
            stage.kind.check(stage.config, context)
    return reports


def input_paths(
    recipe: Recipe, run: RunFolder | None, stage: Stage, there: Collection[str] | None = None
) -> dict[str, str]:
    """Input name → where it lies, as `StageContext.inputs` says it.

    With `there` only the stages in it exist: another model's place is taken by the base it descends from, and other
    artifacts are left out.
    """
    paths = {}
    for name, source in stage.inputs.items():
        if source in BASES:
            paths[name] = recipe.base_of(source)
        elif run is not None and (there is None or source in there):
            paths[name] = str(run.stage_dir(source) / INNER.get(recipe.stages[source].makes, ""))
        elif recipe.stages[source].makes == "model":
            base = root(recipe.stages, source)
            if base is not None:
                paths[name] = recipe.base_of(base)
    return paths


def run_preflight(
    recipe: Recipe,
    stage: Stage,
    execution: Execution,
    inputs: Mapping[str, str],
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


def _check_vocabularies(recipe: Recipe, stage: Stage, load: OneModel) -> None:
    """A reward model reads the policy's own text, token by token: both must descend from one vocabulary."""
    models = {ref.source for ref in stage.refs.values() if ref.kinds == ("reward_model",)}
    policy = root(recipe.stages, stage.inputs["from"]) if models and "from" in stage.inputs else None
    for model in sorted(models):
        other = root(recipe.stages, model)
        if policy is None or other is None or recipe.base_of(other) == recipe.base_of(policy):
            continue
        words = [load(recipe.base_of(base)).tokenizer.get_vocab() for base in (policy, other)]
        if words[0] != words[1]:
            raise UserError(
                f"stages.{stage.name}: the reward model {model!r} descends from {recipe.base_of(other)}, whose "
                f"vocabulary is not that of {recipe.base_of(policy)}, which {stage.name} trains. Train the reward "
                f"model from a stage that descends from `{policy}`."
            )
