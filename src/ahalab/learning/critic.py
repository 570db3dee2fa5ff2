"""The value model of PPO: the policy's architecture with a head of one number a token, trained beside the policy.

Use, once a rollout and then once a minibatch:

    values = critic.values([(o.prompt_ids, o.token_ids) for o in outputs])
    valued = ppo_outputs(outputs, totals, values, lam=0.95)
    critic.update(valued[:n]); learner.update([v.output for v in valued[:n]], ppo_loss(0.2, 0.2), …)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.learning.advantages import generalised_advantages, normalised, token_rewards
from ahalab.learning.learner import TrainablePolicy
from ahalab.learning.losses.ppo import ValueLoss
from ahalab.learning.optimization import Optimization, refusal
from ahalab.learning.outputs import TrainingOutput
from ahalab.learning.packing import PackedChunk, pack
from ahalab.policy.memory import automatic_chunk

WEIGHTS_FILE = "critic.safetensors"


@dataclass(frozen=True, slots=True)
class ValuedOutput:
    """An output of n tokens, what the value model said of it, and what it should have said."""

    output: TrainingOutput
    """With an advantage for each token."""
    old_values: Tensor
    """[n] float32, at the time of the rollout."""
    returns: Tensor
    """[n] float32, what the values are to become."""


def ppo_outputs(
    outputs: Sequence[TrainingOutput],
    totals: Sequence[float],
    values: Sequence[Tensor],
    *,
    lam: float,
    gamma: float = 1.0,
    kl_coefficient: float = 0.0,
    normalise: bool = True,
) -> list[ValuedOutput]:
    """The outputs of a whole rollout with advantages by GAE; their own `advantage` is not looked at.

    `totals`: the reward of each; outputs whose grader failed are left out before. `values`: `Critic.values` of the
    same outputs. `kl_coefficient` above 0 puts the KL to the reference into each token's reward. `normalise`
    brings the advantages of all tokens to mean 0 and deviation 1; the returns stay as they are.
    Raises ValueError for lists that do not fit together, or a KL without old and reference log-probs.
    """
    estimated = [
        generalised_advantages(
            token_rewards(
                total,
                len(output.token_ids),
                kl_coefficient=kl_coefficient,
                old_logprobs=output.old_logprobs,
                reference_logprobs=output.reference_logprobs,
            ),
            value,
            lam=lam,
            gamma=gamma,
        )
        for output, total, value in zip(outputs, totals, values, strict=True)
    ]
    advantages = [advantage for advantage, _ in estimated]
    if normalise and advantages:
        advantages = normalised(advantages)
    return [
        ValuedOutput(replace(output, advantage=advantage), value, returns)
        for output, advantage, value, (_, returns) in zip(outputs, advantages, values, estimated, strict=True)
    ]


class Critic:
    """Values of a completion's tokens: what reward is still to come before each of them.

    `policy` is a model of its own (load the same checkpoint once more), which becomes the value model: its
    backbone is trained, its output head is left alone. The head starts at zero, so that the first rollout's
    values are all 0 (our choice). Optimizer as the learner's.
    """

    def __init__(
        self,
        policy: TrainablePolicy,
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.95),
        adam_epsilon: float = 1e-8,
        max_grad_norm: float = 1.0,
        tokens_per_chunk: int | None = None,
        loss: ValueLoss | None = None,
    ) -> None:
        """Raises ValueError when a trainable parameter is not fp32 or a figure is out of range."""
        if tokens_per_chunk is None:
            tokens_per_chunk = automatic_chunk(policy.model.config, policy.decoder.device)
        if tokens_per_chunk < 1:
            raise ValueError("tokens_per_chunk must be at least 1")
        self.policy = policy
        self.tokens_per_chunk = tokens_per_chunk
        self.loss = loss or ValueLoss()
        decoder = policy.decoder
        policy.model.eval()
        self.head = nn.Linear(decoder.head_weight.shape[1], 1, device=decoder.device, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        trained = {f"backbone.{name}": p for name, p in policy.model.named_parameters() if p.requires_grad}
        unused = _head_only(policy.model)
        self.optimization = Optimization(
            {
                **{name: p for name, p in trained.items() if id(p) not in unused},
                **{f"head.{name}": p for name, p in self.head.named_parameters()},
            },
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            betas=betas,
            adam_epsilon=adam_epsilon,
            max_grad_norm=max_grad_norm,
        )

    @torch.no_grad()
    def values(self, sequences: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Tensor]:
        """Values [n] float32, on the CPU, before each completion token of (prompt ids, completion ids) pairs."""
        results: dict[int, Tensor] = {}
        for chunk in pack(sequences, self.tokens_per_chunk, self.policy.decoder.device):
            found = self._forward(chunk).cpu()
            for index, part in zip(chunk.indices, torch.split(found, chunk.counts), strict=True):
                results[index] = part.clone()
        return [results[index] for index in range(len(sequences))]

    def update(self, valued: Sequence[ValuedOutput], learning_rate: float | None = None) -> dict[str, float]:
        """One optimizer step over one minibatch, the mean over its tokens.

        Returns `value_loss`, `value_error` (mean squared error), `value_clipped` (share of tokens held by the
        clip), `value_mean`, `return_mean`, `explained_variance` (of the returns by the values of the rollout, 1 is
        perfect, 0 is no better than their mean; 0 where all returns are equal), `value_grad_norm` and
        `value_learning_rate`. Raises AhaError when the loss or the gradient is not finite (the step is refused),
        ValueError without outputs.
        """
        if not valued:
            raise ValueError("an update needs at least one output")
        metrics: dict[str, float] = {}
        try:
            sums = self._accumulate(valued)
            self.optimization.step(metrics, learning_rate)
        finally:
            self.optimization.clear()
        returns = torch.cat([one.returns for one in valued]).double()
        old = torch.cat([one.old_values for one in valued]).double()
        spread = returns.var(correction=0).item()
        return {
            **sums,
            "value_mean": old.mean().item(),
            "return_mean": returns.mean().item(),
            "explained_variance": 1.0 - (returns - old).var(correction=0).item() / spread if spread else 0.0,
            "value_grad_norm": metrics["grad_norm"],
            "value_learning_rate": metrics["learning_rate"],
        }

    def save(self, folder: Path) -> None:
        """Write `critic.safetensors` and the optimizer's state into `folder`, a folder of its own, made here.

        Raises EnvironmentFailure when it cannot be written.
        """
        try:
            folder.mkdir(exist_ok=True)
            tensors = {name: p.detach().contiguous() for name, p in self.optimization.parameters.items()}
            save_file(tensors, folder / WEIGHTS_FILE)
        except (OSError, SafetensorError) as failure:
            raise EnvironmentFailure(
                f"{folder / WEIGHTS_FILE} cannot be written ({failure}). Nothing already written was lost: free "
                "some space, or make the folder writable, and run the same command again."
            ) from failure
        self.optimization.save(folder)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; the next updates are bit by bit those the saved critic would make.

        Raises EnvironmentFailure for a missing or broken file, UserError when it is that of another model.
        """
        path = folder / WEIGHTS_FILE
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as failure:
            raise EnvironmentFailure(
                f"{path}: the value model is missing or broken ({failure}). Go on from another checkpoint."
            ) from failure
        shapes = {name: tuple(p.shape) for name, p in self.optimization.parameters.items()}
        if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
            raise UserError(f"{path} belongs to another model. Use the checkpoint of this very run.")
        with torch.no_grad():
            for name, parameter in self.optimization.parameters.items():
                parameter.copy_(tensors[name])
        self.optimization.load(folder)

    def _forward(self, chunk: PackedChunk) -> Tensor:
        """Values [N] before the chunk's completion tokens."""
        hidden = self.policy.decoder.packed_hidden(chunk.tokens, chunk.lengths)
        values: Tensor = self.head(hidden.index_select(0, chunk.positions).float()).squeeze(-1)
        return values

    def _accumulate(self, valued: Sequence[ValuedOutput]) -> dict[str, float]:
        device = self.policy.decoder.device
        sequences = [(one.output.prompt_ids, one.output.token_ids) for one in valued]
        tokens = sum(len(completion) for _, completion in sequences)
        sums = {"value_loss": 0.0, "value_error": 0.0, "value_clipped": 0.0}
        for chunk in pack(sequences, self.tokens_per_chunk, device):
            chosen = [valued[index] for index in chunk.indices]
            values = self._forward(chunk)
            weights = torch.full((len(values),), 1.0 / tokens, device=device)
            scalar, metrics = self.loss(
                values,
                torch.cat([one.old_values for one in chosen]).to(device),
                torch.cat([one.returns for one in chosen]).to(device),
                weights,
            )
            sums["value_loss"] += scalar.item()
            for name, figure in metrics.items():
                sums[name] += figure / tokens
            if not math.isfinite(sums["value_loss"]):
                raise refusal(f"the value model's loss is {sums['value_loss']}", sums)
            scalar.backward()  # type: ignore[no-untyped-call]
        return sums


def _head_only(model: nn.Module) -> set[int]:
    """Ids of parameters of the output head that are not embeddings too: values do not depend on them."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    tied = getattr(model, "get_input_embeddings", lambda: None)()
    inside = {id(p) for p in tied.parameters()} if tied is not None else set()
    return {id(p) for p in head.parameters()} - inside if head is not None else set()
