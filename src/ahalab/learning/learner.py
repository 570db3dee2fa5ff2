"""The learner: one optimizer step over one minibatch of outputs, packed, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, get_args

import torch
from torch import Tensor, nn

from ahalab.learning.losses.batch import Loss, LossBatch
from ahalab.learning.optimization import Optimization, refusal
from ahalab.learning.outputs import TrainingOutput
from ahalab.learning.packing import PackedChunk, pack
from ahalab.policy.forward.decoder import Decoder
from ahalab.policy.forward.logprobs import token_logprobs
from ahalab.policy.forward.mixed import ComputeDtype, PackedForward, mixed_forward
from ahalab.policy.forward.mixed_head import mixed_token_logprobs
from ahalab.policy.memory import automatic_chunk

OnChunk = Callable[[int, int], None]
"""Called after every chunk with (chunks done, chunks in all), for progress displays."""


class TrainablePolicy(Protocol):
    """A model and the lean forward over its parameters."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def decoder(self) -> Decoder: ...


class Learner:
    """AdamW over the policy's fp32 parameters.

    The paper names no optimizer, weight decay, betas or gradient clip: the defaults are our choice.
    Dropout is switched off for good, since it would make the learner's log-probs differ from the sampler's.
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
        logprob_chunk: int = 1024,
        compute_dtype: ComputeDtype = "fp32",
        fused: bool | None = None,
    ) -> None:
        """`tokens_per_chunk` bounds the tokens of one forward pass, `logprob_chunk` the rows of logits.

        `tokens_per_chunk` None: see `automatic_chunk`.

        `compute_dtype` "bf16" multiplies in bf16 (see `policy.forward.mixed`); parameters, gradients and optimizer
        stay fp32. `fused` compiles what lies between the products then; None: on a GPU.

        Raises ValueError when a trainable parameter is not fp32 or a figure is out of range.
        """
        if tokens_per_chunk is None:
            tokens_per_chunk = automatic_chunk(policy.model.config, policy.decoder.device)
        if tokens_per_chunk < 1 or logprob_chunk < 1:
            raise ValueError("tokens_per_chunk and logprob_chunk must be at least 1")
        if compute_dtype not in get_args(ComputeDtype):
            raise ValueError(f"compute_dtype must be fp32 or bf16, got {compute_dtype!r}")
        self.policy = policy
        self.tokens_per_chunk = tokens_per_chunk
        self.logprob_chunk = logprob_chunk
        self.compute_dtype = compute_dtype
        self.fused = fused
        self._own = self._forward_of(policy)
        policy.model.eval()
        self.optimization = Optimization(
            {name: p for name, p in policy.model.named_parameters() if p.requires_grad},
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            betas=betas,
            adam_epsilon=adam_epsilon,
            max_grad_norm=max_grad_norm,
        )

    @torch.no_grad()
    def logprobs(
        self,
        sequences: Sequence[tuple[Sequence[int], Sequence[int]]],
        temperature: float,
        *,
        policy: TrainablePolicy | None = None,
        on_chunk: OnChunk | None = None,
    ) -> list[Tensor]:
        """Log-probs of the completion tokens of (prompt ids, completion ids) pairs, in their order.

        `policy`: another one than the learner's own, such as the reference.
        Each result is [n] float32, natural log, of the distribution tempered by `temperature`; no gradient.
        """
        chunks = pack(sequences, self.tokens_per_chunk, self.policy.decoder.device)
        forward = self._own if policy is None else self._forward_of(policy)
        results: dict[int, Tensor] = {}
        for done, chunk in enumerate(chunks, start=1):
            logprobs, _ = self._forward(chunk, temperature, forward)
            for index, part in zip(chunk.indices, torch.split(logprobs, chunk.counts), strict=True):
                results[index] = part.clone()  # a view would keep the whole chunk alive for the rollout
            if on_chunk is not None:
                on_chunk(done, len(chunks))
        return [results[index] for index in range(len(sequences))]

    def update(
        self,
        outputs: Sequence[TrainingOutput],
        loss: Loss,
        temperature: float,
        *,
        n_outputs: int,
        n_tokens: int,
        learning_rate: float | None = None,
        on_chunk: OnChunk | None = None,
    ) -> dict[str, float]:
        """One optimizer step over one minibatch.

        `outputs` may lack those of groups without gradient, while `n_outputs` and `n_tokens` count all graded
        outputs and their completion tokens. With no outputs at all the gradient is zero and the step is still
        made (the optimizer's momentum moves the weights), as it would be had they not been dropped.
        `learning_rate` overrides the learner's for this update.

        Returns `loss`, `grad_norm` (before clipping), `learning_rate`, `trained_outputs`, `trained_tokens`
        (completion tokens), `fed_tokens` (tokens through the model, none of them padding) and `chunks`. Where
        anything was trained, also means over the trained tokens: `entropy` in nats, the loss's metrics (GRPO:
        `ratio`, `ratio_max`, `clip_low`, `clip_high`, `kl`), and `sampler_mismatch_mean` and `_max`, the
        absolute difference of the new log-probs and the sampler's (or the old ones, where there are any). Only on
        the first update of a rollout is the latter the difference between sampler and learner alone; later it
        includes what the updates did.

        Raises AhaError when the loss or the gradient is not finite: the step is refused, the weights and the
        optimizer stay as they are. Raises ValueError for counts smaller than what `outputs` holds.
        """
        try:
            metrics = self._accumulate(outputs, loss, temperature, n_outputs, n_tokens, on_chunk)
            self.optimization.step(metrics, learning_rate)
        finally:
            self.optimization.clear()
        return metrics

    def save(self, folder: Path) -> None:
        """Write the optimizer's state into `folder`; see `save_adamw`. The weights are not in it."""
        self.optimization.save(folder)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; see `load_adamw`."""
        self.optimization.load(folder)

    def _forward_of(self, policy: TrainablePolicy) -> PackedForward:
        if self.compute_dtype == "bf16":
            return mixed_forward(policy.decoder, fused=self.fused)
        return policy.decoder

    def _forward(
        self, chunk: PackedChunk, temperature: float, forward: PackedForward
    ) -> tuple[Tensor, Tensor]:
        """(log-probs [N], entropy [N]) of the chunk's completion tokens."""
        hidden = forward.packed_hidden(chunk.tokens, chunk.lengths).index_select(0, chunk.positions)
        head = forward.head_weight, chunk.targets, temperature, self.logprob_chunk, forward.softcap
        if self.compute_dtype == "fp32":
            return token_logprobs(hidden, *head, add_to_grad=True)
        return mixed_token_logprobs(hidden, *head, fused=self.fused)

    def _accumulate(
        self,
        outputs: Sequence[TrainingOutput],
        loss: Loss,
        temperature: float,
        n_outputs: int,
        n_tokens: int,
        on_chunk: OnChunk | None = None,
    ) -> dict[str, float]:
        """Leave the minibatch's gradient in the parameters and return its metrics."""
        lengths = [len(output.token_ids) for output in outputs]
        if n_outputs < max(1, len(outputs)) or n_tokens < max(1, sum(lengths)):
            raise ValueError(
                f"n_outputs={n_outputs} and n_tokens={n_tokens} must be at least 1 and count the "
                f"{len(outputs)} outputs of {sum(lengths)} tokens given"
            )
        if len({output.reference_logprobs is None for output in outputs}) > 1:
            raise ValueError("either all outputs or none must have reference log-probs")
        if len({output.old_logprobs is None for output in outputs}) > 1:
            raise ValueError("either all outputs or none must have old log-probs")
        if len({output.sampler_logprobs is None for output in outputs}) > 1:
            raise ValueError("either all outputs or none must have the sampler's log-probs")
        weights = loss.weights(lengths, n_outputs, n_tokens)
        device = self.policy.decoder.device
        chunks = pack([(o.prompt_ids, o.token_ids) for o in outputs], self.tokens_per_chunk, device)

        sums: dict[str, float] = {"loss": 0.0}
        trained = sum(lengths)
        for done, chunk in enumerate(chunks, start=1):
            logprobs, entropy = self._forward(chunk, temperature, self._own)
            batch = _loss_batch(outputs, weights, chunk, logprobs.detach())
            scalar, metrics = loss(logprobs, batch)
            value = scalar.item()
            metrics["entropy"] = entropy.sum().item()
            sampled = batch.sampler_logprobs
            if sampled is None and outputs[chunk.indices[0]].old_logprobs is not None:
                sampled = batch.old_logprobs
            if sampled is not None:
                mismatch = (logprobs.detach() - sampled).abs()
                metrics["sampler_mismatch_mean"] = mismatch.sum().item()
                metrics["sampler_mismatch_max"] = mismatch.max().item()
            if not math.isfinite(value):
                means = _means(metrics, len(chunk.targets))
                raise refusal(f"the loss of chunk {done} of {len(chunks)} is {value}", means)
            scalar.backward()  # type: ignore[no-untyped-call]
            sums["loss"] += value
            for name, figure in metrics.items():
                if name.endswith("_max"):
                    sums[name] = max(sums.get(name, figure), figure)
                else:
                    sums[name] = sums.get(name, 0.0) + figure
            if on_chunk is not None:
                on_chunk(done, len(chunks))

        return {
            **_means(sums, trained),
            "trained_outputs": float(len(outputs)),
            "trained_tokens": float(trained),
            "fed_tokens": float(sum(sum(chunk.lengths) for chunk in chunks)),
            "chunks": float(len(chunks)),
        }


