"""Preflight: everything that can be known before a run is spent. Nothing here changes what the run will do.

Gold answers must score full marks through the template and the graders: a reward that stays at 0 is the most
frequent complaint about every peer, and its cause (format rule, template, grader) is visible here in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ahalab.policy.load import Policy, load_policy
from ahalab.policy.memory import MemoryEstimate, estimate_memory
from ahalab.records import Prompt
from ahalab.rollout.engine import RolloutKey, Sampling
from ahalab.runs.atomic import format_size
from ahalab.stages.collect import Collector
from ahalab.stages.context import StageContext
from ahalab.stages.evaluate import EVALUATION_RULES, EvaluateConfig
from ahalab.stages.gold import CheckedRow, check_gold, checked_row, first_prompts, with_gold
from ahalab.stages.hacking_guard import watched_prompts
from ahalab.stages.preference import Preferences, load_preferences
from ahalab.stages.rl_config import RLConfig
from ahalab.stages.setup import build_collector, build_prompts, reward_rules
from ahalab.stages.window import PromptFeed

REAL_SAMPLES = 8

TESTED_LEARNING_RATE = ((10_000_000, 1e-4), (math.inf, 1e-5))
"""Up to this many parameters → a learning rate known to be safe: 1e-4 by the quickstart; for larger models our guess,
three times the paper's (docs/lab-notes.md)."""


@dataclass(slots=True)
class PreflightReport:
    """What preflight found. `warnings` do not stop the run."""

    rows: list[CheckedRow] = field(default_factory=list)
    batch: dict[str, int] = field(default_factory=dict)
    memory: MemoryEstimate | None = None
    warnings: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    gold_graded: int = 0


def preflight(
    config: RLConfig,
    context: StageContext,
    on_memory: Callable[[MemoryEstimate], None],
    load: Callable[[str], Policy] = load_policy,
) -> PreflightReport:
    """Check an RL stage before it starts. `on_memory` hears the estimate before the model is loaded.

    Raises:
        UserError: gold answers do not score full marks (says which, and which rule failed); a broken round trip.
    """
    report = PreflightReport(batch=config.batch_figures())
    prompts = _checked_prompts(config, context)
    report.memory = _memory(config, context, prompts)
    on_memory(report.memory)
    policy = load(context.inputs["from"])
    preferences = _preferences(config, context, policy, report)
    collector = build_collector(config, policy, reward_rules(config), preferences, sandbox=context.sandbox)
    try:
        if collector.renderer.notice:
            report.notices.append(collector.renderer.notice)
        gold = check_gold(collector, prompts, context.name)
        report.gold_graded = len(gold)
        report.rows += gold[:1]
        if gold:
            _check_empty(collector, with_gold(prompts, collector.rules)[0], report)
        else:
            report.notices.append("no prompt here has a gold answer, so the graders were not checked on one.")
        _real_samples(collector, _shown(prompts, collector), config, context, report)
    finally:
        collector.pool.close()
    _warn_of_memory(report.memory, report)
    _warn_of_learning_rate(config, report.memory.parameters, report)
    return report


def check_answers(
    config: RLConfig | EvaluateConfig, context: StageContext, load: Callable[[str], Policy] | None
) -> int:
    """The lighter check, for a stage without samples to look at: its prompts, template and graders.

    Returns the gold answers graded. Without `load` no model exists that could render them: only the prompts are
    checked.

    Raises:
        UserError: as `preflight`.
    """
    if isinstance(config, EvaluateConfig):
        mixture = build_prompts(config.prompts, context)
        mixture.check_take(config.n)
        prompts = first_prompts(mixture)
    else:
        prompts = _checked_prompts(config, context)
    if load is None:
        return 0
    rules = EVALUATION_RULES if isinstance(config, EvaluateConfig) else reward_rules(config)
    collector = build_collector(config, load(context.inputs["from"]), rules, sandbox=context.sandbox)
    try:
        return len(check_gold(collector, prompts, context.name))
    finally:
        collector.pool.close()


def _checked_prompts(config: RLConfig, context: StageContext) -> list[Prompt]:
    """The first prompts of the stage, and of its window where it has one."""
    feed = PromptFeed(config, context)
    feed.check()
    if config.hacking is not None:
        watched_prompts(config, context)
    found = {prompt.id: prompt for mixture in feed.mixtures() for prompt in first_prompts(mixture)}
    return list(found.values())


