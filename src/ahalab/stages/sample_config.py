"""The configs of the stages that turn models' answers into data: what they share, and that of `sample`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ahalab.prompts.config import PromptEntry
from ahalab.stages.filters import FilterName, Thresholds
from ahalab.stages.inputs import InputRef, StageConfig, paper_field
from ahalab.teachers import RESERVED, Part, ThinkingChoice
from ahalab.validation import StrictModel, told

TEACHER = "teacher"
"""In place of a model's name: a teacher answers the prompts."""
RULES = "rules"
"""The tiny world itself, as a teacher, a judge, or a source of answers."""


class SamplingConfig(StageConfig):
    """How models are sampled and their answers graded."""

    prompts: list[PromptEntry] = Field(min_length=1, description="Prompt sources with their weights.")
    temperature: Annotated[float, Field(ge=0, le=2)] = paper_field(
        1.0, "Sampling temperature.", 1.0, "cold start; not said for the other data"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Nucleus sampling; 1 is none.")
    max_new_tokens: Annotated[int, Field(ge=1)] = paper_field(
        256, "Longest completion.", 32768, "of R1-Zero's RL"
    )
    template: Literal["auto", "chat", "table1"] = Field("auto", description="Prompt template.")
    think_prefill: bool = Field(False, description="Put `<think>` at the end of the prompt.")
    max_rows: Annotated[int, Field(ge=1)] = Field(128, description="Rows sampled side by side.")
    grader_workers: Annotated[int, Field(ge=1, le=64)] = Field(2, description="Grader processes.")
    grader_cpu_seconds: Annotated[float, Field(gt=0)] = Field(
        5.0, description="CPU time one answer may take."
    )
    prompts_folder: str | None = Field(
        None,
        min_length=1,
        description="Folder with your own prompt files for teacher and judge, relative to the recipe's; files that "
        "are missing there are the bundled ones.",
    )


class RefineConfig(StrictModel):
    """How kept samples are rewritten (paper B.3.2): first person, one language, a summary as in its Listing 1."""

    teacher: Annotated[str, Field(min_length=1)] = paper_field(
        RULES,
        "`rules` (the tiny world), `self` (the sampled model with examples), or an endpoint of the recipe.",
        "DeepSeek-V3",
    )
    parts: list[Part] = paper_field(
        ["thinking", "summary"], "What is rewritten.", ["thinking", "summary"], min_length=1
    )
    prompts_folder: str | None = Field(
        None, min_length=1, description="As the stage's own key, for the teacher that refines."
    )
    least_own_language: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="Where the thinking is rewritten, `one_language` before it asks for this share only (or "
        "`thresholds.own_language`, if lower): mixed thinking is translated, and held to `thresholds.own_language` "
        "afterwards. Our choice: what is mostly in another language is dropped.",
    )
    easy_levels: list[Annotated[int, Field(ge=1)]] = paper_field(
        [],
        "Problems of these levels are answered anew by the teacher, shortly, instead of rewritten (Listing 3).",
        "simple mathematics",
    )


class SampleConfig(SamplingConfig):
    """Several answers to every prompt; the good ones become data, every other one is counted by its reason."""

    from_: str = Field(
        alias="from",
        description="Stage whose model is sampled, `base`, `small_base`, or `teacher`: then `teacher` answers.",
    )
    n: Annotated[int, Field(ge=1)] = paper_field(
        300, "Prompts.", "thousands", "cold start; 600,000 rows in B.3.3"
    )
    per_prompt: Annotated[int, Field(ge=1)] = paper_field(
        4, "Samples per prompt (1 when left out and a teacher answers).", "several"
    )
    keep: list[FilterName] = paper_field(
        ["well_formed", "not_truncated", "correct", "readable", "one_language", "unique"],
        "What a sample must be, checked in this order (when left out and a teacher answers: readable, one_language, "
        "unique).",
        ["correct", "readable", "one_language", "no_long_paragraphs", "no_code_blocks"],
        "the last two for the data of B.3.3",
    )
    thresholds: Thresholds = Field(default_factory=Thresholds, description="Where the filters draw lines.")
    keep_per_prompt: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Most rows of one prompt; null keeps all good ones."
    )
    prefer: Literal["random", "shortest", "longest"] = Field(
        "random",
        description="Which of a prompt's good samples are kept when there are too many. Our choice: at random, so "
        "that their lengths stay those of good samples.",
    )
    judge: Annotated[str, Field(min_length=1)] | None = paper_field(
        None,
        "Who decides what is correct where no rule does: `rules` or an endpoint.",
        "DeepSeek-V3",
        "given question, reference answer and answer; Listing 4",
    )
    refine: RefineConfig | None = Field(None, description="How kept samples are rewritten; null leaves them.")
    teacher: Annotated[str, Field(min_length=1)] | None = paper_field(
        None, "With `from: teacher`: `rules` or an endpoint of the recipe.", "DeepSeek-V3"
    )
    thinking: ThinkingChoice = paper_field(
        "where_useful",
        "With `from: teacher`: whether answers get a thinking (where_useful: none for trivial queries).",
        "where_useful",
    )
    reviewed: str | None = Field(
        None,
        min_length=1,
        description="A file that `aha review --export` wrote and a person went through: its rows, as they stand "
        "there, take the place of sampling.",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_a_teacher(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("from") == TEACHER:
            return {"per_prompt": 1, "keep": ["readable", "one_language", "unique"], **data}
        return data

    @model_validator(mode="after")
    def _check_together(self) -> SampleConfig:
        teaches = self.from_ == TEACHER
        if teaches and self.teacher is None:
            raise told("`from: teacher` needs the key `teacher`: rules, or an endpoint of the recipe")
        if teaches and self.teacher == "self":
            raise told("`teacher: self` is a sampled model, and `from: teacher` samples none: name another")
        if not teaches and self.teacher is not None:
            raise told("`teacher` goes with `from: teacher`; samples are rewritten by `refine: {teacher: …}`")
        if teaches and self.refine is not None:
            raise told("`refine` rewrites samples of a model; what a teacher answers is not rewritten")
        if len(set(self.keep)) < len(self.keep):
            raise told("`keep` names a filter twice")
        if not teaches and self.temperature == 0 and self.per_prompt > 1:
            raise told(
                "temperature 0 gives per_prompt equal samples: set per_prompt to 1, or a temperature above 0"
            )
        return self

    def input_refs(self) -> dict[str, InputRef]:
        """A teacher needs no model; the base's tokenizer counts the tokens of its rows."""
        return {"tokenizer": InputRef("base")} if self.from_ == TEACHER else {"from": InputRef(self.from_)}

    def endpoint_names(self) -> tuple[str, ...]:
        """Teachers and judge that are no rules."""
        return endpoints_among(self.teacher, self.judge, self.refine.teacher if self.refine else None)


def endpoints_among(*names: str | None) -> tuple[str, ...]:
    """The names that are endpoints of the recipe, each once."""
    return tuple(dict.fromkeys(name for name in names if name is not None and name not in RESERVED))
