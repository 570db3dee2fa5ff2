"""The set's nouns, read from the two JSONL files of the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from ahalab.records import Language
from ahalab.world.domain import Split, split_of

Verdict = Literal["accepted", "wrong answer", "time limit", "memory limit", "runtime error", "compile error"]
Compare = Literal["tokens", "exact", "float"]

CONTEST_FILE = "contest.jsonl"
BUGS_FILE = "bugs.jsonl"


@dataclass(frozen=True, slots=True)
class Solution:
    """A program or function and the verdict that it deserves."""

    language: Literal["python", "cpp"]
    source: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ContestProblem:
    """One contest problem. The first good solution is the reference: it made every expected output."""

    id: str
    title: str
    question: Mapping[Language, str]
    """The statement and an example, the first test. Signature and limits are fields of their own."""
    function: str | None
    """Name of the function to write; None where a program reads stdin and writes stdout."""
    class_name: str | None
    """The class that the function is a method of, where it is one."""
    signature: str | None
    tests: tuple[Mapping[str, Any], ...]
    """{"stdin", "stdout"} or {"input": [arguments], "output": value}."""
    compare: Compare
    tolerance: float
    checker: str | None
    """A program for problems with several right outputs: it reads input.txt, output.txt and answer.txt, and exits
    with 0 or 1."""
    cpu_seconds: float
    memory_megabytes: int
    level: int
    """1 (a beginner's) to 5."""
    tags: tuple[str, ...]
    good: tuple[Solution, ...]
    bad: tuple[Solution, ...]
    generator: str
    """A program that prints one input; its first argument (or else its stdin) is the seed."""

    @property
    def split(self) -> Split:
        """One problem in ten is held out, by a hash of its id."""
        return split_of(f"contest:{self.id}")

    def grading(self) -> dict[str, Any]:
        """What the verifier "code" needs: a prompt's `extra`."""
        optional = {"function": self.function, "class": self.class_name, "checker": self.checker}
        return {
            "tests": [dict(test) for test in self.tests],
            **{key: value for key, value in optional.items() if value is not None},
            "compare": self.compare,
            "tolerance": self.tolerance,
            "cpu_seconds": self.cpu_seconds,
            "memory_megabytes": self.memory_megabytes,
        }


@dataclass(frozen=True, slots=True)
class BugProblem:
    """A small module with a bug, the issue that reports it, and the tests that only the repaired one passes."""

    id: str
    question: Mapping[Language, str]
    """The text of the issue."""
    files: Mapping[str, str]
    """The buggy sources by path."""
    tests: Mapping[str, str]
    """Unit tests by path."""
    fix: Mapping[str, str]
    """The repaired files."""
    wrong: Mapping[str, str]
    """A repair that looks right and is not: some test still fails."""
    level: int
    cpu_seconds: float

    @property
    def split(self) -> Split:
        """One problem in ten is held out, by a hash of its id."""
        return split_of(f"bug:{self.id}")

    def grading(self) -> dict[str, Any]:
        """What the verifier "patch" needs: a prompt's `extra`."""
        return {"files": dict(self.files), "tests": dict(self.tests), "cpu_seconds": self.cpu_seconds}


def load_contest(split: Split | None = None) -> list[ContestProblem]:
    """The contest problems by id: all of them, or those of one split."""
    return [problem for problem in _contest() if split in (None, problem.split)]


def load_bugs(split: Split | None = None) -> list[BugProblem]:
    """The bug-fixing problems by id: all of them, or those of one split."""
    return [problem for problem in _bugs() if split in (None, problem.split)]


@lru_cache(maxsize=1)
def _contest() -> tuple[ContestProblem, ...]:
    return tuple(map(_contest_problem, _rows(CONTEST_FILE)))


@lru_cache(maxsize=1)
def _bugs() -> tuple[BugProblem, ...]:
    return tuple(map(_bug_problem, _rows(BUGS_FILE)))


def _contest_problem(row: Mapping[str, Any]) -> ContestProblem:
    """A row of contest.jsonl as a typed problem."""
    plain = {key: value for key, value in row.items() if key not in ("class", "solutions", "tests", "tags")}
    solutions = row["solutions"]
    return ContestProblem(
        **plain,
        class_name=row["class"],
        tests=tuple(row["tests"]),
        tags=tuple(row["tags"]),
        good=tuple(Solution(**one, verdict="accepted") for one in solutions["good"]),
        bad=tuple(Solution(**one) for one in solutions["bad"]),
    )


def _bug_problem(row: Mapping[str, Any]) -> BugProblem:
    """A row of bugs.jsonl as a typed problem."""
    (fix,), (wrong,) = row["solutions"]["good"], row["solutions"]["bad"]
    plain = {key: value for key, value in row.items() if key not in ("issue", "solutions")}
    return BugProblem(**plain, question=row["issue"], fix=fix["files"], wrong=wrong["files"])


def _rows(name: str) -> list[dict[str, Any]]:
    text = files("ahalab.world.contest").joinpath(name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]
