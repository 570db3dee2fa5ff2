"""A programming problem as its prompt's `extra` states it (docs/code.md), read strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ahalab.grading.code.budget import wall_seconds
from ahalab.sandbox.records import Limits, ProgramLanguage

Compare = Literal["tokens", "exact", "float"]

CPU_SECONDS, MEMORY_MEGABYTES, TOLERANCE = 2.0, 256, 1e-6
PROBLEM_SECONDS = 60.0
"""CPU time of all tests of one program together (our choice: half of the graders' own patience)."""

_KEYS = (
    "tests", "function", "class", "compare", "tolerance", "checker", "language", "cpu_seconds", "memory_megabytes",
    "problem_seconds", "partial",
    "world",  # what a problem of the tiny world is made of: for its teachers, not for us
)  # fmt: skip
_LARGEST_OUTPUT = 4_000_000
_SPARE_OUTPUT = 65_536
"""Room for what a wrong program prints before its verdict becomes "output limit" (our choice)."""


@dataclass(frozen=True, slots=True)
class StreamTest:
    """Text on stdin, and what stdout should be."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class CallTest:
    """Arguments of one call, and what it should return: JSON values."""

    arguments: tuple[Any, ...]
    output: Any


@dataclass(frozen=True, slots=True)
class CodeProblem:
    """Everything that decides the verdict on a program."""

    streams: tuple[StreamTest, ...] = ()
    calls: tuple[CallTest, ...] = ()
    """Exactly one of the two has tests."""
    function: str | None = None
    """What `calls` call."""
    class_name: str | None = None
    """The class whose method it is."""
    compare: Compare = "tokens"
    tolerance: float = TOLERANCE
    checker: str | None = None
    """Source of a checker program in Python, in place of `compare`."""
    language: ProgramLanguage | None = None
    """Of a code block that does not say."""
    cpu_seconds: float = CPU_SECONDS
    memory_megabytes: int = MEMORY_MEGABYTES
    problem_seconds: float = PROBLEM_SECONDS
    partial: bool = False

    @property
    def total(self) -> int:
        """Number of tests."""
        return len(self.streams) + len(self.calls)

    def limits(self) -> Limits:
        """What bounds one process. No right answer is longer than four times the wanted one and some room; a
        checker may like any length."""
        wanted = max((len(test.stdout) for test in self.streams), default=0)
        wanted += sum(len(json.dumps(test.output)) for test in self.calls)
        return Limits(
            cpu_seconds=self.cpu_seconds,
            wall_seconds=wall_seconds(self.cpu_seconds),
            memory_megabytes=self.memory_megabytes,
            output_bytes=_LARGEST_OUTPUT
            if self.checker
            else min(_LARGEST_OUTPUT, 4 * wanted + _SPARE_OUTPUT),
        )

    @classmethod
    def read(cls, extra: Mapping[str, Any]) -> CodeProblem:
        """The problem that `extra` holds.

        Raises:
            ValueError: it holds none; says which key, what was expected and what was found.
        """
        check_keys(extra, _KEYS)
        tests = extra.get("tests")
        if not isinstance(tests, list | tuple) or not tests:
            raise ValueError(f"`tests` should be a list with at least one test, not {shown(tests)}")
        function = optional_text(extra, "function")
        problem = cls(
            streams=() if function else tuple(_stream(test, place) for place, test in enumerate(tests)),
            calls=tuple(_call(test, place) for place, test in enumerate(tests)) if function else (),
            function=function,
            class_name=optional_text(extra, "class"),
            compare=one_of(extra, "compare", get_args(Compare), "tokens"),
            tolerance=number(extra, "tolerance", TOLERANCE, 0.0, 1e9),
            checker=optional_text(extra, "checker"),
            language=one_of(extra, "language", get_args(ProgramLanguage), None),
            cpu_seconds=number(extra, "cpu_seconds", CPU_SECONDS, 0.01, 60.0),
            memory_megabytes=int(number(extra, "memory_megabytes", MEMORY_MEGABYTES, 16, 65536)),
            problem_seconds=number(extra, "problem_seconds", PROBLEM_SECONDS, 0.01, 90.0),
            partial=flag(extra, "partial"),
        )
        if problem.calls and problem.language == "cpp":
            raise ValueError("`function` tests are of Python programs; `language` says cpp")
        if problem.class_name and not function:
            raise ValueError("`class` is given without `function`, the name of its method")
        return problem


def _stream(test: Any, place: int) -> StreamTest:
    if not isinstance(test, Mapping) or not isinstance(test.get("stdin"), str):
        raise ValueError(f"`tests[{place}]` should be {{'stdin': text, 'stdout': text}}, not {shown(test)}")
    if not isinstance(test.get("stdout"), str):
        raise ValueError(f"`tests[{place}].stdout` should be text, not {shown(test.get('stdout'))}")
    for key in ("stdin", "stdout"):
        encodable(test[key], f"tests[{place}].{key}")
    return StreamTest(test["stdin"], test["stdout"])


def _call(test: Any, place: int) -> CallTest:
    if (
        not isinstance(test, Mapping)
        or not isinstance(test.get("input"), list | tuple)
        or "output" not in test
    ):
        raise ValueError(
            f"`tests[{place}]` should be {{'input': [argument, …], 'output': value}}, not {shown(test)}"
        )
    return CallTest(tuple(test["input"]), test["output"])


def check_keys(extra: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raises ValueError for a key that nobody reads: most likely a slip."""
    strange = [key for key in extra if key not in known]
    if strange:
        raise ValueError(f"unknown key {strange[0]!r}; known are {', '.join(known)}")


def shown(value: Any) -> str:
    """A value in a message, short."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def encodable(text: str, where: str) -> str:
    """The text; ValueError where it has half a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"`{where}` is no Unicode text (half a surrogate pair)") from None
    return text


def optional_text(extra: Mapping[str, Any], key: str) -> str | None:
    """Text that may be left out."""
    value = extra.get(key)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ValueError(f"`{key}` should be text, not {shown(value)}")
    return None if value is None else encodable(value, key)


def one_of(extra: Mapping[str, Any], key: str, choices: tuple[str, ...], default: Any) -> Any:
    """One of a few words."""
    value = extra.get(key)
    if value is None:
        return default
    if value not in choices:
        raise ValueError(f"`{key}` should be one of {', '.join(choices)}, not {shown(value)}")
    return value


def number(extra: Mapping[str, Any], key: str, default: float, lowest: float, highest: float) -> float:
    """A finite number in a range."""
    value = extra.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"`{key}` should be a number, not {shown(value)}")
    if not lowest <= value <= highest:
        raise ValueError(f"`{key}` should be from {lowest:g} to {highest:g}, not {value:g}")
    return value


def flag(extra: Mapping[str, Any], key: str) -> bool:
    """true or false."""
    value = extra.get(key)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"`{key}` should be true or false, not {shown(value)}")
    return bool(value)
