"""The nouns that every layout is read into: a contest problem, a bug to fix, and their solutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ahalab.sandbox.records import ProgramLanguage

Comparison = Literal["tokens", "exact", "float"]

CPU_SECONDS = 2.0
MEMORY_MEGABYTES = 256
BUG_FIX_CPU_SECONDS = 10.0
BUG_FIX_MEMORY_MEGABYTES = 512
"""Where a row states none. Our choice: contests mostly state 1 to 2 s and 256 MB; test suites import more."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A program that comes with a problem."""

    language: ProgramLanguage
    source: str
    verdict: str | None = None
    """What a wrong one must get, where the row says so."""

    def row(self) -> dict[str, Any]:
        """As our own layout has it."""
        known = {"language": self.language, "source": self.source}
        return known if self.verdict is None else {**known, "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Problem:
    """A contest problem. `tests` are as the verifier "code" reads them, all of one kind."""

    statements: Mapping[str, str]
    """Language of the text ("en", "zh", or "" where the row does not say) -> the text without the title."""
    tests: Sequence[Mapping[str, Any]]
    id: str | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    """As `statements`; empty where there is none."""
    function: str | None = None
    class_name: str | None = None
    signature: str | None = None
    """Signature or starter code of a function problem."""
    compare: Comparison = "tokens"
    tolerance: float = 1e-6
    checker: str | None = None
    cpu_seconds: float = CPU_SECONDS
    memory_megabytes: int = MEMORY_MEGABYTES
    level: int | None = None
    tags: tuple[str, ...] = ()
    good: tuple[Solution, ...] = ()
    bad: tuple[Solution, ...] = ()
    generator: str | None = None

    def row(self, good: Sequence[Solution] | None = None) -> dict[str, Any]:
        """The problem in our own layout, with these reference solutions (default: its own)."""
        stated: dict[str, Any] = {
            "id": self.id,
            "title": _texts(self.titles),
            "question": _texts(self.statements),
            "function": self.function,
            "class": self.class_name,
            "signature": self.signature,
            "tests": [dict(test) for test in self.tests],
            "compare": self.compare,
            "tolerance": self.tolerance,
            "checker": self.checker,
            "cpu_seconds": self.cpu_seconds,
            "memory_megabytes": self.memory_megabytes,
            "level": self.level,
            "tags": list(self.tags),
            "solutions": {
                "good": [one.row() for one in (self.good if good is None else good)],
                "bad": [one.row() for one in self.bad],
            },
            "generator": self.generator,
        }
        return {key: value for key, value in stated.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Fix:
    """A reference solution of a bug: the whole new files, or a unified diff."""

    files: Mapping[str, str] = field(default_factory=dict)
    patch: str | None = None

    def row(self) -> dict[str, Any]:
        """As our own layout has it."""
        return {"files": dict(self.files)} if self.patch is None else {"patch": self.patch}


@dataclass(frozen=True, slots=True)
class BugFix:
    """A bug to fix: what is reported, the buggy files by path, the unit tests by path."""

    statements: Mapping[str, str]
    files: Mapping[str, str]
    tests: Mapping[str, str]
    id: str | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    """As `statements`; empty where there is none."""
    cpu_seconds: float = BUG_FIX_CPU_SECONDS
    memory_megabytes: int = BUG_FIX_MEMORY_MEGABYTES
    level: int | None = None
    tags: tuple[str, ...] = ()
    good: tuple[Fix, ...] = ()

    def row(self, good: Sequence[Fix] | None = None) -> dict[str, Any]:
        """The bug in our own layout, with these reference solutions (default: its own)."""
        stated: dict[str, Any] = {
            "id": self.id,
            "title": _texts(self.titles),
            "issue": _texts(self.statements),
            "files": dict(self.files),
            "tests": dict(self.tests),
            "cpu_seconds": self.cpu_seconds,
            "memory_megabytes": self.memory_megabytes,
            "level": self.level,
            "tags": list(self.tags),
            "solutions": {"good": [one.row() for one in (self.good if good is None else good)], "bad": []},
        }
        return {key: value for key, value in stated.items() if value is not None}


Task = Problem | BugFix
"""What a row of a code data set is."""


def _texts(texts: Mapping[str, str]) -> Any:
    return texts[""] if set(texts) == {""} else dict(texts) or None
