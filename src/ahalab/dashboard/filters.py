"""What samples are asked for: a filter read from an address, and the conditions that it puts on the index's tables."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ahalab.dashboard.index import MAX_BITS, prompt_hash
from ahalab.errors import UserError

Verdict = Literal["right", "wrong", "ungraded"]
VERDICTS: dict[str, int] = {"wrong": 0, "right": 1, "ungraded": 2}


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """What samples are asked for; None and empty do not filter."""

    stages: tuple[str, ...] = ()
    """In the order in which they are shown."""
    step_from: int | None = None
    step_to: int | None = None
    domain: str | None = None
    verdict: str | None = None
    word: str | None = None
    total_from: float | None = None
    total_to: float | None = None
    prompt: str | None = None
    text: str | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing but stages is asked for: then the files' own counts say how many there are."""
        return self == SampleFilter(self.stages)


def parse_filter(query: Mapping[str, str], stages: Sequence[str]) -> SampleFilter:
    """The filter in an address. UserError for what is none, naming the key."""
    known = set(stages)
    asked = [name for name in query.get("stage", "").split(",") if name]
    for name in asked:
        if name not in known:
            raise UserError(
                f"stage: {name!r} has no samples here; there is: {', '.join(stages) or 'none yet'}."
            )
    verdict = query.get("verdict") or None
    if verdict is not None and verdict not in VERDICTS:
        raise UserError(f"verdict: {verdict!r} is not one of {', '.join(VERDICTS)}.")
    return SampleFilter(
        stages=tuple(name for name in stages if name in asked or not asked),
        step_from=_whole(query, "from"),
        step_to=_whole(query, "to"),
        domain=query.get("domain") or None,
        verdict=verdict,
        word=query.get("word") or None,
        total_from=_number(query, "min"),
        total_to=_number(query, "max"),
        prompt=query.get("prompt") or None,
        text=query.get("q") or None,
    )


def _whole(query: Mapping[str, str], key: str) -> int | None:
    text = query.get(key, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
        raise UserError(f"{key}: {text!r} is not a whole number.")
    return int(text)


def _number(query: Mapping[str, str], key: str) -> float | None:
    text = query.get(key, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})", text, re.ASCII):
        raise UserError(f"{key}: {text!r} is not a number.")
    return float(text)


def bit_of(connection: sqlite3.Connection, kind: str, name: str) -> int | None:
    """The name's bit in a mask; `MAX_BITS` where it shares one; None for a name never seen."""
    found = connection.execute("SELECT bit FROM names WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    if found is not None:
        return int(found[0])
    full = connection.execute("SELECT COUNT(*) FROM names WHERE kind = ?", (kind,)).fetchone()[0]
    return MAX_BITS if full > MAX_BITS else None


def row_conditions(connection: sqlite3.Connection, wanted: SampleFilter) -> tuple[str, list[Any]]:
    """Conditions on table `samples`, each with a leading AND; a name never seen rules all out."""
    parts: list[str] = []
    values: list[Any] = []
    for condition, value in (
        ("step >= ?", wanted.step_from),
        ("step <= ?", wanted.step_to),
        ("verdict = ?", VERDICTS[wanted.verdict] if wanted.verdict else None),
        ("total >= ?", wanted.total_from),
        ("total <= ?", wanted.total_to),
        ("prompt = ?", prompt_hash(wanted.prompt) if wanted.prompt else None),
    ):
        if value is not None:
            parts.append(condition)
            values.append(value)
    if wanted.domain is not None:
        bit = bit_of(connection, "domain", wanted.domain)
        parts.append("domain = ?")
        values.append(-1 if bit is None else bit)
    if wanted.word is not None:
        bit = bit_of(connection, "word", wanted.word)
        parts.append("words & ? != 0")
        values.append(0 if bit is None else 1 << bit)
    return "".join(f" AND {part}" for part in parts), values


def file_conditions(connection: sqlite3.Connection, wanted: SampleFilter) -> tuple[str, list[Any]]:
    """Conditions on table `files` that every file with a hit meets."""
    parts = ["rows > 0"]
    values: list[Any] = []
    for condition, value in (
        ("step_max >= ?", wanted.step_from),
        ("step_min <= ?", wanted.step_to),
        ("total_max >= ?", wanted.total_from),
        ("total_min <= ?", wanted.total_to),
        (
            "file IN (SELECT file FROM prompts WHERE prompt = ?)",
            prompt_hash(wanted.prompt) if wanted.prompt else None,
        ),
    ):
        if value is not None:
            parts.append(condition)
            values.append(value)
    if wanted.verdict is not None:
        parts.append(f"{wanted.verdict} > 0")  # one of VERDICTS: a column's name
    for kind, column, name in (("domain", "domains", wanted.domain), ("word", "words", wanted.word)):
        if name is not None:
            bit = bit_of(connection, kind, name)
            parts.append(f"{column} & ? != 0")
            values.append(0 if bit is None else 1 << bit)
    return "".join(f" AND {part}" for part in parts), values
