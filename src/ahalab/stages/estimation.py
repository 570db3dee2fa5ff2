"""From graded groups to what the learner trains on: advantages of a group (GRPO) or of a value model (PPO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ahalab.learning.advantages import group_advantages, has_gradient
from ahalab.learning.critic import Critic, ValuedOutput, ppo_outputs
from ahalab.learning.outputs import TrainingOutput
from ahalab.policy.load import load_policy
from ahalab.stages.collect import GradedSample
from ahalab.stages.rl_config import RLConfig

CRITIC_FOLDER = "critic"
"""Of a checkpoint: the value model and its optimizer."""


@dataclass(frozen=True, slots=True)
class FixedLogprobs:
    """Log-probs [n] float32 of one sample's tokens that stay as they are for the rollout; see `TrainingOutput`."""

    old: Tensor | None
    reference: Tensor | None = None
    sampler: Tensor | None = None


@dataclass(frozen=True, slots=True)
class RolloutOutput:
    """A graded sample and what is learned from it."""

    graded: GradedSample
    advantage: float | None
    """As the log shows it (PPO: the mean over its tokens). None: no total reward, so that it is in no loss."""
    trained: TrainingOutput | None
    """None where nothing is to be learned, or its group has no gradient and is dropped."""
    valued: ValuedOutput | None = None


class Estimator(Protocol):
    """How a rollout's rewards become advantages, and what else learns beside the policy."""

    def estimate(
        self, groups: Sequence[Sequence[GradedSample]], logprobs: Sequence[FixedLogprobs]
    ) -> tuple[list[RolloutOutput], dict[str, int]]:
        """Outputs in (prompt, sample) order, and the rollout's figures. `logprobs`: one a sample, in that order."""
        ...

    def update(self, outputs: Sequence[RolloutOutput], learning_rate_scale: float) -> dict[str, float]:
        """Learn from one minibatch, beside the policy's own update; returns metrics."""
        ...

    def save(self, folder: Path) -> None:
        """Put its state into a checkpoint."""
        ...

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint."""
        ...


def build_estimator(config: RLConfig, base: str) -> Estimator:
    """The estimator of the stage's algorithm; PPO loads `base` once more, as the value model's backbone."""
    return _CriticEstimator(config, base) if config.algorithm == "ppo" else _GroupEstimator(config)


class _GroupEstimator:
    """GRPO: each output against its group's mean. Nothing but the policy learns."""

    def __init__(self, config: RLConfig) -> None:
        self.config = config

    def estimate(
        self, groups: Sequence[Sequence[GradedSample]], logprobs: Sequence[FixedLogprobs]
    ) -> tuple[list[RolloutOutput], dict[str, int]]:
        advantages = [_relative(group, self.config) for group in groups]
        effective = [has_gradient(group) for group in advantages]
        drop = self.config.drop_zero_gradient_groups
        fixed = iter(logprobs)
        outputs = []
        for group, values, moves in zip(groups, advantages, effective, strict=True):
            for graded, advantage in zip(group, values, strict=True):
                own = next(fixed)
                kept = advantage is not None and (moves or not drop)
                trained = _training_output(graded, advantage or 0.0, own) if kept else None
                outputs.append(RolloutOutput(graded, advantage, trained))
        return outputs, _figures(advantages, dropped=len(groups) - sum(effective) if drop else 0)

    def update(self, outputs: Sequence[RolloutOutput], learning_rate_scale: float) -> dict[str, float]:  # noqa: ARG002
        return {}

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


class _CriticEstimator:
    """PPO: a value for each token, GAE, and the total reward on the last token (the paper's comparison, A.3)."""

    def __init__(self, config: RLConfig, base: str) -> None:
        self.config = config
        self.learning_rate = config.value_learning_rate or config.learning_rate
        self.critic = Critic(
            load_policy(base),
            learning_rate=self.learning_rate,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            tokens_per_chunk=config.tokens_per_chunk,
        )

    def estimate(
        self, groups: Sequence[Sequence[GradedSample]], logprobs: Sequence[FixedLogprobs]
    ) -> tuple[list[RolloutOutput], dict[str, int]]:
        samples = [graded for group in groups for graded in group]
        rewarded = [place for place, graded in enumerate(samples) if graded.reward.total is not None]
        plain = [_training_output(samples[place], 0.0, logprobs[place]) for place in rewarded]
        valued = ppo_outputs(
            plain,
            [total for graded in samples if (total := graded.reward.total) is not None],
            self.critic.values([(one.prompt_ids, one.token_ids) for one in plain]),
            lam=self.config.gae_lambda,
            kl_coefficient=self.config.kl_in_reward,
        )
        outputs = [RolloutOutput(graded, None, None) for graded in samples]
        for place, one in zip(rewarded, valued, strict=True):
            mean = float(torch.as_tensor(one.output.advantage).double().mean())
            outputs[place] = RolloutOutput(samples[place], mean, one.output, one)
        # How many groups differ in reward is told as for GRPO; here every rewarded output is learned from.
        return outputs, _figures([_relative(group, self.config) for group in groups], dropped=0)

    def update(self, outputs: Sequence[RolloutOutput], learning_rate_scale: float) -> dict[str, float]:
        valued = [output.valued for output in outputs if output.valued is not None]
        return self.critic.update(valued, self.learning_rate * learning_rate_scale) if valued else {}

    def save(self, folder: Path) -> None:
        self.critic.save(folder / CRITIC_FOLDER)

    def load(self, folder: Path) -> None:
        self.critic.load(folder / CRITIC_FOLDER)


def _relative(group: Sequence[GradedSample], config: RLConfig) -> list[float | None]:
    return group_advantages(
        [graded.reward.total for graded in group],
        scale=config.advantage_scale,
        ddof=config.advantage_ddof,
        epsilon=config.advantage_epsilon,
    )


def _figures(advantages: Sequence[Sequence[float | None]], dropped: int) -> dict[str, int]:
    return {
        "groups": len(advantages),
        "effective_groups": sum(map(has_gradient, advantages)),
        "ungraded_groups": sum(all(value is None for value in group) for group in advantages),
        "dropped_groups": dropped,
    }


def _training_output(graded: GradedSample, advantage: float, fixed: FixedLogprobs) -> TrainingOutput:
    return TrainingOutput(
        graded.prompt_ids, graded.sample.token_ids, advantage, fixed.old, fixed.reference, fixed.sampler
    )
