"""The answer that each rule reads out of a response, in English and Chinese, well behaved and not."""

from __future__ import annotations

import time

import pytest

from ahalab.evaluation.extraction import WAYS, Rule, extract, last_number, summary_of

THOUGHT = "<think> Answer: A? \\boxed{1}, no. </think>"

LETTERS = [
    # English: MMLU's last line, MMLU-Pro's phrase, GPQA's capitals, with the decorations that models add.
    ("B is close, but\nAnswer: C", "C", "answer line"),
    ("Answer: A\nNo, wait.\nAnswer: D", "D", "answer line"),
    ("ANSWER: B", "B", "answer line"),
    ("**Answer:** B", "B", "answer line"),
    ("**Answer: B**", "B", "answer line"),
    ("**Answer**: (C)", "C", "answer line"),
    ("Answer: $B$", "B", "answer line"),
    ("Answer: \\boxed{D}", "D", "answer line"),
    ("Answer: $\\boxed{\\text{D}}$", "D", "answer line"),
    ("Answer: \\(B\\)", "B", "answer line"),
    ("Answer: B) Paris", "B", "answer line"),
    ("Answer:\n\nB.", "B", "answer line"),
    ("Final answer: b", "B", "answer line"),
    ("answer: b.", "B", "answer line"),
    ("The answer is (B).", "B", "answer is"),
    ("The correct answer is B", "B", "answer is"),
    ("So the answer is: **J**.", "J", "answer is"),
    ("the answer is option C", "C", "answer is"),
    ("I pick \\boxed{C}.", "C", "box"),
    ("B", "B", "whole reply"),
    ("(B) Paris", "(B) Paris", "whole reply"),
    # Chinese.
    ("先排除A。\n答案：B", "B", "answer line"),
    ("答案是C。", "C", "answer line"),
    ("答案为 D", "D", "answer line"),
    ("**答案**：Ｂ", "B", "answer line"),
    ("答案：（A）", "A", "answer line"),
    ("综上，故选C。", "C", "answer is"),
    ("因此选择 D", "D", "answer is"),
    # Nothing that names an option.
    ("Answer: a dog\nand so on", None, "no answer"),
    ("Answer: $LETTER\nis the form", None, "no answer"),
    ("Answer: B2\nis a vitamin", None, "no answer"),
    ("不选A。\n也不应选B。", None, "no answer"),
    ("The answer isn't clear.\nReally.", None, "no answer"),
]


@pytest.mark.parametrize(("summary", "answer", "how"), LETTERS)
def test_a_letter_is_the_last_answer_line_of_the_summary(summary: str, answer: str | None, how: str) -> None:
    for text in (summary, f"{THOUGHT}\n{summary}"):
        found = extract("letter", text, "stop")
        assert (found.answer, found.how) == (answer, how)


NUMBERS = [
    ("48 + 24 = 72, so \\boxed{72}.", "72", "box"),
    ("first \\boxed{1}, then \\boxed{\\frac{1}{2}}", "\\frac{1}{2}", "box"),
    ("It costs $1,450.", "1450", "last number"),
    ("10-2=8", "8", "last number"),
    ("She has -3 left", "-3", "last number"),
    ("一共是７２个。", "72", "last number"),
    ("答案是20", "20", "last number"),
    ("It weighs 3.50 kg.", "3.50", "last number"),
    ("no number here", None, "no answer"),
    ("never closed \\boxed{7", "7", "last number"),
]


@pytest.mark.parametrize(("summary", "answer", "how"), NUMBERS)
def test_a_number_is_the_box_or_else_the_last_one(summary: str, answer: str | None, how: str) -> None:
    for text in (summary, f"{THOUGHT}{summary}"):
        found = extract("number", text, "stop")
        assert (found.answer, found.how) == (answer, how)


FINAL = [
    ("<think> x </think> <answer> 12 </answer>", "12", "answer block"),
    ("<think> x </think> It is 12.", "It is 12.", "answer block"),
    ("It is \\boxed{12}.", "12", "box"),
    ("12", "12", "whole reply"),
    ("<think> 12", None, "no answer"),
    ("<think> x </think>", None, "no answer"),
]


@pytest.mark.parametrize(("text", "answer", "how"), FINAL)
def test_the_final_answer_is_read_as_in_training(text: str, answer: str | None, how: str) -> None:
    found = extract("final", text, "stop")
    assert (found.answer, found.how) == (answer, how)


@pytest.mark.parametrize("rule", ["boxed", "number", "letter"])
def test_an_answer_block_serves_where_there_is_no_box(rule: Rule) -> None:
    text = "<think> \\boxed{9} </think> <answer> twelve </answer>"
    assert extract(rule, text, "stop") == extract("final", text, "stop")
    boxed = "<think> x </think> <answer> \\boxed{12} </answer>"
    assert extract(rule, boxed, "stop").answer == "12"


@pytest.mark.parametrize("rule", ["final", "boxed", "number", "letter", "whole"])
def test_nothing_is_read_out_of_a_thinking_that_never_ended(rule: Rule) -> None:
    found = extract(rule, "<think> Answer: B, \\boxed{3} 4", "length")
    assert (found.answer, found.how) == (None, "cut off")


def test_a_boxed_answer_needs_its_box_and_a_cut_off_text_has_no_last_number() -> None:
    assert extract("boxed", "the answer is 5", "stop").answer is None
    assert extract("boxed", "so \\boxed{5} and then", "length").answer == "5"
    assert extract("number", "3 + 4 = 7 and", "length").how == "cut off"
    assert extract("final", "3 + 4 = 7 and", "length").how == "cut off"


def test_the_whole_summary_is_what_stands_after_the_thinking() -> None:
    assert extract("whole", f"{THOUGHT}\n Dear all, \n\nhello ", "stop").answer == "Dear all, \n\nhello"
    assert summary_of("plain", "stop") == "plain"
    assert summary_of(" ", "stop") is None


@pytest.mark.parametrize(
    "text",
    [
        "answer " * 30_000,
        "Answer: " + "*" * 200_000,
        "\\boxed{" * 30_000,
        "答案" * 60_000,
        "1," * 100_000,
        "Answer:" + " " * 200_000 + "!",
        "answer is" + "(" * 200_000,
    ],
)
def test_hostile_text_is_read_in_linear_time(text: str) -> None:
    started = time.process_time()
    for rule in ("letter", "number", "boxed", "final", "whole"):
        assert extract(rule, text, "stop").how in WAYS
    assert time.process_time() - started < 20.0  # quadratic would take minutes


def test_the_last_number_leaves_names_with_digits_alone() -> None:
    assert last_number("x2 = 5 in step3") == "5"
    assert last_number("no digits") is None
