"""What a domain of the tiny world is: problems made from a key, their truths, and how answers are thought out."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ahalab.counter import make_key
from ahalab.records import Language
from ahalab.world.moves import Move, Said

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
    """JSON-able: what the domain needs to judge and to explain the problem again."""


@dataclass(frozen=True, slots=True)
class Trace:
    """How a problem is answered: a thinking, the answer it ends in, and whether it checked itself."""

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

    @property
    def verifier(self) -> str:
        """Name of the verifier that grades its answers."""

    @property
    def weight(self) -> float:
        """Share of the pretraining corpus's documents, relative to the other domains."""

    @property
    def drill_share(self) -> float:
        """Share of drills among its documents, where the mixture's `drill` is 0.5; others scale it."""

    @property
    def moves(self) -> Sequence[Move]:
        """Every sentence a thinking may be made of."""

    def problem(self, rng: random.Random, language: Language, level: int) -> Problem:
        """Draw a problem, from either split."""

    def trace(self, problem: Problem, rng: random.Random, mixture: Mixture) -> Trace:
        """Answer the way the pretraining corpus does: mostly at once and often wrongly, rarely with a check."""

    def drill(self, rng: random.Random) -> str:
        """A plain text that teaches the single steps of a check."""

    def grading(self, problem: Problem) -> Mapping[str, Any]:
        """What the verifier needs besides the gold answer: the prompt's `extra`."""

    def good(self, problem: Problem, rng: random.Random) -> tuple[list[Said], str]:
        """(thinking, answer) as the rule teacher gives them; no thinking where none is useful."""

    def translate(self, text: str, to: Language) -> str:
        """The value of a slot in the other language; what has no language stays."""

    def refined(
        self, problem: Problem, said: Sequence[Said], answer: str, rng: random.Random
    ) -> tuple[list[Said], str]:
        """A thinking of known sentences and its answer, as the rule teacher rewrites them: thinking and summary.

        Raises:
            CannotRefine: the answer is none that a summary could be written for.
        """


@dataclass(frozen=True, slots=True)
class Mixture:
    """The pretraining corpus in numbers. Our choice, measured in the data card of `builtin:tiny`."""

    drill: float = 0.5
    """Share of mathematics documents that are bare step drills; other domains have their own share of it."""
    check: float = 0.15
    """Share of answered problems whose thinking checks itself."""
    second_check: float = 0.08
    """Share of checks that are done a second time in another order."""
    direct_right: float = 0.20
    """Share of direct guesses that are right in the corpus; the rest are slips."""
    badly_formatted: float = 0.15
    mixed_language: float = 0.12
    """Share of thinkings that switch language for one sentence."""
    chinese: float = 0.4
    worked: float = 0.08
    """Share of problems that are worked out in the first person, with a summary, outside the template: what a base
    has read in books. Without it a cold start has to teach words that the model has never seen."""
    good_manners: float = 0.3
    """Chance of each courtesy in the answer to an instruction."""
    instruction_slip: float = 0.55
    """Share of instructions that are not followed to the letter."""
    unsafe_compliance: float = 0.55
    """Share of unsafe requests that are simply answered."""
    bare_refusal: float = 0.2
    """Share of requests, safe ones too, that are refused without a reason."""


class CannotRefine(Exception):
    """The rule teacher does not know how to rewrite an answer; `reason` is a stable identifier."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def keyed_random(*parts: object) -> random.Random:
    """A generator that depends on `parts` only: the world has no other source of randomness."""
    return random.Random(make_key(*parts))


def split_of(key: str) -> Split:
    """The split a problem belongs to, from its canonical key alone."""
    return "held_out" if make_key("split", key) % HELD_OUT_SHARE == 0 else "train"


def other(language: Language) -> Language:
    """The world's other language."""
    return "zh" if language == "en" else "en"
