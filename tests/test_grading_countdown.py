"""Countdown and the 24 game: any expression of the given numbers that hits the target, nothing that seems to."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from ahalab.grading import GraderPool
from ahalab.grading.countdown import LENGTH_LIMIT, MAX_DEPTH, countdown_verifier
from ahalab.grading.failure import GraderFailure
from ahalab.records import GradeRequest

EIGHTS = {"numbers": [3, 3, 8, 8], "target": 24}


def score(answer: str, numbers: list[int], target: int = 24, *, use_all: bool = True) -> float:
    return countdown_verifier(answer, None, {"numbers": numbers, "target": target, "use_all": use_all})


@pytest.mark.parametrize(
    "answer",
    [
        "8/(3-8/3)",
        " 8 / ( 3 - 8 / 3 ) ",
        "8/(3-8/3) = 24",
        "24 = 8/(3-8/3)",
        "8/(3-8/3)=24.",
        "8÷(3−8÷3)",
        "８／（３－８／３）＝２４",
        r"\frac{8}{3-\frac{8}{3}}",
        r"$\dfrac{8}{3 - \frac{8}{3}} = 24$",
        r"8 \div \left(3 - 8 \div 3\right)",
        r"\boxed{8/(3-8/3)}",
        r"The expression is \boxed{\frac{8}{3-8/3}}.",
        "Answer: 8/(3-8/3)",
        "答案：8/(3-8/3)",
        "`8/(3-8/3)`",
        "**8/(3-8/3)**",
        "[8/(3-8/3)]",
        "-8/(8/3-3)",
        "(-8)/(8/3-3)",
    ],
)
def test_every_dress_of_a_right_expression_is_right(answer: str) -> None:
    assert countdown_verifier(answer, None, EIGHTS) == 1.0


def test_multiplication_has_many_signs() -> None:
    for sign in ("*", "×", "·", "⋅", "∗", "x", "X", r"\times", r"\cdot ", r" \ast "):
        assert score(f"(8-4){sign}(7-1)", [8, 4, 7, 1]) == 1.0, sign


ATTACKS = [
    ("the target alone", "24"),
    ("the target as an equation", "24 = 24"),
    ("other numbers", "(8)*3"),
    ("numbers used again", "8+8+8"),
    ("a number left out", "3*8"),
    ("one number more", "8/(3-8/3)+0"),
    ("one number more that changes nothing", "8/(3-8/3)*1"),
    ("the numbers and no signs", "3 8 8 3"),
    ("digits side by side", "38-8-3-3"),
    ("digits side by side by a blank", "3 3-8+8"),
    ("brackets as multiplication", "(8)(3)+8-8"),
    ("a power", "8**(3-8/3)"),
    ("a caret", "8^(3-8/3)"),
    ("a factorial", "8!/(3-8/3)"),
    ("a decimal", "8.0/(3-8/3)"),
    ("an exponent", "8e0/(3-8/3)"),
    ("a superscript", "8/(3-8/3)²"),
    ("a vulgar fraction", "8/⅓+3*0"),
    ("a root", r"\sqrt{8*8}*3"),
    ("a modulus", "8%3*8+3"),
    ("whole division", "8//3*8+3"),
    ("a minus behind a sign", "8/(3+-8/3)"),
    ("two signs", "3++8+8+3"),
    ("a number in another base", "0x8/(3-8/3)"),
    ("an underscore", "8_/(3-8/3)"),
    ("a call", "__import__('os').system('true')"),
    ("a lambda", "(lambda: 24)()"),
    ("a comparison", "3<8 and 8>3 or 24"),
    ("a tuple", "(3,3,8,8,24)"),
    ("a comment", "8/(3-8/3) # right"),
    ("words behind", "8/(3-8/3) is what I found"),
    ("words in front", "trust me 8/(3-8/3)"),
    ("a wrong result", "8/(3-8/3) = 25"),
    ("a chain", "8*3=24=24"),
    ("steps", "8/3=2.67, 3-2.67=0.33, 8/0.33=24"),
    ("two expressions", "3*8+8-8 ; 8/(3-8/3)"),
    ("division by zero", "8/(3-3)*8"),
    ("zero over zero", "(8-8)/(3-3)"),
    ("nearly", "8*3+8/3"),
    ("nothing", "   "),
    ("signs alone", "+-*/"),
    ("brackets alone", "()"),
    ("an open bracket", "8/(3-8/3"),
    ("a bracket too many", "8/(3-8/3))"),
    ("a fraction cut short", r"\frac{8}{3-8/3"),
    ("an unknown command", r"\input{/etc/passwd}"),
    ("Arabic digits", "٨/(٣-٨/٣)"),
    ("deep brackets", "(" * 400 + "24" + ")" * 400),
    ("deep fractions", r"\frac{" * 60 + "8" + "}{3}" * 60),
    ("many signs", "-" * 900 + "24"),
    ("very long", "8" + "+8" * 5000),
    ("a huge number", "9" * 900),
    ("many numbers", "+".join(["8"] * 400)),
]


@pytest.mark.parametrize(("what", "answer"), ATTACKS, ids=[what for what, _ in ATTACKS])
def test_every_attack_scores_nothing(what: str, answer: str) -> None:  # noqa: ARG001 - the test's name
    assert countdown_verifier(answer, None, EIGHTS) == 0.0


def test_attacks_get_the_same_verdict_from_the_pool_without_an_error() -> None:
    with GraderPool(1) as pool:
        verdicts = pool.grade_all([GradeRequest("countdown", answer, None, EIGHTS) for _, answer in ATTACKS])
        right = pool.grade_all([GradeRequest("countdown", "8/(3-8/3)", "anything", EIGHTS)])
    assert {(verdict.score, verdict.error) for verdict in verdicts} == {(0.0, None)}
    assert [verdict.score for verdict in right] == [1.0]


def test_a_number_given_twice_may_be_used_twice_and_no_more() -> None:
    assert score("6+6+6+6", [6, 6, 6, 6]) == 1.0
    assert score("6+6+6+6", [6, 6, 6, 5]) == 0.0


def test_countdown_may_leave_numbers_over_where_the_puzzle_says_so() -> None:
    assert score("25*4", [25, 4, 7, 9], 100, use_all=False) == 1.0
    assert score("25*4", [25, 4, 7, 9], 100, use_all=True) == 0.0
    assert score("25*4+0*7", [25, 4, 7, 9], 100, use_all=False) == 0.0
    assert score("25*4*25/25", [25, 4, 7, 9], 100, use_all=False) == 0.0


def test_the_value_is_exact_and_never_rounded() -> None:
    assert score("1/3+1/3+1/3", [1, 3, 1, 3, 1, 3], 1) == 1.0
    huge = [10**12, 10**12, 1, 2]
    assert score(f"{10**12}-{10**12}+1*2", huge, 2) == 1.0
    assert score(f"{10**12}/({10**12}+1)+2", huge, 3) == 0.0


def test_the_target_may_be_negative_or_nought_and_is_24_where_none_is_given() -> None:
    assert score("3-8", [3, 8], -5) == 1.0
    assert score("3-8 = -5", [3, 8], -5) == 1.0
    assert score("-5 = 3 - 8", [3, 8], -5) == 1.0
    assert score("8-8", [8, 8], 0) == 1.0
    assert countdown_verifier("4*6", None, {"numbers": [4, 6]}) == 1.0


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"numbers": []},
        {"numbers": "3388"},
        {"numbers": [3, "8"]},
        {"numbers": [3, 8.0]},
        {"numbers": [3, -8]},
        {"numbers": [True, 8]},
        {"numbers": [3, 8], "target": "24"},
        {"numbers": [3, 8], "target": None},
        {"numbers": [3, 8], "use_all": "yes"},
        {"numbers": [1] * 101},
    ],
)
def test_a_puzzle_that_is_none_is_the_graders_failure(extra: dict[str, Any]) -> None:
    with pytest.raises(GraderFailure, match="countdown needs extra"):
        countdown_verifier("4*6", None, extra)


Tree = int | tuple[str, "Tree", "Tree"]


def tree_of(rng: random.Random, numbers: list[int]) -> Tree:
    if len(numbers) == 1:
        return numbers[0]
    cut = rng.randrange(1, len(numbers))
    return rng.choice("+-*/"), tree_of(rng, numbers[:cut]), tree_of(rng, numbers[cut:])


def value_of(tree: Tree) -> Fraction | None:
    """The test's own arithmetic; None for a division by zero."""
    if isinstance(tree, int):
        return Fraction(tree)
    sign, left, right = tree[0], value_of(tree[1]), value_of(tree[2])
    if left is None or right is None or (sign == "/" and right == 0):
        return None
    return {"+": left + right, "-": left - right, "*": left * right}[sign] if sign != "/" else left / right


