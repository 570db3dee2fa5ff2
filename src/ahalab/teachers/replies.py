"""Reading replies of teachers and judges strictly: what does not carry the request's own mark is no result.

Questions and answers are data that may hold anything, also verdicts meant to deceive a judge and text that looks like
the end of a block. Each request has a mark (a nonce) that nobody outside can know; data stand between lines that bear
it, and a verdict or section counts only with it. So no text from a model can be taken for a judge's verdict, however
the judge quotes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ahalab.counter import make_key
from ahalab.teachers.protocol import Failure, Refined

LONGEST_REPLY = 200_000
"""Characters of a reply that are read; a longer one is no result."""
MOST_OBJECTS = 200
"""Places in a reply where a JSON object is looked for."""

LABELS = {"A>>B": 2, "A>B": 1, "A=B": 0, "B>A": -1, "B>>A": -2}
"""The five labels of a comparison on our scale, for A, the answer shown first. The paper prints no numbers."""

_OBJECT = re.compile(r'\{\s*"')
_BAD_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt]|u[0-9a-fA-F]{4})|)')


def make_nonce(key: int, task: str, attempt: int, data: Sequence[str]) -> str:
    """Eight hex digits for one request, the same after a resume, that stand nowhere in its data."""
    number = 0
    while True:
        nonce = f"{make_key(key, 'nonce', task, attempt, number) >> 32:08x}"
        if not any(nonce in text for text in data):
            return nonce
        number += 1


def framed(text: str, slot: str, nonce: str) -> str:
    """`text` between two lines that bear the mark."""
    return f"[begin {slot} {nonce}]\n{text}\n[end {slot} {nonce}]"


def without_own_thinking(text: str) -> str:
    """A reply without the thinking that a reasoning model puts before it; "" where that never ends."""
    text = text.strip()
    return text.partition("</think>")[2].strip() if text.startswith("<think>") else text


def read_text(text: str, nonce: str) -> str | Failure:
    """A reply that is the result as a whole."""
    text = _after_prefilled(text)
    if nonce in text:
        return Failure("reply not in form", "the reply repeats the marked lines of the request")
    return text or Failure("reply not in form", "the reply is empty")


def read_sections(text: str, nonce: str) -> Refined | Failure:
    """The sections `=== thinking <nonce> ===` and `=== answer <nonce> ===`, each once, in this order, nothing else."""
    line = rf"(?m)^[ \t]*===[ \t]*(thinking|answer)[ \t]+{nonce}[ \t]*===[ \t]*$"
    before, *parts = re.split(line, _after_prefilled(text))
    if parts[0::2] != ["thinking", "answer"]:
        return Failure("reply not in form", f"marked lines found: {', '.join(parts[0:8:2]) or 'none'}")
    thinking, answer = parts[1::2]
    if before.strip() or nonce in thinking + answer:
        return Failure("reply not in form", "text or a mark stands outside its place")
    return Refined(thinking.strip(), answer.strip())


def _after_prefilled(text: str) -> str:
    """Without a thinking whose `<think>` the server prefilled. Not for verdicts: a judge may quote the tag."""
    before, closed, after = text.partition("</think>")
    return after.strip() if closed and "<think>" not in before and "</think>" not in after else text


def read_comparison(text: str, nonce: str) -> int | Failure:
    """The verdict of the line `Verdict <nonce>: [[A>B]]`; two different ones are none."""
    found = set(re.findall(rf"Verdict\s+{nonce}\s*:[\s*_`]*\[\[\s*(A>>B|A>B|A=B|B>A|B>>A)\s*\]\]", text))
    verdict = _only(found)
    return verdict if isinstance(verdict, Failure) else LABELS[verdict]


def read_verdict(text: str, nonce: str, name: str, words: tuple[str, str]) -> bool | Failure:
    """The verdict under `name` of the JSON object whose last key, "check", is the mark: True for the first of `words`.

    The mark comes last, because a judge may quote an answer without escaping its quotation marks: one that closes the
    judge's object early then gets an object without a mark.
    """
    found: set[str] = set()
    for value in _objects(text):
        if [*value.items()][-1:] == [("check", nonce)]:
            word = value.get(name)
            if not isinstance(word, str) or word.strip().lower() not in words:
                return Failure("unknown verdict", f"{name} is {str(word)[:60]!r}, not {' or '.join(words)}")
            found.add(word.strip().lower())
    verdict = _only(found)
    return verdict if isinstance(verdict, Failure) else verdict == words[0]


def _only(found: set[str]) -> str | Failure:
    if len(found) > 1:
        return Failure("two verdicts", f"the reply says {' and '.join(sorted(found))}")
    return found.pop() if found else Failure("no verdict", "the reply has no verdict with the request's mark")


def _objects(text: str) -> list[Mapping[str, Any]]:
    """The JSON objects in a text, outermost only; LaTeX's backslashes, which are no JSON, are borne with."""
    # Strings are repaired beforehand: "\(x\)" becomes "\\(x\\)", and a valid escape stays.
    repaired = _BAD_ESCAPE.sub(lambda match: match.group() if match.group(1) else "\\\\", text)
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_without_doubles)
    objects: list[Mapping[str, Any]] = []
    position = 0
    for _ in range(MOST_OBJECTS):
        opening = _OBJECT.search(repaired, position)
        if opening is None:
            break
        try:
            value, position = decoder.raw_decode(repaired, opening.start())
            objects.append(value)
        except RecursionError:
            break  # each of its inner objects would be as slow to give up
        except ValueError:
            position = opening.start() + 1
    return objects


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice")
    return value
