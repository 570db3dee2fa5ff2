"""What a domain of the tiny world is: problems made from a key, their truths, and how answers are thought out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ahalab.counter import make_key
from ahalab.records import Language

Split = Literal["train", "held_out"]

HELD_OUT_SHARE = 10
"""One problem in ten is held out, chosen by a hash of the problem itself, so no seed and no order can leak it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of the world with its truth."""

    domain: str
    kind: str
    language: Language
    level: int
    question: str
    answer: str
    key: str
    """Canonical form: two problems with one key are the same problem in other words."""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """How the corpus answers a problem: a thinking, the answer it ends in, and whether it checked itself."""

    thinking: str
    answer: str
    checked: bool


class Domain(Protocol):
    """A domain of the tiny world. Every method is a pure function of its arguments."""

    @property
    def name(self) -> str:
        """Name in recipes."""

    @property
    def levels(self) -> tuple[int, ...]:
        """Difficulties, easiest first."""

    def problem(self, rng: random.Random, language: Language, level: int) -> Problem:
        """Draw a problem, from either split."""

    def trace(self, problem: Problem, rng: random.Random, mixture: Mixture) -> Trace:
        """Answer the way the pretraining corpus does: mostly at once and often wrongly, rarely with a check."""

    def drill(self, rng: random.Random) -> str:
        """A plain text that teaches the single steps of a check."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """The pretraining corpus in numbers. Our choice, measured in the data card of `builtin:tiny`."""

    drill: float = 0.5
    """Share of documents that are bare step drills."""
    check: float = 0.15
    """Share of answered problems whose thinking checks itself."""
    second_check: float = 0.08
    """Share of checks that are done a second time in another order."""
    direct_right: float = 0.20
    """Share of direct guesses that are right in the corpus; the rest are slips."""
    badly_formatted: float = 0.15
    mixed_language: float = 0.12
    """Share of thinkings that switch language for one phrase."""
    chinese: float = 0.4


def keyed_random(*parts: object) -> random.Random:
    """A generator that depends on `parts` only: the world has no other source of randomness."""
    return random.Random(make_key(*parts))


def split_of(key: str) -> Split:
    """The split a problem belongs to, from its canonical key alone."""
    return "held_out" if make_key("split", key) % HELD_OUT_SHARE == 0 else "train"