def _means(sums: dict[str, float], tokens: int) -> dict[str, float]:
    """Sums over tokens as means. Maxima stay; so does the loss, whose weights hold the denominator."""
    keep = ("loss",)
    return {n: f if n in keep or n.endswith("_max") else f / max(tokens, 1) for n, f in sums.items()}


def _loss_batch(
    outputs: Sequence[TrainingOutput], weights: Sequence[float], chunk: PackedChunk, logprobs: Tensor
) -> LossBatch:
    """The chunk's outputs side by side, in packed order; `logprobs` [N] stand in where there are no old ones."""
    counts, device = torch.tensor(chunk.counts), logprobs.device
    chosen = [outputs[index] for index in chunk.indices]

    def per_token(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).repeat_interleave(counts).to(device)

    old = [o.old_logprobs for o in chosen if o.old_logprobs is not None]
    references = [o.reference_logprobs for o in chosen if o.reference_logprobs is not None]
    sampled = [o.sampler_logprobs for o in chosen if o.sampler_logprobs is not None]
    return LossBatch(
        advantages=_advantages([output.advantage for output in chosen], chunk.counts).to(device),
        weights=per_token([weights[index] for index in chunk.indices]),
        old_logprobs=torch.cat(old).to(device, torch.float32) if old else logprobs,
        reference_logprobs=torch.cat(references).to(device, torch.float32) if references else None,
        sampler_logprobs=torch.cat(sampled).to(device, torch.float32) if sampled else None,
    )


def _advantages(values: Sequence[float | Tensor], counts: Sequence[int]) -> Tensor:
    """[N] float32: an output's one advantage repeated over its tokens, or its own for each token."""
    return torch.cat(
        [
            value.to("cpu", torch.float32)
            if isinstance(value, Tensor)
            else torch.full((count,), value, dtype=torch.float32)
            for value, count in zip(values, counts, strict=True)
        ]
    )
