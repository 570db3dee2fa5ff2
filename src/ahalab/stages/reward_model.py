"""The `reward_model` stage: a scalar head on a policy, trained on preference pairs or on safe/unsafe labels.

Paper §3.1: the helpful model is pairwise and sees the final summary only; the safety model is point-wise and sees the
whole response. Batch 256, learning rate 6e-6, one epoch, at most 8,192 tokens in training and no limit afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from ahalab.counter import make_key
from ahalab.errors import AhaError
from ahalab.learning.losses.pairwise import pairwise_loss
from ahalab.learning.losses.pointwise import pointwise_loss
from ahalab.learning.optimizer_state import load_adamw, save_adamw
from ahalab.learning.packing import best_fit
from ahalab.policy.load import load_policy
from ahalab.policy.memory import automatic_chunk
from ahalab.policy.reward_model import (
    ResponseFormat,
    RewardKind,
    RewardModelCard,
    score_sequences,
    vocabulary_hash,
)
from ahalab.policy.scalar_head import ScalarModel, add_scalar_head, load_scalar_weights, save_scalar_model
from ahalab.runs.atomic import TEMPORARY_PREFIX
from ahalab.runs.jsonl import JsonlWriter
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.data_entries import DataEntries, data_refs, load_labelled, load_pairs
from ahalab.stages.epochs import cosine_rate, epoch_batches, run_updates
from ahalab.stages.inputs import InputRef, StageConfig, paper_field
from ahalab.stages.ledger import Ledger
from ahalab.stages.reward_examples import Example, labelled_examples, pair_examples, split_by_question
from ahalab.stages.reward_figures import calibrate, held_out_figures, warnings_of
from ahalab.validation import StrictModel, told

VERSION = 1
"""Raised whenever the same inputs would give other bytes."""

SCORES_NAME = "held_out.jsonl"
"""Scores of the held-out rows, by id: never their text, which may be harmful."""

PRESETS: dict[str, dict[str, Any]] = {
    "modern": {},
    "paper": {
        "epochs": 1,
        "batch_size": 256,
        "learning_rate": 6e-6,
        "final_learning_rate": 6e-6,
        "warmup_steps": 0,
        "max_tokens": 8192,
    },
}
"""`modern` is the fields' own defaults, made for small models and few rows; `paper` is §3.1."""


class PreferenceData(StrictModel):
    """Which data sets a reward model learns from."""

    data: DataEntries = Field(
        min_length=1, description="Data sets: names of stages, and files or Hub data sets."
    )


class RewardModelConfig(StageConfig):
    """A reward model: exactly one of `pairwise` and `pointwise` says what it learns from."""

    from_: str = Field("base", alias="from", description="Stage whose checkpoint gets the head, or `base`.")
    preset: Literal["modern", "paper"] = Field("modern", description="Fills every field left out.")
    pairwise: PreferenceData | None = Field(
        None, description="Preference pairs: a helpful reward model, which scores the final summary."
    )
    pointwise: PreferenceData | None = Field(
        None, description="Safe/unsafe responses: a safety reward model, which scores the whole response."
    )
    epochs: Annotated[int, Field(ge=1)] = paper_field(2, "Passes over the training rows.", paper=1)
    batch_size: Annotated[int, Field(ge=1)] = paper_field(32, "Pairs or responses in one update.", paper=256)
    learning_rate: Annotated[float, Field(gt=0, le=1)] = paper_field(
        5e-4, "Peak learning rate of AdamW.", paper=6e-6
    )
    final_learning_rate: Annotated[float, Field(ge=0, le=1)] | None = paper_field(
        None,
        "Where its cosine ends (default: a tenth of learning_rate).",
        paper=6e-6,
        note="no schedule is given: our reading is a constant rate",
    )
    warmup_steps: Annotated[int, Field(ge=0)] = paper_field(5, "Linear warm-up.", paper="not said")
    weight_decay: Annotated[float, Field(ge=0)] = paper_field(0.0, "AdamW weight decay.", paper="not said")
    max_grad_norm: Annotated[float, Field(gt=0)] = paper_field(
        1.0, "Global gradient-norm clip.", paper="not said"
    )
    max_tokens: Annotated[int, Field(ge=16)] = paper_field(
        2048,
        "Longest sequence in training; a longer row is dropped.",
        paper=8192,
        note="no limit at inference",
    )
    held_out: Annotated[float, Field(gt=0, lt=1)] = paper_field(
        0.1, "Share of the questions that is measured and never learned from.", paper="not said"
    )
    template: Literal["auto", "chat", "table1"] = paper_field(
        "auto", "Prompt template: as in the `rl` stage that will ask this model.", paper="not said"
    )
    tokens_per_chunk: Annotated[int, Field(ge=16)] | None = paper_field(
        None,
        "Token budget of one forward and backward. Left out: 4,096; on a CPU fewer (not below 1,024) for a model whose "
        "backward pass would keep more than 1 GiB of them.",
    )
    checkpoint_every: Annotated[int, Field(ge=1)] = paper_field(20, "Updates between checkpoints.")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        preset = data.get("preset", "modern")
        return {**PRESETS.get(preset if isinstance(preset, str) else "", {}), **data}

    @model_validator(mode="after")
    def _check_together(self) -> RewardModelConfig:
        if (self.pairwise is None) == (self.pointwise is None):
            raise told(
                "give exactly one of `pairwise` (preference pairs: helpfulness) and `pointwise` (safe/unsafe labels: "
                "safety), each with its `data`"
            )
        if self.floor > self.learning_rate:
            raise told(
                f"final_learning_rate ({self.floor:g}) is above learning_rate ({self.learning_rate:g}): "
                "the cosine falls"
            )
        return self

    @property
    def floor(self) -> float:
        """Where the cosine ends."""
        return self.learning_rate / 10 if self.final_learning_rate is None else self.final_learning_rate

    def derived(self) -> dict[str, Any]:
        """The last learning rate, of the first."""
        return {"final_learning_rate": self.floor}

    @property
    def kind(self) -> RewardKind:
        """Which of the two it is."""
        return "pointwise" if self.pairwise is None else "pairwise"

    @property
    def entries(self) -> DataEntries:
        """Its data sets."""
        chosen = self.pairwise or self.pointwise
        assert chosen is not None
        return chosen.data

    @property
    def data_key(self) -> str:
        """Where they stand in the recipe."""
        return f"{self.kind}.data"

    def input_refs(self) -> dict[str, InputRef]:
        """The model it starts from, and the stages among its data sets."""
        return {"from": InputRef(self.from_), **data_refs(self.entries, self.data_key)}


