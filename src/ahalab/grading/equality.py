"""Whether two shapes are the same answer, by the conventions of docs/math.md. Leaves are for `same_latex`, which the
caller gives: math-verify's comparison of two LaTeX texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from ahalab.grading.numbers import exact_value
from ahalab.grading.structure import Ordered, Several, Shape, Truth, Value, Words
from ahalab.grading.units import DEGREE, PERCENT, RADIAN, Unit

SameLatex = Callable[[str, str], bool]
"""(answer, gold) as LaTeX: are they equal?"""

_NEAR = Fraction(5, 10_000_000)
_NEAR_RELATIVE = Fraction(1, 100_000)
"""A decimal equals what it agrees with to six places and to one part in 100,000. The first is math-verify's."""

_SCIENTIFIC = re.compile(
    r"([+-]?)\s*(?:(\d{1,60}(?:\.\d{1,60})?|\.\d{1,60})\s*(?:[eE]\s*([+-]?\d{1,3})|(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*"
    r"(?:\{\s*([+-]?\d{1,3})\s*\}|(\d)))|10\s*\^\s*(?:\{\s*([+-]?\d{1,3})\s*\}|(\d)))"
)
_BASE = re.compile(r"([0-9A-F]{1,60})_\{?(\d{1,2})\}?")


def same(answer: Shape, gold: Shape, same_latex: SameLatex) -> bool:
    """Whether the answer is the gold answer."""
    match answer, gold:
        case Truth(), Truth():
            return answer.value == gold.value
        case Words(), Words():
            return answer.text == gold.text
        case (Truth() | Words(), _) | (_, Truth() | Words()):
            return False
        case Value(), Value():
            return _same_values(answer, gold, same_latex)
        case Ordered(), Ordered():
            return _same_tuples(answer, gold, same_latex)
        case Several(), Several():
            return _same_lists(answer, gold, same_latex)
        case (Ordered(), Several()) | (Several(), Ordered()):
            return _list_for_tuple(answer, gold, same_latex)
        case (Several(), Value()) | (Value(), Several()):
            return _list_for_value(answer, gold, same_latex)
        case (Ordered(), Value()) | (Value(), Ordered()):
            return _tuple_for_value(answer, gold, same_latex)
    return False


def latex_of(shape: Shape) -> str:
    """A shape as LaTeX again, for math-verify."""
    match shape:
        case Value():
            return shape.statement or shape.latex
        case Ordered():
            return shape.left + ",".join(latex_of(item) for item in shape.items) + shape.right
        case Several():
            return r"\{" + ",".join(latex_of(item) for item in shape.items) + r"\}"
        case Truth():
            return rf"\text{{{shape.value}}}"
        case Words():
            return rf"\text{{{shape.text}}}"


def _same_values(answer: Value, gold: Value, same_latex: SameLatex) -> bool:
    if answer.name is not None and gold.name is not None and answer.name != gold.name:
        # y = 3 - 2x may still be x = (3 - y)/2: that is for an equation solver.
        if (
            re.sub(r"_.*", "", answer.name) == re.sub(r"_.*", "", gold.name)
            and _is_plain(answer)
            and _is_plain(gold)
        ):
            return _same_quantities(answer, gold, same_latex)
        return answer.unit is None and gold.unit is None and same_latex(answer.statement, gold.statement)
    if answer.name is not None and _has_equals(gold.latex):
        return same_latex(answer.statement, gold.latex)
    if gold.name is not None and _has_equals(answer.latex):
        return same_latex(answer.latex, gold.statement)
    return _same_quantities(answer, gold, same_latex)


def _is_plain(value: Value) -> bool:
    return exact(value.latex) is not None


def _has_equals(latex: str) -> bool:
    return "=" in latex


def _same_quantities(answer: Value, gold: Value, same_latex: SameLatex) -> bool:
    x, y = answer.latex, gold.latex
    if answer.unit is None and gold.unit is None:
        return _same_leaf(x, y, same_latex)
    if answer.unit is not None and gold.unit is not None:
        return _same_with_units(x, answer.unit, y, gold.unit, same_latex)
    unit, with_unit, bare = (answer.unit, x, y) if answer.unit is not None else (gold.unit, y, x)
    same_bare = _same_leaf(x, y, same_latex)
    if unit == PERCENT:
        number, value = exact(with_unit), exact(bare)
        is_small = number is not None and abs(number[0]) < 1
        if number is not None and value is not None and _close((number[0] / 100, number[1]), value):
            return True
        if same_bare and not is_small:
            return True
        scaled = rf"\frac{{{with_unit}}}{{100}}"
        worked_out = number is not None and value is not None
        return not worked_out and _in_order(scaled, bare, answer.unit is not None, same_latex)
    if same_bare:
        return True
    return unit == DEGREE and _in_order(_radians(with_unit), bare, answer.unit is not None, same_latex)


def _in_order(with_unit: str, bare: str, answer_has_unit: bool, same_latex: SameLatex) -> bool:
    return (
        _same_leaf(with_unit, bare, same_latex)
        if answer_has_unit
        else _same_leaf(bare, with_unit, same_latex)
    )