def written(rng: random.Random, tree: Tree) -> str:
    if isinstance(tree, int):
        return str(tree)
    left, right = written(rng, tree[1]), written(rng, tree[2])
    if tree[0] == "/" and rng.random() < 0.3:
        return f"\\frac{{{left}}}{{{right}}}"
    sign = rng.choice({"+": "+＋", "-": "-−", "*": "*×·", "/": "/÷"}[tree[0]])
    blank = " " * rng.randrange(2)
    return f"({left}{blank}{sign}{blank}{right})"


def test_random_expressions_are_right_exactly_when_they_hit_the_target_with_the_given_numbers() -> None:
    rng = random.Random(6)
    right = 0
    for _ in range(3000):
        numbers = [rng.randrange(14) for _ in range(rng.randrange(2, 7))]
        tree = tree_of(rng, numbers)
        value = value_of(tree)
        answer = written(rng, tree)
        whole = value is not None and value.denominator == 1
        target = int(value) if whole and value is not None and rng.random() < 0.8 else rng.randrange(-30, 60)
        given = list(numbers)
        rng.shuffle(given)
        change = rng.randrange(4)
        if change == 0:
            given[0] += 1
        elif change == 1:
            given.append(rng.randrange(14))
        used, there = Counter(numbers), Counter(given)
        hits = value is not None and value == target
        assert score(answer, given, target) == float(hits and used == there), (answer, given, target)
        assert score(answer, given, target, use_all=False) == float(hits and used <= there), (answer, given)
        right += hits and used == there
    assert 500 < right < 2500


def test_bounds_are_where_they_are_said_to_be() -> None:
    fits = "(" * MAX_DEPTH + "24" + ")" * MAX_DEPTH
    assert score(fits, [24]) == 1.0
    assert score(f"({fits})", [24]) == 0.0
    assert score("24" + " " * (LENGTH_LIMIT - 2), [24]) == 1.0
    assert score("24" + " " * (LENGTH_LIMIT - 1), [24]) == 0.0
