"""The probe's figures equal hand-worked ones, and its words do not claim more than the interval."""

from __future__ import annotations

from typing import Any

import pytest

from ahalab.evaluation.probe import in_words, markdown, probe_figures


def row(item: str, arm: str, correct: float | None, **changed: Any) -> dict[str, Any]:
    return {
        "item": item,
        "arm": arm,
        "word": "wait",
        "original_correct": True,
        "correct": correct,
        "error": None if correct is not None else "wall time-out: 5 s",
        "new_tokens": 10,
        "further": 1,
        "finish": "stop",
        "begins_reflective": arm == "with",
        **changed,
    }


ROWS = [
    # a: with 1, without 1/2, free 1; b: with 1/2, without 0, free 0
    *(row("a", "with", 1.0) for _ in range(2)),
    row("a", "without", 1.0, new_tokens=4),
    row("a", "without", 0.0, new_tokens=8, finish="length"),
    *(row("a", "free", 1.0, begins_reflective=True) for _ in range(2)),
    row("b", "with", 1.0, original_correct=False, word="but"),
    row("b", "with", 0.0, original_correct=False, word="but"),
    *(row("b", "without", 0.0, original_correct=False, word="but", further=3) for _ in range(2)),
    row("b", "free", 0.0, original_correct=False, word="but"),
    row("b", "free", None, original_correct=False, word="but"),
]


def test_figures_equal_hand_worked_ones() -> None:
    figures = probe_figures(ROWS, 2)
    accuracy = {arm: found["accuracy"]["value"] for arm, found in figures["arms"].items()}
    assert accuracy == {"with": 0.75, "without": 0.25, "free": 0.5}
    differences = {name: found["value"] for name, found in figures["differences"].items()}
    assert differences == {"with - without": 0.5, "with - free": 0.25, "free - without": 0.25}
    without = figures["arms"]["without"]
    assert without["new_tokens"]["value"] == pytest.approx((6 + 10) / 2)
    assert without["further_reflective"]["value"] == pytest.approx((1 + 3) / 2)
    assert without["truncated"]["value"] == 0.25
    assert figures["arms"]["free"]["begins_reflective"]["value"] == 0.5
    assert figures["prompts"] == 2
    assert figures["words"] == {"but": 1, "wait": 1}


def test_right_and_wrong_samples_stand_apart() -> None:
    original = probe_figures(ROWS, 2)["original"]
    assert original["right"]["differences"]["with - without"]["value"] == 0.5
    assert original["right"]["arms"]["with"]["accuracy"]["value"] == 1.0
    assert original["wrong"]["arms"]["with"]["accuracy"]["value"] == 0.5
    assert original["not_graded"] == 0


def test_a_failed_grader_and_a_missing_continuation_are_counted() -> None:
    figures = probe_figures(ROWS[:3] + ROWS[4:], 2)
    assert figures["grader_errors"] == {"wall time-out: 5 s": 1}
    assert figures["missing"] == {"with": 0, "without": 1, "free": 0}


def test_the_sentence_claims_no_effect_that_the_interval_does_not_show() -> None:
    for value, low, high, said in (
        (0.1, 0.02, 0.2, "the word helps."),
        (-0.1, -0.2, -0.01, "the word harms."),
        (0.1, -0.1, 0.3, "no effect can be told from none at this size."),
    ):
        found = {"value": value, "low": low, "high": high, "n": 40}
        assert in_words({"differences": {"with - without": found}}).endswith(said)
    assert "No prompt" in in_words({"differences": {"with - without": None}})


def test_the_table_has_every_arm_and_what_was_left_out() -> None:
    report = {"figures": probe_figures(ROWS, 2), "read": 9, "skipped": {"without a reflective word": 7}}
    text = markdown(report)
    assert "| all | 2 | 75.0 [" in text
    assert "Samples read: 9. Left out: 7 without a reflective word." in text
    assert "Grader errors: 1 × wall time-out: 5 s." in text