def _radians(degrees: str) -> str:
    return rf"\left({degrees}\right)\cdot\frac{{\pi}}{{180}}"


def _same_with_units(x: str, ours: Unit, y: str, theirs: Unit, same_latex: SameLatex) -> bool:
    if {ours, theirs} == {DEGREE, RADIAN}:
        x, y = (_radians(x), y) if ours == DEGREE else (x, _radians(y))
        return _same_leaf(x, y, same_latex)
    if ours.dimension != theirs.dimension:
        return False
    if ours.factor == theirs.factor and ours.offset == theirs.offset:
        return _same_leaf(x, y, same_latex)
    return _same_leaf(_in_base_units(x, ours), _in_base_units(y, theirs), same_latex)


def _in_base_units(latex: str, unit: Unit) -> str:
    number = exact(latex)
    if number is not None:
        value = number[0] * unit.factor + unit.offset
        return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    factor = rf"\frac{{{unit.factor.numerator}}}{{{unit.factor.denominator}}}"
    offset = rf"\frac{{{unit.offset.numerator}}}{{{unit.offset.denominator}}}"
    return rf"\left({latex}\right)\cdot {factor}" + (rf"+{offset}" if unit.offset else "")


def _same_leaf(answer: str, gold: str, same_latex: SameLatex) -> bool:
    if answer == gold:
        return True
    x, y = exact(answer), exact(gold)
    if x is not None and y is not None:
        return _close(x, y)
    return same_latex(answer, gold)


def _close(x: tuple[Fraction, bool], y: tuple[Fraction, bool]) -> bool:
    """Equal; with a decimal among them also to six places and one part in 100,000."""
    (a, a_is_decimal), (b, b_is_decimal) = x, y
    if a == b:
        return True
    gap = abs(a - b)
    return (a_is_decimal or b_is_decimal) and gap <= _NEAR and gap <= _NEAR_RELATIVE * max(abs(a), abs(b))


@lru_cache(maxsize=2048)
def exact(latex: str) -> tuple[Fraction, bool] | None:
    """The value of a plain number, also in scientific notation or another base, and whether it is a decimal."""
    latex = re.sub(r"\s+", " ", latex.replace("\\frac {", "\\frac{").replace("} {", "}{")).strip()
    latex = re.sub(r"^([+-]) ", r"\1", latex)
    if (value := exact_value(latex)) is not None:
        return value, "." in latex
    if (
        fraction := re.fullmatch(
            r"([+-]?)\\frac\{\s*([+-]?\d{1,60}(?:\.\d{1,30})?)\s*\}\{\s*([+-]?\d{1,60}(?:\.\d{1,30})?)\s*\}",
            latex,
        )
    ) or (fraction := re.fullmatch(r"([+-]?)\s*(\d{1,60})\s?/\s?(-?\d{1,60})", latex)):
        sign, above, below = fraction.groups()
        if Fraction(below) == 0:
            return None
        return Fraction(above) / Fraction(below) * (-1 if sign == "-" else 1), "." in latex
    if (match := _SCIENTIFIC.fullmatch(latex)) is not None:
        sign, mantissa, *exponents = match.groups()
        power = int(next(one for one in exponents if one is not None))
        value = Fraction(mantissa or "1") * Fraction(10) ** power
        return (-value if sign == "-" else value), "." in (mantissa or "")
    if (match := _BASE.fullmatch(latex)) is not None and 2 <= int(match[2]) <= 36:
        try:
            return Fraction(int(match[1], int(match[2]))), False
        except ValueError:
            return None
    if re.fullmatch(r"[+-]?\d{1,1000}(?:\.\d{1,1000})?", latex):
        return Fraction(latex), "." in latex
    return None


def _same_items(answer: tuple[Shape, ...], gold: tuple[Shape, ...], same_latex: SameLatex) -> bool:
    return len(answer) == len(gold) and all(same(a, g, same_latex) for a, g in zip(answer, gold, strict=True))


def _same_tuples(answer: Ordered, gold: Ordered, same_latex: SameLatex) -> bool:
    if (answer.left, answer.right) != (gold.left, gold.right):
        return False
    if answer.left != ":":
        return _same_items(answer.items, gold.items, same_latex)
    ours, theirs = _terms(answer), _terms(gold)
    if len(ours) != len(theirs) or 0 in (*ours, *theirs):
        return False
    return [term / ours[0] for term in ours] == [term / theirs[0] for term in theirs]


def _terms(ratio: Ordered) -> list[Fraction]:
    values = [exact(item.latex) for item in ratio.items if isinstance(item, Value)]
    return [value[0] for value in values if value is not None]


def _same_lists(answer: Several, gold: Several, same_latex: SameLatex) -> bool:
    ours, theirs = _distinct(answer, same_latex), _distinct(gold, same_latex)
    if any(_is_relation(item) for item in (*ours, *theirs)) and answer.joint != gold.joint:
        return False
    if len(ours) != len(theirs):
        return False
    if _names(ours) != _names(theirs):
        return _same_items(_by_name(answer.items), _by_name(gold.items), same_latex)
    left = list(theirs)
    for item in ours:
        partner = next(
            (
                place
                for place, other in enumerate(left)
                if _are_alike(item, other) and same(item, other, same_latex)
            ),
            None,
        )
        if partner is None:
            return False
        del left[partner]
    return True


