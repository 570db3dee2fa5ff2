"""The prompts of an RL run: the stage's own before the window, the window's beside them inside it.

Every position is a pure function of the config and the seed, so the number of prompts taken is all that a
checkpoint needs. Each of the stage's own sources goes on in the window where it stood.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ahalab.errors import UserError
from ahalab.prompts.mixture import Mixture, Schedule
from ahalab.prompts.source import PromptSource
from ahalab.records import Prompt
from ahalab.rewards.compose import RewardRules
from ahalab.stages.context import StageContext
from ahalab.stages.rl_config import RLConfig
from ahalab.stages.setup import build_prompts, reward_rules, settle

CHECKED_PROMPTS = 32
"""Our choice: of each source so many prompts are looked at before anything is spent."""


class ContinuedMixture(Mixture):
    """A mixture some of whose sources have served prompts before it begins."""

    def __init__(
        self, sources: Sequence[PromptSource], weights: Sequence[float], seed: int, served: Sequence[int]
    ) -> None:
        super().__init__(sources, weights, seed)
        self._before = tuple(served)

    def _draw(self, index: int, ordinal: int) -> Prompt:
        return super()._draw(index, ordinal + self._before[index])


class PromptFeed:
    """What each rollout of a stage trains on."""

    def __init__(self, config: RLConfig, context: StageContext) -> None:
        self.outside = build_prompts(config.prompts, context)
        self.inside: Mixture | None = None
        self.begins = (config.steps - config.window_steps) * config.prompts_per_step
        """Prompts taken before the window."""
        self._size, self._rules, self._stage = config.prompts_per_rollout, reward_rules(config), context.name
        if config.window is not None:
            added = (
                build_prompts(config.window.prompts, context, "window.prompts")
                if config.window.prompts
                else None
            )
            outside, more = self.outside, added.sources if added else ()
            weights = (*outside.weights, *(added.weights if added else ()))
            served = [*served_before(outside.weights, self.begins), *(0 for _ in more)]
            self.inside = ContinuedMixture((*outside.sources, *more), weights, context.seed, served)

    def settle(self, context: StageContext) -> None:
        """Keep what the sources say; UserError when data changed since the stage began."""
        settle((self.inside or self.outside).describe(), context)

    def take(self, position: int) -> list[Prompt]:
        """The prompts of the rollout that begins after `position` prompts.

        Raises:
            UserError: too few different prompts, or one that nothing of the stage can reward.
        """
        if self.inside is not None and self.is_inside(position):
            prompts = self.inside.take(position - self.begins, self._size)
        else:
            prompts = self.outside.take(position, self._size)
        for prompt in prompts:
            check_rewarded(prompt, self._rules, self._stage, inside=self.is_inside(position))
        return prompts

    def is_inside(self, position: int) -> bool:
        """Whether the rollout that begins after `position` prompts lies in the window."""
        return self.inside is not None and position >= self.begins

    def mixtures(self) -> list[Mixture]:
        """The mixtures that the run will draw from, in order."""
        if self.inside is None:
            return [self.outside]
        return [self.outside, self.inside] if self.begins > 0 else [self.inside]

    def check(self) -> None:
        """Look at every source before anything is spent.

        Raises:
            UserError: a source too small for a rollout, or a prompt that nothing of the stage can reward.
        """
        for mixture in self.mixtures():
            mixture.check_take(self._size)
            for source in mixture.sources:
                for index in range(min(CHECKED_PROMPTS, source.size or CHECKED_PROMPTS)):
                    check_rewarded(
                        source.prompt(index), self._rules, self._stage, inside=mixture is self.inside
                    )


def served_before(weights: Sequence[float], position: int) -> list[int]:
    """How many of the first `position` prompts of a mixture with these weights each source serves."""
    schedule = Schedule(weights)
    rounds, rest = divmod(position, schedule.period)
    partial = Counter(schedule.at(slot)[0] for slot in range(rest))
    return [rounds * share + partial[source] for source, share in enumerate(schedule.shares)]


def check_rewarded(prompt: Prompt, rules: RewardRules, stage: str, *, inside: bool) -> None:
    """UserError for a prompt that would be trained on without being judged.

    Before the window that is every general prompt, and one that no rule checks; inside it one that no reward model
    judges. A stage without reward models may train on prompts that nothing checks where it rewards no accuracy either:
    on their form alone, as `rewards: [format]` asks for.
    """
    judge = rules.preference_of(prompt)
    if judge is None and not rules.is_general(prompt):
        form_alone = not rules.preferences and not rules.weights.get("accuracy")
        if prompt.verifier != "none" or form_alone:
            return
    if judge is not None and inside:
        return
    what = f"stages.{stage}: prompt {prompt.id} (domain {prompt.domain}, verifier {prompt.verifier})"
    if judge is not None:
        raise UserError(
            f"{what} is among `prompts`, and the {judge} reward model judges it: before the window only prompts that "
            "a rule checks are used. Move its source to window.prompts, or set window.last to `all`."
        )
    raise UserError(
        f"{what} would not be rewarded: no rule gives it a reward, and no reward model judges it. Name its domain "
        f"or its source ({prompt.source}) in `preference`, or leave it out."
    )
