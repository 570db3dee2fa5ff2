"""Votes of the judge that labels training data: disagreement leaves a response out and costs nothing further."""

from __future__ import annotations

from ahalab.safety.rewarding.gathering import PromptRow
from ahalab.safety.rewarding.voting import DISAGREEMENT, Asked, vote
from ahalab.teachers.protocol import Failure
from rewarding_tools import ByWord


def _asked(n: int) -> list[Asked]:
    row = PromptRow("p", "q", "en", "s")
    return [Asked(f"r{number}", row, "", f"answer {number}") for number in range(n)]


def test_responses_on_which_votes_differ_are_left_out_and_cost_no_further_vote() -> None:
    said: dict[str, list[bool | Failure]] = {
        "answer 0": [True, True, True],
        "answer 1": [True, False, True],
        "answer 2": [False, Failure("no verdict"), False],
    }
    judge = ByWord(lambda _thinking, answer, _key: said[answer].pop(0))
    found = vote(judge, _asked(3), 3, "unanimous", 1)  # type: ignore[arg-type]
    assert [(one.votes, one.drop) for one in found] == [
        ([True, True, True], ""),
        ([True, False], DISAGREEMENT),
        ([False], "judge error: no verdict"),
    ]
    assert judge.asked == [3, 3, 1]


def test_a_majority_needs_no_further_vote() -> None:
    said = {"answer 0": [True, True], "answer 1": [True, False, False]}
    judge = ByWord(lambda _thinking, answer, _key: said[answer].pop(0))
    found = vote(judge, _asked(2), 3, "majority", 1)  # type: ignore[arg-type]
    assert [(one.safe, one.drop) for one in found] == [(True, ""), (False, "")]
    assert judge.asked == [2, 2, 1]


def test_each_vote_has_a_key_of_its_own() -> None:
    keys: list[int] = []

    def say(_thinking: str, _answer: str, key: int) -> bool:
        keys.append(key)
        return True

    vote(ByWord(say), _asked(2), 3, "unanimous", 1)  # type: ignore[arg-type]
    assert len(set(keys)) == 6
