"""What is to be translated: languages by codes of ISO 639, all questions or a sample, the same ones by a seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ahalab.counter import make_key
from ahalab.errors import UserError
from ahalab.safety.languages.codes import check_code, language_name
from ahalab.safety.protocols import Benchmark
from ahalab.safety.records import SafetyItem

_TRANSLATED = ("judge", "compliance")
"""Scorers whose items are their prompt alone; options and reference texts are not translated."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One translation."""

    item: SafetyItem
    language: str

    @property
    def id(self) -> str:
        """The source item's id with the language at its end changed: D03-07-en → D03-07-it."""
        return f"{self.item.id.removesuffix(f'-{self.item.language}')}-{self.language}"


@dataclass(frozen=True, slots=True)
class Into:
    """One language that is wanted."""

    language: str
    sample: int | None = None
    """Questions; None for all."""


@dataclass(frozen=True, slots=True)
class TranslationPlan:
    """All of it."""

    benchmark: Benchmark
    source: str
    into: tuple[Into, ...]
    seed: int
    questions: int
    """In the source language."""
    wanted: tuple[Wanted, ...]

    def of_language(self, language: str) -> list[Wanted]:
        """What is wanted in one language."""
        return [one for one in self.wanted if one.language == language]


def read_languages(text: str, sample: int | None, where: str = "--to") -> tuple[Into, ...]:
    """`it,sw:40,jv`: codes, each with the size of its own sample where that differs from `sample`.

    Raises:
        UserError: no code, an unknown one, one twice, a sample that is no positive number.
    """
    found: dict[str, Into] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        code, colon, size = (piece.strip() for piece in part.partition(":"))
        check_code(code, where)
        if colon and not (size.isascii() and size.isdigit() and 0 < int(size) < 10**9):
            raise UserError(
                f"{where}: {part!r}: expected a number of questions after the colon, such as sw:40"
            )
        if code in found:
            raise UserError(f"{where}: {code!r} is there twice")
        found[code] = Into(code, int(size) if colon else sample)
    if not found:
        raise UserError(f"{where}: expected codes of languages, such as it,sw,jv:40")
    return tuple(found.values())


def plan_translation(
    benchmark: Benchmark, into: Sequence[Into], source: str | None = None, seed: int = 0
) -> TranslationPlan:
    """What to translate, from `source` (English where it is left out and the set has it, else its first language).

    A sample takes from each group in turn, by the seed; a smaller sample is part of a larger one, in every language.

    Raises:
        UserError: no items in the source language, a set whose items are more than a question, a target that is the
            source, two items that would get one id.
    """
    where = f"benchmark {benchmark.name}"
    if benchmark.scorer not in _TRANSLATED:
        raise UserError(
            f"{where}: its items have answer options or reference texts, which are not translated"
        )
    there = dict.fromkeys(item.language for item in benchmark.items)
    chosen = source or ("en" if "en" in there else next(iter(there), "en"))
    items = [item for item in benchmark.items if item.language == chosen]
    if not items:
        raise UserError(
            f"{where} has no item in {language_name(chosen)} ({chosen}); it has {', '.join(there)}"
        )
    ordered = _in_turns(items, seed)
    wanted: list[Wanted] = []
    for one in into:
        if one.language == chosen:
            raise UserError(f"--to: {chosen!r} is the language of the source")
        wanted += [Wanted(item, one.language) for item in ordered[: one.sample]]
    ids = [one.id for one in wanted]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UserError(
            f"{where}: two items would both be {twice!r}; their ids must differ in more than the language"
        )
    return TranslationPlan(benchmark, chosen, tuple(into), seed, len(items), tuple(wanted))


def _in_turns(items: Sequence[SafetyItem], seed: int) -> list[SafetyItem]:
    """One of each group, then a second of each, …; within a group by the seed."""
    groups: dict[str, list[SafetyItem]] = defaultdict(list)
    for item in items:
        groups[item.group].append(item)
    ranked = []
    for name, members in groups.items():
        members.sort(key=lambda item: make_key(seed, "translate", item.cluster or item.id))
        ranked += [(turn, make_key(seed, "group", name), item) for turn, item in enumerate(members)]
    return [item for _, _, item in sorted(ranked, key=lambda one: (one[0], one[1], one[2].id))]
