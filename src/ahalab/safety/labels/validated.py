"""In which languages a judge has been measured: figures of other languages are marked and kept out of headlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ahalab.runs.atomic import read_json
from ahalab.safety.labels.kappa import Agreement, agreement
from ahalab.safety.labels.pairs import Pair, labelled_pairs
from ahalab.safety.records import VERDICTS

ENOUGH = 50
"""Labelled replies of a language from which a judge counts as measured there (our choice)."""
VALIDATION_NAME = "validation.json"
OFFLINE_CARD = Path(__file__).parents[1] / "offline" / "card.json"
"""Measurements that ship with the offline judge; they are of the weights that they name."""


def validated_languages(folder: Path, judge: str) -> dict[str, str]:
    """Language to what the judge was measured on there, the nearest measurement of it.

    That is the folder's own labels; else what `aha safety validate-judge --folder` left beside the judge; else the
    offline judge's card. A language that is missing here is not validated: its figures are marked and are no headline.
    """
    home = folder / "judges" / judge
    found: dict[str, str] = {}
    if (home / "judge.json").is_file():
        found |= _of_the_card(read_json(home / "judge.json"))
    if (home / VALIDATION_NAME).is_file():
        found |= _kept(read_json(home / VALIDATION_NAME))
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


def _of_the_card(identity: Mapping[str, Any]) -> dict[str, str]:
    """What the offline judge's card says, where this judge is the one whose weights it names."""
    if identity.get("kind") != "offline" or not OFFLINE_CARD.is_file():
        return {}
    card = read_json(OFFLINE_CARD)
    if not str(identity.get("model")).endswith(card["weights_sha256"][:12]):
        return {}
    figures = card["figures"]
    harm = figures["harm, held out"]["category"]["pooled"]["n"]
    chinese = figures["chinese, test half"]["verdicts"]["n"]
    return {
        "en": f"{harm} replies of pyrit, by heads taught without their category",
        "zh": f"{chinese} replies of chinese-replies (labels by a language model)",
    }
