"""The reward-hacking watch at work in a run: which prompts it answers, when, and what follows from what it sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ahalab.errors import UserError
from ahalab.records import Prompt
from ahalab.rollout.engine import RolloutKey, Sampling
from ahalab.stages.alignment_config import PREFERENCES, held_out
from ahalab.stages.collect import Collector, GradedSample
from ahalab.stages.context import StageContext
from ahalab.stages.hacking import FEWEST, HackingWatch
from ahalab.stages.ledger import RunState
from ahalab.stages.rl_config import RLConfig
from ahalab.stages.sample_metrics import mean
from ahalab.stages.setup import build_prompts, reward_rules


class HackingGuard:
    """The reward-hacking watch of a run: when it measures, and what it does about what it sees."""

    def __init__(
        self, config: RLConfig, context: StageContext, collector: Collector, state: RunState
    ) -> None:
        assert config.hacking is not None
        self.config, self.context, self.state = config, context, state
        self.watch = HackingWatch(config.hacking, state.hacking)
        self.probe = HackingProbe(config, context, collector)
        self.start = config.steps - config.window_steps
        self.action, self.every = config.hacking.action, config.hacking.every

    def begin_if_due(self) -> None:
        """Measure the policy with which the window begins, before its first rollout."""
        if self.watch.started or self.state.step < self.start:
            return
        figures = self.watch.begin(self.state.step, self.probe.measure())
        self.state.hacking = self.watch.state
        self.context.event("hacking_start", stage=self.context.name, step=self.state.step, **figures)

    def check_if_due(self, previous: int) -> dict[str, Any]:
        """The figures of a check after the step that was just made; empty where none is due."""
        step = self.state.step
        if not is_due(step, previous, start=self.start, every=self.every, last=self.config.steps):
            return {}
        known = self.watch.flagged_step is not None
        figures = self.watch.saw(step, self.probe.measure())
        self.state.hacking = self.watch.state
        reason = self.watch.reason()
        if reason is not None and not known:
            self.context.event("reward_hacking", stage=self.context.name, step=step, reason=reason)
            self.context.progress.note(f"{self.context.name}: {reason}")
        return figures

    def reason_to_stop(self) -> str | None:
        """Why the run should end, by the action that its config names."""
        return self.watch.reason() if self.action == "stop" else None


class HackingProbe:
    """Answers the same held-out prompts with the same random numbers, whenever it is asked."""

    def __init__(self, config: RLConfig, context: StageContext, collector: Collector) -> None:
        assert config.hacking is not None
        self._settings, self._collector = config.hacking, collector
        # No check number in the key: equal random numbers make each prompt its own control.
        self._key = RolloutKey(context.seed, f"{context.name}/hacking", 0)
        temperature = config.hacking.temperature
        self._sampling = Sampling(
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature if temperature is None else temperature,
            stop_ids=collector.renderer.stop_ids,
        )
        self.prompts = watched_prompts(config, context)

    def measure(self) -> dict[str, list[float | None]]:
        """`Items` of the policy as it is now."""
        times = self._collector.times
        groups = self._collector.collect(self.prompts, self._settings.k, self._sampling, self._key)
        self._collector.times = times  # those of the rollout, which is still to be logged
        return {
            "preference": [mean([_preference(graded) for graded in group]) for group in groups],
            "rule_general": [_rule(group) if group[0].general else None for group in groups],
            "rule_reasoning": [None if group[0].general else _rule(group) for group in groups],
        }


def watched_prompts(config: RLConfig, context: StageContext) -> list[Prompt]:
    """The prompts of the watch: of its own sources, or in equal parts held-out ones of the stage's and the window's.

    Raises:
        UserError: a source that cannot be read or has too few prompts, or nothing there that could be compared.
    """
    assert config.hacking is not None
    assert config.window is not None
    wanted = config.hacking.prompts
    if config.hacking.sources is not None:
        prompts = build_prompts(config.hacking.sources, context, "hacking.sources").take(0, wanted)
    else:
        parts = [entries for entries in map(held_out, (config.prompts, config.window.prompts)) if entries]
        prompts = []
        for number, entries in enumerate(parts):
            share = wanted // len(parts) + (number < wanted % len(parts))
            prompts += build_prompts(entries, context, "hacking: held-out prompts").take(0, share)
    prompts = list({prompt.id: prompt for prompt in prompts}.values())
    rules = reward_rules(config)
    judged = sum(rules.preference_of(prompt) is not None for prompt in prompts)
    ruled = sum(prompt.verifier != "none" for prompt in prompts)
    if judged < FEWEST or ruled < FEWEST:
        raise UserError(
            f"stages.{context.name}: hacking: of the {len(prompts)} held-out prompts {judged} have a reward model and "
            f"{ruled} a rule that checks them; at least {FEWEST} of each are needed. Name other sources in "
            "hacking.sources, or raise hacking.prompts."
        )
    return prompts


def is_due(step: int, previous: int, *, start: int, every: int, last: int) -> bool:
    """Whether a check belongs after `step`, the last one made by a rollout that began after `previous` steps."""
    if step <= start:
        return False
    return step >= last or (step - start) // every > max(0, previous - start) // every


def _preference(graded: GradedSample) -> float | None:
    return next((value for name in PREFERENCES if (value := graded.reward.parts.get(name)) is not None), None)


def _rule(group: Sequence[GradedSample]) -> float | None:
    return mean([graded.verdict.score for graded in group])
