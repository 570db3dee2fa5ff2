"""The moves that all reasoning domains of the tiny world share, English and Chinese side by side.

Reflective phrases use the paper's ten words (Appendix C) and their usual Chinese counterparts.
"""

from __future__ import annotations

from ahalab.world.moves import Move

GUESS = Move(
    "guess",
    {
        "en": (
            "putting {e} together gives {g}.",
            "at a glance {e} is {g}.",
            "{e} looks like {g}.",
            "{e} makes {g}.",
        ),
        "zh": ("把{e}合在一起得{g}。", "一眼看去{e}是{g}。", "看起来{e}是{g}。", "{e}得{g}。"),
    },
    {"en": ("I put {e} together and get {g}.",), "zh": ("我把{e}合在一起，得{g}。",)},
)
"""The expression is said again, so that a check after it has its terms near."""

CHECK = Move(
    "check",
    {
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
    },
    {
        "en": ("Wait, let me check: {s}.", "However, I should verify: {s}."),
        "zh": ("等等，我来检查：{s}。", "然而我要验证：{s}。"),
    },
)

SECOND_CHECK = Move(
    "second_check",
    {"en": ("let me retry in another order: {s}.",), "zh": ("换个顺序再检查：{s}。",)},
    {"en": ("Let me retry in another order: {s}.",), "zh": ("我换个顺序再检查：{s}。",)},
)

CONFIRMED = Move(
    "confirmed",
    {"en": ("so {t} is right.", "yes, it is {t}."), "zh": ("所以{t}是对的。", "对，就是{t}。")},
    {"en": ("So I was right, it is {t}.",), "zh": ("所以我是对的，就是{t}。",)},
)

CORRECTED = Move(
    "corrected",
    {
        "en": ("so that was a mistake, it is {t}.", "so {g} was an error, it is {t}."),
        "zh": ("所以刚才错误，应该是{t}。", "所以{g}不对，应该是{t}。"),
    },
    {"en": ("So I made a mistake, it is {t}.",), "zh": ("所以我刚才错误，应该是{t}。",)},
)

UNDERSTAND = Move(
    "understand",
    {"en": ("the task is {e}.",), "zh": ("任务是{e}。",)},
    {"en": ("I need to work out {e}.",), "zh": ("我需要求出{e}。",)},
)

WORK = Move(
    "work",
    {"en": ("step by step: {s}.",), "zh": ("一步一步：{s}。",)},
    {"en": ("I go step by step: {s}.",), "zh": ("我一步一步来：{s}。",)},
)

CHECKING = (CHECK, SECOND_CHECK, CONFIRMED, CORRECTED, UNDERSTAND, WORK)
"""What every reasoning domain has besides its own guess."""
