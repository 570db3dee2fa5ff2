"""Safe or unsafe, as a whole, by votes of one judge: responses on which its votes do not agree are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ahalab.counter import make_key
from ahalab.records import Prompt
from ahalab.safety.rewarding.gathering import DOMAIN, PromptRow
from ahalab.teachers.judge import Judge
from ahalab.teachers.protocol import Failure

DISAGREEMENT = "votes disagree"


@dataclass(frozen=True, slots=True)
class Asked:
    """A response to be judged."""

    id: str
    prompt: PromptRow
    thinking: str
    answer: str


@dataclass(slots=True)
class Voted:
    """The votes of one response, and what they come to."""

    votes: list[bool]
    drop: str = ""

    @property
    def safe(self) -> bool:
        """The label, where `drop` is empty."""
        return 2 * sum(self.votes) > len(self.votes)


def vote(
    judge: Judge, asked: Sequence[Asked], votes: int, agree: Literal["unanimous", "majority"], key: int
) -> list[Voted]:
    """The votes of every response, in order. Each vote is a request of its own with a mark of its own.

    No vote is bought that can change nothing: after a verdict that failed, after the first disagreement where all
    must agree, after a majority.
    """
    found = [Voted([]) for _ in asked]
    for number in range(votes):
        still = [place for place, one in enumerate(found) if not one.drop and not _settled(one, votes, agree)]
        verdicts = judge.safe(
            [
                (
                    _prompt(asked[place].prompt),
                    asked[place].thinking,
                    asked[place].answer,
                    make_key(key, "vote", number, asked[place].id),
                )
                for place in still
            ]
        )
        for place, verdict in zip(still, verdicts, strict=True):
            if isinstance(verdict, Failure):
                found[place].drop = f"judge error: {verdict.reason}"
            else:
                found[place].votes.append(verdict)
                if agree == "unanimous" and len(set(found[place].votes)) > 1:
                    found[place].drop = DISAGREEMENT
    return found


def _settled(one: Voted, votes: int, agree: str) -> bool:
    most = max(one.votes.count(True), one.votes.count(False))
    return agree == "majority" and 2 * most > votes


def _prompt(row: PromptRow) -> Prompt:
    return Prompt(
        id=row.id,
        question=row.question,
        answer=None,
        domain=DOMAIN,
        source=row.source,
        verifier="none",
        language=row.language,
        messages=row.messages,
    )
