"""In which languages a judge has been measured: figures of other languages are marked and kept out of headlines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ahalab.runs.atomic import read_json
from ahalab.safety.labels.kappa import Agreement, agreement
from ahalab.safety.labels.pairs import Pair, labelled_pairs
from ahalab.safety.records import VERDICTS

ENOUGH = 50
"""Labelled replies of a language from which a judge counts as measured there (our choice)."""
VALIDATION_NAME = "validation.json"
BUNDLED = Path(__file__).with_name("validations")
"""`<judge hash>.json`: measurements that ship with the judge they are of; another build of it has another hash."""


def validated_languages(folder: Path, judge: str) -> dict[str, str]:
    """Language to what the judge was measured on there: the folder's own labels, else a kept validation of this judge.

    Kept are those that `aha safety validate-judge --folder` left beside the judge, and those that ship with the
    program. A language that is missing here is not validated. A figure may be a headline only in validated languages.
    """
    found: dict[str, str] = {}
    for path in (BUNDLED / f"{judge}.json", folder / "judges" / judge / VALIDATION_NAME):
        if path.is_file():
            found |= _kept(read_json(path))
    for language, figures in agreement_by_language(labelled_pairs(folder, judge)).items():
        if figures.n >= ENOUGH:
            found[language] = f"{figures.n} labels of this run"
    return found


def agreement_by_language(pairs: Iterable[Pair]) -> dict[str, Agreement]:
    """The judge's agreement in each language that has labels."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.language, []).append(pair)
    return {
        language: figures
        for language, group in sorted(groups.items())
        if (figures := agreement(group, VERDICTS)) is not None
    }


def _kept(data: object) -> dict[str, str]:
    """Languages of a validation's rows with enough replies. Compliance alone says nothing about the unsafe rate."""
    rows = data.get("sets", []) if isinstance(data, dict) else []
    found: dict[str, str] = {}
    for row in rows:
        figures = row.get("agreement") or {}
        told = row.get("head") in ("verdict", "harm") and not row.get("learned")
        if told and row.get("language") and figures.get("n", 0) >= ENOUGH:
            by = f" (labels by {row['labelled_by']})" if row.get("labelled_by") else ""
            what = f"{figures['n']} replies of {row['name']}{by}"
            found[row["language"]] = f"{found[row['language']]}; {what}" if row["language"] in found else what
    return found
