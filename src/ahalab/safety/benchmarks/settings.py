"""What may follow a set's name: `harmbench?subset=standard&file=behaviors.csv`. A model for each set with own keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from ahalab.errors import UserError
from ahalab.validation import StrictModel, validate

Subset = Literal["standard", "contextual", "copyright"]


class Settings(StrictModel):
    """Keys of every set."""

    file: str | None = Field(None, min_length=1, description="File or folder of the set's rows")
    hub: bool | str = Field(
        False, description="Load from the Hugging Face Hub: true for the usual data set, or owner/name"
    )
    config: str | None = Field(None, description="Configuration of the data set on the Hub")
    split: str | None = Field(None, description="Split of the data set on the Hub")
    revision: str | None = Field(None, description="Commit of the data set on the Hub")
    group: str | list[str] | None = Field(
        None, description="Only these groups (sub-categories, harm areas, …)"
    )

    @property
    def path(self) -> Path | None:
        """The file as a path."""
        return None if self.file is None else Path(self.file)

    @property
    def groups(self) -> list[str]:
        """The groups as a list; [] for all."""
        return [self.group] if isinstance(self.group, str) else list(self.group or [])


class XSTestSettings(Settings):
    """Of XSTest."""

    half: Literal["safe", "unsafe"] | None = Field(
        None, description="Only the safe or only the unsafe prompts"
    )


class HarmBenchSettings(Settings):
    """Of HarmBench without copyright."""

    subset: Literal["standard", "contextual"] | None = Field(
        None, description="Only this functional category"
    )


class CopyrightSettings(Settings):
    """Of HarmBench's copyright behaviours."""

    references: str | None = Field(
        None, min_length=1, description="File of reference texts: columns BehaviorID and text"
    )


class BBQSettings(Settings):
    """Of BBQ."""

    metadata: str | None = Field(
        None, min_length=1, description="The authors' additional_metadata.csv, which says who is the target"
    )


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """NAME?key=value&key=value → name and keys, values read as YAML. UserError for a part that is not key=value."""
    name, _, tail = spec.partition("?")
    given: dict[str, Any] = {}
    for part in tail.split("&") if tail else []:
        key, equals, value = part.partition("=")
        if not key or not equals:
            raise UserError(f"benchmark {spec!r}: expected key=value after the `?`, got {part!r}")
        if key in given:
            raise UserError(f"benchmark {spec!r}: the key {key!r} is there twice")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"benchmark {spec!r}: the value of {key} is no YAML: {value!r}") from None
        # A name or group of digits only is a name all the same.
        given[key] = str(read) if isinstance(read, int | float) and not isinstance(read, bool) else read
    return name, given


def settings_of(model: type[Settings], given: dict[str, Any], spec: str) -> Settings:
    """The keys after the `?`, checked. UserError naming the nearest key."""
    return validate(model, given, f"benchmark {spec!r}")
