"""Checking mathematical answers with math-verify, its own time-outs (`signal.alarm`) switched off.

The process that calls this must bound it: `ahalab.grading.worker` does, by CPU time and memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from ahalab.grading.bounds import is_beyond_bounds
from ahalab.grading.equality import exact, same
from ahalab.grading.expressions import parse_expression, seal_sympy
from ahalab.grading.failure import GraderFailure
from ahalab.grading.normal import plain_number, plain_text
from ahalab.grading.numbers import WIDE, number_verdict
from ahalab.grading.structure import (
    Ordered,
    Several,
    Shape,
    Truth,
    Value,
    Words,
    read_answer,
    truth_in,
    words_in,
)

Values = list[Any]

EXPRESSION_LIMIT = 1_000
"""Longest answer given to math-verify, in characters (or twice the gold answer); a longer one that is neither the
gold's text nor its number scores 0. Our choice: its time grows fast with the length."""

_UNREADABLE = (
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    SyntaxError,
    RecursionError,
    AttributeError,
)
_DEGREE_LIMIT = 4
"""Degree up to which inequalities are solved. Our choice."""
_JOINED = re.compile(r"\\(?:lor|land)(?![A-Za-z])")
_DENIED = re.compile(r"\b(?:not|never|cannot)\b|n't\b|不是|并非", re.IGNORECASE)
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*\\circ(?![A-Za-z])")
_CELL_D = re.compile(r"(?<![A-Za-z\\])d(?=\s*(?:&|\\\\|\\end))")
"""math-verify takes a d before \\end for a differential."""
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
    """1.0 when the answer equals the gold answer as mathematics, else 0.0; docs/math.md tells what that means.

    Plain numbers are compared at once (`number_verdict`), all else by `full_verdict`.

    Raises:
        GraderFailure: the GOLD answer cannot be read as mathematics, or math-verify itself fails.
    """
    verdict = number_verdict(answer, gold)
    return full_verdict(answer, gold) if verdict is None else verdict


def full_verdict(answer: str, gold: str) -> float:
    """`math_verifier` without the short cut for plain numbers.

    The outermost shape (yes or no, list, tuple, name, unit) is read and compared by our own rules, what is inside by
    math-verify: decimals to six places, symbolic equality, sets, equations. An answer that cannot be read, is longer
    than `EXPRESSION_LIMIT`, or stands for more than can be worked out where the gold does not, is 0.
    """
    expected = _gold_shape(gold)
    if plain_text(answer) == plain_text(gold):
        return 1.0
    if len(answer) > max(EXPRESSION_LIMIT, 2 * len(gold)):
        return 0.0
    if isinstance(expected, Truth):
        return float(truth_in(answer) == expected.value)
    if isinstance(expected, Words):
        return float(words_in(answer) == expected.text)
    given = None if expected is None else read_answer(answer)
    if expected is not None and given is not None:
        return float(same(given, expected, _same_latex))
    if expected is None or (_COMMAND.search(answer) and "boxed" not in answer and not _DENIED.search(answer)):
        return by_math_verify(answer, gold)
    return 0.0


def by_math_verify(answer: str, gold: str) -> float:
    """What math-verify alone says of two whole texts; what it would never finish is 0."""
    gold_values = _gold_values(gold)
    try:
        values = _read(answer)
    except _UNREADABLE:
        return 0.0
    return float(_verified(gold_values, values))


def _gold_shape(gold: str) -> Shape | None:
    """The gold's shape; None where only math-verify can read it.

    Raises:
        GraderFailure: neither can.
    """
    shape = read_answer(gold)
    if shape is not None and all(map(_is_legible, _leaves(shape))):
        return shape
    _gold_values(gold)
    return None


def _leaves(shape: Shape) -> Iterator[str]:
    match shape:
        case Value():
            yield shape.latex
        case Several() | Ordered():
            for item in shape.items:
                yield from _leaves(item)


