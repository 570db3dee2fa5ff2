"""The sentences a thinking of the tiny world is made of: said in two languages, recognised, and said again better.

A move is one thing a thinking does (guess, check, correct itself). Because every wording is known, the rule teacher
can read a sampled thinking back as moves and say each of them in the first person and in one language.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ahalab.records import Language

Choices = Mapping[Language, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Move:
    """One kind of sentence; `{e}`, `{g}`, `{s}`, `{t}` in a wording are slots."""

    name: str
    said: Choices
    """How the pretraining corpus says it."""
    first_person: Choices
    """How the rule teacher says it."""


@dataclass(frozen=True)
class Said:
    """A move with the values of its slots."""

    move: Move
    values: Mapping[str, str] = field(default_factory=dict)
    language: Language | None = None
    """Set where it was read back from a text."""


class UnknownSentence(Exception):
    """A sentence that is no move; `text` is the sentence."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def join(parts: Sequence[str]) -> str:
    """English sentences are set apart by a space; after a Chinese full stop none is written."""
    text = ""
    for part in parts:
        glued = not text or (text.endswith("。") and not part[0].isascii())
        text += part if glued else " " + part
    return text


def wording(choices: Choices, language: Language, rng: random.Random, values: Mapping[str, str]) -> str:
    """One of the wordings, its slots filled."""
    return rng.choice(choices[language]).format(**values)


def read_back(thinking: str, moves: Sequence[Move]) -> list[Said]:
    """The moves of a thinking, in order, with the language each was said in.

    Raises:
        UnknownSentence: a sentence that none of `moves` says.
    """
    said = []
    for sentence in sentences(thinking):
        for move in moves:
            found = _match(move, sentence)
            if found is not None:
                said.append(found)
                break
        else:
            raise UnknownSentence(sentence)
    return said


def sentences(text: str) -> list[str]:
    """Sentences with their full stops; a full stop inside a number or word ends nothing."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|(?<=[。！？])\s*", text) if part.strip()]


def _match(move: Move, sentence: str) -> Said | None:
    for choices in (move.said, move.first_person):
        for language, wordings in choices.items():
            for template in wordings:
                matched = _pattern(template).fullmatch(sentence)
                if matched:
                    return Said(move, matched.groupdict(), language)
    return None


@lru_cache(maxsize=2048)
def _pattern(template: str) -> re.Pattern[str]:
    # Slots hold no sentence end, so a match cannot run over one; the bound keeps hostile text cheap.
    parts = re.split(r"\{(\w)\}", template)
    return re.compile(
        "".join(
            rf"(?P<{part}>[^。]{{1,200}}?)" if number % 2 else re.escape(part)
            for number, part in enumerate(parts)
        )
    )
