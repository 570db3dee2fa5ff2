"""What a teacher is: somebody who rewrites a model's answer well, or answers well himself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ahalab.records import Prompt

Part = Literal["thinking", "summary"]
PARTS: tuple[Part, ...] = ("thinking", "summary")

ThinkingChoice = Literal["where_useful", "always", "never"]

Generate = Callable[[Sequence[str], Sequence[int]], list[str]]
"""(raw prompt texts, one key a text) → completions: how a stage lends its own model to `teacher: self`."""


@dataclass(frozen=True, slots=True)
class RefineItem:
    """A response to be rewritten."""

    prompt: Prompt
    thinking: str
    answer: str
    key: int
    """`ahalab.counter` key of this item: the only source of randomness."""


@dataclass(frozen=True, slots=True)
class Refined:
    """A teacher's work: a thinking ("" where none is wanted) and a final summary."""

    thinking: str
    answer: str


@dataclass(frozen=True, slots=True)
class Failure:
    """No result for one item: counted by `reason` and shown, never taken for a verdict or an answer."""

    reason: str
    """A short stable phrase to count by, such as "final answer changed"."""
    detail: str = ""
    """What happened to this item."""


Outcome = Refined | Failure


class Teacher(Protocol):
    """Every list is in the order of the items given. One item's failure never disturbs the others."""

    @property
    def name(self) -> str:
        """What rows name as their source: "rules", "self" or the endpoint's name in the recipe."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What was done so far: "refined", "answered", "asked_again", "tokens_in", "tokens_out", "failed: <reason>".

        Replies taken from the cache count like fresh ones, so the counts of a unit of work are the same after
        a resume.
        """

    @property
    def traffic(self) -> Mapping[str, int]:
        """What this process really sent: "calls", "retries", "from_cache". Belongs beside clock values."""

    def identity(self) -> dict[str, Any]:
        """Kind, model and settings and the hashes of the prompt files: JSON-able, for the manifest."""

    def refine(self, items: Sequence[RefineItem], parts: Collection[Part]) -> list[Outcome]:
        """Rewrite the parts asked for (paper B.3.2); the others are handed back as they came."""

    def respond(self, items: Sequence[tuple[Prompt, int]], thinking: ThinkingChoice) -> list[Outcome]:
        """Answer (prompt, key) items from scratch (paper B.3.3, non-reasoning data).

        `thinking`: "where_useful" leaves trivial queries without, "always" wants one, "never" none.
        """

    def respond_briefly(self, items: Sequence[tuple[Prompt, int]]) -> list[Outcome]:
        """Answer (prompt, key) items that a recipe calls easy (paper, Listing 3): mathematics with a short thinking
        and a short solution, anything else as `respond` does where thinking is useful."""
