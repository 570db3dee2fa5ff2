"""Two evaluations side by side: a paired test per suite, on the items that both answered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.evaluation.measures import mean, score
from ahalab.evaluation.paired import Comparison, compare
from ahalab.runs.atomic import read_json
from ahalab.stages.suites.folder import ANSWERER_NAME, SETTINGS_NAME, suite_folders, suite_rows


@dataclass(frozen=True, slots=True)
class SuiteComparison:
    """One suite that both folders hold."""

    suite: str
    shared: int
    """Items that both answered and that were graded in both."""
    only_first: int
    only_second: int
    first: float
    """Mean over the shared items, 0 to 1."""
    second: float
    comparison: Comparison
    settings: dict[str, tuple[Any, Any]]
    """Settings that differ, first and second: the reader has to know."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two evaluation folders."""

    models: tuple[str, str]
    suites: list[SuiteComparison]
    left_out: list[str]
    """Suites that only one of the two holds."""


def compare_folders(first: Path, second: Path) -> Compared:
    """Compare suite by suite, item by item: the first folder's score less the second's.

    Raises:
        UserError: a folder is no evaluation, or the two have no suite or no item in common.
    """
    ours, theirs = _suites(first), _suites(second)
    both = [name for name in ours if name in theirs]
    if not both:
        raise UserError(
            f"{first} holds {', '.join(ours)}, {second} holds {', '.join(theirs)}: no suite is in both. Evaluate both "
            "models on the same suites."
        )
    return Compared(
        (_model(first), _model(second)),
        [_compared(name, ours[name], theirs[name]) for name in both],
        sorted(set(ours) ^ set(theirs)),
    )


def _suites(folder: Path) -> dict[str, Path]:
    return {str(read_json(path / SETTINGS_NAME)["suite"]): path for path in suite_folders(folder)}


def _model(folder: Path) -> str:
    return str(read_json(folder / ANSWERER_NAME)["model"])


def _compared(name: str, first: Path, second: Path) -> SuiteComparison:
    ours, theirs = _item_means(first), _item_means(second)
    shared = [one for one in ours if one in theirs]
    if not shared:
        raise UserError(
            f"{name}: {first} and {second} have no graded item in common. Was another file or --n given, or are the "
            "items graded at all?"
        )
    before, after = (read_json(path / SETTINGS_NAME) for path in (first, second))
    told = ("k", "temperature", "top_p", "max_new_tokens", "rule")
    return SuiteComparison(
        name,
        len(shared),
        len(ours) - len(shared),
        len(theirs) - len(shared),
        sum(ours[one] for one in shared) / len(shared),
        sum(theirs[one] for one in shared) / len(shared),
        compare(ours, theirs, min(before["k"], after["k"])),
        {key: (before[key], after[key]) for key in told if before[key] != after[key]},
    )


def _item_means(folder: Path) -> dict[str, float]:
    """Prompt id → mean score of its graded samples."""
    scores: dict[str, list[float | None]] = {}
    for row in suite_rows(folder):
        scores.setdefault(row["prompt_id"], []).append(score(row))
    means = {prompt_id: mean(found) for prompt_id, found in scores.items()}
    return {prompt_id: value for prompt_id, value in means.items() if value is not None}