@lru_cache(maxsize=1024)
def _is_legible(latex: str) -> bool:
    if exact(latex) is not None:
        return True
    try:
        return bool(_leaf(latex))
    except MemoryError:
        raise
    except Exception:  # not swallowed: whoever asks goes on to name it
        return False


def _same_latex(answer: str, gold: str) -> bool:
    """Whether two LaTeX texts are equal to math-verify; inequalities joined by \\lor or \\land are sets of numbers."""
    try:
        if _JOINED.search(answer) or _JOINED.search(gold):
            return bool(_set_of(answer).symmetric_difference(_set_of(gold)).is_empty)
        values, gold_values = _leaf(answer), _leaf(gold)
    except _UNREADABLE:
        return False
    if not values or not gold_values:
        return False
    return _verified(gold_values, values) or _same_solutions(values[0], gold_values[0])


def _same_solutions(value: Any, gold: Any) -> bool:
    """Whether two inequalities in one letter, of polynomials, hold for the same numbers: 2x > 6 and 3 < x."""
    sets = []
    for one in (value, gold):
        parts = getattr(one, "_unsorted_args", (one,))
        if not all(
            getattr(part, "is_Relational", False) and not getattr(part, "is_Equality", False)
            for part in parts
        ):
            return False
        if len(one.free_symbols) != 1 or is_beyond_bounds(one):
            return False
        differences = [(part.lhs - part.rhs).as_poly(*one.free_symbols) for part in parts]
        if any(poly is None or poly.degree() > _DEGREE_LIMIT for poly in differences):
            return False
        sets.append(one.as_set())
    return value.free_symbols == gold.free_symbols and bool(sets[0] == sets[1])


def _set_of(latex: str) -> Any:
    """The set of real numbers that relations describe, or that an interval is."""
    parts = []
    for text in _JOINED.split(latex):
        value = _leaf(text)[0]
        if is_beyond_bounds(value):
            raise ValueError("beyond bounds")
        parts.append(
            value
            if getattr(value, "is_Interval", False) or getattr(value, "is_Union", False)
            else value.as_set()
        )
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.intersect(part) if "land" in latex else whole.union(part)
    return whole


@lru_cache(maxsize=1024)
def _leaf(latex: str) -> Values:
    """What math-verify reads in one expression, as LaTeX only: sympy objects first. i is the imaginary unit."""
    parse, _ = _library()
    latex = _CELL_D.sub("{d}", latex) if "matrix" in latex else latex
    values = _objects(parse, f"${_DEGREES.sub(_radians, latex)}$", _extraction()[:1])
    return [_with_imaginary_unit(value) for value in values]


def _with_imaginary_unit(value: Any) -> Any:
    letters = [letter for letter in getattr(value, "free_symbols", ()) if letter.name == "i"]
    if not letters or is_beyond_bounds(value):
        return value
    return value.subs(dict.fromkeys(letters, import_module("sympy").I))


def _radians(match: re.Match[str]) -> str:
    return rf"{{\left(\frac{{{match[1]}\pi}}{{180}}\right)}}"


def _verified(gold_values: Values, values: Values) -> bool:
    if not values or (any(map(is_beyond_bounds, values)) and not any(map(is_beyond_bounds, gold_values))):
        return False
    _, verify = _library()
    try:
        return bool(
            verify(
                gold_values, values, timeout_seconds=None, raise_on_error=True, allow_set_relation_comp=True
            )
        )
    except RecursionError:
        return False
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


def _objects(parse: Callable[..., Values], text: str, extraction: Sequence[Any] = ()) -> Values:
    values = parse(text, extraction or _extraction(), parsing_timeout=None, raise_on_error=True)
    return values if any(not isinstance(value, str) for value in values) else []


@lru_cache(maxsize=1)
def _extraction() -> list[Any]:
    """math-verify's own, but units stay: it would read 3t as 3, and 5 kg as 5 m."""
    math_verify = import_module("math_verify")
    normal = import_module("latex2sympy2_extended.latex2sympy2").NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all", equations=False
    )
    return [
        math_verify.LatexExtractionConfig(normalization_config=normal),
        math_verify.ExprExtractionConfig(),
    ]


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