def run_reward_model(config: RewardModelConfig, context: StageContext) -> StageResult:
    """Train; leaves `checkpoint/`, which plain transformers loads as a sequence classifier of one label.

    With it come `reward_model.json` (kind, scope, calibration), `held_out.jsonl` (scores by id) and the logs.

    Raises:
        UserError: too few rows, labels of one class, rows that cannot be read, a base without such a classifier.
        Interrupted: Ctrl-C; the state is saved.
    """
    policy = load_policy(context.inputs["from"])
    form = ResponseFormat(policy.tokenizer, config.template)
    scalar = add_scalar_head(policy)
    examples, dropped = _examples(config, context, form, scalar)
    train, held_out = split_by_question(
        examples, config.held_out, f"stages.{context.name}: {config.data_key}"
    )
    batches = epoch_batches(
        len(train), config.batch_size, config.epochs, make_key(context.seed, context.name)
    )
    trainer = _Trainer(config, scalar)

    def update(step: int) -> dict[str, float]:
        warmup = min(config.warmup_steps, len(batches) - 1)
        rate = cosine_rate(step, len(batches), config.learning_rate, config.floor, warmup)
        return trainer.update([train[row] for row in batches[step]], rate)

    ledger = Ledger(context.folder)
    try:
        run_updates(
            context, ledger, len(batches), update, trainer.save, trainer.load, config.checkpoint_every
        )
        last = ledger.store.peek()
        assert last is not None
        # Made again, to the same bytes, by a process that finds only this left to do.
        scores = _scores(scalar, held_out, trainer.tokens_per_chunk)
        calibration, by = calibrate(held_out, scores)
        card = RewardModelCard(config.kind, form.template, calibration, by, vocabulary_hash(scalar.tokenizer))
        card.write(last.path)
        _write_scores(context.folder, card, held_out, scores)
        ledger.finish()
    finally:
        ledger.close()
    figures = held_out_figures(held_out, scores)
    warnings = warnings_of(figures, by)
    for warning in warnings:
        context.event("warning", stage=context.name, text=warning)
        context.progress.note(f"{context.name}: {warning}")
    return StageResult(
        {
            "kind": config.kind,
            "scope": card.scope,
            "steps": len(batches),
            "rows": len(train),
            "dropped": dict(dropped),
            **figures,
            "calibration": {"slope": calibration.slope, "intercept": calibration.intercept, "by": by},
            "warnings": warnings,
        }
    )


def _examples(
    config: RewardModelConfig, context: StageContext, form: ResponseFormat, scalar: ScalarModel
) -> tuple[list[Example], dict[str, int]]:
    longest = min(config.max_tokens, scalar.decoder.max_positions or config.max_tokens)
    if config.kind == "pairwise":
        examples, dropped = pair_examples(load_pairs(config.entries, context, config.data_key), form, longest)
    else:
        rows = load_labelled(config.entries, context, config.data_key)
        examples, dropped = labelled_examples(rows, form, longest)
    if dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        context.event("dropped_rows", stage=context.name, reasons=dict(dropped))
        context.progress.note(f"{context.name}: dropped {dropped.total()} rows ({reasons})")
    return examples, dict(dropped)


