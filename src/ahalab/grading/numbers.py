"""The verdict on two plain numbers without math-verify: the one it would give, or none where that is not certain.

tests/test_grading_numbers.py holds it against math-verify itself, on numbers in all these spellings.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from ahalab.grading.normal import plain_number

LENGTH_LIMIT = 1_000
"""Longest text that is looked at, in characters."""

WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x2212: 0x2D, 0x3000: 0x20}
"""Full-width characters and the mathematical minus, as their plain forms."""

_CLEARLY = Fraction(1, 100_000)
"""math-verify rounds to six places once a decimal is involved. Numbers further apart than this stay different."""
_DIGITS = 15
"""Digits of a decimal that the floats in between certainly keep."""

_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,15}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,4})?(?:\.[0-9]{1,15})?")
_SLASHED = re.compile(r"(-?)([0-9]{1,9})/([0-9]{1,9})")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(-?[0-9]{1,9})\}\{([0-9]{1,9})\}")

_FORMULAS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
_PROSE = r"[^\\$%{}\[\]]*"
_OPENING, _CLOSING = r"(?:(?:\$\$?|\\\(|\\\[)\s*)?", r"(?:\s*(?:\$\$?|\\\)|\\\]))?"
_BOXED = re.compile(rf"({_PROSE}){_OPENING}\\boxed\{{([^$%]{{1,60}})\}}{_CLOSING}({_PROSE})")
_MISLEADING = re.compile(r"percent|pct|final answer.*\d", re.IGNORECASE | re.DOTALL)
"""Words around a box that math-verify heeds."""


def number_verdict(answer: str, gold: str) -> float | None:
    """1.0 or 0.0 as `math_verifier` would say of two plain numbers, None where it has to be asked.

    A number is an integer, a decimal, or a fraction of two integers (a/b, \\frac{a}{b}): bare, in dollars or other
    brackets of a formula, or in the one `\\boxed{…}` of a text. Equal values are right; different ones wrong,
    unless one is a decimal and they are too close for certainty. Time linear in the length.
    """
    ours, theirs = _number(answer), _number(gold)
    if ours is None or theirs is None:
        return None
    (x, x_is_decimal), (y, y_is_decimal) = ours, theirs
    if x == y:
        return 1.0
    if (x_is_decimal or y_is_decimal) and abs(x - y) <= _CLEARLY:
        return None
    return 0.0


def exact_value(text: str) -> Fraction | None:
    """The value of a plain number in one of the spellings that `number_verdict` reads; None for any other text."""
    number = _number(text)
    return None if number is None else number[0]


@lru_cache(maxsize=1024)  # a group's answers share one gold, and often their values
def _number(text: str) -> tuple[Fraction, bool] | None:
    """The value of a text, and whether it is written as a decimal; None if it is no plain number."""
    if len(text) > LENGTH_LIMIT:
        return None
    text = text.translate(WIDE).replace(r"\$", "$").strip()
    if text.startswith("$") and text.count("$") == 1:
        text = text[1:].strip()  # a currency
    bare = plain_number(text)
    if bare is not None:
        is_decimal = "." in (plain := f"{bare:f}")
        return None if is_decimal and len(plain) > _DIGITS else (Fraction(bare), is_decimal)
    if _SLASHED.fullmatch(text) or _FRACTION.fullmatch(text):
        return _value(text)
    inside = _inside_of_box(text) or _inside_of_formula(text)
    return None if inside is None else _value(inside.strip())


def _value(text: str) -> tuple[Fraction, bool] | None:
    fraction = _SLASHED.fullmatch(text) or _FRACTION.fullmatch(text)
    if fraction is not None:
        sign, above, below = fraction.groups()
        if int(below) == 0:
            return None
        value = Fraction(int(above), int(below))
        return (-value if sign else value), False
    digits = sum(character.isdigit() for character in text)
    if not 1 <= digits <= _DIGITS or not _DECIMAL.fullmatch(text):
        return None
    return Fraction(text.replace(",", "")), "." in text


def _inside_of_box(text: str) -> str | None:
    match = _BOXED.fullmatch(text)
    if match is None:
        return None
    before, inside, after = match.groups()
    return None if _MISLEADING.search(f"{before} {after}") else str(inside)


def _inside_of_formula(text: str) -> str | None:
    text = text.removesuffix(".")
    for left, right in _FORMULAS:
        if text.startswith(left) and text.endswith(right) and len(text) > len(left) + len(right):
            return text[len(left) : -len(right)]
    return None
