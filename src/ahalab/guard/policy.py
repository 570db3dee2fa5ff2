"""A policy: which texts are matched, by which standards a reviewer judges, and what happens then. One YAML file."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ahalab.errors import UserError
from ahalab.guard.plain import read_plain
from ahalab.guard.records import Mode, OnError, Streaming
from ahalab.runs.hashing import config_hash
from ahalab.validation import StrictModel, told, validate

FOLDER = Path(__file__).with_name("policies")


class Standard(StrictModel):
    """One numbered standard of the review."""

    id: int = Field(ge=1, le=999, description="The number that a reviewer answers with")
    title: str = Field(min_length=2, description="In a few words")
    text: str = Field(min_length=10, description="What violates it")
    category: str | None = Field(
        None, description="Chooses the retraction text; the term's category when left out"
    )
    meta: bool = Field(False, description="About how something is asked, not what: never violated alone")

    @field_validator("title", "text")
    @classmethod
    def _visible(cls, text: str) -> str:
        if not text.strip():
            raise told("expected words, got only spaces")
        return text


class Scope(StrictModel):
    """What the keywords are matched against."""

    query: bool = Field(True, description="The last user turn")
    history: bool = Field(True, description="Earlier user turns")
    forged: bool = Field(True, description="System, assistant and tool turns that the client sent")
    reply: bool = Field(True, description="The model's answer")
    thinking: bool = Field(True, description="The model's thinking")
    joined: bool = Field(True, description="Terms split across turns, or across thinking and answer")


class Queue(StrictModel):
    """`on_error: queue`: how long an unreviewed reply waits."""

    size: Annotated[int, Field(ge=1, le=100_000)] = Field(
        100, description="Replies that may wait; more are retracted"
    )
    deadline_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        30.0, description="Then the reply is retracted"
    )


class Budget(StrictModel):
    """What one API key may cost the reviewer."""

    reviews_per_minute: Annotated[int, Field(ge=1)] = Field(
        60, description="Of one key; beyond it that key's flagged replies wait (`queue`) or are retracted"
    )
    parallel: Annotated[int, Field(ge=1)] = Field(8, description="Reviews of one key under way at one time")
    total_parallel: Annotated[int, Field(ge=1)] = Field(64, description="Of all keys together, shared fairly")
    review_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        60.0, description="For one review; as long again may it wait for a place"
    )
    breaker_failures: Annotated[int, Field(ge=1)] = Field(
        5, description="Failures of the reviewer in a row that open its circuit"
    )
    breaker_seconds: Annotated[float, Field(gt=0)] = Field(
        10.0, description="Until it is tried again with one request"
    )


class Policy(StrictModel):
    """The whole of a policy."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,39}$", description="Its name")
    description: str = Field("", description="For whom it is")
    mode: Mode = Field("enforce", description="`shadow` records what it would do and releases everything")
    scope: Scope = Field(Scope(), description="What is matched")
    streaming: Streaming = Field(
        "hold", description="`hold` shows nothing that may have to go; `retract` shows, then takes back"
    )
    on_error: OnError = Field("retract", description="For a flagged dialogue without a verdict")
    sample_unflagged: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="Share of unflagged dialogues that are reviewed too"
    )
    retracted_history: Literal["refuse", "blank"] = Field(
        "refuse", description="A retracted reply comes back as history: refuse the request, or blank the turn"
    )
    minimum_severity: Annotated[int, Field(ge=1, le=3)] = Field(1, description="Terms below it do not flag")
    standards: list[Standard] = Field(min_length=1, description="What the reviewer judges by, in order")
    queue: Queue = Field(Queue(), description="Of `on_error: queue`")
    budget: Budget = Field(Budget(), description="Limits of review")
    retraction: dict[str, dict[str, str]] = Field(
        {}, description="Texts shown instead: category → language → text; `default` where no category fits"
    )
    resource: str = Field(
        "", description="The operator's own line for self-harm, such as a helpline: appended there"
    )

    @field_validator("standards")
    @classmethod
    def _numbered(cls, standards: list[Standard]) -> list[Standard]:
        ids = [one.id for one in standards]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise told(f"standard {twice[0]} is there twice")
        if all(one.meta for one in standards):
            raise told("at least one standard must be about content")
        return standards

    @field_validator("scope")
    @classmethod
    def _matched(cls, scope: Scope, info: ValidationInfo) -> Scope:
        matched = scope.query or scope.history or scope.forged or scope.reply or scope.thinking
        shadow = info.data.get("mode") == "shadow"  # as `aha serve --no-control` has it, which says so
        if not matched and not shadow:
            raise told("nothing is matched, so nothing would ever be flagged: put one of the parts to true")
        return scope

    @field_validator("retraction")
    @classmethod
    def _texts(cls, texts: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for category, spoken in texts.items():
            for language, text in spoken.items():
                if not re.fullmatch(r"[a-z]{2,3}", language):
                    raise told(
                        f"{language!r} under {category!r} is no language: expected a code such as en or zh, "
                        "without a region and in small letters"
                    )
                if not text.strip():
                    raise told(f"the text of {category!r} in {language!r} is empty")
        return texts

    @model_validator(mode="after")
    def _queue(self) -> Policy:
        if self.on_error == "queue" and self.mode == "shadow":
            raise told("`on_error: queue` has no meaning in shadow mode: nothing is held there")
        return self

    @cached_property
    def version(self) -> str:
        """Hash of everything in it: what audit rows carry."""
        return config_hash(self.model_dump(mode="json"))[:16]

    @property
    def ids(self) -> frozenset[int]:
        """Ids that a reviewer may answer with."""
        return frozenset(one.id for one in self.standards)


def read_policy(path: Path) -> Policy:
    """The policy of a file. UserError names file and key."""
    return validate(Policy, read_plain(path), str(path))


@lru_cache(maxsize=16)
def bundled_policy(name: str) -> Policy:
    """A policy that ships with the package. UserError names those that there are."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in FOLDER.glob("*.yaml")))
        raise UserError(f"policy {name!r}: there is no such profile and no such file; profiles: {known}")
    return read_policy(path)


def open_policy(spec: str) -> Policy:
    """A profile's name, or the path of a policy file."""
    path = Path(spec)
    return read_policy(path) if path.suffix in (".yaml", ".yml") else bundled_policy(spec)
