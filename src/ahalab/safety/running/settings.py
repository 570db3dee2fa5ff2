"""What a safety evaluation is begun with: decides its items, and may not change while its folder is filled."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from ahalab.errors import UserError
from ahalab.safety.records import Part
from ahalab.validation import StrictModel, told


class RunSettings(StrictModel):
    """The settings of `aha safety run`."""

    benchmarks: Annotated[list[str], Field(min_length=1)] = Field(
        description="Sets to ask, as `aha safety benchmarks` names them: safety-1120, xstest?file=…"
    )
    languages: list[str] | None = Field(None, description="Only items in these languages; all when left out.")
    limit: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Items of each set, in proportion from its groups; all when left out."
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Of the jailbreak templates' assignment and of the replies: another seed, another sample.",
    )
    jailbreak: bool = Field(False, description="Ask harmful questions wrapped in published templates too.")
    plain: bool = Field(True, description="Ask the questions as they are; false only with `jailbreak`.")

    @field_validator("benchmarks")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        for name in names:
            if names.count(name) > 1:
                raise told(f"{name} is named twice: name each set once")
        return names


def read_part(text: str) -> tuple[Part, ...]:
    """The parts of a reply that are judged: "answer", "thinking", or both of them for "both".

    Raises:
        UserError: another word.
    """
    if text not in _PARTS:
        raise UserError(f"--judge-part {text}: expected {', '.join(_PARTS)}")
    return _PARTS[text]


_PARTS: dict[str, tuple[Part, ...]] = {
    "answer": ("answer",),
    "thinking": ("thinking",),
    "both": ("answer", "thinking"),
}
