"""What came of judging a program or a patch: the verdicts of contests, by test and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ahalab.sandbox.records import Outcome

Kind = Literal[
    "accepted",
    "wrong answer",
    "time limit",
    "memory limit",
    "output limit",
    "runtime error",
    "compile error",
    "no program",
    "no patch",
    "patch refused",
    "patch does not apply",
    "tests failed",
    "tampering",
]
"""Stable names: logs, counts and tables use them. A sentence for each is in `MEANINGS`."""

MEANINGS: dict[Kind, str] = {
    "accepted": "every test passed",
    "wrong answer": "it ended, and what it gave is not what was wanted",
    "time limit": "it used its time up",
    "memory limit": "it used its memory up",
    "output limit": "it wrote more than any right answer could",
    "runtime error": "it ended with an exception, an exit code other than 0 or a signal, or without an answer",
    "compile error": "it did not compile",
    "no program": "the answer holds no code block that could be run",
    "no patch": "the answer holds neither a diff nor whole files",
    "patch refused": "it touches tests, leaves its folder, or is no text",
    "patch does not apply": "its context is not in the file, or it is no diff",
    "tests failed": "a unit test failed",
    "tampering": "the tests' own machinery was changed while they ran",
}

_BY_STATUS: dict[str, Kind] = {
    "time limit": "time limit",
    "memory limit": "memory limit",
    "output limit": "output limit",
    "compile error": "compile error",
}
_SYNTAX_ERRORS = ("SyntaxError", "IndentationError", "TabError")
_TRACEBACK = "Traceback (most recent call last)"
"""Python prints none where it could not compile the program itself; one means that it ran and compiled something."""


@dataclass(frozen=True, slots=True)
class CaseVerdict:
    """What came of one test."""

    kind: Kind
    cpu_seconds: float = 0.0
    """Of several tests in one process each has its equal share."""
    detail: str = ""
    """For people; may quote the program, which is hostile text."""


@dataclass(frozen=True, slots=True)
class CodeVerdict:
    """What came of all tests."""

    kind: Kind
    """"accepted", or the kind of the first test that was not."""
    score: float
    """The reward: 1 or 0, or the share of tests passed where the problem says `partial`."""
    cases: tuple[CaseVerdict, ...]
    """By test, in order; without `partial` it ends with the first that failed."""
    total: int
    """Tests of the problem."""
    detail: str = ""

    @property
    def first_failing(self) -> int | None:
        """Number of the first failing test, from 0; None where none failed or none was run."""
        return next((place for place, case in enumerate(self.cases) if case.kind != "accepted"), None)

    @property
    def passed(self) -> int:
        """Tests passed."""
        return sum(case.kind == "accepted" for case in self.cases)

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all tests that were run."""
        return sum(case.cpu_seconds for case in self.cases)


def without_cases(kind: Kind, detail: str = "", total: int = 0) -> CodeVerdict:
    """The verdict on an answer of which nothing could be run: 0."""
    return CodeVerdict(kind, 0.0, (), total, detail)


def summed_up(cases: Sequence[CaseVerdict], total: int, *, partial: bool) -> CodeVerdict:
    """The whole from its parts; tests that were not run count as not passed."""
    failed = next((case for case in cases if case.kind != "accepted"), None)
    passed = sum(case.kind == "accepted" for case in cases)
    if failed is None:
        assert passed == total, "tests were left out without a reason"
        return CodeVerdict("accepted", 1.0, tuple(cases), total)
    return CodeVerdict(failed.kind, passed / total if partial else 0.0, tuple(cases), total, failed.detail)


def bad_end(outcome: Outcome) -> CaseVerdict | None:
    """The verdict on a run that did not end well; None where it did."""
    if outcome.status == "ok" and outcome.exit_code == 0:
        return None
    last = next((line for line in reversed(outcome.stderr.splitlines()) if line.strip()), "")
    kind = _BY_STATUS.get(outcome.status, "runtime error")
    if kind == "runtime error" and last.startswith(_SYNTAX_ERRORS) and _TRACEBACK not in outcome.stderr:
        kind = "compile error"
    if kind == "compile error":
        told = next((line for line in outcome.stderr.splitlines() if "error" in line.lower()), last)
        return CaseVerdict(kind, outcome.cpu_seconds, told[:300])
    if kind != "runtime error":
        return CaseVerdict(kind, outcome.cpu_seconds)
    ended = outcome.status if outcome.status != "ok" else f"exit code {outcome.exit_code}"
    return CaseVerdict(kind, outcome.cpu_seconds, f"{ended}: {last[:300]}" if last else ended)
