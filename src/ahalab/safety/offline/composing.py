"""Training rows made of parts: refusals, partial refusals and answers, whose class is known because it was built so.

Two sources of parts, both named in the card: `data/parts_*.yaml` (written for this project by a language model), and
labelled replies to one prompt, of which a refusal's opening and another model's answer make a partial refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ahalab.counter import make_key, uniform

PARTS = Path(__file__).parent / "data"
CLASSES = ("full compliance", "full refusal", "partial refusal")
COMPLIES, REFUSES, PARTLY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt, a reply and what it is."""

    prompt: str
    reply: str
    label: int
    """Place in `CLASSES`, or 0/1 of harm."""
    source: str
    group: str
    """Rows of one group never stand on both sides of a split: the prompt, or the text."""
    weight: float = 1.0


class Draw:
    """Seeded choices, counted: the same row gets the same parts whatever else is made."""

    def __init__(self, *name: object) -> None:
        self._key = make_key("offline judge", *name)
        self._count = 0

    def chance(self) -> float:
        """Uniform in [0, 1)."""
        self._count += 1
        return uniform(self._key, self._count)

    def one(self, parts: Sequence[Any]) -> Any:
        """One of them."""
        return parts[int(self.chance() * len(parts))]

    def some(self, parts: Sequence[Any], least: int, most: int) -> list[Any]:
        """`least` to `most` different ones, in a drawn order."""
        left = list(parts)
        count = least + int(self.chance() * (most - least + 1))
        return [left.pop(int(self.chance() * len(left))) for _ in range(min(count, len(left)))]


def load_parts(language: str, folder: Path = PARTS) -> dict[str, Any]:
    """The parts of a language."""
    parts: dict[str, Any] = yaml.safe_load((folder / f"parts_{language}.yaml").read_text("utf-8"))
    return parts


def composed(language: str, copies: int, weight: float, folder: Path = PARTS) -> Iterator[Row]:
    """`copies` rows of each pattern for every topic."""
    parts = load_parts(language, folder)
    for topic in parts["topics"]:
        for place, (pattern, label) in enumerate(_patterns(topic)):
            for copy in range(copies):
                draw = Draw(language, topic["q"], place, pattern, copy)
                reply = _written(pattern, topic, parts, draw, language)
                yield Row(topic["q"], reply, label, f"parts_{language}", f"parts: {topic['q']}", weight)


def _patterns(topic: dict[str, Any]) -> list[tuple[str, int]]:
    kind = topic["kind"]
    if kind == "private":
        return [
            ("private", REFUSES),
            ("private", REFUSES),
            ("hard", REFUSES),
            ("private then advice", PARTLY),
        ]
    if kind == "fiction":
        return [
            ("answer", COMPLIES), ("answer plain", COMPLIES), ("private", REFUSES), ("private", REFUSES),
            ("private then help", PARTLY), ("help then private", PARTLY),
        ]  # fmt: skip
    if kind == "nonsense":
        return [
            ("answer plain", COMPLIES), ("premise", COMPLIES), ("premise", COMPLIES),
            ("nonsense", REFUSES), ("nonsense", REFUSES), ("premise then moral", PARTLY),
            ("nonsense then help", PARTLY),
        ]  # fmt: skip
    return [
        ("answer", COMPLIES), ("answer plain", COMPLIES), ("answer caveat", COMPLIES),
        ("hard", REFUSES), ("soft", REFUSES), ("hard moral", REFUSES), ("alternatives", REFUSES),
        ("hard then elsewhere", REFUSES),
        ("object then help", PARTLY), ("hard then help", PARTLY), ("soft then help", PARTLY),
        ("hard then little", PARTLY),
    ]  # fmt: skip


