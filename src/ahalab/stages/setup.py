"""What every sampling stage sets up the same way: prompts, renderer, engine, graders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ahalab.errors import UserError
from ahalab.grading.pool import GraderPool
from ahalab.policy.forward import Precision
from ahalab.policy.load import Policy
from ahalab.prompts.config import PromptEntry, TaskEntry, build_mixture
from ahalab.prompts.mixture import Mixture
from ahalab.rewards.compose import PreferenceScope, RewardRules
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.hashing import canonical_json
from ahalab.sandbox.settings import SandboxSettings
from ahalab.stages.collect import Collector
from ahalab.stages.context import StageContext
from ahalab.stages.isolation import LOOKED_AT, check_isolation
from ahalab.stages.preference import Preferences
from ahalab.stages.rl_config import RLConfig
from ahalab.text.renderer import Renderer, TemplateChoice


class SamplingSettings(Protocol):
    """The config fields that decide how a stage samples and grades."""

    @property
    def template(self) -> TemplateChoice: ...
    @property
    def think_prefill(self) -> bool: ...
    @property
    def max_rows(self) -> int: ...
    @property
    def grader_workers(self) -> int: ...
    @property
    def grader_cpu_seconds(self) -> float: ...


def reward_rules(config: RLConfig) -> RewardRules:
    """The reward parts and weights of an RL stage, and which prompts its reward models judge."""
    models = config.preference.models() if config.preference is not None else {}
    weights = {str(name): weight for name, weight in config.rewards.items()}
    return RewardRules(
        weights | {name: model.weight for name, model in models.items()},
        config.accuracy_needs_format,
        {
            name: PreferenceScope(frozenset(model.domains), frozenset(model.sources))
            for name, model in models.items()
        },
    )


PROMPTS_NAME = "prompts.json"


def settle_prompts(entries: Sequence[PromptEntry], context: StageContext) -> Mixture:
    """`build_prompts` for a stage at work: what the sources hold is written down, and may not change on the way.

    Raises:
        UserError: a data file changed since the stage began, besides what `build_prompts` raises.
    """
    mixture = build_prompts(entries, context)
    settle(mixture.describe(), context)
    return mixture


def settle(description: Sequence[Mapping[str, Any]], context: StageContext) -> None:
    """Keep what prompt sources say of themselves; refuse another description when the stage goes on.

    Raises:
        UserError: a data file changed since the stage began.
    """
    stated = json.loads(canonical_json(description))
    path = context.folder / PROMPTS_NAME
    if not path.is_file():
        write_json(path, stated)
    elif (before := read_json(path)) != stated:
        changed = [one["name"] for one, then in zip(stated, before, strict=False) if one != then]
        raise UserError(
            f"the prompts of {context.name} changed since it began (source {', '.join(changed)}; {path} says what was "
            "there). Put the data back as it was and run the same command, or choose another folder for a new run."
        )


def build_prompts(entries: Sequence[PromptEntry], context: StageContext, key: str = "prompts") -> Mixture:
    """The stage's prompt mixture; rows skipped by `--skip-bad-rows` are said and logged. `key` names the entries.

    Raises:
        UserError: besides what `build_mixture` raises, answers are programs and this machine cannot run them.
    """
    mixture = build_mixture(
        entries,
        context.seed,
        skip_bad_rows=context.skip_bad_rows,
        folder=context.data_folder,
        where=f"stages.{context.name}: {key}",
    )
    for entry, source in zip(entries, mixture.sources, strict=True):
        if not isinstance(entry, TaskEntry):  # reasoning-gym has rules of its own, and may be slow to ask
            first = map(source.prompt, range(min(LOOKED_AT, source.size or LOOKED_AT)))
            check_isolation(first, context.sandbox, f"stages.{context.name}: {key}")
    for source in mixture.sources:
        skipped: dict[str, int] = getattr(source, "skipped", {})
        if skipped:
            context.event("skipped_rows", stage=context.name, source=source.name, reasons=skipped)
            reasons = ", ".join(f"{count} × {reason}" for reason, count in skipped.items())
            context.progress.note(f"{source.name}: skipped {sum(skipped.values())} rows ({reasons})")
        if noted := getattr(source, "noted", {}):
            context.progress.note(
                f"{source.name}: {', '.join(f'{count} × {what}' for what, count in noted.items())}"
            )
    return mixture


def build_renderer(config: SamplingSettings, policy: Policy) -> Renderer:
    """The one renderer of a stage, knowing the model's own stop tokens."""
    return Renderer(
        policy.tokenizer,
        template=config.template,
        think_prefill=config.think_prefill,
        extra_stop_ids=policy.stop_ids,
    )


def build_collector(
    config: SamplingSettings,
    policy: Policy,
    rules: RewardRules,
    preferences: Preferences | None = None,
    *,
    weights: Precision = "fp32",
    sandbox: SandboxSettings | None = None,
) -> Collector:
    """Engine, graders and renderer over `policy`, sampling with `weights`; programs run as `sandbox` says.

    Close `collector.pool` when done.
    """
    return Collector(
        policy,
        build_renderer(config, policy),
        EmbeddedEngine(policy.decoder, max_rows=config.max_rows, weights=weights),
        GraderPool(workers=config.grader_workers, cpu_seconds=config.grader_cpu_seconds, sandbox=sandbox),
        rules,
        preferences,
    )
