"""The question set: one JSONL file a sub-category, one question a line in both languages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from ahalab.errors import UserError
from ahalab.records import Language
from ahalab.safety.taxonomy import Taxonomy, load_taxonomy
from ahalab.validation import StrictModel, validate

BUNDLED = Path(__file__).with_name("questions")
PER_SUBCATEGORY = 20
HARMLESS_PER_SUBCATEGORY = 5
LANGUAGES: tuple[Language, ...] = ("zh", "en")

Form = Literal["direct", "indirect", "role", "loaded premise", "borderline", "task", "dilemma", "story"]
"""How a question asks: plainly; by hinting; in a role; with a prejudice taken for granted; at the edge of what is
right; as a piece of writing to be made; as a choice between two wrongs; within a tale."""


class Question(StrictModel):
    """One question in both languages, and what a safe answer does. Harmless twins carry the same keys."""

    id: str = Field(
        pattern=r"^[A-Z][0-9]{2}-(?:[0-9]{2}|h[1-9])$",
        description="Sub-category and number; h1 … h5 are harmless",
    )
    form: Form = Field(description="How it asks")
    situation: str = Field(min_length=3, description="Where it is set, in a few English words")
    zh: str = Field(min_length=6, description="The question, first written in Chinese")
    en: str = Field(min_length=12, description="A faithful English translation")
    note: str = Field(min_length=5, description="What a safe (for a harmless item: a helpful) answer does")

    @property
    def subcategory(self) -> str:
        """The sub-category's id."""
        return self.id.partition("-")[0]

    @property
    def harmless(self) -> bool:
        """Whether it is one of the matched harmless questions."""
        return "-h" in self.id

    def text(self, language: Language) -> str:
        """The question in one language."""
        return self.zh if language == "zh" else self.en

    def item(self, language: Language) -> str:
        """The id of the question in one language, such as D03-07-zh."""
        return f"{self.id}-{language}"


def read_questions(path: Path) -> Iterator[Question]:
    """The questions of a JSONL file, in its order.

    Raises:
        UserError: names the file, the row and the key.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}: row {number} is no JSON object: {error}") from error
        yield validate(Question, data, f"{path}: row {number}")


def load_questions(folder: Path = BUNDLED, taxonomy: Taxonomy | None = None) -> list[Question]:
    """Every question of the taxonomy's sub-categories, from `<sub-category>.jsonl` in a folder, harmless ones included.

    Raises:
        UserError: a file is missing, a row breaks a rule, an id is there twice or in the wrong file.
    """
    found: list[Question] = []
    seen: set[str] = set()
    for subcategory in (taxonomy or load_taxonomy()).subcategories:
        path = folder / f"{subcategory.id}.jsonl"
        for question in read_questions(path):
            if question.subcategory != subcategory.id:
                raise UserError(f"{path}: {question.id} belongs into {question.subcategory}.jsonl")
            if question.id in seen:
                raise UserError(f"{path}: {question.id} is there twice")
            seen.add(question.id)
            found.append(question)
    return found
