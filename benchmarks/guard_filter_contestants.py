"""Who looks for terms in `guard_filter`: the same terms and messages for all."""

from __future__ import annotations

import gc
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HITS = 8
LENGTH = 2_700
_LETTERS = "etaoinshrdlucmfwypvbgk"


def made_terms(count: int) -> list[str]:
    """Made-up terms: English of one to three words, Chinese of two to six characters."""
    rng = random.Random(11)

    def word(shortest: int) -> str:
        return "".join(rng.choice(_LETTERS) for _ in range(rng.randint(shortest, 9)))

    han = [chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(2_500)]
    english: set[str] = set()
    while len(english) < count // 2:
        english.add(" ".join(word(5) for _ in range(rng.randint(1, 3))))
    chinese: set[str] = set()
    while len(chinese) < count - count // 2:
        chinese.add("".join(rng.choice(han) for _ in range(rng.randint(2, 6))))
    return sorted(english) + sorted(chinese)


def made_messages(terms: list[str], hits: int) -> list[str]:
    """Sixteen messages of both languages, with some width, case and accents in them as real ones have."""
    rng = random.Random(12)
    phrases = [
        "The committee met again on Tuesday, and nobody had read the notes. ",
        "我们今天下午去公园散步，天气很好，孩子们都很高兴。",
        "Café au lait costs €3.50 at the corner; naïve résumés don’t help! ",
        "ＡＢＣ公司发布了新产品，价格是１２３元（含税）。",
        "def main(): return [x * 2 for x in range(10)]  # an example\n",
        "這本書講的是數學與音樂之間的關係。",
    ]
    found = []
    for _ in range(16):
        text = ""
        while len(text) < LENGTH:
            text += rng.choice(phrases)
        text = text[:LENGTH]
        for at in range(hits):
            place = (at + 1) * LENGTH // (hits + 2)
            term = f" {rng.choice(terms)} "
            text = text[:place] + term + text[place + len(term) :]
        found.append(text)
    return found


class _Contestant:
    def __init__(self, terms: int, messages: int) -> None:
        self._terms, self._messages = made_terms(terms), messages
        self._kinds = {"without": made_messages(self._terms, 0), "with": made_messages(self._terms, HITS)}
        before = _resident()
        self._find = self.prepare(self._terms)
        gc.collect()
        self._structures = _resident() - before
        for kind, texts in self._kinds.items():
            assert all(bool(self._find(text)) == (kind == "with") for text in texts), kind
        gc.freeze()

    def prepare(self, terms: list[str]) -> Callable[[str], Any]:
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        return {"structures_mb": self._structures}

    def run(self, number: int) -> dict[str, Any]:
        return {kind: self.timed(number, texts) for kind, texts in self._kinds.items()}

    def timed(self, number: int, texts: list[str]) -> list[float]:
        each = []
        for at in range(self._messages):
            text = texts[(number + at) % len(texts)]
            began = time.thread_time_ns()
            self._find(text)
            each.append((time.thread_time_ns() - began) / 1e6)
        return each


class Whole(_Contestant):
    """Our matcher for whole messages."""

    def prepare(self, terms: list[str]) -> Callable[[str], Any]:
        from ahalab.guard.matcher import Matcher

        return Matcher(_listed(terms)).find


class Chunks(_Contestant):
    """Our matcher for streams, four characters at a time; a process of the gateway holds both."""

    def prepare(self, terms: list[str]) -> Callable[[str], Any]:
        from ahalab.guard.matcher import Matcher
        from ahalab.guard.stream import Stream, StreamList

        listed = _listed(terms)
        self._whole, self._streams = Matcher(listed), StreamList(listed)

        def find(text: str) -> Any:
            stream = Stream(self._streams)
            for at in range(0, len(text), 4):
                stream.feed(text[at : at + 4])
            stream.finish()
            return stream.hits

        return find

    def timed(self, number: int, texts: list[str]) -> list[float]:
        from ahalab.guard.stream import Stream

        each = []
        for at in range(self._messages):
            text = texts[(number + at) % len(texts)]
            stream = Stream(self._streams)
            for place in range(0, len(text), 4):
                piece = text[place : place + 4]
                began = time.thread_time_ns()
                stream.feed(piece)
                each.append((time.thread_time_ns() - began) / 1e6)
        return each


class RawRust(_Contestant):
    """ahocorasick_rs on the raw text."""

    def prepare(self, terms: list[str]) -> Callable[[str], Any]:
        import ahocorasick_rs

        automaton = ahocorasick_rs.AhoCorasick(terms, store_patterns=False)
        return lambda text: automaton.find_matches_as_indexes(text, overlapping=True)


class RawC(_Contestant):
    """pyahocorasick on the raw text."""

    def prepare(self, terms: list[str]) -> Callable[[str], Any]:
        import ahocorasick  # type: ignore[import-not-found,unused-ignore]

        automaton = ahocorasick.Automaton()
        for number, term in enumerate(terms):
            automaton.add_word(term, number)
        automaton.make_automaton()
        return lambda text: list(automaton.iter(text))


class Loop(_Contestant):
    """Each term looked for by itself."""

    def prepare(self, terms: list[str]) -> Callable[[str], Any]:
        return lambda text: [term for term in terms if term in text]


class Expression(_Contestant):
    """All terms in one regular expression."""

    def prepare(self, terms: list[str]) -> Callable[[str], Any]:
        return re.compile("|".join(map(re.escape, terms))).findall


def _listed(terms: list[str]) -> Any:
    from ahalab.guard.term import TermFile, make_terms

    english = [one for one in terms if one.isascii()]
    file = TermFile(category="made-up", en=english, zh=[one for one in terms if not one.isascii()])
    return make_terms([("made.yaml", file)])


def _resident() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
