"""Inputs of a problem: those given with it, and what its generator programs print under seeds, in the sandbox."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from ahalab.datatools.testcases.case import Case, given_case
from ahalab.prompts.contest.problem import Problem
from ahalab.sandbox.records import Executor, Limits, Outcome, Program
from ahalab.text.hostile import make_visible

LONGEST_LABEL = 60
_REPLACEMENT = "\ufffd"

_LAUNCHER = """\
import io, random, sys
seed = sys.stdin.read().strip()
random.seed(int(seed))
sys.argv = ["generator.py", seed, "large"][: 2 + int(seed) % 2]
sys.stdin = io.TextIOWrapper(io.BytesIO(seed.encode() + b"\\n"), encoding="utf-8")
with open("generator.py", encoding="utf-8") as file:
    source = file.read()
exec(compile(source, "generator.py", "exec"), {"__name__": "__main__", "__file__": "generator.py"})
"""
"""A generator finds its seed in the state of `random`, as its argument and on stdin: it takes what it knows. Under odd
seeds the word "large" follows as a second argument: those of the bundled problems then print a large input."""

_WHY = {
    "time limit": "generator: time limit",
    "memory limit": "generator: memory limit",
    "output limit": "generator: printed too much",
    "process limit": "generator: process limit",
}


@dataclass(frozen=True, slots=True)
class Generator:
    """A Python program that prints one input."""

    source: str
    origin: str
    """Who wrote it: "problem", "file", or the name of a model."""

    @property
    def label(self) -> str:
        """What its first comment says of it, "" without one. Text of a model: hidden characters are made visible."""
        first = self.source.strip().partition("\n")[0]
        if not first.startswith("#"):
            return ""
        return make_visible(first.lstrip("#").strip())[:LONGEST_LABEL]


@dataclass(frozen=True, slots=True)
class Made:
    """An input and where it came from."""

    case: Case
    origin: str
    """"generator 2 (boundary), seed 0" or "tests[3]"."""
    group: str
    """Inputs of one group are alike: one generator, or the given tests."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """An input, or the try to make one, that was left out."""

    reason: str
    """Stable words to count by."""
    origin: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MakingLimits:
    """What bounds the generators. Our choices."""

    inputs: int = 40
    """Inputs to try for each problem: the generators share them, each under seeds 0, 1, …"""
    seed: int = 0
    """The first seed."""
    cpu_seconds: float = 10.0
    memory_megabytes: int = 512
    largest_input: int = 1_000_000
    """Bytes."""

    def sandbox(self) -> Limits:
        """The same for the sandbox; one byte more than the largest input is too much."""
        return Limits(
            cpu_seconds=self.cpu_seconds,
            wall_seconds=3 * self.cpu_seconds,
            memory_megabytes=self.memory_megabytes,
            output_bytes=self.largest_input,
        )


def all_inputs(
    problem: Problem,
    generators: Sequence[Generator],
    executor: Executor,
    limits: MakingLimits,
    *,
    with_given: bool,
) -> tuple[list[Made], list[Dropped]]:
    """The different inputs, the given ones first, and what was left out.

    Raises:
        SandboxFailure: the sandbox itself failed.
    """
    made: list[Made] = []
    dropped: list[Dropped] = []
    if with_given:
        made += [
            Made(given_case(test), f"tests[{number}]", "tests") for number, test in enumerate(problem.tests)
        ]
    seeds = range(limits.seed, limits.seed + math.ceil(limits.inputs / max(1, len(generators))))
    rounds: list[list[Made]] = []
    for number, generator in enumerate(generators):
        mine: list[Made] = []
        for one in _printed(number, generator, problem, executor, seeds, limits):
            if isinstance(one, Made):
                mine.append(one)
            else:
                dropped.append(one)
        rounds.append(mine)
    # In turns: whatever looks at the first inputs only sees one of each kind.
    made += [mine[turn] for turn in range(len(seeds)) for mine in rounds if turn < len(mine)]
    seen: set[str] = set()
    different = []
    for one in made:
        if one.case.key in seen:
            dropped.append(Dropped("duplicate input", one.origin))
        else:
            seen.add(one.case.key)
            different.append(one)
    return different, dropped


def _printed(
    number: int,
    generator: Generator,
    problem: Problem,
    executor: Executor,
    seeds: Sequence[int],
    limits: MakingLimits,
) -> Iterator[Made | Dropped]:
    """What one generator prints, seed by seed. Its first failure ends it: the next seed would fail the same way."""
    label = f" ({generator.label})" if generator.label else ""
    group = f"generator {number}"
    if _REPLACEMENT in generator.source or not _is_text(generator.source):
        yield Dropped("generator: not UTF-8", f"{group}{label}")
        return
    program = Program("python", _LAUNCHER, {"generator.py": generator.source})
    outcomes = executor.run(program, [f"{seed}\n" for seed in seeds], limits.sandbox())
    for place, (seed, outcome) in enumerate(zip(seeds, outcomes, strict=False)):
        origin = f"{group}{label}, seed {seed}"
        try:
            yield Made(_case(outcome, problem, limits.largest_input), origin, group)
        except _NoInput as refused:
            yield Dropped(refused.reason, origin, refused.detail)
            for later in seeds[place + 1 :]:
                yield Dropped("generator: failed under an earlier seed", f"{group}{label}, seed {later}")
            return


class _NoInput(Exception):
    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def _case(outcome: Outcome, problem: Problem, largest: int) -> Case:
    if outcome.status != "ok" or outcome.exit_code != 0:
        reason = _WHY.get(outcome.status, "generator: crashed")
        raise _NoInput(reason, last_line(outcome.stderr))
    text = outcome.stdout
    if not text.strip():
        raise _NoInput("generator: printed nothing", last_line(outcome.stderr))
    if _REPLACEMENT in text or not _is_text(text):
        raise _NoInput("generator: output not UTF-8")
    if len(text.encode()) > largest:
        raise _NoInput("generator: printed too much", f"more than {largest:,} bytes")
    if problem.function is None:
        return Case(text, None)
    try:
        arguments = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _NoInput("generator: no JSON", str(error)[:120]) from None
    if not isinstance(arguments, list):
        raise _NoInput("generator: no list of arguments", f"it printed a {type(arguments).__name__}")
    return Case(None, tuple(arguments))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def last_line(text: str) -> str:
    """The last line of what a program said of its end, for a person."""
    lines = text.strip().splitlines()
    return make_visible(lines[-1].strip())[:120] if lines else ""
