"""The contestants of `learner`: ahalab's learner, and a plain padded loop over a `transformers` model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM

from ahalab.learning import Learner, TrainingOutput
from ahalab.policy.forward import make_decoder
from benchmarks.learner_batches import Batch, waste
from benchmarks.worker import _megabytes

LIBRARIES_MB = _megabytes("VmRSS")
OPTIMIZER = {"lr": 1e-6, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.0}
"""A rate so small that no round changes what the next one computes."""
MAX_GRAD_NORM = 1.0


def load_model(source: dict[str, Any]) -> Any:
    """fp32 `transformers` model of {"folder": …}, or of {"config": {…}} with random weights."""
    if "folder" in source:
        return AutoModelForCausalLM.from_pretrained(source["folder"], dtype=torch.float32).eval()
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**source["config"])).float().eval()


class _Lookups(TorchDispatchMode):
    """Counts the token positions that are looked up in an embedding table: each then runs through the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.embedding.default:
            self.count += args[1].numel()
        return func(*args, **(kwargs or {}))


class _Contestant:
    """Rounds of one optimizer step over the same batch.

    The first warm-up also writes the gradient as it reaches AdamW, after clipping, to `gradient`, and counts the
    computed positions.
    """

    adamw: torch.optim.AdamW
    model: nn.Module

    def __init__(self, batch: str, gradient: str | None) -> None:
        self.batch = Batch.read(Path(batch))
        self._gradient = gradient
        self._positions: int | None = None

    def step(self) -> None:
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return {**self.facts(), "parameters": parameters, "libraries_mb": LIBRARIES_MB}

    def run(self, _number: int) -> dict[str, Any]:
        if self._positions is None:
            hook = self.adamw.register_step_pre_hook(lambda *_: self._write_gradient())
            with _Lookups() as lookups:
                self.step()
            hook.remove()
            self._positions = lookups.count
        else:
            self.step()
        return {
            "tokens": self.batch.tokens,
            "positions": self._positions,
            "waste": waste(self._positions, self.batch.rows),
        }

    def _write_gradient(self) -> None:
        if self._gradient is not None:
            gradients = {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}
            save_file(gradients, self._gradient)


