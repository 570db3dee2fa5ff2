"""The config of an `sft` stage, every number beside the paper's.

`paper` is what the paper gives for both its supervised stages (appendix B.4.2), `distill` for its students
(appendix F), `modern` what suits models of up to a few hundred million parameters on few rows: our choice.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ahalab.stages.data_entries import DataEntries, data_refs
from ahalab.stages.inputs import InputRef, Said, Span, StageConfig, paper_field
from ahalab.validation import told

DISTILLATION = "distillation"
"""The role in which the paper's values are those of its students."""

PRESETS: dict[str, dict[str, Any]] = {
    "modern": {},
    "paper": {
        "epochs": 2,
        "batch_size": 128,
        "learning_rate": 5e-5,
        "final_learning_rate": 5e-6,
        "warmup_steps": 0,
        "max_tokens": 32768,
    },
    "distill": {
        "epochs": 2,
        "batch_size": 64,
        "learning_rate": 1e-4,
        "warmup_steps": 0,
        "max_tokens": 32768,
    },
}
"""`modern` is the fields' own defaults; `distill` has the rate of the smallest student (docs/distillation.md)."""


class SFTConfig(StageConfig):
    """Supervised fine-tuning on worked answers: the loss is on the reply only."""

    from_: str = Field(
        "base", alias="from", description="Stage whose checkpoint is trained, or `base` or `small_base`."
    )
    preset: Literal["modern", "paper", "distill"] = Field("modern", description="Fills every field left out.")
    data: DataEntries = Field(
        min_length=1, description="Data sets: names of stages, and `file:` or `hub:` entries."
    )
    epochs: Annotated[int, Field(ge=1)] = paper_field(3, "How often each row is seen.", paper=Span(2, 3))
    batch_size: Annotated[int, Field(ge=1)] = paper_field(
        32, "Rows in one update.", paper=128, roles={DISTILLATION: Said(64)}
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] = paper_field(
        5e-4,
        "Peak AdamW learning rate.",
        paper=5e-5,
        roles={DISTILLATION: Said(Span(2e-5, 1e-4), "by student")},
    )
    final_learning_rate: Annotated[float, Field(ge=0, le=1)] | None = paper_field(
        None,
        "Where its cosine ends (default: a tenth of learning_rate).",
        paper=5e-6,
        roles={DISTILLATION: Said(Span(2e-6, 1e-5), "a tenth of the first rate")},
    )
    warmup_steps: Annotated[int, Field(ge=0)] = paper_field(5, "Linear warm-up before it.", paper="not said")
    weight_decay: Annotated[float, Field(ge=0)] = paper_field(0.0, "AdamW weight decay.", paper="not said")
    max_grad_norm: Annotated[float, Field(gt=0)] = paper_field(
        1.0, "Global gradient-norm clip.", paper="not said"
    )
    max_tokens: Annotated[int, Field(ge=2)] = paper_field(
        1024,
        "Longest row, prompt and reply; longer ones are left out and counted, never cut.",
        paper=32768,
        note="the context; what was done with longer rows is not said",
    )
    held_out: Annotated[float, Field(ge=0, le=0.5)] = paper_field(
        0.05,
        "Share of the questions kept out of training, on which the loss is measured before and after.",
        paper="not said",
    )
    template: Literal["auto", "chat", "table1"] = paper_field(
        "auto", "Prompt template, as in `rl` stages: the model is asked there what it is taught here."
    )
    think_prefill: bool = paper_field(False, "Put `<think>` at the end of the prompt, as in `rl` stages.")
    tokens_per_chunk: Annotated[int, Field(ge=16)] | None = paper_field(
        None,
        "Token budget of one forward and backward. Left out: 4,096; on a CPU fewer (not below 1,024) for a model whose "
        "backward pass would keep more than 1 GiB of them.",
    )
    logprob_chunk: Annotated[int, Field(ge=16)] = paper_field(
        1024, "Positions whose logits exist at one time."
    )
    checkpoint_every: Annotated[int, Field(ge=1)] = paper_field(20, "Steps between checkpoints.")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        preset = data.get("preset", "modern")
        return {**PRESETS.get(preset if isinstance(preset, str) else "", {}), **data}

    @model_validator(mode="after")
    def _check_together(self) -> SFTConfig:
        if self.floor > self.learning_rate:
            raise told(
                f"final_learning_rate ({self.floor:g}) is above learning_rate ({self.learning_rate:g}): "
                "the cosine falls"
            )
        return self

    @property
    def floor(self) -> float:
        """Learning rate of the last update."""
        given = self.final_learning_rate
        return self.learning_rate / 10 if given is None else given

    @property
    def paper_role(self) -> str:
        """Distillation, where a student learns; all other supervised stages share their values."""
        return DISTILLATION if self.from_ == "small_base" or self.preset == "distill" else ""

    def derived(self) -> dict[str, Any]:
        """The last learning rate, of the first."""
        return {"final_learning_rate": self.floor}

    def input_refs(self) -> dict[str, InputRef]:
        """The model, and the stages among the data sets as "data[0]", …"""
        return {"from": InputRef(self.from_), **data_refs(self.data)}
