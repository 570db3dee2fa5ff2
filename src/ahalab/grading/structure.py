"""The shape of a mathematical answer: yes or no, words, a list, a tuple or interval, a value with its name and unit.

Only the outermost shape is taken apart here; what is inside (expressions, equations, matrices) is left as LaTeX for
math-verify. Nothing is worked out. Time is linear in the text, for each of a few levels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ahalab.grading.answers import FORMULA, STRONG, WEAK, announced, boxes, last_statements
from ahalab.grading.brackets import closing, depths_of, has_list_at_top
from ahalab.grading.chinese_numbers import HAN, arabic
from ahalab.grading.latex import tidy
from ahalab.grading.units import Unit, compound, split_unit


@dataclass(frozen=True)
class Truth:
    """Yes or no."""

    value: bool


@dataclass(frozen=True)
class Words:
    """A text that is no mathematics (a name, a letter of a choice)."""

    text: str


@dataclass(frozen=True)
class Value:
    """An expression, equation, inequality, set or matrix, as LaTeX; `name` of "x = 3", `unit` of "3 cm"."""

    latex: str
    name: str | None = None
    unit: Unit | None = None
    statement: str = ""
    """The whole equation, where there is a name."""


@dataclass(frozen=True)
class Several:
    """Several answers without an order: a bare list, or a set in braces. `joint` is "or", "and" or ","."""

    items: tuple[Shape, ...]
    braces: bool = False
    joint: str = ","


@dataclass(frozen=True)
class Ordered:
    """A tuple, an interval, a list in brackets, or (`left` ":") a ratio of three or more."""

    items: tuple[Shape, ...]
    left: str
    right: str


Shape = Truth | Words | Value | Several | Ordered

MAX_LEVELS = 6
MAX_ITEMS = 64
"""Answers in one list or tuple; more are none. Our choice."""

_TAG = re.compile(r"</?answer>")
_YES = frozenset(re.findall(r"\w+", "yes true correct right 是 是的 对 对的 正确 真 成立 能 可以"))
_NO = frozenset(
    re.findall(r"\w+", "no false incorrect wrong 否 不 不是 不对 错 错的 错误 不正确 假 不成立 不能")
)
_TRUTH_WORDS = re.compile(r"[A-Za-z']+|[\u3400-\u9fff]+")
_NEITHER = re.compile(
    r"\b(?:or|maybe|either|neither)\b|n't\b|\bnot\s+(?:yes|no|true|false|correct|right)\b|还是|或",
    re.IGNORECASE,
)
_BEGINNING = re.compile(r"\s*([A-Za-z]+|[\u3400-\u9fff]{1,3}?)\s*(?:[,.;:!，。；：！]|$)")
_NOTHING = re.compile(
    r"(?:there (?:is|are) )?no (?:real )?(?:solutions?|roots?)|none|empty set|does not exist"
    "|无(?:实数?)?解|没有解|空集|不存在",
    re.IGNORECASE,
)

_FUNCTIONS = (
    "sin|cos|tan|cot|sec|csc|log|exp|sqrt|max|min|gcd|lcm|mod|pmod|inf|arcsin|arccos|arctan|sinh|cosh|tanh"
)
_COMMAND = re.compile(
    r"\\(?:begin|end)\s*\{[^{}]*\}|\\mathbb\s*\{[^{}]*\}|\\text\s*\{[A-Za-z]{1,2}\}|\\[A-Za-z]+"
)
_WORD = re.compile(
    rf"(?<![A-Za-z])(?!(?:{_FUNCTIONS})(?![A-Za-z]))[A-Za-z]{{3,}}|{HAN.pattern}|[@#?\"`;&]|__"
)
_SUBSTANCE = re.compile(r"[A-Za-z0-9]")
_AMPERSAND = re.compile(r"\\begin.*\\end", re.DOTALL)

_JOINTS = re.compile(r"\s*(?:,?\s*(?<![A-Za-z\\])(and|or)(?![A-Za-z])|([,;、])|(和|与|以及|且)|(或者?))\s*")
_TEXT_JOINT = re.compile(r"\\text\s*\{\s*,?\s*(and|or|和|或|且|或者|与)\s*\}")
_THOUSANDS = re.compile(r"(?<![\d.,\w])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
_SPACED = re.compile(r"[+-]?[1-9]\d{0,2}(?: \d{3})+(?:\.\d+)?")
_POINT = re.compile(r"^[A-Z]'?\s*(?=\([^()]*,)")
_MEMBER = re.compile(r"[a-zA-Z]\s*\\in(?![A-Za-z])\s*")
_BUILDER = re.compile(
    r"\\\{\s*([a-z])\s*(?:\\in\s*(?:\\mathbb\s*\{\s*R\s*\}|R)\s*)?[|:]\s*(.+)\\\}", re.DOTALL
)
_RATIO = re.compile(r"\d+(?:\.\d+)?(?:\s*(?::|(?<=\s)to(?=\s))\s*\d+(?:\.\d+)?)+")
_EQUALS = re.compile(r"(?<![<>!:=\\])=(?!=)")
_RELATION = re.compile(r"[<>]|\\(?:le|ge|neq|in|lt|gt|subset|approx|equiv)(?![A-Za-z])")
_SIMPLE_NAME = re.compile(
    r"\\?[A-Za-z]+'{0,2}(?:_\{?[^{}=+*/]{1,20}\}?)?(?:\([A-Za-z0-9,\s\\]{1,20}\))?|\([a-zA-Z](?:,\s*[a-zA-Z])+\)"
    r"|\\(?:angle|triangle|overline|vec|widehat|mathbb)\s*\{?\s*[A-Z]{1,4}\s*\}?|\|[A-Z]{1,2}\||[A-Za-z]+_\{[^{}]{1,40}\}"
)
_ONE_WORD_NAME = re.compile(r"\\text\s*\{[^{}]{1,40}\}|[A-Za-z ]{3,40}|[\u3400-\u9fff]{1,20}")
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")
_MINUS_PLUS = re.compile(r"\\mp(?![A-Za-z])")
_WRAPPED = re.compile(r"\\text\s*\{([^{}]*)\}")
_NUMERIC = re.compile(r"[\d.,\s+*/^(){}-]*")
_SPECIAL_NUMBER = re.compile(r"nan|zoo|undefined", re.IGNORECASE)


@lru_cache(maxsize=2048)
def read_answer(text: str) -> Shape | None:
    """The answer that a text gives; None where it gives none that can be read."""
    text = _TAG.sub(" ", text)
    boxed = boxes(text)
    if boxed:
        return _all_of([shape_of(content) or _prose(content) for content in boxed])
    for rest in announced(text, STRONG):
        return shape_of(rest) or _prose(rest)
    return shape_of(text) or _prose(text)


def truth_in(text: str) -> bool | None:
    """The one yes or no that a text says; None where it says both, neither, or hedges."""
    text = _WRAPPED.sub(r" \1 ", " ".join(boxes(text)) or text)
    first = _BEGINNING.match(text)
    if first is not None and first[1].lower() in _YES | _NO:
        return first[1].lower() in _YES
    if _NEITHER.search(text):
        return None
    words = [word.lower() for word in _TRUTH_WORDS.findall(text)]
    said = {word in _YES for word in words if word in _YES or word in _NO}
    return said.pop() if len(said) == 1 else None


def words_in(text: str) -> str:
    """The words of a text in plain: its box or what its last "answer is" announces, without fonts and brackets."""
    inside = boxes(text)
    rest = inside[-1] if len(inside) == 1 else next(announced(text, STRONG), text)
    return " ".join(_WRAPPED.sub(r" \1 ", rest).replace("$", " ").split()).strip("().*。 ").casefold()


def _all_of(shapes: list[Shape | None]) -> Shape | None:
    items = tuple(shape for shape in shapes if shape is not None)
    if len(items) != len(shapes) or not items:
        return None
    return items[0] if len(items) == 1 else Several(items)


def _prose(text: str) -> Shape | None:
    if re.search(r"\\[A-Za-z]", FORMULA.sub(" ", text)) or not re.search(r"\d", text) or HAN.search(text):
        for rest in announced(text, WEAK):
            if (shape := shape_of(rest)) is not None:
                return shape
    if not re.search(r"[0-9０-９]", text):
        text = arabic(text)
    statements = last_statements(text)
    return None if statements is None else _all_of([_statement(one) for one in statements])


def _statement(text: str) -> Shape | None:
    """A number and the words behind it: as many of them as make a unit or a noun."""
    words = text.split(" ")
    for end in range(len(words), 0, -1):
        if (shape := shape_of(" ".join(words[:end]))) is not None:
            return shape
    return None


@lru_cache(maxsize=2048)
def shape_of(text: str, level: int = 0) -> Shape | None:
    """The shape of a text that is nothing but an answer; None where it is not."""
    text = _bare(text)
    if not text or level > MAX_LEVELS:
        return None
    if text.casefold() in _YES | _NO:
        return Truth(text.casefold() in _YES)
    if _NOTHING.fullmatch(text):
        return Value(r"\emptyset")
    text = _bare(arabic(text))
    if (word := _WRAPPED.fullmatch(text)) is not None:
        return _worded(word[1], level)
    if "\\text" in text:
        text = _TEXT_JOINT.sub(r" \1 ", text)
    return _composed(text, level) or _value(text)


def _worded(text: str, level: int) -> Shape | None:
    inside = shape_of(text, level + 1)
    if isinstance(inside, Truth) or (isinstance(inside, Value) and re.search(r"\d|\\emptyset", inside.latex)):
        return inside
    words = " ".join(text.split()).strip("(). ")
    return Words(words.casefold()) if words else None


def _bare(text: str) -> str:
    """Without what stands around an answer: formula signs, bold face, full stops, one pair of braces."""
    text = tidy(_without_dollars(text.strip().strip("*").strip())).removeprefix("\\approx")
    for _ in range(3):
        before = text
        text = _without_dollars(text.strip().rstrip("。.;,:").strip().removesuffix("\\\\").strip())
        if text[:1] in ("{", "(") and closing(text) == len(text) - 1 and not has_list_at_top(text[1:-1]):
            text = text[1:-1]
        if text == before:
            break
    return text


def _without_dollars(text: str) -> str:
    match = FORMULA.fullmatch(text.rstrip(".。 "))
    if match is not None:
        inside = next(group for group in match.groups() if group is not None)
        return inside if "$" not in inside.replace("\\$", "") else text
    return text


def _split(text: str) -> tuple[list[str], str] | None:
    """The parts of a list and how they are joined; None where there is one part only."""
    depths = depths_of(text)
    parts, joints, start = [], [], 0
    for match in _JOINTS.finditer(text):
        if depths[match.end() - 1 if match[0].isspace() else match.start()] == 0 and match.start() >= start:
            parts.append(text[start : match.start()])
            start = match.end()
            joints.append(
                "or" if match[1] == "or" or match[4] else "and" if match[1] == "and" or match[3] else ","
            )
    if not joints:
        return None
    parts.append(text[start:])
    kinds = set(joints) - {","}
    return [part for part in parts if part.strip()], kinds.pop() if len(kinds) == 1 else ","


def _joined_thousands(text: str) -> str:
    depths = depths_of(re.sub(r"\\[A-Za-z]+\s*\{|\{", " ", text) if "\\{" not in text else text)
    if len(depths) != len(text):
        depths = depths_of(text)
    return _THOUSANDS.sub(
        lambda match: match[0].replace(",", "") if depths[match.start()] == 0 else match[0], text
    )


def _composed(text: str, level: int) -> Shape | None:
    """A list, set, tuple, interval, ratio or pair of signs."""
    if _SPACED.fullmatch(text):
        return Value(text.replace(" ", ""))
    text = _joined_thousands(text)
    if _RATIO.fullmatch(text):
        terms = re.split(r"\s*(?::|to)\s*", text)
        if len(terms) == 2:
            return Value(rf"\frac{{{terms[0]}}}{{{terms[1]}}}")
        return Ordered(tuple(Value(term) for term in terms), ":", ":")
    if (builder := _BUILDER.fullmatch(text)) is not None:
        return shape_of(builder[2], level + 1)
    text = _MEMBER.sub("", text, count=1) if _MEMBER.match(text) else text
    if (measured := compound(text)) is not None:
        return Value(measured[0], unit=measured[1])
    if "\\begin" not in text and (split := _split(text)) is not None:
        parts, joint = split
        return _list(parts, joint, level)
    name, value = _assigned(text)
    if name is not None and name.startswith("("):
        return shape_of(value, level + 1)
    enclosed = _enclosed(_POINT.sub("", value, count=1), level)
    if enclosed is not None:
        return enclosed
    if len(_PLUS_MINUS.findall(text)) == 1 and not _RELATION.search(text):
        both = [
            _MINUS_PLUS.sub(other, _PLUS_MINUS.sub(sign, text)) for sign, other in (("+", "-"), ("-", "+"))
        ]
        return _all_of([shape_of(one.replace("=+", "=").replace("= +", "="), level + 1) for one in both])
    return None


def _list(parts: list[str], joint: str, level: int) -> Shape | None:
    if not 1 <= len(parts) <= MAX_ITEMS:
        return None
    items = [shape_of(part, level + 1) for part in parts]
    if any(item is None for item in items):
        return None
    flat: list[Shape] = []
    for item in items:
        flat.extend(item.items if isinstance(item, Several) and not item.braces else [item])  # type: ignore[list-item]
    if (
        len(flat) > 1
        and isinstance(flat[0], Value)
        and flat[0].name
        and not _EQUALS.search(" ".join(parts[1:]))
    ):
        first = flat[0].name  # x = 1, 2
        flat = [flat[0], *(_named(item, first) for item in flat[1:])]
    return flat[0] if len(flat) == 1 else Several(tuple(flat), joint=joint)


def _named(item: Shape, name: str) -> Shape:
    if isinstance(item, Value) and item.name is None:
        return Value(item.latex, name, item.unit, f"{name}={item.latex}")
    return item


def _enclosed(text: str, level: int) -> Shape | None:
    text = text.strip()
    if text.startswith("\\{") and text.endswith("\\}") and closing(text[1:]) == len(text) - 2:
        inner, braces = text[2:-2], True
    elif text[:1] in "([{" and text and closing(text) == len(text) - 1:
        inner, braces = text[1:-1], text[0] == "{"
    else:
        return None
    if not inner.strip():
        return Value(r"\emptyset") if braces else None
    parts = (_split(inner) or ([inner], ","))[0]
    if not braces and len(parts) == 1 and text[0] == "(":
        return None
    if len(parts) > MAX_ITEMS:
        return None
    items = tuple(shape_of(part, level + 1) for part in parts)
    if any(item is None for item in items):
        return None
    known = tuple(item for item in items if item is not None)
    if braces:
        known = tuple(
            part for item in known for part in (item.items if isinstance(item, Several) else (item,))
        )
    if braces:
        return Several(known, braces=True)
    return _matrix(known) or Ordered(known, text[0], text[-1])


def _matrix(rows: tuple[Shape, ...]) -> Shape | None:
    """[[1,2],[3,4]] as a matrix."""
    if not all(isinstance(row, Ordered) and row.left == "[" for row in rows):
        return None
    cells = [
        [item.latex if isinstance(item, Value) else "" for item in row.items]
        for row in rows
        if isinstance(row, Ordered)
    ]
    if len({len(row) for row in cells}) != 1 or not all(cell for row in cells for cell in row):
        return None
    return Value(r"\begin{pmatrix}" + r"\\".join("&".join(row) for row in cells) + r"\end{pmatrix}")


def _assigned(text: str) -> tuple[str | None, str]:
    """The name and the value of "x = 3", "f(x) = x^2", "x = 1 + 2 = 3"; (None, value) of "3 + 4 = 7"."""
    if "\\begin" in text:
        return None, text
    depths = depths_of(text)
    places = [match.start() for match in _EQUALS.finditer(text) if depths[match.start()] == 0]
    if not places:
        return None, text
    left, right = text[: places[0]].strip(), text[places[-1] + 1 :].strip()
    if not left or not right or _RELATION.search(text):
        return None, text
    if _SIMPLE_NAME.fullmatch(left) or _ONE_WORD_NAME.fullmatch(left):
        return re.sub(r"[\s{}]", "", left), right
    if _SIMPLE_NAME.fullmatch(right) and _NUMERIC.fullmatch(left) and re.search(r"\d", left):
        return re.sub(r"[\s{}]", "", right), left
    if _NUMERIC.fullmatch(re.sub(r"\\(?:times|cdot|div|frac)", "*", text[: places[-1]])) and re.search(
        "[-+*/^]", left
    ):
        return None, right
    return None, text


def _value(text: str) -> Shape | None:
    name, value = _assigned(text)
    value, unit = split_unit(value)
    value = _bare(value)
    if not _readable(value) or _SPECIAL_NUMBER.fullmatch(value):
        return None
    if name is None:
        return Value(value, unit=unit)
    return Value(value, name, unit, text)


def _readable(latex: str) -> bool:
    """No words, and something that can have a value."""
    plain = latex if not _AMPERSAND.search(latex) else latex.replace("&", " ")
    return bool(_SUBSTANCE.search(latex)) and not _WORD.search(_COMMAND.sub(" ", plain))