def _preferences(
    config: RLConfig, context: StageContext, policy: Policy, report: PreflightReport
) -> Preferences:
    """The reward models that are there already, checked against the policy's vocabulary."""
    preferences = load_preferences(config.preference, context.inputs, policy.tokenizer)
    wanted = config.preference.models() if config.preference is not None else {}
    for name, model in wanted.items():
        if name not in preferences.judges:
            report.notices.append(
                f"the {name} reward model is not there yet: its vocabulary is checked once {model.from_} is done."
            )
    return preferences


def _shown(prompts: list[Prompt], collector: Collector) -> list[Prompt]:
    """Prompts to sample once each: half of them general ones, where there are any."""
    general = [prompt for prompt in prompts if collector.rules.is_general(prompt)][: REAL_SAMPLES // 2]
    reasoning = [prompt for prompt in prompts if not collector.rules.is_general(prompt)]
    return reasoning[: REAL_SAMPLES - len(general)] + general


def _memory(config: RLConfig, context: StageContext, prompts: list[Prompt]) -> MemoryEstimate:
    estimate = estimate_memory(
        context.inputs["from"],
        rows=min(config.max_rows, config.prompts_per_rollout * config.samples_per_prompt),
        # A character is at most a token, nearly always less: the prompt's part is an upper bound.
        sequence_tokens=max(len(prompt.question) for prompt in prompts) + config.max_new_tokens,
        tokens_per_chunk=config.tokens_per_chunk,
        logprob_chunk=config.logprob_chunk,
        with_reference=config.has_reference,
    )
    # A value model is trained beside the policy; reward models, as large as the policy they were made from, only read.
    trained = 2 if config.algorithm == "ppo" else 1
    judges = len(config.preference.models()) if config.preference is not None else 0
    return replace(
        estimate,
        weights=(trained + judges) * estimate.weights,
        gradients_and_optimizer=trained * estimate.gradients_and_optimizer,
    )


def _check_empty(collector: Collector, prompt: Prompt, report: PreflightReport) -> None:
    response, verdict, reward = collector.grade_text(prompt, "")
    report.rows.append(checked_row("empty", prompt, response, reward, verdict))
    if any(reward.parts.values()):
        report.warnings.append(
            f"an empty response earns {reward.total:g}: a reward that is given for nothing teaches nothing."
        )


def _real_samples(
    collector: Collector,
    prompts: list[Prompt],
    config: RLConfig,
    context: StageContext,
    report: PreflightReport,
) -> None:
    sampling = Sampling(
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        stop_ids=collector.renderer.stop_ids,
    )
    groups = collector.collect(prompts, 1, sampling, RolloutKey(context.seed, f"{context.name}/preflight", 0))
    samples = [graded for group in groups for graded in group]
    for number, graded in enumerate(samples):
        report.rows.append(
            checked_row(f"sample {number + 1}", graded.prompt, graded.response, graded.reward, graded.verdict)
        )
    for name in reward_rules(config).weights:
        values = [graded.reward.parts.get(name) for graded in samples]
        applying = [value for value in values if value is not None]
        if applying and not any(applying):
            report.warnings.append(
                f"none of {len(applying)} samples earned the {name} reward. If groups of "
                f"{config.samples_per_prompt} never do, nothing can be learned from it: choose easier prompts, a "
                "stronger base, or a supervised start; the run stops itself after "
                f"{config.stop.dead_rollouts} rollouts without an effective group."
            )
    if samples and all(graded.sample.finish == "length" for graded in samples):
        report.warnings.append(
            f"none of {len(samples)} samples ended by itself within max_new_tokens={config.max_new_tokens}: the base "
            "may never emit its stop token, or the limit is too short. Truncated answers count as badly formatted."
        )


def _warn_of_memory(estimate: MemoryEstimate, report: PreflightReport) -> None:
    free = _free_memory()
    if free is not None and estimate.total > free:
        report.warnings.append(
            f"the estimate of {format_size(estimate.total)} is more than the {format_size(free)} that are free now. "
            "Lower max_rows, tokens_per_chunk or max_new_tokens, or take a smaller base."
        )


def _free_memory() -> int | None:
    """Free bytes where the model will lie; None where the system does not say."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _warn_of_learning_rate(config: RLConfig, parameters: int, report: PreflightReport) -> None:
    tested = next(rate for limit, rate in TESTED_LEARNING_RATE if parameters <= limit)
    if config.learning_rate > 2 * tested:
        times = config.learning_rate / tested
        report.warnings.append(
            f"learning_rate {config.learning_rate:g} is {times:.0f} times what is known to be safe at this model size "
            f"({tested:g}; the paper: 3e-06). Measured on a prototype: at 3e-4 accuracy fell to 0 within 40 steps "
            "while the format stayed perfect."
        )
