"""The words of the tiny world's mathematics, English and Chinese side by side.

Reflective phrases use the paper's ten words (Appendix C) and their usual Chinese counterparts.
"""

from __future__ import annotations

from ahalab.records import Language

Choices = dict[Language, tuple[str, ...]]

QUESTIONS: Choices = {
    "en": ("What is {e}?", "Compute {e}.", "How much is {e}?", "Work out {e}."),
    "zh": ("{e}等于多少？", "计算{e}。", "请算出{e}的结果。", "{e}是多少？"),
}

GUESSES: Choices = {
    "en": (
        "putting {e} together gives {g}.",
        "at a glance {e} is {g}.",
        "{e} looks like {g}.",
        "{e} makes {g}.",
    ),
    "zh": ("把{e}合在一起得{g}。", "一眼看去{e}是{g}。", "看起来{e}是{g}。", "{e}得{g}。"),
}
"""The expression is said again, so that a check after it has its terms near."""

CHECKS: Choices = {
    "en": (
        "wait, let me check: {s}.",
        "however, i should verify: {s}.",
        "but that may be wrong, let me check: {s}.",
        "wait, let me evaluate it step by step: {s}.",
    ),
    "zh": (
        "等等，我检查一下：{s}。",
        "然而我应该验证：{s}。",
        "但是这可能不对，检查一下：{s}。",
        "等等，我一步一步重新算：{s}。",
    ),
}

SECOND_CHECKS: Choices = {
    "en": ("let me retry in another order: {s}.",),
    "zh": ("换个顺序再检查：{s}。",),
}

CONFIRMED: Choices = {
    "en": ("so {t} is right.", "yes, it is {t}."),
    "zh": ("所以{t}是对的。", "对，就是{t}。"),
}

CORRECTED: Choices = {
    "en": ("so that was a mistake, it is {t}.", "so {g} was an error, it is {t}."),
    "zh": ("所以刚才错误，应该是{t}。", "所以{g}不对，应该是{t}。"),
}
