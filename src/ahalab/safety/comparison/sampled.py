"""Sampled question ids of `safety-1120` with what was checked of each, for whoever wants to judge the set. No text.

`aha safety compare --ids docs/results/safety-ids.md` writes the page.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ahalab.counter import make_key, permute
from ahalab.records import Language
from ahalab.runs.atomic import write_text
from ahalab.safety.lint import (
    FORBIDDEN,
    MOST_ALIKE,
    MOST_OF_A_FORM,
    MOST_OF_AN_OPENING,
    grams_of,
    opening,
)
from ahalab.safety.questions import BUNDLED, LANGUAGES, PER_SUBCATEGORY, Question, load_questions
from ahalab.safety.taxonomy import load_taxonomy

PER_CATEGORY = 20
READING = BUNDLED / "reading.md"
_ID = re.compile(r"[A-Z]\d\d-(?:\d\d|h\d)")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was checked of one question."""

    id: str
    form: str
    same_form: int
    """Questions of its sub-category with its form, itself counted."""
    same_situation: int
    """Questions of its sub-category with its situation, itself counted."""
    alike: Mapping[Language, tuple[float, str]]
    """Largest character-5-gram Jaccard with any other question, nouns masked, and which that is."""
    same_opening: Mapping[Language, int]
    """Questions of its sub-category that open as it does, itself counted."""
    forbidden: tuple[str, ...]
    """Forbidden kinds of words found in it."""
    doubts: tuple[str, ...]
    """What the second reading left for a person to decide."""

    @property
    def kept(self) -> bool:
        """Whether every rule is kept."""
        return (
            self.same_form <= MOST_OF_A_FORM * PER_SUBCATEGORY
            and self.same_situation == 1
            and all(share <= MOST_ALIKE for share, _ in self.alike.values())
            and all(count <= MOST_OF_AN_OPENING for count in self.same_opening.values())
            and not self.forbidden
        )


def sample_ids(questions: Sequence[Question], seed: int = 0, each: int = PER_CATEGORY) -> list[Question]:
    """So many questions of each category, harmless ones left out; a pure function of the seed and the ids."""
    taxonomy = load_taxonomy()
    found = []
    for category in taxonomy.categories:
        own = [
            one
            for one in questions
            if not one.harmless and taxonomy.category_of(one.subcategory).id == category.id
        ]
        key = make_key(seed, "sampled ids", category.id)
        places = sorted(permute(key, len(own), place) for place in range(min(each, len(own))))
        found += [own[place] for place in places]
    return found


def check(sampled: Sequence[Question], questions: Sequence[Question]) -> list[Checked]:
    """The checks of these questions among all questions that are not harmless."""
    asked = [one for one in questions if not one.harmless]
    grams = {
        language: {one.id: grams_of(one.text(language), language) for one in asked} for language in LANGUAGES
    }
    doubts = reading_doubts(READING.read_text("utf-8"))
    return [_check(one, asked, grams, doubts) for one in sampled]


def _check(
    question: Question,
    asked: Sequence[Question],
    grams: Mapping[Language, Mapping[str, frozenset[str]]],
    doubts: Mapping[str, Sequence[str]],
) -> Checked:
    own = [one for one in asked if one.subcategory == question.subcategory]
    openings = {
        language: Counter(opening(one.text(language), language) for one in own) for language in LANGUAGES
    }
    return Checked(
        question.id,
        question.form,
        sum(one.form == question.form for one in own),
        sum(one.situation.casefold() == question.situation.casefold() for one in own),
        {language: _most_alike(question.id, grams[language]) for language in LANGUAGES},
        {language: openings[language][opening(question.text(language), language)] for language in LANGUAGES},
        tuple(
            f"{what} ({language})"
            for language in LANGUAGES
            for what, pattern in FORBIDDEN.items()
            if pattern.search(question.text(language))
        ),
        tuple(doubts.get(question.id, ())),
    )


def _most_alike(id: str, grams: Mapping[str, frozenset[str]]) -> tuple[float, str]:
    own = grams[id]
    return max((len(own & other) / len(own | other), name) for name, other in grams.items() if name != id)


def reading_doubts(reading: str) -> dict[str, list[str]]:
    """Id → what the second reading was unsure of, by the bullets under "Unsure" in `reading.md`."""
    found: dict[str, list[str]] = {}
    section = reading.partition("## Unsure")[2].partition("\n## ")[0]
    for bullet in re.split(r"^- ", section, flags=re.MULTILINE)[1:]:
        title = re.match(r"\*\*(.+?)\*\*", bullet)
        if title:
            for id in dict.fromkeys(_ID.findall(bullet)):
                found.setdefault(id, []).append(title.group(1).casefold())
    return found


def write_sampled_ids(path: Path, seed: int = 0) -> Path:
    """Write the page; its path."""
    questions = load_questions()
    write_text(path, sampled_page(check(sample_ids(questions, seed), questions), seed))
    return path


def sampled_page(found: Sequence[Checked], seed: int) -> str:
    """The page as Markdown."""
    taxonomy = load_taxonomy()
    lines = [
        "# Twenty question ids a category, with their checks",
        "",
        f"Written by `aha safety compare --ids docs/results/safety-ids.md`, seed {seed}. No text of a question stands "
        "here; `aha safety lint` checks all of them.",
        "",
        f"- **form**: how it asks, and how many of its sub-category's {PER_SUBCATEGORY} do so "
        f"(at most {MOST_OF_A_FORM * PER_SUBCATEGORY:g})",
        "- **situation**: distinct within its sub-category",
        "- **alike**: largest character-5-gram Jaccard with any other of the 560 questions, "
        f"{_how_masked()} (at most {MOST_ALIKE})",
        f"- **opening**: questions of its sub-category that open alike, itself counted (at most {MOST_OF_AN_OPENING})",
        "- **words**: forbidden words of the lint found in it",
        "- **reading**: what the second reading (`src/ahalab/safety/questions/reading.md`, by a language model; no "
        "person yet) left to decide",
        "",
        f"{sum(one.kept for one in found)} of {len(found)} keep every rule.",
    ]
    for category in taxonomy.categories:
        own = [one for one in found if taxonomy.category_of(one.id.partition("-")[0]).id == category.id]
        lines += [
            "",
            f"## {category.name['en']}",
            "",
            "| id | form | situation | alike zh | alike en | opening zh | opening en | words | reading |",
            "|---|---|---|--:|--:|--:|--:|---|---|",
            *(_line(one) for one in own),
        ]
    return "\n".join(lines) + "\n"


def _how_masked() -> str:
    """How nouns were hidden: `ahalab.safety.lint.masked`."""
    if importlib.util.find_spec("jieba") is None:
        return "English nouns masked, Chinese as it stands (jieba is not installed: extra `safety`)"
    return "nouns masked"


def _line(one: Checked) -> str:
    alike = [f"{share:.2f}" for share, _ in (one.alike["zh"], one.alike["en"])]
    cells = [
        one.id,
        f"{one.form} ({one.same_form})",
        "distinct" if one.same_situation == 1 else f"{one.same_situation} times",
        *alike,
        *(str(one.same_opening[language]) for language in ("zh", "en")),
        ", ".join(one.forbidden) or "none",
        "; ".join(one.doubts) or "kept",
    ]
    return f"| {' | '.join(cells)} |"
