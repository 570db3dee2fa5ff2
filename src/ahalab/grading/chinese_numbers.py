"""Chinese numerals and the mathematical words around them, written as arabic digits and LaTeX. In linear time.

Which words are read is our choice; docs/math.md lists them.
"""

from __future__ import annotations

import re
from fractions import Fraction

HAN = re.compile("[\u3400-\u9fff]")

_DIGITS = {character: value for value, characters in enumerate(
    ("零〇", "一壹", "二两贰", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
) for character in characters}  # fmt: skip
_SMALL = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_LARGE = {"万": 10_000, "亿": 100_000_000}
_NUMERAL = "".join([*_DIGITS, *_SMALL, *_LARGE])
_LONGEST = 40
"""Characters of one numeral; a longer run is none. Our choice."""

_NO_NUMERALS = re.compile(
    "一共|一定|一起|第一|唯一|一样|统一|同一|一些|万一|一般|三角|四边|十分(?!之)|进一步|一方面"
)
_WORDS = (
    (re.compile("正负"), r"\\pm "),
    (re.compile("负"), "-"),
    (re.compile("正无穷大?"), r"\\infty "),
    (re.compile("无穷大?"), r"\\infty "),
    (re.compile(r"([\d一二三四五六七八九])成(?!立)"), r"百分之\1十"),
    (re.compile("倍(?=根号)"), " "),
    (re.compile("一半"), r"\\frac{1}{2}"),
    (re.compile("大于等于|大于或等于|不小于|不少于"), r"\\ge "),
    (re.compile("小于等于|小于或等于|不大于|不超过"), r"\\le "),
    (re.compile("不等于"), r"\\neq "),
    (re.compile("大于"), ">"),
    (re.compile("小于"), "<"),
    (re.compile("等于"), "="),
)
_ROOT = re.compile(r"根号\s*(\d+(?:\.\d+)?|[a-z])")
_RATIO = re.compile(r"(?<=\d)\s*比\s*(?=\d)")
_NUMBER = rf"(?:\d+(?:\.\d+)?十?|[{_NUMERAL}]+(?:点[{_NUMERAL}]+)?)"
_PERCENT = re.compile(rf"百分之\s*({_NUMBER})")
_MIXED = re.compile(rf"({_NUMBER})又({_NUMBER})分之({_NUMBER})")
_FRACTION = re.compile(rf"({_NUMBER})分之({_NUMBER})")
_DECIMAL_OR_WHOLE = re.compile(rf"[{_NUMERAL}]+(?:点[{_NUMERAL}]+)?")
_KILO = re.compile(r"(\d)\s*千(?=[克米瓦])")
"""3千克 is 3 kg; 三千克 may be read as 3000 g just as well."""
_TIMES = re.compile(r"(\d+(?:\.\d+)?)\s*([百千万亿])")


def arabic(text: str) -> str:
    """The text with Chinese numerals as digits ("二又三分之一" as "2 1/3", "百分之三十" as "30%", "3万" as "30000")
    and words such as 负, 正负, 根号, 大于等于, 无穷大 as LaTeX. What is no numeral stays as it is."""
    if not HAN.search(text):
        return text
    text = _KILO.sub(r"\1 k", _NO_NUMERALS.sub(" ", text))
    for word, sign in _WORDS:
        text = word.sub(sign, text)
    text = _PERCENT.sub(lambda match: f"{_digits(match[1])}%", text)
    text = _MIXED.sub(lambda match: f"{_digits(match[1])} {_digits(match[3])}/{_digits(match[2])}", text)
    text = _FRACTION.sub(lambda match: f"{_digits(match[2])}/{_digits(match[1])}", text)
    text = _TIMES.sub(_multiplied, text)
    text = _DECIMAL_OR_WHOLE.sub(lambda match: _digits(match[0]), text)
    return _RATIO.sub(":", _ROOT.sub(r"\\sqrt{\1}", text))


def _digits(numeral: str) -> str:
    """A numeral in digits; the text itself where it is none."""
    if numeral[0].isascii():
        return f"{numeral[:-1]}0" if numeral.endswith("十") else numeral
    whole, point, places = numeral.partition("点")
    value = _value(whole)
    if value is None:
        return numeral
    if not point:
        return str(value)
    if any(character not in _DIGITS for character in places):
        return numeral
    return f"{value}." + "".join(str(_DIGITS[character]) for character in places)


def _value(numeral: str) -> int | None:
    if not 0 < len(numeral) <= _LONGEST:
        return None
    if all(character in _DIGITS for character in numeral):  # digit by digit, like a year
        return int("".join(str(_DIGITS[character]) for character in numeral))
    total = section = digit = 0
    last_unit = 1
    after_zero = False
    for character in numeral:
        if character in _DIGITS:
            digit, after_zero = _DIGITS[character], character in "零〇"
        elif character in _SMALL:
            section += (digit or 1) * _SMALL[character]
            digit, last_unit = 0, _SMALL[character]
        else:
            total = (total + section + digit) * _LARGE[character]
            section = digit = 0
            last_unit = _LARGE[character]
    # In speech 一百五 is 150 and 三万二 is 32,000.
    shortened = (
        numeral[-1] in _DIGITS and numeral[-2] in (*_SMALL, *_LARGE) and last_unit >= 100 and not after_zero
    )
    return total + section + (digit * last_unit // 10 if shortened else digit)


def _multiplied(match: re.Match[str]) -> str:
    factor = {"百": 100, "千": 1000, **_LARGE}[match[2]]
    value = Fraction(match[1]) * factor
    return str(value.numerator) if value.denominator == 1 else f"{float(value):f}"
