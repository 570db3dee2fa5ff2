"""Countdown and the 24 game: an expression of the given numbers, read by a small grammar and worked out exactly.

    expression := ["-"] term (("+" | "-") term)*        "-" only where an expression begins: (-3 + 8), not 3 * -8
    term       := factor (("*" | "/") factor)*
    factor     := digits | "(" expression ")" | "\\frac{" expression "}{" expression "}"

Nothing else is read: no powers, no decimals, no names, no digits that stand side by side. A leading minus cannot win
what subtraction could not: it is allowed because people write it (our choice).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ahalab.grading.failure import GraderFailure
from ahalab.grading.normal import final_answer
from ahalab.grading.numbers import WIDE

LENGTH_LIMIT = 1_000
"""Longest answer that is read, in characters. Our choice: ten times what six numbers need."""
MAX_DEPTH = 50
"""Brackets within brackets. Our choice."""
MAX_NUMBERS = 100
MAX_SIZE = 10**12
"""Largest number of a puzzle. With MAX_NUMBERS it bounds every value on the way."""


class Unreadable(Exception):
    """The text is no expression of the grammar, or one beyond its bounds."""


def countdown_verifier(answer: str, gold: str | None, extra: Mapping[str, Any]) -> float:  # noqa: ARG001 - any way will do
    """1.0 when the answer is an expression of the given numbers with exactly the target's value, else 0.0.

    `extra` has `numbers` (whole numbers), `target` (a whole number; 24 if left out) and `use_all`: true (the default)
    asks for each number exactly once, false for each at most once. A number given twice may be used twice. The last
    `\\boxed{…}` counts, or else the whole answer; "= 24" behind the expression or before it is allowed where it is the
    target. Division by zero scores 0.

    Raises:
        GraderFailure: `extra` is not of that form.
    """
    numbers, target, use_all = _puzzle(extra)
    try:
        value, used = evaluate(_expression_of(final_answer(answer), target))
    except (Unreadable, ZeroDivisionError):
        return 0.0
    given, taken = Counter(numbers), Counter(used)
    return float(value == target and (taken == given if use_all else taken <= given))


def evaluate(text: str) -> tuple[Fraction, list[int]]:
    """The exact value of an expression, and the numbers in it from left to right.

    Raises:
        Unreadable: it is none.
        ZeroDivisionError: a division by zero.
    """
    return _Parser(_tokens(text)).parse()


def _puzzle(extra: Mapping[str, Any]) -> tuple[list[int], int, bool]:
    numbers, target, use_all = extra.get("numbers"), extra.get("target", 24), extra.get("use_all", True)
    sound = (
        isinstance(numbers, list | tuple)
        and 1 <= len(numbers) <= MAX_NUMBERS
        and all(type(number) is int and 0 <= number <= MAX_SIZE for number in numbers)
        and type(target) is int
        and isinstance(use_all, bool)
    )
    if not sound:
        raise GraderFailure(
            "verifier error: countdown needs extra = {'numbers': [whole numbers from 0], 'target': a whole number, "
            "'use_all': true or false}"
        )
    return list(numbers or ()), target, use_all


_SAME = str.maketrans(
    WIDE
    | dict.fromkeys(map(ord, "×·⋅∙∗✕✖"), "*")
    | dict.fromkeys(map(ord, "÷∕⁄"), "/")
    | dict.fromkeys(map(ord, "−–—﹣‐‑"), "-")
    | {ord("["): "(", ord("]"): ")"}
)
_COMMANDS = {
    "times": "*",
    "cdot": "*",
    "ast": "*",
    "div": "/",
    "left": "",
    "right": "",
    "quad": " ",
    "frac": "\\frac",
    "dfrac": "\\frac",
    "tfrac": "\\frac",
    "cfrac": "\\frac",
}
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_BRACKETS = re.compile(r"\\[()\[\],;:! ]|[$`]|\*\*")
_INTRODUCTION = re.compile(
    r"\s*(?:(?:the )?(?:final |correct )?(?:answer|expression|solution|equation)(?: is)?\s*:?|答案(?:是|为)?:?)",
    re.IGNORECASE,
)
_TARGET = re.compile(r"\s*-?\s*[0-9]{1,13}\s*")


def _expression_of(answer: str, target: int) -> str:
    """The expression alone: without what people and LaTeX write around it, and without "= target"."""
    if len(answer) > LENGTH_LIMIT:
        raise Unreadable("too long")
    text = answer.translate(_SAME)
    if (introduced := _INTRODUCTION.match(text)) is not None:
        text = text[introduced.end() :]
    text = _COMMAND.sub(_known, _BRACKETS.sub(" ", text)).strip().rstrip(".。;, ")
    left, equals, right = text.partition("=")
    if not equals:
        return left
    for expression, stated in ((left, right), (right, left)):
        if _TARGET.fullmatch(stated) and int("".join(stated.split())) == target:
            return expression
    raise Unreadable("an equation with something else than the target")


def _known(command: re.Match[str]) -> str:
    try:
        return _COMMANDS[command.group(1)]
    except KeyError:
        raise Unreadable(f"\\{command.group(1)[:20]}") from None


_TOKEN = re.compile(r"\s*(?:([0-9]{1,13})(?![0-9])|(\\frac)|([-+*/(){}]))\s*", re.ASCII)
_MULTIPLIED = re.compile(r"(?<=[0-9)}])\s*[xX]\s*(?=[0-9({\\])")


def _tokens(text: str) -> list[str]:
    text = _MULTIPLIED.sub("*", text.strip())
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable(f"at {text[position : position + 20]!r}")
        tokens.append(match.group().strip())
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent over tokens; `used` collects the numbers."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0
        self._used: list[int] = []

    def parse(self) -> tuple[Fraction, list[int]]:
        value = self._expression(0)
        if self._place < len(self._tokens):
            raise Unreadable(f"at {self._tokens[self._place]!r}")
        return value, self._used

    def _peek(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._place += 1
        return token

    def _expect(self, wanted: str) -> None:
        if self._next() != wanted:
            raise Unreadable(f"{wanted} missing")

    def _expression(self, depth: int) -> Fraction:
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        negative = self._peek() == "-"
        if negative:
            self._next()
        value = self._term(depth)
        value = -value if negative else value
        while self._peek() in ("+", "-"):
            plus = self._next() == "+"
            term = self._term(depth)
            value = value + term if plus else value - term
        return value

    def _term(self, depth: int) -> Fraction:
        value = self._factor(depth)
        while self._peek() in ("*", "/"):
            times = self._next() == "*"
            factor = self._factor(depth)
            value = value * factor if times else value / factor
        return value

    def _factor(self, depth: int) -> Fraction:
        token = self._next()
        if token.isdigit():
            self._used.append(int(token))
            if len(self._used) > MAX_NUMBERS:
                raise Unreadable("too many numbers")
            return Fraction(int(token))
        if token == "(":
            value = self._expression(depth + 1)
            self._expect(")")
            return value
        if token == "\\frac":
            self._expect("{")
            above = self._expression(depth + 1)
            self._expect("}")
            self._expect("{")
            below = self._expression(depth + 1)
            self._expect("}")
            return above / below
        raise Unreadable(f"at {token!r}")
