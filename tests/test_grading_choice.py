"""Which option an answer names: the truth table, what is refused, and that hostile text takes no time."""

from __future__ import annotations

import json
import random
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from ahalab.grading.choice import choice_verifier
from ahalab.grading.failure import GraderFailure
from ahalab.prompts.options import LETTERS

TRUTH = Path(__file__).parent / "data" / "choice_truth.jsonl"
CITIES = {"options": ["Rome", "Paris", "Bonn", "1,000"]}


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in TRUTH.read_text(encoding="utf-8").splitlines()]


def test_every_row_of_the_truth_table_is_judged_as_a_person_did() -> None:
    table = rows()
    wrong = [
        row
        for row in table
        if choice_verifier(row["answer"], row["gold"], {"options": row["options"]}) != float(row["equal"])
    ]
    assert wrong == []
    assert len(table) >= 150
    assert {True, False} == {row["equal"] for row in table}
    assert len({json.dumps(row, sort_keys=True) for row in table}) == len(table)


@pytest.mark.parametrize("number", range(2, 11))
def test_every_letter_of_2_to_10_options_names_its_own_option_and_no_other(number: int) -> None:
    options = [f"the {place}th thing" for place in range(number)]
    for gold in LETTERS[:number]:
        for given in LETTERS[:number]:
            for answer in (
                given,
                f"({given.lower()})",
                f"Answer: {given}",
                f"故选{given}",
                f"\\boxed{{\\text{{{given}}}}}",
            ):
                assert choice_verifier(answer, gold, {"options": options}) == float(given == gold), (
                    gold,
                    answer,
                )
    assert choice_verifier(LETTERS[number], LETTERS[0], {"options": options}) == 0.0


def test_the_gold_may_be_a_letter_a_text_or_both() -> None:
    for gold in ("B", "(b)", "Paris", "paris.", "B. Paris", "\\boxed{B}", "Ｂ"):
        assert choice_verifier("B", gold, CITIES) == 1.0
        assert choice_verifier("A", gold, CITIES) == 0.0


@pytest.mark.parametrize("gold", ["E", "Berlin", "A. Paris", "", "A or B"])
def test_a_gold_that_names_no_option_is_the_graders_failure_never_a_wrong_answer(gold: str) -> None:
    with pytest.raises(GraderFailure, match="gold unreadable"):
        choice_verifier("B", gold, CITIES)


def test_naming_all_options_at_once_never_pays() -> None:
    listed = [f"{letter}. {text}" for letter, text in zip(LETTERS, CITIES["options"], strict=False)]
    hedges = [
        *(joint.join(listed) for joint in (" ", "\n", "; ", " or ")),
        *(joint.join(LETTERS[:4]) for joint in ("", " ", ", ", "/", " and ", "、", "或")),
        *(joint.join(f"the answer is {letter}" for letter in LETTERS[:4]) for joint in (". ", ", ", " or ")),
        *(joint.join(f"选{letter}" for letter in LETTERS[:4]) for joint in ("，", "或", "")),
        " or ".join(CITIES["options"]),
    ]
    for hedge in hedges:
        assert [choice_verifier(hedge, gold, CITIES) for gold in "ABCD"] == [0.0] * 4, hedge


def test_hostile_answers_are_judged_in_linear_time() -> None:
    pieces = [
        "the answer is A, ",
        "not B ",
        "选A",
        "(",
        "\\boxed{",
        "A、",
        "option A or ",
        "¬",
        "\u0301",
        " ",
        "𝐁",
        "B. ",
    ]
    slow = [piece * (10_000 // len(piece)) for piece in pieces]
    rng = random.Random(1)
    slow += ["".join(rng.choices("AB.()、或选不是 \\{}$*¬", k=10_000)) for _ in range(5)]
    begun = process_time()
    for answer in slow:
        assert choice_verifier(answer, "D", CITIES) in (0.0, 1.0)
    # 17 answers of 10,000 characters: a second all together, where quadratic time would take minutes.
    assert process_time() - begun < 10
