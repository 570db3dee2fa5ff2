"""What counts as a right answer, and what counts as no gold answer at all. Pure verifiers, called directly."""

from __future__ import annotations

import pytest

from ahalab.grading.choice import choice_verifier
from ahalab.grading.expressions import Unreadable, evaluate_literal, parse_expression
from ahalab.grading.failure import GraderFailure
from ahalab.grading.normal import plain_number, plain_text
from ahalab.grading.verifiers import VERIFIERS, exact_verifier


@pytest.mark.parametrize(
    "answer",
    ["284", "284.", " 284 \n", "＋284", "+284", "２８４", "284.0", "284.000", "0284", "284。"],
)
def test_exact_reads_one_number_in_every_dress(answer: str) -> None:
    assert exact_verifier(answer, "284", {}) == 1.0
    assert exact_verifier("284", answer, {}) == 1.0


@pytest.mark.parametrize(
    "answer",
    ["285", "28 4", "-284", "284 apples", "2840", "28.4", "284284", "284..", "284,0", "0x11c", "2.84e2", ""],
)
def test_exact_refuses_other_numbers_and_texts(answer: str) -> None:
    assert exact_verifier(answer, "284", {}) == 0.0


def test_exact_knows_separators_signs_and_decimals() -> None:
    assert exact_verifier("1,234", "1234", {}) == 1.0
    assert exact_verifier("1 234", "1,234", {}) == 1.0
    assert exact_verifier("１，２３４", "1234", {}) == 1.0
    assert exact_verifier("12,34", "1234", {}) == 0.0
    assert exact_verifier("−5", "-5", {}) == 1.0
    assert exact_verifier("-0", "0", {}) == 1.0
    assert exact_verifier(".5", "0.50", {}) == 1.0
    assert exact_verifier("0." + "3" * 500, "0." + "3" * 499, {}) == 0.0


def test_exact_compares_text_without_case_width_or_blanks() -> None:
    assert exact_verifier("  New\tYork. ", "new york", {}) == 1.0
    assert exact_verifier("ＮＥＷ york", "New York", {}) == 1.0
    assert exact_verifier("北京。", "北京", {}) == 1.0
    assert exact_verifier("newyork", "new york", {}) == 0.0


def test_a_blank_gold_answer_is_a_grader_failure() -> None:
    with pytest.raises(GraderFailure, match="gold unreadable"):
        exact_verifier("5", " . ", {})


def test_plain_forms_take_hostile_text() -> None:
    assert plain_number("9" * 10_000) is not None
    assert plain_number("1,234" * 2_000) is None
    assert plain_text("\ud800 \x00 A") == "\ud800 \x00 a"
    assert plain_number("٣٤") is None


CITIES = {"options": ["Rome", "Paris", "Bonn", "1,000"]}


@pytest.mark.parametrize(
    "answer",
    [
        *("B", "b", "(B)", "B.", "[b]", "Ｂ", "B)", "\\boxed{B}", "$\\text{B}$", "**B**"),
        *("Paris", "paris.", "\\boxed{Paris}", "B. Paris", "(B) Paris", "B: paris"),
        *("The answer is B", "the correct answer is (B).", "答案是B", "选B", "Option B"),
    ],
)
def test_choice_knows_letter_text_and_both(answer: str) -> None:
    assert choice_verifier(answer, "B", CITIES) == 1.0
    assert choice_verifier(answer, "Paris", CITIES) == 1.0
    assert choice_verifier(answer, "B. Paris", CITIES) == 1.0
    assert choice_verifier(answer, "A", CITIES) == 0.0


@pytest.mark.parametrize(
    "answer", ["A or B", "AB", "B. Rome", "E", "Z", "Paris or Rome", "", "not B", "a b", "🅱"]
)
def test_choice_refuses_hedges_and_contradictions(answer: str) -> None:
    assert choice_verifier(answer, "B", CITIES) == 0.0


def test_choice_compares_numbers_as_numbers() -> None:
    assert choice_verifier("1000", "D", CITIES) == 1.0


def test_choice_without_options_compares_letters() -> None:
    assert choice_verifier("(c)", "C", {}) == 1.0
    assert choice_verifier("C. because", "C", {}) == 1.0
    assert choice_verifier("D", "C", {}) == 0.0


def test_choice_names_a_gold_that_is_no_option() -> None:
    with pytest.raises(GraderFailure, match="names none of the 4 options"):
        choice_verifier("B", "Berlin", CITIES)
    with pytest.raises(GraderFailure, match="letter of one option and the text of another"):
        choice_verifier("B", "B", {"options": ["B", "A"]})
    with pytest.raises(GraderFailure, match="options"):
        choice_verifier("B", "B", {"options": "Rome"})


@pytest.mark.parametrize("verifier", sorted(VERIFIERS))
def test_verifiers_are_registered_under_the_names_prompts_carry(verifier: str) -> None:
    assert verifier in {
        *("exact", "math", "choice", "countdown", "reasoning_gym", "function", "helpful", "safe", "ifeval"),
        *("code", "patch", "code_io"),
    }


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__",
        "[x for x in (1,)]",
        "lambda: 1",
        "open('/etc/passwd')",
        "x.free_symbols",
        "f'{1}'",
        "(y := 1)",
        "9**9**9",
        "10**10**10",
        "2**(-9**9)",
        "(2**2000)**2000",
        "factorial(10**9)",
        "1 if 1 else 2",
        "(" * 100_000 + "1" + ")" * 100_000,
        "-" * 50_000 + "1",
        "1+" * 50_000 + "1",
        "\x00",
        "\ud800",
        "",
        "True",
        "_secret",
    ],
)
def test_expressions_are_read_by_a_closed_grammar(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_expression(text)


def test_expressions_mean_what_they_say() -> None:
    import sympy

    x = sympy.Symbol("x")
    assert parse_expression("x**3/3 - 2*x + sin(x)") == x**3 / 3 - 2 * x + sympy.sin(x)
    assert parse_expression("-3**2 + 7 // 2 + 7 % 4") == -9 + 3 + 3
    assert parse_expression("a*x", local_dict={"a": sympy.Integer(5)}) == 5 * x
    unevaluated = parse_expression("1/2 + 2*(3 - 1)", evaluate=False)
    assert unevaluated.doit() == sympy.Rational(9, 2)
    assert unevaluated.is_Add


def test_literals_are_read_without_eval() -> None:
    assert evaluate_literal("[['a', 1], (2.5, None)]") == [["a", 1], (2.5, None)]
    assert evaluate_literal("((0x3a41 - 0x8d44) + 0x5471) << 2") == ((0x3A41 - 0x8D44) + 0x5471) << 2
    for hostile in ("__import__('os')", "[1] * 10**9", "'a' * 9", "1 << 10**9", "9**9", "print(1)", "[*[1]]"):
        with pytest.raises(Unreadable):
            evaluate_literal(hostile)
