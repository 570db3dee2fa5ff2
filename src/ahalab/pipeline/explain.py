"""Every resolved number of a stage, beside what the paper gives for a stage of its role, where the paper prints it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ahalab.pipeline.recipe import Stage
from ahalab.stages.inputs import Said, Span, StageConfig

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
    lines = list(_explain_model(stage.config, "", stage.config))
    batch_figures = getattr(stage.config, "batch_figures", None)
    if callable(batch_figures):
        lines += [
            Explained(f"= {name}", f"{value:,}" if isinstance(value, int) else _shown(value), "", None, "")
            for name, value in batch_figures().items()
        ]
    return lines


def _explain_model(config: BaseModel, above: str, stage: StageConfig) -> Iterator[Explained]:
    derived = config.derived() if isinstance(config, StageConfig) else {}
    for name, field in type(config).model_fields.items():
        key, value = f"{above}{field.alias or name}", getattr(config, name)
        if isinstance(value, BaseModel):
            yield from _explain_model(value, f"{key}.", stage)
        elif isinstance(value, dict) and any(isinstance(one, BaseModel) for one in value.values()):
            for inner, one in value.items():
                yield from _explain_model(one, f"{key}.{inner}.", stage)
        else:
            yield _explain(key, field, _plain(derived.get(name) if value is None else value), stage)


def _plain(value: Any) -> Any:
    """As the recipe would say it: of an entry only what was set."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return (
        value.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if isinstance(value, BaseModel)
        else value
    )


def _explain(key: str, field: FieldInfo, value: Any, stage: StageConfig) -> Explained:
    paper = _paper(field, stage.paper_role)
    # A name in the recipe's `endpoints:` may stand for any model, also the paper's.
    comparable = not (isinstance(value, str) and value in stage.endpoint_names())
    return Explained(
        key,
        _shown(value),
        _shown(paper.value) + (f" ({paper.note})" if paper.note else ""),
        _same(value, paper.value) if comparable else None,
        field.description or "",
    )


def _paper(field: FieldInfo, role: str) -> Said:
    """What the paper gives for the field in a stage of this role."""
    extra: Any = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    usual = Said(extra.get("paper"), extra.get("paper_note") or "")
    said = extra.get("paper_roles", {}).get(role, usual)
    assert isinstance(said, Said)
    return said


def _same(value: Any, paper: Any) -> bool | None:
    # "4 to 64" for a number is prose, and what `auto` stands for is only known once the model is.
    if paper in (None, SILENT) or value == "auto" or isinstance(paper, str) != isinstance(value, str):
        return None
    return value in paper if isinstance(paper, Span) else bool(value == paper)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str | Span):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return json.dumps(value, ensure_ascii=False)