class _Trainer:
    """AdamW over backbone and head; one update at a time, packed by whole examples."""

    def __init__(self, config: RewardModelConfig, scalar: ScalarModel) -> None:
        self._config, self._scalar = config, scalar
        self.tokens_per_chunk = config.tokens_per_chunk or automatic_chunk(
            scalar.model.config, scalar.decoder.device
        )
        scalar.model.eval()  # without dropout: a score in training is the score afterwards
        self._parameters = dict(scalar.model.named_parameters())
        self._optimizer = torch.optim.AdamW(
            list(self._parameters.values()),
            lr=config.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=config.weight_decay,
            fused=True,
        )

    def update(self, examples: Sequence[Example], rate: float) -> dict[str, float]:
        """One optimizer step on one minibatch; returns its loss and means over its examples.

        Raises AhaError when the loss or the gradient is not finite: nothing is changed then.
        """
        sums: dict[str, float] = {}
        try:
            for chunk in best_fit([example.tokens for example in examples], self.tokens_per_chunk):
                loss, metrics = self._loss([examples[index] for index in chunk], len(examples))
                loss.backward()  # type: ignore[no-untyped-call]
                for name, value in {"loss": loss.item(), **metrics}.items():
                    sums[name] = sums.get(name, 0.0) + value
            for parameter in self._parameters.values():
                if parameter.grad is None:  # AdamW would skip it, and its steps would no longer be counted
                    parameter.grad = torch.zeros_like(parameter)
            norm = nn.utils.get_total_norm([p.grad for p in self._parameters.values() if p.grad is not None])
            figures = {
                name: value if name == "loss" else value / len(examples) for name, value in sums.items()
            }
            figures |= {"grad_norm": norm.item(), "learning_rate": rate}
            if not (math.isfinite(figures["loss"]) and math.isfinite(figures["grad_norm"])):
                raise AhaError(
                    f"This update was refused, the weights are unchanged: the loss is {figures['loss']} and the "
                    f"gradient norm {figures['grad_norm']}. Start again with a lower learning rate."
                )
            nn.utils.clip_grads_with_norm_(self._parameters.values(), self._config.max_grad_norm, norm)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.step()
        finally:
            self._optimizer.zero_grad(set_to_none=True)
        return {**figures, "tokens": float(sum(example.tokens for example in examples))}

    def _loss(self, chunk: Sequence[Example], n: int) -> tuple[torch.Tensor, dict[str, float]]:
        sequences = [sequence for example in chunk for sequence in example.sequences]
        device = self._scalar.decoder.device
        tokens = torch.tensor([token for sequence in sequences for token in sequence], device=device)
        scores = self._scalar.packed_scores(tokens, [len(sequence) for sequence in sequences])
        if chunk[0].safe is None:
            return pairwise_loss(scores[0::2], scores[1::2], n)
        return pointwise_loss(scores, torch.tensor([float(bool(e.safe)) for e in chunk], device=device), n)

    def save(self, folder: Path) -> None:
        """A checkpoint's files: the classifier, its tokenizer, the optimizer."""
        save_scalar_model(self._scalar, folder)
        save_adamw(self._optimizer, self._parameters, folder)

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        load_scalar_weights(self._scalar, folder)
        load_adamw(self._optimizer, self._parameters, folder)


def _scores(
    scalar: ScalarModel, examples: Sequence[Example], tokens_per_chunk: int
) -> list[tuple[float, ...]]:
    """Raw scores of each example's sequences."""
    flat = iter(
        score_sequences(scalar, [s for example in examples for s in example.sequences], tokens_per_chunk)
    )
    return [tuple(next(flat) for _ in example.sequences) for example in examples]


def _write_scores(
    folder: Path, card: RewardModelCard, examples: Sequence[Example], scores: Sequence[tuple[float, ...]]
) -> None:
    """`held_out.jsonl`: a row an example, with `safe` for labelled ones; pairs list chosen, then rejected."""
    temporary = folder / f"{TEMPORARY_PREFIX}{SCORES_NAME}"
    temporary.unlink(missing_ok=True)
    with JsonlWriter(temporary) as writer:
        for example, row in zip(examples, scores, strict=True):
            label = {} if example.safe is None else {"safe": example.safe}
            writer.append(
                {
                    "id": example.id,
                    "question": f"{example.group:016x}",
                    **label,
                    "scores": list(row),
                    "rewards": [card.calibration(score) for score in row],
                    "tokens": list(example.lengths),
                }
            )
    temporary.replace(folder / SCORES_NAME)
