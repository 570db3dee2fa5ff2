"""The job file of `aha safety rewards make`: prompts, who answers, who judges, what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import UserError
from ahalab.safety.rewarding.similarity import THRESHOLD
from ahalab.validation import StrictModel, told, validate

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class SourceConfig(StrictModel):
    """A file of rows and the rule that reads it."""

    file: str = Field(min_length=1, description="A .jsonl, .jsonl.gz, .csv or .parquet file.")
    rule: str = Field("", description="Conversion rule: a bundled name, or a .yaml file of your own.")
    name: Name | None = Field(None, description="Its name in ids and tables; the file's when left out.")
    rows: Annotated[int, Field(ge=1)] | None = Field(None, description="Read only so many first rows.")


class ReplierConfig(StrictModel):
    """Who answers: exactly one of `endpoint`, `file` and `local`."""

    name: Name = Field(description="Its name in ids and tables.")
    endpoint: EndpointConfig | None = Field(None, description="An OpenAI-compatible endpoint.")
    file: str | None = Field(None, description="Recorded replies: rows with a prompt and a response.")
    rule: str = Field("replies", description="Conversion rule of `file`.")
    local: str | None = Field(None, description="A model on this machine: `builtin:tiny`, a folder, a stage.")

    max_new_tokens: Annotated[int, Field(ge=1, le=131072)] = Field(
        1024, description="Longest reply of `local`."
    )

    @model_validator(mode="after")
    def _one(self) -> ReplierConfig:
        if sum(one is not None for one in (self.endpoint, self.file, self.local)) != 1:
            raise told("who answers is exactly one of `endpoint`, `file` and `local`")
        return self


class JudgeConfig(StrictModel):
    """Who labels whole responses."""

    endpoint: EndpointConfig = Field(
        description="An OpenAI-compatible endpoint; give it a temperature above 0 where votes > 1."
    )
    votes: Annotated[int, Field(ge=1, le=9)] = Field(1, description="Verdicts asked for each response.")
    agree: Literal["unanimous", "majority"] = Field(
        "unanimous", description="What the votes must do; a response on which they do not is left out."
    )

    @model_validator(mode="after")
    def _odd(self) -> JudgeConfig:
        if self.agree == "majority" and self.votes % 2 == 0:
            raise told("`agree: majority` needs an odd number of votes")
        if self.votes > 1 and self.endpoint.temperature == 0:
            raise told(
                "votes at temperature 0 say the same again: raise `endpoint.temperature`, or ask for one vote"
            )
        return self


class ExclusionConfig(StrictModel):
    """Which evaluation prompts stay out."""

    benchmarks: list[str] | None = Field(
        None, description="Names of benchmarks; every one that can be loaded when left out."
    )
    sources: dict[str, str] = Field(
        {}, description="Benchmark → your file of it, where it has none of its own."
    )
    cosine: Annotated[float, Field(gt=0, le=1)] = Field(
        THRESHOLD, description="TF-IDF cosine of character grams from which a prompt is like an item."
    )


class Job(StrictModel):
    """One data set to be made."""

    guideline: str | None = Field(None, description="Guideline file; the bundled one when left out.")
    prompts: list[SourceConfig] = Field([], description="Harmlessness prompts.")
    replies: list[ReplierConfig] = Field([], description="Models whose replies are labelled.")
    judge: JudgeConfig | None = Field(None, description="Who labels.")
    labelled: list[SourceConfig] = Field([], description="Responses that are labelled already.")
    exclude: ExclusionConfig = Field(ExclusionConfig(), description="Evaluation prompts that stay out.")
    shortest: Annotated[int, Field(ge=1)] = Field(4, description="Characters of a prompt, at least.")
    longest: Annotated[int, Field(ge=16)] = Field(
        24000,
        description="Characters of prompt and response together, at most: about 8,192 tokens, the paper's limit in "
        "training.",
    )
    shard: Annotated[int, Field(ge=1, le=100_000)] = Field(
        500, description="Prompts that are worked on at a time: the unit of memory and of progress."
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        0, description="For the marks of requests and the check's sample."
    )

    @model_validator(mode="after")
    def _something(self) -> Job:
        if not self.prompts and not self.labelled:
            raise told(
                "give `prompts` (with `replies` and a `judge`), or responses that are `labelled`, or both"
            )
        if self.prompts and not (self.replies and self.judge):
            raise told("`prompts` need `replies` (who answers) and a `judge` (who labels)")
        if not self.prompts and (self.replies or self.judge):
            raise told("`replies` and `judge` need `prompts`")
        names = [one.name for one in self.replies]
        if len(set(names)) < len(names):
            raise told("`replies`: two have the same name")
        sources = [source_name(one) for one in (*self.prompts, *self.labelled)]
        twice = next((name for name in sources if sources.count(name) > 1), None)
        if twice is not None:
            raise told(f"two sources are called {twice!r}: give one a `name`")
        return self


def source_name(source: SourceConfig) -> str:
    """What a source is called in ids and tables."""
    return source.name or Path(source.file).name.split(".")[0]


def load_job(path: Path) -> Job:
    """The job of a YAML file. UserError naming the key, with the nearest right one."""
    try:
        data: Any = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: the job file cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: the job file is no YAML in UTF-8: {error}") from error
    return validate(Job, data, str(path))
