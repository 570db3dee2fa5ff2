"""Why two samples with the same random numbers differ: promise 2 on sameness, made checkable.

Across batch sizes and engines the logits differ in their last bits, so a uniform that falls next to the boundary
between two tokens can pick the one or the other. Everything after such a token differs for good reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import torch

from ahalab.counter import row_key, uniform
from ahalab.policy.forward import Decoder
from ahalab.records import Sample
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.rollout.sampling import forbid_first, tempered_logprobs

NEAR = 1e-4
"""Promise 2: a uniform at most this far from a boundary explains a difference."""


@dataclass(frozen=True)
class Difference:
    """The first token in which two samples differ."""

    token_index: int
    tokens: tuple[int, int]
    uniform: float
    distance: float
    """How far the uniform lies outside the further of the two tokens' intervals, at most, in probability. At
    temperature 0, where no uniform is used: how far apart the two probabilities are."""

    @property
    def explained(self) -> bool:
        return self.distance <= NEAR


@torch.inference_mode()
def explain_difference(
    decoder: Decoder, prompt: PromptTokens, first: Sample, second: Sample, sampling: Sampling, key: RolloutKey
) -> Difference | None:
    """The first difference between two samples of the same prompt, index and key, or None where there is none.

    Raises:
        ValueError: the samples are not of the same prompt and index, or one merely goes on where the other
            ended, which no uniform explains.
    """
    if {(first.prompt_id, first.index), (second.prompt_id, second.index)} != {
        (prompt.prompt_id, first.index)
    }:
        raise ValueError(
            f"samples {first.prompt_id}/{first.index} and {second.prompt_id}/{second.index} of prompt "
            f"{prompt.prompt_id} cannot be compared: their random numbers differ"
        )
    if first.token_ids == second.token_ids:
        return None
    pairs = zip_longest(first.token_ids, second.token_ids)
    at, (one, other) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
    if one is None or other is None:
        raise ValueError(f"one sample ends after {at} tokens and the other goes on: other stop ids or limits")

    prefix = (*prompt.token_ids, *first.token_ids[:at])
    hidden = decoder.packed_hidden(torch.tensor(prefix, device=decoder.device), [len(prefix)])[-1:]
    logits = decoder.logits(hidden)
    logits = forbid_first(logits, torch.full((1,), at == 0, device=logits.device), sampling)
    logprobs = tempered_logprobs(logits, sampling)
    upper = logprobs[0].double().exp().cumsum(0)
    upper /= upper[-1].clone()
    lower = torch.cat((upper.new_zeros(1), upper[:-1]))
    number = uniform(row_key(key.seed, key.stage, key.rollout, prompt.prompt_id, first.index), at)
    if sampling.temperature == 0.0:
        distance = abs(float(logprobs[0, one].exp()) - float(logprobs[0, other].exp()))
    else:
        distance = max(
            max(float(lower[token]) - number, number - float(upper[token]), 0.0) for token in (one, other)
        )
    return Difference(at, (one, other), number, distance)
