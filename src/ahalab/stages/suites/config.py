"""How an evaluation samples and grades: what decides its results, and may not change while a folder is filled."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from ahalab.text.renderer import TemplateChoice
from ahalab.validation import StrictModel, told

SHARD_SAMPLES = 64
"""Samples of a shard, the unit that a kill costs: our choice, as many items as have so many samples."""


class EvalConfig(StrictModel):
    """The settings of `aha eval`. Defaults are the paper's (D.1) where a laptop can afford them."""

    n: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Items; all of a suite when left out, 200 of an endless one."
    )
    k: Annotated[int, Field(ge=1, le=1024)] = Field(
        4, description="Samples per item.", json_schema_extra={"paper": "4 to 64; AIME and GPQA 64, MATH 16"}
    )
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(
        0.6, description="Sampling temperature.", json_schema_extra={"paper": 0.6}
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        0.95, description="Nucleus sampling.", json_schema_extra={"paper": 0.95}
    )
    max_new_tokens: Annotated[int, Field(ge=1, le=131072)] = Field(
        1024, description="Longest completion.", json_schema_extra={"paper": 32768}
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the answers; the items are always the same.")
    template: TemplateChoice | None = Field(
        None, description="Prompt template of a local model; as it was trained when left out, else auto."
    )
    system_prompt: bool | None = Field(
        None,
        description="Ask for <think> and <answer> in a system turn: yes for a local model, no for an endpoint.",
    )
    max_rows: Annotated[int, Field(ge=1)] = Field(32, description="Rows sampled side by side.")
    pass_at: list[Annotated[int, Field(ge=1)]] = Field(
        [], description="Further pass@j; 1 and k are always told."
    )
    grader_workers: Annotated[int, Field(ge=1, le=64)] = Field(2, description="Grader processes.")
    grader_cpu_seconds: Annotated[float, Field(gt=0)] = Field(
        5.0, description="CPU time one answer may take."
    )

    @model_validator(mode="after")
    def _check_together(self) -> EvalConfig:
        if self.temperature == 0 and self.k > 1:
            raise told("temperature 0 gives k equal samples: set k to 1, or a temperature above 0")
        for wanted in self.pass_at:
            if wanted > self.k:
                raise told(
                    f"pass@{wanted} needs at least {wanted} samples per item, and k is {self.k}: raise --k, or leave "
                    f"{wanted} out"
                )
        return self

    @property
    def shard_items(self) -> int:
        """Items of a shard."""
        return max(1, SHARD_SAMPLES // self.k)

    def sampling(self) -> dict[str, Any]:
        """What is told beside every figure."""
        names = ("k", "temperature", "top_p", "max_new_tokens", "seed")
        return {name: getattr(self, name) for name in names}
