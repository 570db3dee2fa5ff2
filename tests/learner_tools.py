"""A learner, a plain update to hold it against, and ways to compare the two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from ahalab.learning import GRPOLoss, Learner, TrainingOutput, group_advantages
from learning_tools import TEMPERATURE, counts, policy_of, sequences

MODERN = GRPOLoss(clip_low=0.2, clip_high=0.28, kl_coefficient=0.0, aggregate="token")
PAPER = GRPOLoss(clip_low=10.0, clip_high=10.0, kl_coefficient=0.001, aggregate="output")


def learner_of(model: LlamaForCausalLM, **settings: Any) -> Learner:
    return Learner(policy_of(model), **{"learning_rate": 1e-3, "tokens_per_chunk": 64, **settings})


def plain_logprobs(model: LlamaForCausalLM, prompt: Sequence[int], completion: Sequence[int]) -> Tensor:
    ids = torch.tensor([[*prompt, *completion]])
    logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float() / TEMPERATURE
    return logits.log_softmax(-1)[torch.arange(len(completion)), torch.tensor(completion)]


def outputs_of(model: LlamaForCausalLM, *, reference: bool, drift: float = 0.3) -> list[TrainingOutput]:
    """Every third group has equal rewards; old log-probs lie off the policy's, so that some tokens clip."""
    pairs = sequences()
    generator = torch.Generator().manual_seed(1)
    outputs = []
    for group in range(0, len(pairs), 4):
        spread = 0.0 if group % 12 == 8 else 1.0
        advantages = group_advantages(
            [spread * total for total in (0.0, 1.0, 2.0, 1.0)], scale="std", ddof=0, epsilon=1e-4
        )
        for (prompt, completion), advantage in zip(pairs[group : group + 4], advantages, strict=True):
            with torch.no_grad():
                now = plain_logprobs(model, prompt, completion)
            noise = torch.randn(2, len(completion), generator=generator) * drift
            assert advantage is not None
            outputs.append(
                TrainingOutput(
                    prompt, completion, advantage, now + noise[0], now + noise[1] if reference else None
                )
            )
    return outputs


def plain_gradient(model: LlamaForCausalLM, outputs: Sequence[TrainingOutput], loss: GRPOLoss) -> float:
    """Leave the whole minibatch's gradient in the model, written from the formula; returns the loss."""
    per_output = []
    for output in outputs:
        new = plain_logprobs(model, output.prompt_ids, output.token_ids)
        ratio = (new - output.old_logprobs).exp()
        clipped = ratio.clamp(1 - loss.clip_low, 1 + loss.clip_high)
        token_loss = -torch.minimum(ratio * output.advantage, clipped * output.advantage)
        if output.reference_logprobs is not None:
            log_ratio = output.reference_logprobs - new
            token_loss = token_loss + loss.kl_coefficient * (log_ratio.exp() - log_ratio - 1)
        per_output.append(token_loss)
    if loss.aggregate == "token":
        total = torch.cat(per_output).mean()
    else:
        total = torch.stack([token_loss.mean() for token_loss in per_output]).mean()
    model.zero_grad()
    total.backward()
    return total.item()


def gradients(learner: Learner, outputs: Sequence[TrainingOutput], loss: GRPOLoss) -> dict[str, Tensor]:
    learner._accumulate(outputs, loss, TEMPERATURE, **counts(outputs))
    return take_gradients(learner.policy.model)


def take_gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    taken = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return taken


def assert_close(left: dict[str, Tensor], right: dict[str, Tensor], tolerance: float) -> None:
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=1e-4, atol=tolerance)
