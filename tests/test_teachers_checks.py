"""What a teacher's work must pass before it is used: the same final answer, no leftovers, nothing empty."""

from __future__ import annotations

from typing import Any

import pytest

from ahalab.records import Prompt
from ahalab.teachers.checks import check_refined, check_response, final_answer
from ahalab.teachers.protocol import PARTS, Failure, Refined, RefineItem


def item(answer: str, verifier: str = "exact", **extra: Any) -> RefineItem:
    prompt = Prompt("s/1", "What is 2 + 2?", "4", "math", "s", verifier, extra=extra)
    return RefineItem(prompt, "2+2=4", answer, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("284", "284"),
        (" \\boxed{284}. ", "284"),
        ("first \\boxed{1}, then \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}} is it", "\\frac{1}{2}"),
        ("\\boxed {x} ", "x"),
        ("\\boxed{open", "\\boxed{open"),
        ("\\boxed{1} and \\boxed{open", "1"),
        ("}} \\boxed{a} {", "a"),
        ("no box {here}", "no box {here}"),
    ],
)
def test_the_final_answer_is_the_last_complete_box(text: str, expected: str) -> None:
    assert final_answer(text) == expected


def test_a_text_of_boxes_is_read_in_linear_time() -> None:
    assert final_answer("\\boxed{" * 50_000).startswith("\\boxed{")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("4", "So it is \\boxed{4}."),
        ("4.", "$2+2=\\boxed{4.0}$"),
        ("1234", "\\boxed{1,234}"),
        ("\\boxed{4}", "\\boxed{ 4 }"),
        ("$\\frac{1}{2}$", "\\boxed{\\dfrac{1}{2}}"),
        ("x + 1", "\\boxed{$x + 1$}"),
        ("Cup A", "It is under \\boxed{\\text{cup A}}."),
    ],
)
def test_the_same_final_answer_in_another_dress_passes(before: str, after: str) -> None:
    assert check_refined(item(before), Refined("I think.", after), PARTS) == Refined("I think.", after)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("4", "So it is \\boxed{5}.", "final answer changed"),
        ("4", "\\boxed{4} or rather \\boxed{5}", "final answer changed"),
        ("4", "\\boxed{44}", "final answer changed"),
        ("A", "\\boxed{B}", "final answer changed"),
        ("4", "So it is 4.", "no final answer"),
        ("4", "   ", "empty"),
        ("4", "</think> \\boxed{4}", "leftover tag"),
        ("4", "<answer>\\boxed{4}</answer>", "leftover tag"),
        ("4", "\\boxed{4}<|im_end|>", "leftover tag"),
        ("4", "\\boxed{4}<｜end▁of▁sentence｜>", "leftover tag"),
    ],
)
def test_another_final_answer_or_a_leftover_fails_the_item(before: str, after: str, reason: str) -> None:
    outcome = check_refined(item(before), Refined("I think.", after), PARTS)
    assert isinstance(outcome, Failure)
    assert outcome.reason == reason


def test_an_options_letter_and_its_text_are_the_same_choice() -> None:
    one = item("B", "choice", options=["Rome", "Paris"])
    assert isinstance(check_refined(one, Refined("I think.", "\\boxed{B. Paris}"), PARTS), Refined)
    assert isinstance(check_refined(one, Refined("I think.", "\\boxed{A}"), PARTS), Failure)


@pytest.mark.parametrize(
    ("after", "same"),
    [
        ("Here it is:\n```python\ndef f(x):\n    return x + 1\n```", True),
        ("The function: def f(x):\n    return x + 1", True),
        ("```python\ndef f(x):\n    return x + 2\n```", False),
        ("I add one.", False),
    ],
)
def test_code_is_kept_line_by_line(after: str, same: bool) -> None:
    before = "def f(x):\n    return x + 1"
    outcome = check_refined(item(before, "function"), Refined("I think.", after), PARTS)
    assert isinstance(outcome, Refined) is same


def test_only_the_rewritten_parts_are_held_to_it() -> None:
    assert isinstance(check_refined(item("4"), Refined("I think.", "<answer>"), ["thinking"]), Refined)
    assert isinstance(check_refined(item("4"), Refined("<think>", "\\boxed{4}"), ["summary"]), Refined)
    assert isinstance(check_refined(item("4"), Refined("<think>", "\\boxed{4}"), PARTS), Failure)


def test_a_domain_without_one_right_answer_is_not_held_to_one() -> None:
    assert isinstance(check_refined(item("a poem", "none"), Refined("I think.", "another"), PARTS), Refined)


def test_thinking_comes_as_it_was_asked_for() -> None:
    assert check_response(Refined("hm", "a"), "never") == Refined("", "a")
    assert check_response(Refined("", "a"), "where_useful") == Refined("", "a")
    assert check_response(Refined("", "a"), "always") == Failure(
        "no thinking", "a thinking was asked for and none was given"
    )
    assert isinstance(check_response(Refined("<think>", "a"), "where_useful"), Failure)
    assert isinstance(check_response(Refined("hm", " "), "where_useful"), Failure)