class OurLearner(_Contestant):
    """`Learner` with what a recipe has by default."""

    def __init__(
        self,
        model: dict[str, Any],
        batch: str,
        dtype: str = "fp32",
        gradient: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(batch, gradient)
        self.model = load_model(model)
        self._settings = {"tokens_per_chunk": 4096, "compute_dtype": dtype, **settings}
        self._decoder = make_decoder(self.model)
        self._learner = Learner(
            SimpleNamespace(model=self.model, decoder=self._decoder),
            learning_rate=OPTIMIZER["lr"],
            betas=OPTIMIZER["betas"],
            adam_epsilon=OPTIMIZER["eps"],
            weight_decay=OPTIMIZER["weight_decay"],
            max_grad_norm=MAX_GRAD_NORM,
            **self._settings,
        )
        self.adamw = self._learner.optimization.adamw

    def facts(self) -> dict[str, Any]:
        return {
            "dtype": self._settings["compute_dtype"],
            **self._settings,
            "forward": getattr(self._decoder, "description", ""),
        }

    def step(self) -> None:
        self._learner.update(
            self.batch.outputs,
            self.batch.make_loss(),
            1.0,
            n_outputs=len(self.batch.outputs),
            n_tokens=self.batch.tokens,
        )


@dataclass(frozen=True)
class Padded:
    """B rows in one rectangle: prompts padded on the left to P tokens, completions on the right to C."""

    input_ids: Tensor
    """[B, P + C]"""
    attention_mask: Tensor
    """[B, P + C] 1 where there is a token."""
    completion_mask: Tensor
    """[B, C] bool."""
    advantages: Tensor
    """[B, 1]"""
    old_logprobs: Tensor | None
    """[B, C]"""


def pad(outputs: Sequence[TrainingOutput], pad_id: int = 0) -> Padded:
    """The rectangle of these outputs, no wider than its own longest prompt and completion."""
    width = max(len(output.prompt_ids) for output in outputs)
    length = max(len(output.token_ids) for output in outputs)
    ids = torch.full((len(outputs), width + length), pad_id)
    mask = torch.zeros_like(ids)
    old = torch.zeros(len(outputs), length)
    for row, output in enumerate(outputs):
        tokens = torch.tensor([*output.prompt_ids, *output.token_ids])
        place = slice(width - len(output.prompt_ids), width + len(output.token_ids))
        ids[row, place], mask[row, place] = tokens, 1
        if output.old_logprobs is not None:
            old[row, : len(output.token_ids)] = output.old_logprobs
    return Padded(
        ids,
        mask,
        mask[:, width:].bool(),
        torch.tensor([[output.advantage] for output in outputs]),
        None if outputs[0].old_logprobs is None else old,
    )


class PaddedLoop(_Contestant):
    """What a page of plain code does, with the care that TRL takes: logits of the completion only, no entropy.

    `micro_batch` rows at once; 0 tries the sizes of `tried` on the whole batch and takes the fastest.
    `by_length` sorts the rows before they are cut into micro-batches. bf16 is autocast, as trainers do it.
    """

    def __init__(
        self,
        model: dict[str, Any],
        batch: str,
        micro_batch: int = 0,
        tried: Sequence[int] = (),
        by_length: bool = False,
        dtype: str = "fp32",
        gradient: str | None = None,
    ) -> None:
        super().__init__(batch, gradient)
        self.model = load_model(model)
        # transformers gives the pad token's embedding no gradient, and SmolLM2's pad token is its end of a turn.
        self.model.get_input_embeddings().padding_idx = None
        self._dtype, self._by_length = dtype, by_length
        self.adamw = torch.optim.AdamW(self.model.parameters(), fused=True, **OPTIMIZER)  # type: ignore[arg-type]
        self._seconds: dict[int, float] = {}
        self._micro_batch = micro_batch or self._fastest(tried)

    def facts(self) -> dict[str, Any]:
        return {
            "dtype": "fp32" if self._dtype == "fp32" else "bf16-autocast",
            "micro_batch": self._micro_batch,
            "by_length": self._by_length,
            "tried_seconds": {str(size): round(seconds, 3) for size, seconds in self._seconds.items()},
        }

    def step(self) -> None:
        self._accumulate(self._micro_batch)
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM)
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)

    def _accumulate(self, size: int) -> None:
        outputs = self.batch.outputs
        if self._by_length:
            outputs = sorted(outputs, key=lambda output: len(output.prompt_ids) + len(output.token_ids))
        for start in range(0, len(outputs), size):
            self._loss(pad(outputs[start : start + size])).backward()

    def _loss(self, batch: Padded) -> Tensor:
        kept = batch.completion_mask.shape[1]
        with torch.autocast("cpu", torch.bfloat16, enabled=self._dtype == "bf16"):
            logits = self.model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                position_ids=(batch.attention_mask.cumsum(-1) - 1).clamp(min=0),
                logits_to_keep=kept + 1,
                use_cache=False,
            ).logits[:, :-1]
        logits = logits.float()
        targets = batch.input_ids[:, -kept:, None]
        # Row by row, as TRL's `selective_log_softmax`: less memory than log_softmax of all.
        normaliser = torch.stack([row.logsumexp(-1) for row in logits])
        logprobs = logits.gather(-1, targets).squeeze(-1) - normaliser
        if self.batch.loss == "sft":
            per_token = -logprobs
        else:
            old = logprobs.detach() if batch.old_logprobs is None else batch.old_logprobs
            ratio = torch.exp(logprobs - old)
            clipped = ratio.clamp(1 - 0.2, 1 + 0.28)
            per_token = -torch.minimum(ratio * batch.advantages, clipped * batch.advantages)
        return (per_token * batch.completion_mask).sum() / self.batch.tokens

    def _fastest(self, sizes: Sequence[int]) -> int:
        """The best of three tries of each size, or of as many as fit ten seconds."""
        self._loss(pad(self.batch.outputs[:1])).backward()
        for size in sizes:
            seconds: list[float] = []
            while len(seconds) < 3 and sum(seconds) < 10:
                started = time.perf_counter()
                self._accumulate(size)
                seconds.append(time.perf_counter() - started)
            self._seconds[size] = min(seconds)
        self.adamw.zero_grad(set_to_none=True)
        return min(self._seconds, key=self._seconds.__getitem__)
