"""Majority votes equal hand-made counts; answers that are the same answer vote together."""

from __future__ import annotations

import pytest

from ahalab.evaluation.votes import cons_at_k, majority, normal_answer


@pytest.mark.parametrize(
    "same",
    [
        [
            "0.5",
            "1/2",
            r"\frac12",
            r"\frac{1}{2}",
            r"$\dfrac{1}{2}$",
            r"\boxed{\tfrac12}",
            "x = 0.50",
            "０.５",
            "2/4",
        ],
        ["1,000", "1000", "1000.", r"\$1000", "$1000$", "**1000**", r"\(1000\)", "+1000"],
        ["B", "(B)", "b.", r"\text{B}", "B)"],
        ["(3, 4)", "(3,4)", r"\left( 3,\, 4 \right)", "$(3,4)$."],
        [r"90^\circ", "90", "90°", r"90^{\circ}"],
        ["Paris", " paris. ", "PARIS"],
        [r"\frac{x}{2} + 1", r"\frac{x}{2}+1"],
    ],
)
def test_spellings_of_one_answer_vote_together(same: list[str]) -> None:
    assert len({normal_answer(one) for one in same}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1/3", "0.33"),
        ("-1", "1"),
        ("2x", "x+x"),
        ("A", "B"),
        ("New York", "NewYork"),
        (r"\frac123", "1/2"),
        ("5%", "5"),
    ],
)
def test_different_answers_do_not(one: str, other: str) -> None:
    assert normal_answer(one) != normal_answer(other)


def test_hostile_answers_take_linear_time_and_stay_apart() -> None:
    for text in (
        "$" * 200_000,
        "\\left" * 40_000,
        " " * 200_000 + "7",
        "{" * 999,
        "\\frac{" * 160,
        "x=" * 499,
    ):
        assert isinstance(normal_answer(text), str)


def test_most_votes_win_and_no_answer_is_no_vote() -> None:
    assert majority(["7", "1/2", None, "0.5", None, None]) == "1/2"  # as the first of them wrote it
    assert majority([None, " ", None]) is None
    assert majority([]) is None


def test_of_equal_counts_the_answer_given_first_wins() -> None:
    assert majority(["9", "7", "7", "9"]) == "9"
    assert majority([None, "7", "9", "9", "7", "8"]) == "7"


def test_the_normal_form_can_be_chosen() -> None:
    assert majority(["a", "A", "b", "b", "A"], normalise=str) == "A"


def test_consensus_of_all_samples_is_right_or_wrong() -> None:
    answers = ["3", "3.0", "4", None]
    assert cons_at_k(answers, [True, True, False, False]) == 1.0
    assert cons_at_k(answers, [False, False, True, False]) == 0.0
    assert cons_at_k([None, None], [False, False]) == 0.0
    assert cons_at_k(["4", "3"], [True, False]) == 1.0  # a tie: the first


def test_more_samples_than_k_vote_in_blocks() -> None:
    answers = ["1", "1", "2", "2", "2", "1", "1", None, None, "2"]
    right = [one == "1" for one in answers]
    assert cons_at_k(answers, right, 3) == pytest.approx(2 / 3)
    assert cons_at_k(answers, right, 1) == pytest.approx(4 / 10)  # pass@1 with None as wrong


def test_too_few_samples_or_grades_are_refused() -> None:
    with pytest.raises(ValueError, match="cons@4 needs at least 4"):
        cons_at_k(["1"], [True], 4)
    with pytest.raises(ValueError, match="needs at least 1"):
        cons_at_k([], [])
    with pytest.raises(ValueError, match="2 answers but 1 grades"):
        cons_at_k(["1", "2"], [True])
