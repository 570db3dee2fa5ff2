"""One input of a problem, and the programs that are run on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.prompts.contest.problem import Solution
from ahalab.runs.hashing import canonical_json
from ahalab.sandbox.records import ProgramLanguage
from ahalab.text.hostile import make_visible


@dataclass(frozen=True, slots=True)
class Submission:
    """A program that is known to solve its problem, or known not to."""

    name: str
    """As the report calls it: "good[0]", "bad[2] (time limit)"."""
    language: ProgramLanguage
    source: str


def submissions(solutions: Sequence[Solution], which: str) -> list[Submission]:
    """The solutions of a problem by name; `which` is their key there, "good" or "bad"."""
    found = []
    for number, one in enumerate(solutions):
        told = f" ({make_visible(one.verdict)[:30]})" if one.verdict else ""
        found.append(Submission(f"{which}[{number}]{told}", one.language, one.source))
    return found


@dataclass(frozen=True, slots=True)
class Case:
    """One input: of a stdin problem a text, of a function problem its arguments."""

    stdin: str | None
    arguments: tuple[Any, ...] | None
    given: Mapping[str, Any] | None = None
    """The test that came with the problem, its output included; None for an input that was made."""

    @property
    def key(self) -> str:
        """The same for inputs that differ in white space at the ends of lines only."""
        if self.stdin is None:
            return canonical_json(list(self.arguments or ()))
        return "\n".join(line.rstrip() for line in self.stdin.rstrip().splitlines())

    @property
    def size(self) -> int:
        """Bytes of the input."""
        text = self.stdin if self.stdin is not None else canonical_json(list(self.arguments or ()))
        return len(text.encode("utf-8", "backslashreplace"))

    def row(self) -> dict[str, Any]:
        """The input as a test has it."""
        return {"stdin": self.stdin} if self.stdin is not None else {"input": list(self.arguments or ())}


def given_case(test: Mapping[str, Any]) -> Case:
    """The input of a test that came with a problem."""
    if "stdin" in test:
        return Case(test["stdin"], None, test)
    return Case(None, tuple(test["input"]), test)
