"""GSM8K's gold answers: every one can be read, and is equal to itself however it is written."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from ahalab.grading.mathematics import full_verdict, math_verifier, prepare_math

FILE = Path(__file__).resolve().parents[2] / "shared" / "data" / "math" / "gsm8k_train.jsonl"

FORMS: dict[str, Callable[[Fraction], str]] = {
    "plain": lambda value: _plain(value),
    "separators": lambda value: f"{value.numerator:,}" if value.denominator == 1 else _plain(value),
    "decimal": lambda value: f"{_plain(value)}.0" if value.denominator == 1 else f"{_plain(value)}0",
    "box": lambda value: f"So the answer is $\\boxed{{{_plain(value)}}}$.",
    "box with separators": lambda value: (
        f"\\boxed{{{value.numerator:,}}}" if value.denominator == 1 else "\\boxed{" + _plain(value) + "}"
    ),
    "money": lambda value: f"\\${_plain(value)}",
    "noun": lambda value: f"{_plain(value)} apples",
    "sentence": lambda value: f"Altogether that makes {_plain(value)} of them.",
    "hashes": lambda value: f"48/2 = 24\n#### {_plain(value)}",
    "equation": lambda value: f"x = {_plain(value)}",
    "sum": lambda value: f"{_plain(value - 1)} + 1 = {_plain(value)}",
    "fraction": lambda value: f"\\frac{{{2 * value.numerator}}}{{{2 * value.denominator}}}",
    "Chinese": lambda value: f"答案是{_plain(value)}元。",
    "full width": lambda value: _plain(value).translate(str.maketrans("0123456789", "０１２３４５６７８９")),
}


def _plain(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.10g}"


@pytest.fixture(scope="module")
def golds() -> list[str]:
    if not FILE.is_file():
        pytest.skip(f"{FILE} is not there")
    prepare_math()
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return [re.split(r"####\s*", row["answer"])[-1].strip() for row in rows]


def test_every_gold_answer_is_readable_and_equal_to_itself(golds: list[str]) -> None:
    assert len(golds) > 7000
    assert [gold for gold in golds if math_verifier(gold, gold, {}) != 1.0] == []
    distinct = dict.fromkeys(golds)
    assert [gold for gold in distinct if full_verdict(f"{gold} ", gold) != 1.0] == []


@pytest.mark.parametrize("form", FORMS)
def test_a_gold_answer_is_equal_in_every_written_form_and_its_neighbours_are_not(
    golds: list[str], form: str
) -> None:
    rng = random.Random(form)
    for gold in rng.sample(sorted(set(golds)), 80):
        value = Fraction(gold.replace(",", ""))
        assert math_verifier(FORMS[form](value), gold, {}) == 1.0, (form, gold)
        assert math_verifier(FORMS[form](value + rng.choice([-2, -1, 1, 2, 10])), gold, {}) == 0.0, (
            form,
            gold,
        )
