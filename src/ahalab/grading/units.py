"""Units at the end of an answer: which there are, what they measure, and how they convert. In linear time.

Our choices, listed in docs/math.md: a unit may be left out; two units must measure the same and are converted; words
that are no unit ("12 apples") are ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unit:
    """What a unit measures (powers of base units) and how many base units it is; `offset` for °C and °F."""

    dimension: Dimension
    factor: Fraction
    offset: Fraction = Fraction(0)


PERCENT = Unit((("percent", 1),), Fraction(1))
DEGREE = Unit((("degree", 1),), Fraction(1))
RADIAN = Unit((("radian", 1),), Fraction(1))

_TABLE = """
length 1 m meter metre 米
length 1/1000 mm millimeter millimetre 毫米
length 1/100 cm centimeter centimetre 厘米 公分
length 1/10 dm decimeter decimetre 分米
length 1000 km kilometer kilometre 千米 公里
length 127/5000 in inch inche 英寸
length 381/1250 ft foot feet 英尺
length 1143/1250 yd yard 码
length 201168/125 mi mile 英里
mass 1 g gram gm 克
mass 1/1000 mg milligram 毫克
mass 1000 kg kilogram kilo 千克 公斤
mass 500 斤
mass 1000000 ton tonne 吨
mass 45359237/100000 lb pound 磅
mass 45359237/1600000 oz ounce
time 1 s sec second 秒 秒钟
time 1/1000 ms millisecond 毫秒
time 60 min minute 分钟
time 3600 h hr hour 小时 时
time 86400 day 天
time 604800 week 周 星期
unit 1 unit 单位
month 1 month 个月 月
month 12 year yr 年
dollar 1 $ dollar usd 美元
dollar 1/100 cent ¢
euro 1 € euro eur 欧元
sterling 1 £ gbp 英镑
yuan 1 ¥ yuan rmb cny 元 块 块钱 元钱 人民币
yuan 1/10 角 毛
current 1 A ampere amp 安培
voltage 1 V volt 伏
resistance 1 Ω ohm 欧姆
temperature 1 K kelvin
amount 1 mol mole 摩尔
frequency 1 Hz hertz 赫兹
"""
_DERIVED = (
    ("L liter litre 升", (("length", 3),), Fraction(1, 1000)),
    ("mL ml milliliter millilitre cc 毫升", (("length", 3),), Fraction(1, 1_000_000)),
    ("hectare ha 公顷", (("length", 2),), Fraction(10_000)),
    ("acre", (("length", 2),), Fraction(316160658, 78125)),
    ("mph", (("length", 1), ("time", -1)), Fraction(201168, 125) / 3600),
    ("kmh kph kmph", (("length", 1), ("time", -1)), Fraction(1000, 3600)),
    ("N newton 牛顿 牛", (("length", 1), ("mass", 1), ("time", -2)), Fraction(1000)),
    ("J joule 焦耳 焦", (("length", 2), ("mass", 1), ("time", -2)), Fraction(1000)),
    ("kJ kilojoule", (("length", 2), ("mass", 1), ("time", -2)), Fraction(1_000_000)),
    ("W watt 瓦", (("length", 2), ("mass", 1), ("time", -3)), Fraction(1000)),
    ("kW kilowatt 千瓦", (("length", 2), ("mass", 1), ("time", -3)), Fraction(1_000_000)),
    ("Pa pascal 帕", (("length", -1), ("mass", 1), ("time", -2)), Fraction(1000)),
)


def _units() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for line in _TABLE.strip().splitlines():
        base, factor, *names = line.split()
        units |= dict.fromkeys(names, Unit(((base, 1),), Fraction(factor)))
    for names_together, dimension, factor_of in _DERIVED:
        units |= dict.fromkeys(names_together.split(), Unit(dimension, factor_of))
    celsius = Unit((("temperature", 1),), Fraction(1), Fraction(27315, 100))
    fahrenheit = Unit((("temperature", 1),), Fraction(5, 9), Fraction(45967, 180))
    units |= dict.fromkeys(("degC", "celsius", "摄氏度"), celsius)
    units |= dict.fromkeys(("degF", "fahrenheit", "华氏度"), fahrenheit)
    units |= dict.fromkeys(("%", "percent", "percentage", "pct"), PERCENT)
    units |= dict.fromkeys(("deg", "degree", "度"), DEGREE)
    kilo = {"k克": units["kg"], "k米": units["km"], "k瓦": units["kW"]}
    return units | kilo | dict.fromkeys(("rad", "radian", "弧度"), RADIAN)


UNITS = _units()

_HAN_RUN = "[\u3400-\u9fff]"
_NAME = rf"(?:k[克米瓦]|[A-Za-zΩ]+|{_HAN_RUN}+|[$€£¥¢%])"
_SUFFIX = re.compile(
    r"(?P<value>.*?[\d.)}!]|.*?\\(?:pi|infty)(?![A-Za-z]))"
    rf"(?P<unit>(?P<gap>\s*)(?:{_NAME}(?:\s*\^\s*\{{?-?\d\}}?)?)(?:(?:\s*[/.*]\s*|\s+|\s*\\cdot\s*)"
    rf"(?:{_NAME})(?:\s*\^\s*\{{?-?\d\}}?)?){{0,5}})\s*",
    re.DOTALL,
)
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_DEGREES = re.compile(r"\^\s*\\circ\s*(C|F)?(?![A-Za-z])")
_CURRENCY = re.compile(r"(?P<sign>-?)\s*(?P<currency>\\\$|[$€£¥])\s*(?P<value>[\d.].*)", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]+")
_ANGLE = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_COMMANDS = re.compile(r"\\[A-Za-z]+")
_TOKEN = re.compile(rf"({_NAME})(?:\s*\^\s*\{{?(-?\d)\}}?)?|(/|per(?![a-z]))")
_PART = re.compile(rf"(\d{{1,15}}(?:\.\d{{1,15}})?)\s*({_NAME})")
_COMPOUND = re.compile(rf"{_PART.pattern}(?:\s*,?\s*(?:and\s+)?{_PART.pattern}){{1,3}}")
_LONGEST = 60
"""Characters of a unit; a longer text is none. Our choice."""
_NO_NOUN = frozenset(
    re.findall(
        r"\w+",
        """is are was were be not no isn wrong incorrect false or and but nor than if then so because since which that
        who sin cos tan cot sec csc log ln exp sqrt max min gcd lcm mod pi choose to minus plus times equals divided
        squared cubed hundred thousand million billion percentage""",
    )
)
_HAN_NO_NOUN = re.compile("[不非没无错是为或和与且比分之正负]|以及|但|因|所以|或者")


def split_unit(text: str) -> tuple[str, Unit | None]:
    """The value and the unit of a tidy text such as "12 cm^2", "\\$5", "36 km/h", "20元", "50%"; nouns are dropped.

    One letter right behind a number ("5m") is a variable. The text as it is, and None, where there is no unit.
    """
    if (money := _CURRENCY.fullmatch(text)) is not None:
        value, unit = split_unit(money["value"])
        own = UNITS[money["currency"].lstrip("\\")]
        if unit is None or unit == own:
            return f"{money['sign']}{value}", own
        return text, None
    marked = "\\text" in text
    plain = _DEGREES.sub(lambda match: f" deg{match[1] or ''}", _TEXT.sub(r" \1 ", text)).strip()
    if len(plain) > 1000 or (match := _SUFFIX.fullmatch(plain)) is None or len(match["unit"]) > _LONGEST:
        return text, None
    value, name = match["value"].strip(), match["unit"].strip()
    if not marked and _LETTERS.search(_COMMANDS.sub("", value)):
        return text, None  # x cm: more likely a product
    if len(name) == 1 and name.isalpha() and name.isascii() and not match["gap"]:
        return text, None
    unit = unit_of(name)
    if unit == DEGREE and _ANGLE.search(value):
        return text, None  # the degrees of an argument
    if unit is None and not _is_noun(name):
        return text, None
    return value, unit


def compound(text: str) -> tuple[str, Unit] | None:
    """The value of "3 hours 30 minutes" or "5米2分米" in its first unit; None where it is no such thing."""
    plain = _TEXT.sub(r" \1 ", text).strip()
    if len(plain) > _LONGEST or not _COMPOUND.fullmatch(plain):
        return None
    parts = [(Fraction(match[1]), unit_of(match[2])) for match in _PART.finditer(plain)]
    units = [unit for _, unit in parts if unit is not None and not unit.offset]
    if len(units) != len(parts) or len({unit.dimension for unit in units}) != 1:
        return None
    if [unit.factor for unit in units] != sorted({unit.factor for unit in units}, reverse=True):
        return None
    total = sum((value * unit.factor for (value, _), unit in zip(parts, units, strict=True)), Fraction(0))
    total /= units[0].factor
    return rf"\frac{{{total.numerator}}}{{{total.denominator}}}", units[0]


@lru_cache(maxsize=1024)
def unit_of(name: str) -> Unit | None:
    """The unit of a name such as "km/h", "square centimeters", "平方厘米", "m s^{-2}"; None where it is none."""
    if (alone := _single(name)) is not None:
        return alone
    powers: dict[str, int] = {}
    factor = Fraction(1)
    sign, waiting, last = 1, 0, 0
    for match in _TOKEN.finditer(name):
        word, power, divided = match.groups()
        if _gap(name[last : match.start()]):
            return None
        last = match.end()
        if divided or word == "per" or word == "每":
            sign = -1
            continue
        if word in ("square", "sq", "cubic", "cu"):
            waiting = 2 if word.startswith("s") else 3
            continue
        unit = _single(word)
        if unit is None or unit.offset:
            return None
        times = sign * (int(power) if power else waiting or 1)
        waiting = 0
        factor *= unit.factor**times
        for base, exponent in unit.dimension:
            powers[base] = powers.get(base, 0) + exponent * times
    if not powers or waiting or _gap(name[last:]):
        return None
    return Unit(tuple(sorted((base, power) for base, power in powers.items() if power)), factor)


def _gap(text: str) -> bool:
    return bool(text.replace("\\cdot", "").strip(" .*"))


def _single(word: str) -> Unit | None:
    for spelling in (
        word,
        word.lower() if len(word) > 2 else word,
        word.lower().removesuffix("s") if len(word) > 3 else word,
    ):
        if spelling in UNITS:
            return UNITS[spelling]
    for prefix, power in (("平方", 2), ("立方", 3)):
        if word.startswith(prefix) and (inner := UNITS.get(word.removeprefix(prefix))) is not None:
            return Unit(
                tuple((base, exponent * power) for base, exponent in inner.dimension), inner.factor**power
            )
    if "每" in word:
        above, _, below = word.partition("每")
        return unit_of(f"{above}/{below}") if above and below and "每" not in below else None
    return None


def _is_noun(name: str) -> bool:
    words = name.lower().split()
    if not all(re.fullmatch(rf"[a-z]{{2,}}|{_HAN_RUN}+", word) for word in words):
        return False
    return not any(word in _NO_NOUN or _HAN_NO_NOUN.search(word) for word in words)
