"""Allow-list entries that would have spared dialogues labelled `false_positive`. Shown to a person, never applied."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ahalab.guard.term import folded_text
from ahalab.serving.audit.labels import Label, truly_violates
from ahalab.serving.audit.recorded import Recorded

LONGEST = 48
"""Characters of a phrase around its term; a longer one fits nothing but its own dialogue."""
_SURFACE = re.compile(r"[^\W_]+|\S", re.UNICODE)
_ONE_BY_ONE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A phrase for `allow:` of the term's file."""

    phrase: str
    """As it stood in the dialogue. Hostile text."""
    term: str
    category: str
    spares: tuple[str, ...]
    """Exchanges labelled `false_positive` in which the phrase covers this term."""


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What was found, and for what nothing was."""

    suggested: tuple[Suggestion, ...]
    without: tuple[tuple[str, str], ...]
    """Exchange and term for which no phrase tells the harmless use from the true hits."""
    true_hits: int
    """Flagged dialogues, rightly so, that the phrases were checked against."""
    lacking: int
    """Labelled dialogues whose text is gone or was never kept."""


@dataclass(frozen=True, slots=True)
class _Place:
    exchange: str
    term: str
    category: str
    text: str
    start: int
    end: int


def suggested_phrases(exchanges: Iterable[Recorded], labels: Mapping[str, Label]) -> Suggestions:
    """Phrases around the terms of false positives that are in no confirmed true hit.

    First those that spare most false positives, then the shortest (greedy cover): "banana bread" twice goes before "a
    banana" and "my banana". Folded texts are compared, as the matcher does. A true hit is flagged and violates, by a
    label or the reviewer.
    """
    places: list[_Place] = []
    true_texts: list[str] = []
    true_hits = lacking = 0
    for one in exchanges:
        label = labels.get(one.exchange)
        truth = truly_violates(label, one.verdict, one.would != "release")
        if label == "false_positive" and one.flagged:
            if one.text is None:
                lacking += 1
            else:
                places.extend(_places(one))
        elif one.flagged and truth and one.text is not None:
            true_hits += 1
            true_texts.extend(folded_text(text) for text in _all_texts(one))
    suggested, without = _cover(places, true_texts)
    return Suggestions(tuple(suggested), tuple(dict.fromkeys(without)), true_hits, lacking)


def _cover(places: list[_Place], true_texts: list[str]) -> tuple[list[Suggestion], list[tuple[str, str]]]:
    shown: dict[tuple[str, str], str] = {}
    covers: dict[tuple[str, str], set[int]] = defaultdict(set)
    for number, place in enumerate(places):
        for phrase in _phrases(place):
            key = (folded_text(place.term), folded_text(phrase))
            if key[0] != key[1]:
                shown.setdefault(key, phrase)
                covers[key].add(number)
    left = set(range(len(places)))
    suggested: list[Suggestion] = []
    while left:
        # What covers nothing that is left is out for good, and so is what a true hit holds.
        covers = {key: numbers & left for key, numbers in covers.items() if numbers & left}
        order = sorted(covers, key=lambda key: (-len(covers[key]), len(key[1]), key[1].find(key[0]), key[1]))
        best = next((key for key in order if not any(key[1] in text for text in true_texts)), None)
        if best is None:
            break
        spared = [places[number] for number in sorted(covers[best])]
        names = tuple(dict.fromkeys(one.exchange for one in spared))
        suggested.append(Suggestion(shown[best], spared[0].term, spared[0].category, names))
        left -= covers[best]
    return suggested, [(places[number].exchange, places[number].term) for number in sorted(left)]


def _places(one: Recorded) -> Iterator[_Place]:
    """Where terms stood. A term split over turns has no phrase around it and is left out."""
    assert one.text is not None
    for span in one.done["spans"]:
        text = _span_text(one, span["part"], span["turn"])
        if text is not None and 0 <= span["start"] < span["end"] <= len(text):
            surface = text[span["start"] : span["end"]]
            yield _Place(one.exchange, surface, span["category"], text, span["start"], span["end"])


def _span_text(one: Recorded, part: str, turn: int) -> str | None:
    assert one.text is not None
    if part == "joined":
        return None
    if turn < 0:
        return {"reply": one.text.reply, "thinking": one.text.thinking}.get(part)
    if turn >= len(one.text.turns):
        return None
    said = one.text.turns[turn]
    return said.thinking if part == "thinking" else said.content


def _all_texts(one: Recorded) -> Iterator[str]:
    assert one.text is not None
    yield from (text for turn in one.text.turns for text in (turn.content, turn.thinking) if text)
    yield from (text for text in (one.text.reply, one.text.thinking) if text)


def _phrases(place: _Place) -> Iterator[str]:
    """Phrases of whole words (single characters in Chinese) that cover the term and are more than it."""
    pieces = list(
        _pieces(place.text, max(0, place.start - LONGEST), min(len(place.text), place.end + LONGEST))
    )
    starts = {start for start, _ in pieces if start <= place.start} | {place.start}
    ends = {end for _, end in pieces if end >= place.end} | {place.end}
    for start in starts:
        for end in ends:
            if end - start <= place.end - place.start + LONGEST and (start, end) != (place.start, place.end):
                yield place.text[start:end]


def _pieces(text: str, low: int, high: int) -> Iterator[tuple[int, int]]:
    for match in _SURFACE.finditer(text, low, high):
        start, end = match.span()
        if _ONE_BY_ONE.search(match.group()):
            yield from ((at, at + 1) for at in range(start, end))
        elif (start > low or low == 0) and (end < high or high == len(text)):
            yield start, end
