"""Every resolved number of a stage, beside the paper's value where the paper prints one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ahalab.pipeline.recipe import Stage

SILENT = "not said"
"""What a field states as the paper's value where the paper has the thing but does not print it."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One field of a stage's config."""

    key: str
    value: str
    paper: str
    """The paper's value and what qualifies it; "not said"; "" where the field has no counterpart there."""
    same: bool | None
    """None where there is nothing to compare."""
    meaning: str


def explain_stage(stage: Stage) -> list[Explained]:
    """All fields of the stage's config, in the order of its model, and what its batch settings come to."""
    lines = list(_explain_model(stage.config, ""))
    batch_figures = getattr(stage.config, "batch_figures", None)
    if callable(batch_figures):
        lines += [
            Explained(f"= {name}", f"{value:,}" if isinstance(value, int) else _shown(value), "", None, "")
            for name, value in batch_figures().items()
        ]
    return lines


def _explain_model(config: BaseModel, above: str) -> Iterator[Explained]:
    for name, field in type(config).model_fields.items():
        key, value = f"{above}{field.alias or name}", getattr(config, name)
        if isinstance(value, BaseModel):
            yield from _explain_model(value, f"{key}.")
        elif isinstance(value, dict) and any(isinstance(one, BaseModel) for one in value.values()):
            for inner, one in value.items():
                yield from _explain_model(one, f"{key}.{inner}.")
        else:
            yield _explain(key, field, _plain(value))


def _plain(value: Any) -> Any:
    """As the recipe would say it: of an entry only what was set."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return (
        value.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if isinstance(value, BaseModel)
        else value
    )


def _explain(key: str, field: FieldInfo, value: Any) -> Explained:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    paper, note = extra.get("paper"), extra.get("paper_note")
    return Explained(
        key,
        _shown(value),
        _shown(paper) + (f" ({note})" if note else ""),
        _same(value, paper),
        field.description or "",
    )


def _same(value: Any, paper: Any) -> bool | None:
    # "4 to 64" for a number is prose, and what `auto` stands for is only known once the model is.
    if paper in (None, SILENT) or value == "auto" or isinstance(paper, str) != isinstance(value, str):
        return None
    return bool(value == paper)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return json.dumps(value, ensure_ascii=False)