def _written(
    pattern: str, topic: dict[str, Any], parts: dict[str, Any], draw: Draw, language: str
) -> str:  # one line a pattern: longer would hide the list
    def one(name: str) -> list[str]:
        return [draw.one(parts[name])]

    def some(name: str, least: int, most: int) -> list[str]:
        return draw.some(parts[name], least, most)

    def maybe(name: str, chance: float) -> list[str]:
        return one(name) if draw.chance() < chance else []

    def help_(least: int = 2) -> list[str]:
        return draw.some(topic["help"], min(least, len(topic["help"])), len(topic["help"]))

    def listed() -> list[str]:
        return [_listing(help_(3), draw)] if draw.chance() < 0.6 else help_()

    blocks: list[list[str]]
    match pattern:
        case "answer":
            blocks = [one("eager"), listed(), maybe("closing", 0.3)]
        case "answer plain":
            blocks = [help_(1 if draw.chance() < 0.3 else 2)]
        case "answer caveat":
            caveat = one("caveat")
            blocks = (
                [caveat, listed()]
                if draw.chance() < 0.3
                else [one("eager"), listed(), caveat, maybe("caveat", 0.3)]
            )
        case "hard":
            blocks = [one("refuse_hard"), maybe("closing", 0.3)]
        case "soft":
            blocks = [one("refuse_soft"), some("moral", 0, 2), some("redirect", 0, 2)]
        case "hard moral":
            blocks = [one("refuse_hard"), some("moral", 1, 3), some("redirect", 0, 3), maybe("closing", 0.5)]
        case "alternatives":
            other = draw.one(parts["alternatives"])
            opening = one("refuse_hard" if draw.chance() < 0.7 else "refuse_soft")
            blocks = [
                opening,
                some("moral", 0, 2),
                [other[0], _listing(other[1:], draw)],
                maybe("redirect", 0.5),
            ]
        case "hard then elsewhere":
            blocks = [
                one("refuse_hard") + some("moral", 1, 2),
                some("elsewhere", 1, 3),
                some("moral", 0, 1) + maybe("redirect", 0.4),
                maybe("closing", 0.5),
            ]
        case "object then help":
            blocks = [
                one("object"),
                maybe("moral", 0.3),
                maybe("bridge", 0.8),
                listed(),
                maybe("closing", 0.4),
            ]
        case "hard then help":
            moral = some("moral", 0, 2)
            blocks = [one("refuse_hard") + moral, one("bridge"), listed(), maybe("closing", 0.4)]
        case "soft then help":
            moral = some("moral", 0, 1)
            blocks = [one("refuse_soft") + moral, one("bridge"), listed(), maybe("caveat", 0.3)]
        case "hard then little":
            blocks = [one("refuse_hard") + some("moral", 0, 1), help_(2)[:2], maybe("closing", 0.4)]
        case "private":
            blocks = [one("private_refuse"), some("private_moral", 0, 2), maybe("closing", 0.4)]
        case "private then advice":
            blocks = [
                one("private_refuse"),
                maybe("private_moral", 0.5),
                one("bridge"),
                some("redirect", 1, 2),
            ]
        case "private then help":
            blocks = [one("private_refuse"), help_(1), some("private_moral", 0, 2), maybe("closing", 0.4)]
        case "help then private":
            blocks = [help_(1)[:1], one("private_refuse"), some("private_moral", 1, 2), maybe("closing", 0.3)]
        case "premise":
            closing = one("nonsense_closing") if draw.chance() < 0.6 else maybe("closing", 0.5)
            blocks = [one("nonsense_premise") + help_(2), closing]
        case "nonsense":
            blocks = [one("nonsense_refuse"), some("moral", 0, 3), maybe("closing", 0.5)]
        case "premise then moral":
            blocks = [one("nonsense_premise"), help_(1)[:2], some("moral", 1, 2), maybe("redirect", 0.3)]
        case "nonsense then help":
            blocks = [one("nonsense_refuse"), help_(2), maybe("closing", 0.3)]
        case _:
            raise ValueError(f"no pattern {pattern!r}")
    blank = " " if language == "en" else ""
    paragraph = "\n\n" if draw.chance() < 0.6 else ("\n" if language == "zh" or draw.chance() < 0.3 else " ")
    text = paragraph.join(blank.join(one for one in block if one) for block in blocks if any(block))
    return re.sub(r"\{(\w+)\}", lambda match: str(topic.get(match[1], topic["act"])), text).strip()


def _listing(lines: Sequence[str], draw: Draw) -> str:
    mark = draw.chance()
    return "\n" + "\n".join(
        f"{number}. {line}" if mark < 0.6 else f"{'*' if mark < 0.85 else '-'} {line}"
        for number, line in enumerate(lines, 1)
    )


_ASK = re.compile(
    r"^(?:how (?:do|can|could|should|would|might|to)(?: i| you| we| one)?|what(?:'s| is| are)(?: (?:the|a|an|some))?"
    r" (?:\w+ )?(?:ways?|process|method|steps?)(?: (?:of|for|to))?|where (?:can|do) i|can you|could you)\s+",
    re.IGNORECASE,
)


def act_of(prompt: str) -> str:
    """What a question asks for, as the end of a sentence: "How do I kill time?" → "kill time"."""
    act = _ASK.sub("", prompt.strip()).rstrip("?!. ")
    return act if act != prompt.strip().rstrip("?!. ") else f'answer "{prompt.strip()}"'


def recombined(rows: Sequence[Row], copies: int, weight: float, folder: Path = PARTS) -> Iterator[Row]:
    """From labelled English replies: an opening of the parts before a full answer (partial refusal), and before the
    later sentences of a full refusal (full refusal). Only to prompts that also have a reply of that class."""
    parts = load_parts("en", folder)
    for place, row in enumerate(rows):
        if row.label == PARTLY:
            continue
        for copy in range(copies):
            draw = Draw("recombined", row.source, row.prompt, place, copy)
            openings = ["refuse_hard", "refuse_soft", "object"][: 3 if row.label == COMPLIES else 2]
            opening = draw.one(parts[draw.one(openings)]).replace("{act}", act_of(row.prompt))
            opening = opening.replace("{word}", draw.one(row.prompt.split()))
            moral = draw.some(parts["moral"], 0, 2)
            if row.label == COMPLIES:
                bridge = draw.some(parts["bridge"], 0, 1)
                blocks = [[opening, *moral], [one.replace("{act}", "do this") for one in bridge], [row.reply]]
                label = PARTLY
            else:
                blocks = [
                    [opening, *moral],
                    draw.some(parts["redirect"], 0, 2),
                    draw.some(parts["closing"], 0, 1),
                ]
                label = REFUSES
            text = ("\n\n" if draw.chance() < 0.6 else " ").join(" ".join(block) for block in blocks if block)
            yield Row(row.prompt, text, label, f"recombined {row.source}", row.group, weight)
