"""A term list put to the test before it guards anything: its own sentences, and mistakes that make terms useless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ahalab.errors import UserError
from ahalab.guard.matcher import Matcher
from ahalab.guard.term import TermEntry, TermFile, TermList, folded_text, make_terms, read_folder
from ahalab.runs.hashing import file_hash


def failed_tests(files: list[tuple[str, TermFile]], matcher: Matcher) -> Iterator[str]:
    """What the files' own sentences show to be wrong, in words; each test sentence is named by file and number."""
    for name, file in files:
        for number, sentence in enumerate(file.tests.flags, 1):
            categories = {hit.term.category for hit in matcher.find(sentence)}
            if file.category not in categories:
                other = f" (only {', '.join(sorted(categories))})" if categories else ""
                yield f"{name}: tests.flags, sentence {number} hits no term of {file.category}{other}"
        for number, sentence in enumerate(file.tests.passes, 1):
            hits = matcher.find(sentence)
            if hits:
                terms = ", ".join(f"{hit.term.text!r} of {hit.term.source}" for hit in hits)
                yield f"{name}: tests.passes, sentence {number} is flagged by {terms}; allow a phrase, or mend the term"


def lint(files: list[tuple[str, TermFile]]) -> Iterator[str]:
    """Terms that are there twice, that another makes superfluous, or that can never count."""
    seen: dict[str, tuple[str, str]] = {}
    allowed = make_terms(files).allowed  # refuses what no list can hold
    for name, file in files:
        for text in (
            one.text if isinstance(one, TermEntry) else one for one in (*file.en, *file.zh, *file.other)
        ):
            folded = folded_text(text.strip())
            if folded in seen:
                other, where = seen[folded]
                yield f"{name}: {text!r} is the same as {other!r} of {where} once folded; the graver entry counts"
            seen.setdefault(folded, (text, name))
            if folded in allowed:
                yield f"{name}: {text!r} is an allowed phrase too, so it never counts"
            if len(folded) < (2 if ord(folded[0]) >= 0x2E80 else 3):
                yield f"{name}: {text!r} is so short that it stands in many harmless words"
        if not file.tests.flags or not file.tests.passes:
            yield f"{name}: has no sentences of both kinds under `tests`"
    terms = set(seen)
    for phrase in allowed:
        if not any(term in phrase for term in terms):
            yield f"the allowed phrase {phrase!r} holds no term: it does nothing"


def checked_terms(place: Path) -> tuple[TermList, Matcher]:
    """A list that has passed its own tests, ready to match: what a server takes up. A broken one replaces nothing.

    Raises:
        UserError: a file breaks a rule or a test sentence fails; names all of them.
    """
    files = read_folder(place)
    matcher = matcher_of(files, place)
    wrong = list(failed_tests(files, matcher))
    if wrong:
        raise UserError(f"{place}: the list fails {len(wrong)} of its own tests:\n" + "\n".join(wrong))
    return matcher.terms, matcher


def matcher_of(files: list[tuple[str, TermFile]], place: Path) -> Matcher:
    """A list ready to match, whatever its own tests say: to see why one fails. UserError where it holds no term."""
    terms = make_terms(files)
    if not terms.terms:
        raise UserError(f"{place}: the list names no term, so nothing would ever be flagged")
    return Matcher(terms)


def file_hashes(place: Path) -> dict[str, str]:
    """SHA-256 of each file, by name: what an evaluation records of the control that it measured."""
    paths = [place] if place.is_file() else sorted(path for path in place.iterdir() if path.is_file())
    return {path.name: file_hash(path) for path in paths}
