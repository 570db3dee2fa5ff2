"""One sample as a person may see it. Its text is hostile: it leaves here in pieces of plain text with a kind each.

Control, bidi and other hidden characters are pieces of their own, as codes; the page shows pieces by `textContent`
only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ahalab.analysis.curves import is_number
from ahalab.analysis.samples import is_correct, shorten
from ahalab.dashboard.files import prompt_of, reflective_of
from ahalab.dashboard.query import Hit
from ahalab.report.samples import marking_pattern
from ahalab.text.hostile import make_visible, visible_code
from ahalab.text.template import TAGS, THINK_CLOSE

EXCERPT = 160
QUESTION = 4_000
LONG = 20_000
"""Characters of a text that are shown at first; of a longer one head and tail (our choice)."""
LONGEST = 400_000
"""The same when the whole is asked for: more would stall the page."""
_FENCE = "\x00"
"""Never left in visible text: it would itself be made visible."""

Piece = tuple[str, str]
"""(kind, text); kinds: "" plain, "word", "tag", "hidden", "cut"."""


def brief(hit: Hit) -> dict[str, Any]:
    """A line in a list."""
    row, words = hit.row, reflective_of(hit.row)
    return {
        "key": str(hit.key),
        "stage": hit.stage,
        "step": hit.step,
        "prompt": _visible(prompt_of(row), 200),
        "sample": _whole(row.get("sample")),
        "domain": _visible(row.get("domain"), 40),
        "level": _visible(row.get("level"), 20),
        "verdict": verdict(row),
        "total": _number(row.get("total")),
        "tokens": _whole(row.get("tokens")),
        "thinking_tokens": _whole(row.get("thinking_tokens")),
        "words": sum(words.values()),
        "question": _visible(_one_line(row.get("question")), EXCERPT),
        "answer": _visible(_one_line(row.get("answer")), 80),
        "excerpt": _pieces_of(_around(row, words), words),
    }


def full(hit: Hit, *, whole: bool = False) -> dict[str, Any]:
    """Everything about a sample; texts as pieces."""
    row, words = hit.row, reflective_of(hit.row)
    text = str(row.get("text") or "")
    end = text.find(THINK_CLOSE)
    thinking, rest = (
        (text[: end + len(THINK_CLOSE)], text[end + len(THINK_CLOSE) :]) if end >= 0 else ("", text)
    )
    limit = LONGEST if whole else LONG
    reward = row.get("reward")
    return {
        **brief(hit),
        # What the page puts into addresses is the id itself.
        "prompt_id": prompt_of(row),
        "language": _visible(row.get("language"), 20),
        "question": _pieces(str(row.get("question") or ""), words, QUESTION),
        "gold": _visible(row.get("gold"), 400),
        "answer": _visible(row.get("answer"), 400),
        "thinking": _pieces(thinking, words, limit),
        "reply": _pieces(rest, words, limit),
        "cut": max(len(thinking), len(rest)) > limit,
        "characters": len(text),
        "counts": {_visible(word, 40): count for word, count in words.items()},
        "reward": _parts(reward) if isinstance(reward, Mapping) else [],
        "advantage": _number(row.get("advantage")),
        "correct": _number(row.get("correct")),
        "well_formed": row.get("well_formed") if isinstance(row.get("well_formed"), bool) else None,
        "fault": _visible(row.get("fault"), 100) or None,
        "finish": _visible(row.get("finish"), 20),
        "mixed": row.get("mixed") if isinstance(row.get("mixed"), bool) else None,
        "error": _visible(row.get("error"), 400) or None,
    }


def verdict(row: Mapping[str, Any]) -> str:
    """ "right", "wrong" or "ungraded"."""
    return {True: "right", False: "wrong", None: "ungraded"}[is_correct(row)]


def _pieces(text: str, words: Mapping[str, int], limit: int) -> list[Piece]:
    head, cut, tail = shorten(text.strip("\n"), limit)
    if not cut:
        return _pieces_of(head, words)
    note: Piece = ("cut", f"… {cut:,} characters are left out here …")
    return [*_pieces_of(head, words), note, *_pieces_of(tail, words)]


def _pieces_of(text: str, words: Mapping[str, int]) -> list[Piece]:
    pattern = marking_pattern(words)
    pieces: list[Piece] = []
    position = 0
    for match in pattern.finditer(text):
        pieces += _seen(text[position : match.start()])
        found = match.group()
        look = "tag" if found.lower() in TAGS else "word"
        pieces += ((kind or look, part) for kind, part in _seen(found))
        position = match.end()
    return [*pieces, *_seen(text[position:])]


def _seen(text: str) -> Iterator[Piece]:
    """Plain text, and hidden characters as codes."""
    marked = make_visible(text, lambda character: f"{_FENCE}{visible_code(character)}{_FENCE}")
    for number, part in enumerate(marked.split(_FENCE)):
        if part:
            yield ("hidden" if number % 2 else "", part)


def _around(row: Mapping[str, Any], words: Mapping[str, int]) -> str:
    """The words around the first reflective one, else the beginning."""
    text = _one_line(row.get("text"))
    found = next(
        (one for one in marking_pattern(words).finditer(text) if one.group().lower() not in TAGS), None
    )
    start = 0 if found is None else max(0, found.start() - EXCERPT // 3)
    cut = text[start : start + EXCERPT]
    return f"{'…' if start else ''}{cut}{'…' if start + EXCERPT < len(text) else ''}"


def _one_line(value: object) -> str:
    """White space as single spaces; long texts are not walked to their end."""
    return " ".join(str("" if value is None else value)[:LONG].split())


def _visible(value: object, limit: int) -> str:
    text = "" if value is None else str(value)
    return make_visible(text if len(text) <= limit else text[: limit - 1] + "…")


def _parts(reward: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": _visible(name, 60), "value": _number(value)} for name, value in list(reward.items())[:40]
    ]


def _number(value: object) -> float | None:
    return float(value) if is_number(value) else None


def _whole(value: object) -> int | None:
    return int(value) if is_number(value) else None
