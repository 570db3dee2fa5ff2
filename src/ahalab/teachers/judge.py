"""What a judge is: verdicts on answers, where a failed verdict is a counted failure and never a silent one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from ahalab.records import Prompt
from ahalab.teachers.protocol import Failure

JudgeTask = Literal["correctness", "compare", "safe"]


class Judge(Protocol):
    """Every list is in the order of the items given. A failed verdict is a `Failure`, never a guess."""

    @property
    def name(self) -> str:
        """ "rules" or the endpoint's name in the recipe."""

    @property
    def counts(self) -> Mapping[str, int]:
        """ "judged", "asked_again", "tokens_in", "tokens_out", "failed: <reason>"; the same after a resume."""

    @property
    def traffic(self) -> Mapping[str, int]:
        """What this process really sent: "calls", "retries", "from_cache"."""

    def identity(self) -> dict[str, Any]:
        """Kind, model and settings and the hashes of the prompt files: JSON-able, for the manifest."""

    def correctness(self, items: Sequence[tuple[Prompt, str, int]]) -> list[bool | Failure]:
        """Whether (prompt, answer, key) answers are right, given the reference answer (paper B.3.3)."""

    def compare(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[int | Failure]:
        """(prompt, a, b, key), a shown first: 2 = a much better, 1 better, 0 level, -1, -2 = b much better."""

    def safe(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[bool | Failure]:
        """Whether (prompt, thinking, answer, key) responses are safe as a whole, thinking included."""
