"""LaTeX and Unicode written one way: noise goes, spellings become one, mixed and repeating numbers fractions.

All rules are regular expressions that run in time linear in the text (the caller bounds its length, too).
"""

from __future__ import annotations

import re

from ahalab.grading.numbers import WIDE

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+")
_SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_VULGAR = {
    "½": (1, 2),
    "⅓": (1, 3),
    "⅔": (2, 3),
    "¼": (1, 4),
    "¾": (3, 4),
    "⅕": (1, 5),
    "⅖": (2, 5),
    "⅗": (3, 5),
}
_VULGAR |= {"⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8)}

_SIGNS = {
    "π": r"\pi ",
    "∞": r"\infty ",
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "÷": r"\div ",
    "≤": r"\le ",
}
_SIGNS |= {
    "≥": r"\ge ",
    "≠": r"\neq ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "ℝ": r"\mathbb{R}",
}
_SIGNS |= {"±": r"\pm ", "°": r"^\circ ", "℃": r"^\circ C", "℉": r"^\circ F", "√": r"\sqrt ", "θ": r"\theta "}
_SIGNS |= {"−": "-", "–": "-", "﹣": "-", "‐": "-", "‑": "-", "…": "...", "\u00a0": " ", "，": ",", "；": ";"}
_SIGNS |= {
    "α": r"\alpha ",
    "β": r"\beta ",
    "∠": r"\angle ",
    "△": r"\triangle ",
    "∶": ":",
    "￥": "¥",
    "∆": r"\Delta ",
}
_SIGNS |= {mark: rf"\frac{{{above}}}{{{below}}}" for mark, (above, below) in _VULGAR.items()}
_UNICODE = str.maketrans(
    {
        **{chr(wide): chr(plain) for wide, plain in WIDE.items()},
        **_SIGNS,
        "㎡": " m^{2}",
        "㎝": " cm",
        "㎞": " km",
        "㎏": " kg",
        "≈": r"\approx ",
        "\x00": "",
    }
)

_SEPARATOR = re.compile(r"(?<=\d)(?:\{,\}|,?\\[,!:;])\s*(?=\d{3}(?!\d))")
_SIZES = re.compile(r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*\.?")
_BLANKS = re.compile(
    r"(?<!\\)\\(?:[,;:! ]|(?:quad|qquad|displaystyle|textstyle|limits|nolimits|hfill)(?![A-Za-z]))|~"
)
_NAMES = (
    (re.compile(r"(?<![A-Za-z])(?:[Nn]egative|[Mm]inus)\s+(?=\d)"), "-"),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\[dt]binom(?![A-Za-z])"), r"\\binom"),
    (re.compile(r"\\geq(?:slant)?(?![A-Za-z])|(?<![=<>])>=|=>(?!=)"), r"\\ge "),
    (re.compile(r"\\leq(?:slant)?(?![A-Za-z])|<=(?!=)"), r"\\le "),
    (re.compile(r"\\ne(?![A-Za-z])|!="), r"\\neq "),
    (re.compile(r"\\varnothing|\\empty(?![A-Za-z])"), r"\\emptyset "),
    (re.compile(r"\\lbrace(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"\\langle(?![A-Za-z])"), "("),
    (re.compile(r"\\rangle(?![A-Za-z])"), ")"),
    (re.compile(r"\\[lr]vert(?![A-Za-z])"), "|"),
    (re.compile(r"\\(?:mid|vert)(?![A-Za-z])"), "|"),
    (re.compile(r"\\lg(?![A-Za-z])"), r"\\log_{10}"),
    (re.compile(r"\\[lc]dots|\\dots"), "..."),
    (
        re.compile(r"\\(?:infinity|infin)(?![A-Za-z])|(?<![A-Za-z\\])(?:[Ii]nfinity|inf|oo)(?![A-Za-z])"),
        r"\\infty ",
    ),
    (
        re.compile(
            r"\\(?:mathbf|mathit|mathsf|boldsymbol|bm|textbf|textit|emph|mathrm(?=\s*\{\s*\\))(?=\s*\{)"
        ),
        "",
    ),
    (re.compile(r"\\(?:mathrm|operatorname|textrm|textnormal|mbox|rm)(?=\s*\{)"), r"\\text"),
    (re.compile(r"\\text\s*\{([^A-Za-z\u3400-\u9fff{}\\]*)\}"), r" \1 "),
    (re.compile(r"\\text\s*\{\s*,?\s*(and|or)\s*\}"), r" \1 "),
    (re.compile(r"\\%|(?<![A-Za-z])per\s+cent(?![A-Za-z])"), "%"),
    (re.compile(r"\\(?:degree|deg)(?![A-Za-z])"), r"^\\circ "),
    (re.compile(r"\^\s*\{\s*\\circ\s*\}"), r"^\\circ "),
    (re.compile(r"(?<![A-Za-z\\])pi(?![A-Za-z])"), r"\\pi "),
    (re.compile(r"\*\*\s*(\d+|[a-z](?![a-z]))"), r"^{\1}"),
    (re.compile(r"\*\*\s*(?=[({])"), "^"),
    (re.compile(r"\^\s*(\d{2,})"), r"^{\1}"),
    (re.compile(r"\^\s*\(([^()]*)\)"), r"^{\1}"),
    (re.compile(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"\\sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"\\sqrt\s*(\d+)(?![\d.])"), r"\\sqrt{\1}"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\{([^{}]*)\\choose\s*([^{}]*)\}"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?<![A-Za-z\\])C\(\s*(\d+)\s*,\s*(\d+)\s*\)"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?<![A-Za-z\\])C_\{?(\d+)\}?\^\{?(\d+)\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\left\s*|\\right\s*"), ""),
)
_ARRAY = re.compile(
    r"[(\[]\s*\\begin\{(?:array|matrix)\}(?:\s*\{[^{}]*\})?(.*?)\\end\{(?:array|matrix)\}\s*[)\]]", re.DOTALL
)
_BRACKETED = re.compile(r"\\(begin|end)\{[bB]matrix\}")

_WHOLE_AND_FRACTION = re.compile(
    r"(?<![\d.\w}^_/])(\d{1,9})\s*(?:(?:and|又)\s*)?\\frac\{(\d{1,9})\}\{(\d{1,9})\}"
    r"|(?<![\d.\w}^_/+*-])(-?\s?\d{1,9})\s+(?:and\s+)?(\d{1,9})/(\d{1,9})(?![\d/])"
)
_BARRED = re.compile(
    r"(?<![\d.])(\d{1,12})\.(\d{0,12})(?:\\overline\s*\{(\d{1,12})\}|\\dot\s*\{?(\d)\}?(?:(\d{0,9})\\dot\s*\{?(\d)\}?)?"
    r"|\((\d{1,12})\))"
)
_DOTTED = re.compile(r"(?<![\d.])(\d{1,12})\.(\d{1,24})\s*\.\.\.")


def tidy(text: str) -> str:
    """The text in one spelling: plain characters for full-width ones, `\\frac` for its relatives, no spacing commands,
    no `\\left` and `\\right`, mixed numbers ("1 1/2", "1\\frac12") and repeating decimals as one fraction."""
    text = _SUPERSCRIPT.sub(lambda match: "^{" + match[0].translate(_SUPERSCRIPTS) + "}", text)
    text = _SUBSCRIPT.sub(lambda match: "_{" + match[0].translate(_SUBSCRIPTS) + "}", text).translate(
        _UNICODE
    )
    text = _BLANKS.sub(" ", _SIZES.sub("", _SEPARATOR.sub(",", text)))
    for old, new in _NAMES:
        text = old.sub(new, text)
    text = _ARRAY.sub(r"\\begin{pmatrix}\1\\end{pmatrix}", _BRACKETED.sub(r"\\\1{pmatrix}", text))
    text = _BARRED.sub(_repeating, text)
    text = _DOTTED.sub(_dotted, text)
    return _WHOLE_AND_FRACTION.sub(_improper, text).strip()


def _improper(match: re.Match[str]) -> str:
    whole, above, below = (part for part in match.groups() if part is not None)
    whole = whole.replace(" ", "")
    sign = "-" if whole.startswith("-") else ""
    return rf"{sign}\frac{{{int(whole.lstrip('-')) * int(below) + int(above)}}}{{{below}}}"


def _repeating(match: re.Match[str]) -> str:
    whole, fixed, barred, first, middle, last, bracketed = match.groups()
    period = barred or bracketed or f"{first}{middle or ''}{last or ''}"
    return _as_fraction(whole, fixed, period)


def _dotted(match: re.Match[str]) -> str:
    """0.1666... with its period; the digits alone where nothing repeats."""
    whole, places = match.groups()
    for length in range(1, len(places) // 2 + 1):
        period = places[-length:]
        if places.endswith(period * 2):
            return _as_fraction(whole, places, period)
    return f"{whole}.{places}"


def _as_fraction(whole: str, fixed: str, period: str) -> str:
    nines = (10 ** len(period) - 1) * 10 ** len(fixed)
    above = int(whole + fixed) * (10 ** len(period) - 1) + int(period)
    return rf"\frac{{{above}}}{{{nines}}}"
