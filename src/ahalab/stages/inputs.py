"""What a stage reads from other stages: declared by its config, resolved by the pipeline."""

from __future__ import annotations

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


def paper_field(default: Any, description: str, paper: Any = None, note: str = "", **bounds: Any) -> Any:
    """A config field beside the paper's value: `paper` in the same form, `note` what qualifies it; None where the
    paper has no counterpart. `bounds` are pydantic's."""
    extra = {} if paper is None else {"paper": paper, "paper_note": note}
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
