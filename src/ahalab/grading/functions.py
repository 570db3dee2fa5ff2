"""Checking a short function of one integer by its inputs and outputs, without running it as code.

The answer is parsed, never evaluated by Python: integers, `x`, `+ - * // %`, powers with small exponents and
parentheses, walked node by node with bounds. Programs beyond that belong to the sandbox.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from ahalab.grading.failure import GraderFailure

EXPRESSION_LIMIT = 500
"""Longest expression in characters. Our choice."""
MAX_BITS = 512
MAX_DEPTH = 60

_DEFINITION = re.compile(r"def\s+\w{1,20}\s*\(\s*(\w{1,20})\s*\)\s*:\s*return\b[ \t]*([^\n`]{1,600})")


class _NoFunction(Exception):
    """The answer holds no function that can be read."""


def function_verifier(answer: str, gold: str, extra: Mapping[str, Any]) -> float:  # noqa: ARG001 - tests decide
    """1.0 when the answer's last `def f(x): return …` gives every wanted output, else 0.0 (all or nothing).

    `extra["tests"]` is a list of [input, output]. An answer without such a function, or beyond the bounds, scores 0.

    Raises:
        GraderFailure: the tests are missing or no pairs of integers.
    """
    tests = extra.get("tests")
    if not isinstance(tests, list) or not tests or not all(_is_pair(test) for test in tests):
        raise GraderFailure(
            "verifier error: function needs extra = {'tests': [[input, output], …]} of integers"
        )
    try:
        parameter, body = _last_function(answer)
        return float(all(_value(body, parameter, given, 0) == wanted for given, wanted in tests))
    except (_NoFunction, ArithmeticError):
        return 0.0


def _is_pair(test: object) -> bool:
    return isinstance(test, list | tuple) and len(test) == 2 and all(type(value) is int for value in test)


def _last_function(answer: str) -> tuple[str, ast.expr]:
    found = max(_DEFINITION.finditer(answer), key=lambda match: match.start(), default=None)
    if found is None or len(found.group(2)) > EXPRESSION_LIMIT:
        raise _NoFunction
    # A full stop after the summary's last word is not part of the expression.
    try:
        tree = ast.parse(found.group(2).strip().rstrip(".。 "), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _NoFunction from None
    return found.group(1), tree.body


def _value(node: ast.expr, parameter: str, given: int, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise _NoFunction
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return _bounded(node.value)
    if isinstance(node, ast.Name) and node.id == parameter:
        return given
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand, parameter, given, depth + 1)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left = _value(node.left, parameter, given, depth + 1)
        right = _value(node.right, parameter, given, depth + 1)
        return _bounded(_operation(node.op, left, right))
    raise _NoFunction


def _operation(operator: ast.operator, left: int, right: int) -> int:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.FloorDiv):
        return left // right
    if isinstance(operator, ast.Mod):
        return left % right
    if isinstance(operator, ast.Pow) and 0 <= right <= 8:
        return int(left**right)
    raise _NoFunction


def _bounded(value: int) -> int:
    if value.bit_length() > MAX_BITS:
        raise _NoFunction
    return value