def _are_alike(item: Shape, other: Shape) -> bool:
    """Inside a list {1} is not 1."""
    return isinstance(item, Several) == isinstance(other, Several)


def _distinct(several: Several, same_latex: SameLatex) -> list[Shape]:
    kept: list[Shape] = []
    for item in several.items:
        if item not in kept and not (
            _is_number(item) and any(_is_number(one) and same(item, one, same_latex) for one in kept)
        ):
            kept.append(item)
    return kept


def _is_number(shape: Shape) -> bool:
    return isinstance(shape, Value) and _is_plain(shape)


def _is_relation(shape: Shape) -> bool:
    return (
        isinstance(shape, Value) and re.search(r"[<>]|\\(?:le|ge|neq)(?![A-Za-z])", shape.latex) is not None
    )


def _names(items: object) -> bool:
    """Whether the items are values of different things: x = 1, y = 2, not x_1 = 1, x_2 = 2."""
    names = [re.sub(r"_.*", "", item.name) for item in items if isinstance(item, Value) and item.name]  # type: ignore[attr-defined]
    return len(set(names)) > 1


def _by_name(items: tuple[Shape, ...]) -> tuple[Shape, ...]:
    return tuple(sorted(items, key=lambda item: (item.name or "") if isinstance(item, Value) else ""))


def _list_for_tuple(answer: Shape, gold: Shape, same_latex: SameLatex) -> bool:
    """A bare list may stand for a tuple, in its order; a set in braces is none."""
    several = answer if isinstance(answer, Several) else gold
    assert isinstance(several, Several)
    ordered = gold if several is answer else answer
    assert isinstance(ordered, Ordered)
    if any(_is_relation(item) for item in several.items):
        text, interval = _as_set(several), latex_of(ordered)
        return text is not None and (
            same_latex(text, interval) if several is answer else same_latex(interval, text)
        )
    if several.braces or several.joint == "or" or ordered.left == ":":
        return False
    items = several.items
    if _names(items):
        items = _by_name(items)
    unnamed = tuple(Value(item.latex, unit=item.unit) if isinstance(item, Value) else item for item in items)
    ours, theirs = (unnamed, ordered.items) if several is answer else (ordered.items, unnamed)
    is_tuple = (ordered.left, ordered.right) == ("(", ")") or (len(items) > 2 and ordered.right == "]")
    return is_tuple and _same_items(ours, theirs, same_latex)


def _as_set(several: Several) -> str | None:
    """x < 1 or x > 3 as a marked text for the caller's comparison: relations joined by OR or AND."""
    if several.joint not in ("or", "and") or not all(isinstance(item, Value) for item in several.items):
        return None
    sign = r" \lor " if several.joint == "or" else r" \land "
    return sign.join(latex_of(item) for item in several.items)


def _list_for_value(answer: Shape, gold: Shape, same_latex: SameLatex) -> bool:
    """{5} is 5; x < 1 or x > 3 is a union of intervals."""
    several, value = (answer, gold) if isinstance(answer, Several) else (gold, answer)
    assert isinstance(several, Several)
    assert isinstance(value, Value)
    if any(_is_relation(item) for item in several.items):
        text = _as_set(several)
        if text is None:
            return False
        return same_latex(text, latex_of(value)) if several is answer else same_latex(latex_of(value), text)
    items = _distinct(several, same_latex)
    if len(items) != 1:
        return False
    return same(items[0], value, same_latex) if several is answer else same(value, items[0], same_latex)


def _tuple_for_value(answer: Shape, gold: Shape, same_latex: SameLatex) -> bool:
    """(1,2) is also a vector, and an interval that an inequality may describe; it is never a number."""
    ordered, value = (answer, gold) if isinstance(answer, Ordered) else (gold, answer)
    assert isinstance(ordered, Ordered)
    assert isinstance(value, Value)
    if "\\begin" in value.latex:
        cells = re.fullmatch(r"\\begin\{pmatrix\}(.*)\\end\{pmatrix\}", value.latex.strip(), re.DOTALL)
        if cells is None or ordered.left != "(" or ordered.right != ")":
            return False
        parts = [cell.strip() for cell in re.split(r"&|\\\\", cells[1]) if cell.strip()]
        vector = tuple(Value(part) for part in parts)
        rows, columns = cells[1].count("\\\\"), cells[1].count("&")
        if rows and columns:
            return False
        ours, theirs = (ordered.items, vector) if ordered is answer else (vector, ordered.items)
        return _same_items(ours, theirs, same_latex)
    if exact(value.latex) is not None or len(ordered.items) != 2 or value.unit is not None:
        return False
    texts = (latex_of(ordered), latex_of(value))
    return same_latex(*texts) if ordered is answer else same_latex(*reversed(texts))
