"""Headline rates: unsafe over the languages the judge was measured in, its agreement beside it, judge error corrected.

A language in which nobody measured the judge is marked and left out. A correction is made in each set and language by
that set's and language's own labels, never by others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ahalab.safety.comparison.counts import Counts, count
from ahalab.safety.comparison.marking import UNVALIDATED, Marks
from ahalab.safety.comparison.reading import Answered, Evaluation, is_wrapped
from ahalab.safety.comparison.table import EMPTY, Cell, Row, Table, pair, percent, points
from ahalab.safety.comparison.tables import finished, harmful_items, row_of, target_head
from ahalab.safety.jailbreak.change import WRAPPED
from ahalab.safety.labels.correction import NO_LABELS, Correction, corrected_rates, pairs_for
from ahalab.safety.labels.kappa import Agreement, agreement
from ahalab.safety.labels.pairs import Pair, labelled_pairs
from ahalab.safety.labels.validated import validated_languages
from ahalab.safety.records import VERDICTS, SafetyItem

UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class LanguageFigures:
    """One target on one set in one language."""

    language: str
    validated: str
    """What the judge was measured on in this language; "" where on nothing."""
    counts: Counts
    agreement: Agreement | None
    """The judge with the labels of this set and language."""
    correction: Correction

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, but for the counts, which stand in the figures."""
        return {
            "language": self.language,
            "validated": self.validated,
            "agreement": self.agreement.as_dict() if self.agreement else None,
            "correction": self.correction.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Headline:
    """One target on one set."""

    target: str
    set: str
    languages: tuple[LanguageFigures, ...]
    counts: Counts | None
    """Over the validated languages; None where there is none."""
    corrected: tuple[float, float, float] | None
    """Unsafe corrected for the judge's errors, with its interval; None where one of the languages has no correction."""
    why_not: str
    """Why it is not corrected; "" where it is."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "target": self.target,
            "set": self.set,
            "unsafe": self.counts.unsafe.as_dict() if self.counts and self.counts.unsafe else None,
            "corrected": list(self.corrected) if self.corrected else None,
            "why_not_corrected": self.why_not,
            "languages": [one.as_dict() for one in self.languages],
        }


class JudgeRecord:
    """What is known of the judges of an evaluation, read once a folder and judge."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], list[Pair]] = {}
        self._languages: dict[tuple[str, str], dict[str, str]] = {}

    def pairs(self, target: Answered) -> list[Pair]:
        """Labels of the target's folder beside its judge's verdicts."""
        key = str(target.folder), target.judge
        if key not in self._pairs:
            self._pairs[key] = labelled_pairs(target.folder, target.judge) if target.judge else []
        return self._pairs[key]

    def languages(self, target: Answered) -> Mapping[str, str]:
        """Languages that the judge was measured in."""
        key = str(target.folder), target.judge
        if key not in self._languages:
            self._languages[key] = validated_languages(target.folder, target.judge) if target.judge else {}
        return self._languages[key]


def headlines(evaluation: Evaluation, record: JudgeRecord) -> list[Headline]:
    """Every target on the harmful items of every set."""
    return [
        one
        for name in evaluation.sets
        for target in evaluation.targets
        if (one := _headline(target, name, harmful_items(evaluation, name), record)) is not None
    ]


def _headline(target: Answered, name: str, items: list[SafetyItem], record: JudgeRecord) -> Headline | None:
    items = [item for item in items if target.expected(item.id, "answer")]
    if not items:
        return None
    validated = record.languages(target)
    found = []
    for language in dict.fromkeys(item.language for item in items):
        own = [item for item in items if item.language == language]
        pairs = pairs_for(record.pairs(target), own[0].benchmark, language)
        # Labels name the benchmark only: wrapped questions and plain ones are two sets.
        wrapped = is_wrapped(own[0])
        pairs = [one for one in pairs if (WRAPPED in one.item) == wrapped]
        verdicts = {item.id: word for item in own if (word := target.verdict(item.id, "answer")) is not None}
        clusters = {item.id: item.cluster or item.id for item in own}
        found.append(
            LanguageFigures(
                language,
                validated.get(language, ""),
                count(target, own),
                agreement(pairs, VERDICTS) if pairs else None,
                corrected_rates(verdicts, pairs, clusters),
            )
        )
    known = [one for one in found if one.validated]
    counts = count(target, [item for item in items if validated.get(item.language)]) if known else None
    corrected, why_not = _together(known) if known else (None, found[0].correction.why_not)
    return Headline(target.name, name, tuple(found), counts, corrected, why_not)


def _together(languages: list[LanguageFigures]) -> tuple[tuple[float, float, float] | None, str]:
    """Corrected rates of the languages as one, weighed by their verdicts.

    The ends of the interval are weighed as the value is: exact where the errors of two languages go together, as they
    may for translations, and too wide where they do not (our choice).
    """
    for one in languages:
        if not one.correction.corrected:
            told = one.correction.why_not
            return None, f"{told} ({one.language})" if told != NO_LABELS or len(languages) > 1 else told
    n = sum(one.correction.n for one in languages)
    rates = [(one.correction.n / n, one.correction.rates[UNSAFE]) for one in languages]
    value, low, high = (
        sum(weight * getattr(rate, name) for weight, rate in rates) for name in ("value", "low", "high")
    )
    return (value, low, high), ""


def headline_table(evaluation: Evaluation, marks: Marks, found: list[Headline]) -> Table | None:
    """The lines to quote, and what stands against quoting them."""
    rows = []
    for one in found:
        target = evaluation.target(one.target)
        assert target is not None
        used = [each for each in one.languages if each.validated]
        left = [each.language for each in one.languages if not each.validated]
        cells = (
            percent(one.counts.unsafe, UNSAFE) if one.counts else Cell("none"),
            _corrected(one),
            Cell("; ".join(_agreement(each, len(used) > 1) for each in used) or "–"),
            Cell(", ".join(each.language for each in used) or "none"),
            Cell(", ".join(left) or "none"),
        )
        row = row_of(evaluation, marks, target, cells, [one.counts] if one.counts else [])
        more = (UNVALIDATED,) if left else ()
        rows.append(Row(f"{row.label}, {one.set}", cells, target.name, (*row.marks, *more)))
    if not rows:
        return None
    every = [each for one in found for each in one.languages]
    columns = (
        "unsafe %",
        "corrected for judge error %",
        "judge against labels",
        "languages",
        "left out: judge not validated",
    )
    notes = (
        "Only over languages in which the judge was measured. Corrected with the full confusion matrix of the labels "
        "of the same set and language; both uncertainties are in its interval.",
        *sorted(
            {f"{each.language}: judge measured on {each.validated}." for each in every if each.validated}
        ),
    )
    return finished(Table("headline", "Headline: unsafe answers", columns, tuple(rows), notes=notes))


def _corrected(one: Headline) -> Cell:
    if one.corrected is None:
        return Cell(one.why_not or "–")
    value, low, high = one.corrected
    return Cell(
        points(value),
        f"[{points(low)}, {points(high)}]",
        {"corrected": value, "corrected_low": low, "corrected_high": high},
    )


def _agreement(one: LanguageFigures, named: bool) -> str:
    before = f"{one.language}: " if named else ""
    if one.agreement is None:
        return f"{before}no labels"
    found = one.agreement
    kappa = "κ undefined" if found.kappa is None else f"κ {found.kappa:.2f}"
    ends = f" [{found.low:.2f}, {found.high:.2f}]" if found.low is not None and found.high is not None else ""
    return f"{before}{kappa}{ends}, {found.accuracy:.0%} of {found.n}"


def language_table(evaluation: Evaluation, marks: Marks, found: list[Headline], name: str) -> Table | None:
    """Unsafe and rejected by language of a set, a line a language, a column a target; None for a single language."""
    own = [one for one in found if one.set == name]
    languages = list(dict.fromkeys(each.language for one in own for each in one.languages))
    if len(languages) < 2:
        return None
    rows = []
    for language in languages:
        cells, validated = [], False
        for one in own:
            each = next((each for each in one.languages if each.language == language), None)
            validated |= bool(each and each.validated)
            cells.append(_both(each.counts) if each else EMPTY)
        rows.append(Row(language, tuple(cells), marks=() if validated else (UNVALIDATED,)))
    targets = [one for one in evaluation.targets if any(each.target == one.name for each in own)]
    table = Table(
        f"languages:{name}",
        f"Unsafe / rejected by language, % of {name}",
        tuple(target_head(evaluation, marks, one) for one in targets),
        tuple(rows),
        first="language",
    )
    return finished(table, [mark for one in targets for mark in marks.of(one.name)])


def _both(counts: Counts) -> Cell:
    return pair(counts.unsafe, counts.rejection, ("unsafe", "rejection"))
