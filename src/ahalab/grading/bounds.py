"""Expressions that stand for more than can be worked out: towers of powers, factorials, wide expansions.

They are known by bounds on their parts, without working anything out. Takes sympy's objects, imports none of it.
"""

from __future__ import annotations

import math
from typing import Any

MAX_BITS = 300_000
"""Bits of a number that are still worked out: 90,000 digits, the factorial of 20,000. Our choice."""
MAX_TERMS = 1_000
"""Terms that a power of a sum may expand to: math-verify takes seconds for them. Our choice."""
MAX_NESTING = 40
"""Depth of an expression's tree: fractions in fractions 13 deep. Our choice."""


class _Beyond(Exception):
    """A part is beyond bounds."""


def is_beyond_bounds(expression: Any) -> bool:
    """Whether a part of it is a number of more than `MAX_BITS` bits, expands to more than `MAX_TERMS` terms, or is
    nested deeper than `MAX_NESTING`. Time linear in the expression's size."""
    try:
        _bits(expression, 0)
    except _Beyond:
        return True
    return False


def _bits(node: Any, depth: int) -> float:
    """About the bits of the value's numerator or denominator; a symbol has none, what is not a number few."""
    if depth > MAX_NESTING:
        raise _Beyond
    parts = [_bits(part, depth + 1) for part in getattr(node, "args", ())]
    match type(node).__name__:
        case _ if getattr(node, "is_Rational", False):
            bits = float(max(int(node.p).bit_length(), int(node.q).bit_length()))
        case "Symbol" | "Dummy":
            bits = 0.0
        case "Add":
            bits = max(parts) + math.log2(len(parts))
        case "Mul":
            bits = sum(parts)
        case "Pow":
            base, exponent = node.args
            _bound_terms(base, exponent)
            bits = parts[0] * _magnitude(exponent, parts[1])
        case "factorial":
            bits = parts[0] * _magnitude(node.args[0], parts[0])
        case "binomial":
            n, k = (_magnitude(argument, part) for argument, part in zip(node.args, parts, strict=True))
            bits = min(n, k * parts[0])
        case "UnevaluatedExpr":
            bits = parts[0]
        case _:
            bits = 1.0
    if bits > MAX_BITS:
        raise _Beyond
    return bits


def _magnitude(node: Any, bits: float) -> float:
    """The value's size, or a bound of it; 1 where it depends on symbols."""
    if getattr(node, "is_Rational", False):
        return abs(int(node.p) / int(node.q)) if bits < 1000 else math.inf
    return 1.0 if getattr(node, "free_symbols", None) else 2.0 ** min(bits, 64.0)


def _bound_terms(base: Any, exponent: Any) -> None:
    if type(base).__name__ == "Add" and base.free_symbols and getattr(exponent, "is_Integer", False):
        addends = len(base.args)
        if math.comb(min(abs(int(exponent)), MAX_TERMS) + addends - 1, addends - 1) > MAX_TERMS:
            raise _Beyond
