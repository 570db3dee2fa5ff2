"""Where a finished thinking is cut: on token ids, so that the prefix is what the model itself had written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ahalab.records import Prompt
from ahalab.text.parse import parse_response
from ahalab.text.reflection import ReflectiveWords, first_reflective
from ahalab.text.renderer import Renderer
from ahalab.text.template import THINK_CLOSE, THINK_OPEN

UNREADABLE = "\ufffd"
"""What a tokenizer decodes half a character to."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A sample cut just before its first reflective word."""

    prompt: Prompt
    sample: int
    prefix: tuple[int, ...]
    """The completion's tokens before the word."""
    word_ids: tuple[int, ...]
    """The tokens that hold the word: a leading space, and what its last token says after it, stay with it."""
    word: str
    correct: bool | None
    """Whether the original sample was right; None where it was not graded."""


@dataclass(frozen=True, slots=True)
class Uncut:
    """Why a sample cannot be probed."""

    reason: str


def cut_sample(
    row: Mapping[str, Any], prompt: Prompt, renderer: Renderer, words: ReflectiveWords, limit: int
) -> Cut | Uncut:
    """Cut a sample row. `token_ids` are taken where the row has them; else the text is tokenised again, and must give
    as many tokens as were sampled and the same text back."""
    text = str(row["text"])
    if renderer.prefilled:
        text = text.removeprefix(THINK_OPEN)
    found = _find_word(str(row["text"]), str(row["finish"]), words)
    if isinstance(found, Uncut):
        return found
    start, word = found
    start -= len(str(row["text"])) - len(text)
    ids = _token_ids(row, text, renderer)
    if ids is None:
        return Uncut("whose text is tokenised in another way than it was sampled")
    first = _last_fitting(renderer, ids, text, start)
    if first is None:
        return Uncut("whose word begins inside a token")
    end = next(
        (
            i
            for i in range(first + 1, len(ids) + 1)
            if len(said := renderer.decode(ids[:i])) >= start + len(word) and text.startswith(said)
        ),
        None,
    )
    if end is None or not begins_word(renderer.decode(ids[first : first + 1]), (word,)):
        return Uncut("whose word begins with half a character")
    if end >= limit:
        return Uncut("without room after the cut")
    correct = row["correct"]
    return Cut(
        prompt,
        int(row["sample"]),
        ids[:first],
        ids[first:end],
        word,
        None if correct is None else float(correct) >= 1.0,
    )


def _find_word(text: str, finish: str, words: ReflectiveWords) -> tuple[int, str] | Uncut:
    """(place in `text`, word) of the first reflective word of a finished thinking."""
    opened = text.find(THINK_OPEN)
    begin = opened + len(THINK_OPEN) if opened >= 0 else 0
    close = text.find(THINK_CLOSE, begin)
    if close < 0 or parse_response(text, "length" if finish == "length" else "stop").thinking is None:
        return Uncut("without a finished thinking")
    thinking = text[begin:close]
    at = first_reflective(thinking, words)
    if at is None:
        return Uncut("without a reflective word")
    longest_first = sorted((*words.english, *words.chinese), key=len, reverse=True)
    word = next(one for one in longest_first if thinking[at : at + len(one)].lower() == one)
    return begin + at, word


def _token_ids(row: Mapping[str, Any], text: str, renderer: Renderer) -> tuple[int, ...] | None:
    """The completion's tokens without its stop token; None where they cannot be known."""
    if "token_ids" in row:
        ids = tuple(int(token) for token in row["token_ids"])
    else:
        ids = tuple(renderer.completion_ids(text))
        if len(ids) + (row["finish"] == "stop") != row["tokens"]:
            return None
    return ids if renderer.decode(ids) == text else None


def _last_fitting(renderer: Renderer, ids: tuple[int, ...], text: str, start: int) -> int | None:
    """The most tokens that end before `start` with nothing but white space between; None where a token crosses it."""
    for count in range(len(ids), -1, -1):
        said = renderer.decode(ids[:count])
        if len(said) <= start and text.startswith(said):
            return count if not text[len(said) : start].strip() else None
    return None


def begins_word(token: str, words: Iterable[str]) -> bool:
    """Whether a token's text begins one of the words, or is begun by one; half a character, which begins many others,
    does not count."""
    said = token.strip().lower()
    return UNREADABLE not in said and any(
        said.startswith(word) or (said != "" and word.startswith(said)) for word in words
    )


def forbidden_tokens(renderer: Renderer, words: ReflectiveWords, cuts: Iterable[Cut]) -> tuple[int, ...]:
    """The first tokens of every reflective word: with and without a space before, small, capital and all capitals, and
    as the cut samples have them. Other words that begin with these tokens are forbidden with them."""
    everything = (*words.english, *words.chinese)
    spelled = {form for word in everything for form in (word, word.capitalize(), word.upper())}
    first = {
        ids[0] for form in spelled for lead in ("", " ") if (ids := renderer.completion_ids(f"{lead}{form}"))
    }
    first |= {cut.word_ids[0] for cut in cuts}
    return tuple(sorted(token for token in first if begins_word(renderer.decode([token]), everything)))
