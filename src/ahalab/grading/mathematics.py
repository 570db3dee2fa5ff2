"""Checking mathematical answers with math-verify, its own time-outs (`signal.alarm`) switched off.

The process that calls this must bound it: `ahalab.grading.worker` does, by CPU time and memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ahalab.grading.bounds import is_beyond_bounds
from ahalab.grading.expressions import parse_expression, seal_sympy
from ahalab.grading.failure import GraderFailure
from ahalab.grading.normal import plain_number, plain_text
from ahalab.grading.numbers import WIDE, number_verdict

Values = list[Any]

EXPRESSION_LIMIT = 1_000
"""Longest answer given to math-verify, in characters (or twice the gold answer); a longer one that is neither the
gold's text nor its number scores 0. Our choice: its time grows fast with the length."""

_DELIMITED = re.compile(r"\$[^$]+\$|\\\(|\\\[|\\boxed")
_COMMAND = re.compile(r"\\(?:text|mathrm|textbf|mathbf|operatorname|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+")
_FUNCTION_NAME = "sin|cos|tan|cot|sec|csc|log|exp|sqrt|max|min|gcd|lcm|mod|pmod|inf"
_HAN = re.compile("[\u3400-\u9fff]")
_WORD = re.compile(rf"(?<![A-Za-z])(?!(?:{_FUNCTION_NAME})(?![A-Za-z]))[A-Za-z]{{3,}}|{_HAN.pattern}")


def prepare_math() -> None:
    """Import math-verify, before a task's CPU time is counted.

    Raises:
        GraderFailure: it is not installed.
    """
    _library()


def math_verifier(answer: str, gold: str, extra: Mapping[str, Any]) -> float:  # noqa: ARG001 - the common signature
    """1.0 when the answer equals the gold answer as mathematics, else 0.0.

    Plain numbers are compared at once (`number_verdict`); all else goes to math-verify (decimals to 6 places,
    symbolic equality, sets, intervals, equations). The whole text is read as one expression when it has no words;
    otherwise the last number or LaTeX expression in it counts. An answer that cannot be read, is longer than
    `EXPRESSION_LIMIT`, or stands for more than can be worked out where the gold does not (`is_beyond_bounds`),
    scores 0.

    Raises:
        GraderFailure: the GOLD answer cannot be read as mathematics, or math-verify itself fails.
    """
    verdict = number_verdict(answer, gold)
    if verdict is not None:
        return verdict
    _gold_values(gold)
    if plain_text(answer) == plain_text(gold):
        return 1.0
    if len(answer) > max(EXPRESSION_LIMIT, 2 * len(gold)):
        return 0.0
    return by_math_verify(answer, gold)


def by_math_verify(answer: str, gold: str) -> float:
    """`math_verifier` without its short cuts: math-verify reads both and compares; what it would never finish is 0."""
    gold_values = _gold_values(gold)
    try:
        values = _read(answer)
    except (ArithmeticError, LookupError, TypeError, ValueError, SyntaxError, RecursionError, AttributeError):
        return 0.0
    if not values or (any(map(is_beyond_bounds, values)) and not any(map(is_beyond_bounds, gold_values))):
        return 0.0
    _, verify = _library()
    try:
        return float(verify(gold_values, values, timeout_seconds=None, raise_on_error=True))
    except RecursionError:
        return 0.0
    except MemoryError:
        raise
    except Exception as error:
        raise GraderFailure(f"verifier error: math-verify raised {type(error).__name__}: {error}") from error


@lru_cache(maxsize=1024)
def _gold_values(gold: str) -> Values:
    try:
        values = _read(gold)
    except MemoryError:
        raise
    except Exception as error:
        raise GraderFailure(f"gold unreadable: {gold[:100]!r} ({type(error).__name__})") from error
    if all(isinstance(value, str) for value in values):
        raise GraderFailure(
            f"gold unreadable: {gold[:100]!r} is no mathematics; for words use `verifier: exact`"
        )
    return values


def _read(text: str) -> Values:
    """What math-verify reads in the text: sympy objects, then the raw text of the first match."""
    text = text.translate(WIDE).replace(r"\$", "$").strip()
    if text.count("$") % 2 and not _DELIMITED.search(text.replace("$", "", 1)):
        text = text.replace("$", "")  # one dollar is a currency, not a formula
    parse, _ = _library()
    if not _DELIMITED.search(text) and not _WORD.search(_COMMAND.sub(" ", text)):
        # In dollars "(1,2)" is an interval and "3:4" a ratio; otherwise math-verify takes the last number.
        # Words would become products of letters there, and every anagram right.
        number = plain_number(text)
        values = _objects(parse, f"${text if number is None else number}$")
        if values:
            return values
    return _objects(parse, _HAN.sub(" ", text))  # math-verify wants a space before a number: 答案是20


def _objects(parse: Callable[..., Values], text: str) -> Values:
    values = parse(text, parsing_timeout=None, raise_on_error=True)
    return values if any(not isinstance(value, str) for value in values) else []


@lru_cache(maxsize=1)
def _library() -> tuple[Callable[..., Values], Callable[..., bool]]:
    seal_sympy()
    try:
        import math_verify.parser
    except ImportError as error:
        raise GraderFailure(f"verifier error: math-verify cannot be imported ({error})") from error
    # The library's own reading of "2*(3+4)" compiles the text as Python.
    math_verify.parser.parse_expr_cached = lambda expression: parse_expression(expression, evaluate=False)
    return math_verify.parse, math_verify.verify
