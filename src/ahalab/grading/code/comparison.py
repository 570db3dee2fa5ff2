"""Whether what a program gave is what was wanted: texts by lines or tokens, JSON values by their structure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from ahalab.grading.code.problem import Compare

_LONGEST_INTEGER = 4300
"""Digits: Python's own bound, beyond which reading one takes quadratic time. No wanted value is longer."""

_REAL = re.compile(r"[+-]?(?:[0-9]{1,4000}(?:\.[0-9]{0,4000})?|\.[0-9]{1,4000})(?:[eE][+-]?[0-9]{1,5})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")


class Unequal:
    """Stands for a value that no wanted value can equal."""


def texts_agree(given: str, wanted: str, compare: Compare, tolerance: float) -> bool:
    """Whether an output is the wanted one.

    - "exact": line by line; white space at the ends of lines and blank lines at the end do not count.
    - "tokens": the same words in the same order, whatever white space is between them.
    - "float": as "tokens", but two decimal numbers may differ by `tolerance`, absolutely or relative to the wanted
      one. Two whole numbers have to be equal.
    """
    if compare == "exact":
        return _lines(given) == _lines(wanted)
    ours, theirs = given.split(), wanted.split()
    if compare == "tokens" or len(ours) != len(theirs):
        return ours == theirs
    return all(
        one == other or _close_texts(one, other, tolerance) for one, other in zip(ours, theirs, strict=True)
    )


def values_agree(given: Any, wanted: Any, compare: Compare, tolerance: float) -> bool:
    """Whether a JSON value is the wanted one. Tuples are lists; a boolean is no number; NaN equals NaN.

    - "exact": 2 and 2.0 differ.
    - "tokens": numbers of one value are equal, whatever their type.
    - "float": numbers may differ by `tolerance`, absolutely or relative to the wanted one; two whole ones may not.
    """
    open_pairs = [(given, wanted)]
    while open_pairs:  # no recursion: depth is the program's to choose
        one, other = open_pairs.pop()
        if isinstance(other, Mapping):
            if (
                not isinstance(one, Mapping)
                or {*map(str, one)} != {*map(str, other)}
                or len(one) != len(other)
            ):
                return False
            named = {str(key): value for key, value in other.items()}
            open_pairs += [(value, named[str(key)]) for key, value in one.items()]
        elif isinstance(other, list | tuple):
            if not isinstance(one, list | tuple) or len(one) != len(other):
                return False
            open_pairs += zip(one, other, strict=True)
        elif not _scalars_agree(one, other, compare, tolerance):
            return False
    return True


def read_value(text: str) -> Any:
    """A JSON value that a program wrote; `Unequal` for a whole number beyond every bound.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(text: str) -> int | Unequal:
    return int(text) if len(text.lstrip("-")) <= _LONGEST_INTEGER else Unequal()


def _scalars_agree(one: Any, other: Any, compare: Compare, tolerance: float) -> bool:
    if isinstance(other, bool) or isinstance(one, bool) or other is None:
        return type(one) is type(other) and one == other
    if isinstance(other, int | float):
        if not isinstance(one, int | float):
            return False
        if compare == "exact" and type(one) is not type(other):
            return False
        if isinstance(one, float) and math.isnan(one):
            return isinstance(other, float) and math.isnan(other)
        whole = isinstance(one, int) and isinstance(other, int)
        return one == other or (compare == "float" and not whole and _close(one, other, tolerance))
    return isinstance(one, str) and isinstance(other, str) and one == other


def _close(one: float, other: float, tolerance: float) -> bool:
    try:
        one, other = float(one), float(other)
    except OverflowError:  # a whole number beyond the range of floats
        return False
    if not (math.isfinite(one) and math.isfinite(other)):
        return False
    return abs(one - other) <= tolerance * max(1.0, abs(other))


def _close_texts(one: str, other: str, tolerance: float) -> bool:
    # Not float() alone: it also reads "nan", "1_000" and the digits of other scripts.
    if not (_REAL.fullmatch(one) and _REAL.fullmatch(other)):
        return False
    if _INTEGER.fullmatch(one) and _INTEGER.fullmatch(other):
        return int(one) == int(other)
    return _close(float(one), float(other), tolerance)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]
