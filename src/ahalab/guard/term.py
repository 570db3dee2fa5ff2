"""A keyword list as typed data: categories with terms, options per term, and phrases that are allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ahalab.errors import UserError
from ahalab.guard.folding import codes_of, fold_codes, squeeze, text_of
from ahalab.guard.plain import read_plain
from ahalab.runs.hashing import config_hash
from ahalab.validation import StrictModel, told, validate

BUNDLED = Path(__file__).with_name("terms")
Severity = Literal[1, 2, 3]
LONGEST = 64
"""Characters of a term or an allowed phrase; our choice, so that a stream never holds more back."""


class TermEntry(StrictModel):
    """One term with options of its own."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST)] = Field(
        description="The term as it is written"
    )
    severity: Severity | None = Field(None, description="1 to 3; the file's when left out")
    word_boundary: bool | None = Field(
        None,
        description="Only as a whole word: no letter or digit may touch it. Left out: on for alphabetic scripts, "
        "off for Han",
    )
    min_gap: Annotated[int, Field(ge=0, le=10_000)] = Field(
        0, description="Characters that must lie between two hits of this term for the second to count"
    )
    spaced: bool = Field(
        True, description="Also found with separators between its letters, or letters as digits"
    )


class TermTests(StrictModel):
    """Sentences that a file is tested with, by the whole list that it is part of."""

    flags: list[Annotated[str, Field(min_length=1)]] = Field(
        [], description="Each must hit a term of this category"
    )
    passes: list[Annotated[str, Field(min_length=1)]] = Field([], description="None may hit any term")


class TermFile(StrictModel):
    """One file of a list."""

    category: str = Field(pattern=r"^[a-z][a-z0-9-]{1,39}$", description="Kind of harm, such as self-harm")
    subcategories: list[str] = Field([], description="Ids of the safety taxonomy that it belongs to")
    severity: Severity = Field(2, description="Of terms that name none: 1 mild, 2 clear, 3 grave")
    en: list[str | TermEntry] = Field([], description="English terms")
    zh: list[str | TermEntry] = Field([], description="Chinese terms")
    other: list[str | TermEntry] = Field([], description="Terms in further languages")
    allow: list[Annotated[str, Field(min_length=2, max_length=LONGEST)]] = Field(
        [], description="Phrases in which a term is harmless: a hit inside one does not count"
    )

    tests: TermTests = Field(
        TermTests(), description="Run by `aha guard terms test`, and before a list is taken up"
    )

    @field_validator("en", "zh", "other")
    @classmethod
    def _visible(cls, entries: list[str | TermEntry]) -> list[str | TermEntry]:
        for entry in entries:
            text = entry if isinstance(entry, str) else entry.text
            if not text.strip() or len(text) > LONGEST:
                raise told(f"{text[:20]!r} is no term: expected 1 to {LONGEST} visible characters")
        return entries

    @model_validator(mode="after")
    def _something(self) -> TermFile:
        if not (self.en or self.zh or self.other or self.allow):
            raise told("the file names no term and no allowed phrase")
        return self


@dataclass(frozen=True, slots=True)
class Term:
    """A term ready to be matched."""

    text: str
    """As written in the file."""
    folded: str
    category: str
    severity: Severity
    word_boundary: bool
    min_gap: int
    spaced: bool
    source: str
    """File name, for messages and `explain`."""


@dataclass(frozen=True, slots=True)
class TermList:
    """Every term and allowed phrase of a list."""

    terms: tuple[Term, ...]
    allowed: tuple[str, ...]
    """Folded."""
    sha256: str
    """Of all terms, options and allowed phrases: what the audit and the circularity check name."""

    @property
    def categories(self) -> tuple[str, ...]:
        """In order of name."""
        return tuple(sorted({one.category for one in self.terms}))


def folded_text(text: str) -> str:
    """A term as it is looked for in the folded view."""
    return text_of(fold_codes(codes_of(text))[0])


def squeezed_text(text: str) -> str:
    """A term as it is looked for in the view without separators."""
    codes, places, _ = fold_codes(codes_of(text))
    return text_of(squeeze(codes, places)[0])


def make_terms(files: Iterable[tuple[str, TermFile]]) -> TermList:
    """The list of several files. A term that stands twice keeps its gravest entry; it is found once."""
    found: dict[str, Term] = {}
    allowed: dict[str, None] = {}
    for source, file in files:
        for entry in (*file.en, *file.zh, *file.other):
            term = _term(entry if isinstance(entry, TermEntry) else TermEntry(text=entry), file, source)
            known = found.get(term.folded)
            if known is None or term.severity > known.severity:
                found[term.folded] = term
        allowed.update(dict.fromkeys(_phrase(one, source) for one in file.allow))
    terms = tuple(found.values())
    rows: list[Any] = [
        [one.folded, one.category, one.severity, one.word_boundary, one.min_gap, one.spaced] for one in terms
    ]
    return TermList(terms, tuple(allowed), config_hash({"terms": sorted(rows), "allow": sorted(allowed)}))


def _phrase(text: str, source: str) -> str:
    folded = folded_text(text.strip())
    if not folded.strip():  # found everywhere, it would allow everything
        raise UserError(
            f"{source}: the allowed phrase {text!r} has nothing left that is visible once it is folded"
        )
    return folded


def _term(entry: TermEntry, file: TermFile, source: str) -> Term:
    text = entry.text.strip()
    folded = folded_text(text)
    if not folded.strip():
        raise UserError(f"{source}: the term {text!r} has nothing left that is visible once it is folded")
    alphabetic = any("a" <= one <= "z" or (one.isalpha() and ord(one) < 0x2E80) for one in folded)
    return Term(
        text,
        folded,
        file.category,
        entry.severity or file.severity,
        alphabetic if entry.word_boundary is None else entry.word_boundary,
        entry.min_gap,
        entry.spaced and len(squeezed_text(text)) >= (4 if alphabetic else 2),
        source,
    )


def read_term_file(path: Path) -> TermFile:
    """One YAML or JSON file. UserError names file and key."""
    return validate(TermFile, read_plain(path), str(path))


def read_folder(place: Path) -> list[tuple[str, TermFile]]:
    """The files of a folder (`*.yaml`, `*.yml`, `*.json`; no hidden ones), or one file, each with its name.

    Raises:
        UserError: nothing there, or a file breaks a rule: names file and key.
    """
    try:
        inside = sorted(place.iterdir()) if place.is_dir() else [place] if place.is_file() else []
    except OSError as error:
        raise UserError(f"{place}: cannot be read ({error.strerror})") from error
    paths = [
        path
        for path in inside
        # Hidden ones in a folder are locks and leavings of editors (`.#made.yaml`) and of copying from a Mac.
        if path == place or (path.suffix in (".yaml", ".yml", ".json") and not path.name.startswith("."))
    ]
    if not paths:
        raise UserError(f"{place}: no term files (*.yaml, *.json) are there")
    return [(path.name, read_term_file(path)) for path in paths]


def load_terms(place: Path = BUNDLED) -> TermList:
    """The list of a folder or file; errors as `read_folder`."""
    return make_terms(read_folder(place))
