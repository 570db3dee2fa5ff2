"""A judge behind an endpoint, as its YAML file describes it: the keys of an endpoint, and how it is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ahalab.endpoints.config import EndpointConfig
from ahalab.text.windows import OVERLAP, SIZE
from ahalab.validation import told


class EndpointJudgeConfig(EndpointConfig):
    """One YAML file. What an endpoint's keys mean stands in `EndpointConfig`."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        0.0, description="Sampling temperature; null sends none. 0, so that a verdict can be had again."
    )
    max_tokens: Annotated[int, Field(ge=64, le=131072)] | None = Field(
        2048, description="Longest reply of the judge; a judge that thinks first needs more. null sends none."
    )
    asks: Annotated[int, Field(ge=1, le=10)] = Field(
        3,
        description="How often a verdict is asked for while the judge's replies cannot be read, the fault shown.",
    )
    window: Annotated[int, Field(ge=500, le=200_000)] = Field(
        SIZE, description="Longest text judged at once, in characters; longer ones are judged in windows."
    )
    overlap: Annotated[int, Field(ge=0, le=20_000)] = Field(
        OVERLAP, description="Characters that two neighbouring windows share; at most half a window."
    )
    language: Literal["auto", "en", "zh"] = Field(
        "auto",
        description="Language of prompt and rubric; auto: Chinese for Chinese items, English for all others.",
    )
    label_order: Literal["fixed", "seeded"] = Field(
        "fixed",
        description="Whether the three verdict words are offered in one order or in one drawn for each case.",
    )
    seed: int = Field(0, description="Draws label orders and the cases that are judged again.")
    repeats: Annotated[int, Field(ge=1, le=9)] = Field(
        1, description="How often a case of the check is judged; the first verdict is the one that counts."
    )
    repeat_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Share of the cases that the check takes, where `repeats` is above 1."
    )
    rubrics: str | None = Field(
        None,
        description="Folder with rubric files of your own, from the YAML file's place; the rest is ours.",
    )

    @model_validator(mode="after")
    def _half_a_window(self) -> EndpointJudgeConfig:
        if self.overlap > self.window // 2:
            raise told(f"`overlap` is {self.overlap}, expected at most half of `window`, {self.window // 2}")
        return self
