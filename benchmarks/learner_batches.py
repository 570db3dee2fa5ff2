"""What both sides of `learner` train on: rows of real lengths, and how many token positions they are worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ahalab.counter import make_key, uniforms
from ahalab.errors import UserError
from ahalab.learning import GRPOLoss, TrainingOutput, group_advantages
from ahalab.learning.losses.batch import Loss
from ahalab.learning.losses.sft import SFTLoss
from ahalab.policy.load import load_policy
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.text.renderer import Renderer

GRPO = GRPOLoss(clip_low=0.2, clip_high=0.28, kl_coefficient=0.0, aggregate="token")

Rows = Sequence[tuple[Sequence[int], Sequence[int]]]
"""(prompt ids, completion ids) pairs."""


@dataclass(frozen=True)
class Batch:
    """One optimizer step's rows."""

    loss: Literal["grpo", "sft"]
    outputs: list[TrainingOutput]

    @property
    def rows(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        return [(output.prompt_ids, output.token_ids) for output in self.outputs]

    @property
    def tokens(self) -> int:
        """Completion tokens."""
        return sum(len(output.token_ids) for output in self.outputs)

    def make_loss(self) -> Loss:
        return GRPO if self.loss == "grpo" else SFTLoss()

    def write(self, path: Path) -> None:
        rows = [
            {
                "prompt_ids": output.prompt_ids,
                "token_ids": output.token_ids,
                "advantage": output.advantage,
                "old_logprobs": None if output.old_logprobs is None else output.old_logprobs.tolist(),
            }
            for output in self.outputs
        ]
        path.write_text(json.dumps({"loss": self.loss, "rows": rows}), encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Batch:
        found = json.loads(path.read_text(encoding="utf-8"))
        outputs = [
            TrainingOutput(
                tuple(row["prompt_ids"]),
                tuple(row["token_ids"]),
                row["advantage"],
                None if row["old_logprobs"] is None else torch.tensor(row["old_logprobs"]),
            )
            for row in found["rows"]
        ]
        return Batch(found["loss"], outputs)


def rollout_batch(base: str, questions: Sequence[str], samples: int, max_new_tokens: int) -> Batch:
    """What `base` itself answers: every question sampled `samples` times at temperature 1, stopping by itself.

    The rewards are random numbers: every group then has a gradient, and nothing could be dropped.
    """
    policy = load_policy(base)
    renderer = Renderer(policy.tokenizer, extra_stop_ids=policy.stop_ids)
    prompts = [PromptTokens(str(i), tuple(renderer.prompt_ids(q))) for i, q in enumerate(questions)]
    sampling = Sampling(max_new_tokens, stop_ids=renderer.stop_ids)
    engine = EmbeddedEngine(policy.decoder)
    drawn = sorted(
        engine.generate(prompts, samples, sampling, RolloutKey(0, "learner", 1)),
        key=lambda sample: (int(sample.prompt_id), sample.index),
    )
    outputs = []
    for number, prompt in enumerate(prompts):
        group = drawn[number * samples : (number + 1) * samples]
        for sample, advantage in zip(group, random_advantages(number, samples), strict=True):
            logprobs = torch.tensor(sample.logprobs)
            outputs.append(TrainingOutput(prompt.token_ids, sample.token_ids, advantage, logprobs))
    return Batch("grpo", outputs)


def worked_batch(base: str, pairs: Sequence[tuple[str, str]]) -> Batch:
    """(question, worked solution) pairs as supervised rows, none of which shares its question with another."""
    policy = load_policy(base)
    renderer = Renderer(policy.tokenizer, extra_stop_ids=policy.stop_ids)
    if renderer.stop_id is None:
        raise UserError(f"base {base!r} has no stop token, so that no answer could end")
    outputs = [
        TrainingOutput(
            tuple(renderer.prompt_ids(question)), (*renderer.completion_ids(solution), renderer.stop_id)
        )
        for question, solution in pairs
    ]
    return Batch("sft", outputs)


def spread_batch(prompts: int, samples: int, prompt_tokens: int, longest: int, vocabulary: int) -> Batch:
    """Random tokens in groups whose completions have between a quarter of `longest` tokens and all of them."""
    random = np.random.default_rng(0)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(random.integers(0, vocabulary, count).tolist())

    outputs = []
    for number in range(prompts):
        prompt = tokens(prompt_tokens)
        for advantage in random_advantages(number, samples):
            completion = tokens(int(random.integers(longest // 4, longest + 1)))
            outputs.append(TrainingOutput(prompt, completion, advantage))
    return Batch("grpo", outputs)


def random_advantages(group: int, samples: int) -> list[float]:
    """Advantages of one group with random rewards in [0, 1)."""
    keys = np.full(samples, make_key("learner", group), dtype=np.uint64)
    rewards = uniforms(keys, np.arange(samples)).tolist()
    advantages = group_advantages(rewards, scale="std", ddof=0, epsilon=1e-4)
    return [advantage for advantage in advantages if advantage is not None]


def distinct_positions(rows: Rows) -> int:
    """Token positions that have to be computed at least: distinct prefixes of the rows.

    A causal model's state depends on the prefix only. A row's last token predicts nothing and is not counted.
    """
    children: dict[tuple[int, int], int] = {}
    for prompt, completion in rows:
        node = 0
        for token in (*prompt, *completion[:-1]):
            node = children.setdefault((node, token), len(children) + 1)
    return len(children)


def waste(computed: int, rows: Rows) -> float:
    """Share of the computed token positions that are padding, repeated, or the last of a row."""
    return 1.0 - distinct_positions(rows) / computed
