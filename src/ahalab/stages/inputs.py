"""What a stage reads from other stages: declared by its config, resolved by the pipeline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ahalab.validation import StrictModel

ArtifactKind = Literal["model", "dataset", "reward_model", "evaluation", "report"]
"""What a stage leaves: `checkpoint/` of a causal LM · `data/` · `checkpoint/` with a scalar head · its own folder."""

BASES = ("base", "small_base")
"""Names that stand for the models of the recipe's head and not for a stage."""


@dataclass(frozen=True, slots=True)
class InputRef:
    """A reference to a stage (or one of `BASES`) and which kinds of artifact are of use there."""

    source: str
    kinds: tuple[ArtifactKind, ...] = ("model",)


@dataclass(frozen=True, slots=True)
class Span:
    """A range that the paper prints: every value in it is the paper's."""

    least: float
    most: float

    def __contains__(self, value: float) -> bool:
        # A tenth of 2e-5 is not quite 2e-6.
        ends = (self.least, self.most)
        return self.least <= value <= self.most or any(math.isclose(value, end) for end in ends)

    def __str__(self) -> str:
        return f"{self.least:g} to {self.most:g}"


@dataclass(frozen=True, slots=True)
class Said:
    """What the paper gives for a field: its value in the field's own form, a `Span`, or prose; and a qualification."""

    value: Any
    note: str = ""


def paper_field(
    default: Any,
    description: str,
    paper: Any = None,
    note: str = "",
    *,
    roles: Mapping[str, Said] | None = None,
    **bounds: Any,
) -> Any:
    """A config field beside the paper's value: `paper` in the same form, `note` what qualifies it; None where the
    paper has no counterpart. `roles` has what the paper gives instead for a stage of some role (see
    `StageConfig.paper_role`). `bounds` are pydantic's."""
    extra: dict[str, Any] = {} if paper is None else {"paper": paper, "paper_note": note}
    if roles:
        extra["paper_roles"] = dict(roles)
    return Field(default, description=description, json_schema_extra=extra, **bounds)


class StageConfig(StrictModel):
    """Base of every stage's config. The defaults are those of a stage that reads nothing."""

    def input_refs(self) -> dict[str, InputRef]:
        """Input name → reference. Names of lists are numbered: "data[0]", "data[1]"."""
        source = getattr(self, "from_", None)
        return {} if source is None else {"from": InputRef(source)}

    def endpoint_names(self) -> tuple[str, ...]:
        """Names of the recipe's endpoints that the stage calls; part of what decides its result."""
        return ()

    @property
    def paper_role(self) -> str:
        """Which of the paper's stages this one stands for, where the paper's values depend on it; else ""."""
        return ""

    def derived(self) -> dict[str, Any]:
        """Field → the value that stands for a None there, where another field decides it."""
        return {}
