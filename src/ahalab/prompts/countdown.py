"""Countdown and 24-game puzzles, from tables of numbers and targets and from reasoning-gym, for one verifier."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from ahalab.prompts.cells import BadRow, joined, present
from ahalab.validation import StrictModel

GYM_TASKS = ("countdown", "puzzle24")
"""reasoning-gym's tasks of this kind: its own scoring reads answers as Python, and takes other numbers than given."""
TWENTY_FOUR = 24

_NUMBERS = ("nums", "numbers")
_TARGETS = ("target",)
_SEPARATED = re.compile(r"[\[(]?\s*([0-9]+(?:[\s,;，、]+[0-9]+)*)\s*[\])]?")


class CountdownOptions(StrictModel):
    """How the rows of a table become Countdown puzzles. All of it has a default."""

    numbers: str | None = Field(
        None, min_length=1, description="Column of the numbers, a list or text (default: nums or numbers)"
    )
    target: str | None = Field(
        None, min_length=1, description="Column of the target (default: target; without one it is 24)"
    )
    use_all: bool = Field(
        True, description="Whether each number must be used exactly once; otherwise at most once"
    )


@dataclass(frozen=True)
class CountdownColumns:
    """Where a table's puzzles are."""

    question: str | list[str] | None
    """None: the question is written here."""
    numbers: str
    target: str | None
    use_all: bool

    @property
    def columns(self) -> list[str]:
        """Every column that is read."""
        asked = [self.question] if isinstance(self.question, str) else self.question or []
        return [*asked, self.numbers, *([self.target] if self.target else [])]

    def read(self, row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """(question, the verifier's extra data) of a row. Raises BadRow."""
        numbers = _numbers(present(row, self.numbers, "numbers"), self.numbers)
        target = (
            TWENTY_FOUR if self.target is None else _whole(present(row, self.target, "target"), self.target)
        )
        extra = {"numbers": numbers, "target": target, "use_all": self.use_all}
        if self.question is not None:
            return joined(row, self.question, "question"), extra
        return wording(numbers, target, use_all=self.use_all), extra


def find_countdown(
    columns: Sequence[str], options: CountdownOptions, question: str | list[str] | None
) -> CountdownColumns | None:
    """The layout of a table with these columns, or None where no column holds the numbers."""
    spelled = {column.lower(): column for column in reversed(columns)}
    numbers = options.numbers or next((spelled[name] for name in _NUMBERS if name in spelled), None)
    target = options.target or next((spelled[name] for name in _TARGETS if name in spelled), None)
    if numbers is None:
        return None
    return CountdownColumns(question or spelled.get("question"), numbers, target, options.use_all)


def wording(numbers: Sequence[int], target: int, *, use_all: bool) -> str:
    """The puzzle as a question (ours)."""
    rule = (
        "Use each number exactly once." if use_all else "Use each number at most once; some may be left over."
    )
    return (
        f"Make {target} from the numbers {', '.join(map(str, numbers))} with + - * / and brackets. {rule} "
        "Give the expression alone as your final answer."
    )


def gym_extra(task: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The verifier's extra data for a problem of one of `GYM_TASKS`: their questions ask for every number."""
    metadata = entry["metadata"]
    return {
        "task": task,
        "numbers": [int(number) for number in metadata["numbers"]],
        "target": int(metadata.get("target", TWENTY_FOUR)),
        "use_all": True,
    }


def _numbers(value: Any, column: str) -> list[int]:
    if isinstance(value, str) and (listed := _SEPARATED.fullmatch(value.strip())):
        value = [int(number) for number in re.split(r"[\s,;，、]+", listed.group(1)) if len(number) <= 12]
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 20:
        raise BadRow("no numbers", column, f"it is {str(value)[:40]!r}", "a list of 2 to 20 whole numbers")
    return [_whole(number, column, lowest=0) for number in value]


def _whole(value: Any, column: str, lowest: int | None = None) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}", value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or abs(value) > 10**12 or (lowest is not None and value < lowest):
        expected = "a whole number" + ("" if lowest is None else f" from {lowest}")
        raise BadRow("no whole number", column, f"it is {str(value)[:40]!r}", expected)
    return value
