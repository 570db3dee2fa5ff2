"""Reading expressions without `eval`: a small grammar, walked node by node, with bounds on every number.

`sympy.parse_expr` (and so `sympify` of a string) compiles and evaluates its text as Python. Model output must
never get there: workers call `seal_sympy`, which puts `parse_expression` in its place.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

MAX_BITS = 20_000
"""Largest number an expression may stand for, as the bits of its exact value: 6,000 digits. Our choice."""
MAX_EXPONENT = 2_000
MAX_DEPTH = 100

_TRIGONOMETRIC = ("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan")
_HYPERBOLIC = ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh")
_FUNCTIONS = (*_TRIGONOMETRIC, *_HYPERBOLIC, "exp", "log", "ln", "sqrt", "Abs", "sign", "floor", "ceiling")
_CONSTANTS = ("pi", "E", "I", "oo")


class Unreadable(SyntaxError):
    """The text is no expression of the grammar, or one beyond its bounds."""


def parse_expression(
    text: str, local_dict: Mapping[str, Any] | None = None, *_: Any, evaluate: bool = True, **__: Any
) -> Any:
    """A sympy expression from text: numbers, names, + - * / // % ** and elementary functions.

    Stands in for `sympy.parse_expr`; further arguments of that function are accepted and ignored.

    Raises:
        Unreadable: anything else, such as attribute access, or a power beyond `MAX_BITS`.
    """
    tree = _parsed(text)
    try:
        return _Builder(dict(local_dict or {}), evaluate).build(tree.body, 0)[0]
    except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError) as error:
        raise Unreadable(f"no expression: {type(error).__name__}") from None


def evaluate_literal(text: str, *_: Any) -> Any:
    """The value of a Python literal (lists, tuples, strings, numbers) or of arithmetic; stands in for `eval`.

    Raises:
        Unreadable: anything else.
    """
    return _literal(_parsed(text).body, 0)


def seal_sympy() -> None:
    """Replace sympy's evaluating parser in this process; for grader workers only."""
    for name in ("sympy", "sympy.parsing", "sympy.parsing.sympy_parser"):
        import_module(name).__dict__["parse_expr"] = parse_expression


def _parsed(text: str) -> ast.Expression:
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError, UnicodeError) as error:
        raise Unreadable(f"no expression: {type(error).__name__}") from None


class _Builder:
    """Builds sympy nodes, each with a bound on the bits of its value (0 for symbols)."""

    def __init__(self, names: Mapping[str, Any], evaluate: bool) -> None:
        self._sympy: Any = import_module("sympy")
        self._names = names
        self._evaluate = evaluate

    def build(self, node: ast.expr, depth: int) -> tuple[Any, int]:
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        match node:
            case ast.Constant(value=bool()):
                raise Unreadable("a truth value")
            case ast.Constant(value=int(number)):
                return self._sympy.Integer(number), _bounded(number.bit_length())
            case ast.Constant(value=float(number)):
                return self._sympy.Float(repr(number)), 64
            case ast.Name(id=name):
                return self._name(name), 0
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.build(operand, depth + 1)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value, bits = self.build(operand, depth + 1)
                return self._mul(self._sympy.Integer(-1), value), bits
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self.build(left, depth + 1), self.build(right, depth + 1))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
                built = [self.build(argument, depth + 1)[0] for argument in arguments]
                return getattr(self._sympy, name)(*built), 64
        raise Unreadable(f"{type(node).__name__} is not part of an expression")

    def _name(self, name: str) -> Any:
        if name in self._names:
            return self._names[name]
        if name in _CONSTANTS:
            return getattr(self._sympy, name)
        if name.startswith("_") or len(name) > 32:
            raise Unreadable(f"the name {name[:32]!r}")
        return self._sympy.Symbol(name)

    def _binary(self, op: ast.operator, left: tuple[Any, int], right: tuple[Any, int]) -> tuple[Any, int]:
        (a, a_bits), (b, b_bits) = left, right
        match op:
            case ast.Add():
                return self._add(a, b), _bounded(max(a_bits, b_bits) + 1)
            case ast.Sub():
                return self._add(a, self._mul(self._sympy.Integer(-1), b)), _bounded(max(a_bits, b_bits) + 1)
            case ast.Mult():
                return self._mul(a, b), _bounded(a_bits + b_bits)
            case ast.Div():
                inverse = self._sympy.Pow(b, self._sympy.Integer(-1), evaluate=self._evaluate)
                return self._mul(a, inverse), _bounded(a_bits + b_bits)
            case ast.FloorDiv():
                return self._sympy.floor(a / b), _bounded(a_bits + b_bits)
            case ast.Mod():
                return self._sympy.Mod(a, b), _bounded(max(a_bits, b_bits))
            case ast.Pow():
                return self._power(a, a_bits, b, b_bits)
        raise Unreadable(f"{type(op).__name__} is not part of an expression")

    def _power(self, base: Any, base_bits: int, exponent: Any, exponent_bits: int) -> tuple[Any, int]:
        bits = base_bits
        if not exponent.free_symbols:
            if exponent_bits > 64:
                raise Unreadable("an exponent beyond bounds")
            size = abs(float(exponent)) if exponent.is_real else 0.0
            if not size <= MAX_EXPONENT:
                raise Unreadable("an exponent beyond bounds")
            bits = int(max(base_bits, 1) * max(size, 1.0))
        return self._sympy.Pow(base, exponent, evaluate=self._evaluate), _bounded(bits)

    def _add(self, a: Any, b: Any) -> Any:
        return self._sympy.Add(a, b, evaluate=self._evaluate)

    def _mul(self, a: Any, b: Any) -> Any:
        return self._sympy.Mul(a, b, evaluate=self._evaluate)


def _bounded(bits: int) -> int:
    if bits > MAX_BITS:
        raise Unreadable("a number beyond bounds")
    return bits


_INTEGER_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}


def _literal(node: ast.expr, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise Unreadable("nested too deeply")
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.List(elts=items):
            return [_literal(item, depth + 1) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_literal(item, depth + 1) for item in items)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, depth + 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _number(operand, depth + 1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _INTEGER_OPERATORS:
            a, b = _number(left, depth + 1), _number(right, depth + 1)
            if isinstance(op, ast.LShift) and not 0 <= b <= MAX_EXPONENT:
                raise Unreadable("a shift beyond bounds")
            value = _INTEGER_OPERATORS[type(op)](a, b)
            if isinstance(value, int):
                _bounded(value.bit_length())
            return value
    raise Unreadable(f"{type(node).__name__} is not part of a literal")


def _number(node: ast.expr, depth: int) -> int | float:
    value = _literal(node, depth)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable("arithmetic on something else than numbers")
    return value
