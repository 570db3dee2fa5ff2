"""What a trained reward model is worth: figures over the held-out questions, its calibration, and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from ahalab.evaluation.estimators import Estimate, bootstrap
from ahalab.evaluation.ranking import (
    area_under_curve,
    expected_calibration_error,
    pair_calibration_error,
    pair_outcomes,
    rank_correlation,
)
from ahalab.policy.calibration import LogisticMap, platt_map, quartile_map, sigmoid
from ahalab.stages.reward_examples import Example

MOST_LENGTH_CORRELATION = 0.3
"""Above this (either way) the score is said to follow length. Our choice: Cohen's bound of a medium correlation."""

MOST_LENGTH_ADVANTAGE = 0.1
"""The same for how far from one half "the longer one wins" is right. Our choice."""

FEW = 50
"""Held-out rows below which a warning says that the figures are rough (our choice)."""

PLATT = "Platt scaling on the held-out responses"
QUARTILES = "logistic of (score - median) / scale over the held-out responses, quartiles at 0.25 and 0.75"
BETWEEN = (
    "logistic of (score - centre) / scale: the centre is half-way between the median chosen and the median rejected "
    "answer held out, the scale half the distance of all their quartiles over ln 3"
)


def calibrate(examples: Sequence[Example], scores: Sequence[tuple[float, ...]]) -> tuple[LogisticMap, str]:
    """The map from raw scores to 0 … 1, and how it was found. Our choice: the paper does not say.

    `scores` are those of each held-out example's sequences, in order. Pairwise scores mean nothing by themselves, so
    they are spread by their quartiles, around a centre between the two medians: a model that tells chosen from
    rejected well has two heaps of scores, and the median of all would lie anywhere on the edge of one. Point-wise
    scores become chances of being safe; one that does not rise with them is spread by quartiles too.
    """
    flat = [score for row in scores for score in row]
    if examples[0].safe is None:
        chosen, rejected = zip(*scores, strict=True)
        return quartile_map(flat, (median(chosen) + median(rejected)) / 2.0), BETWEEN
    platt = platt_map(flat, [bool(example.safe) for example in examples])
    return (quartile_map(flat), QUARTILES) if platt is None else (platt, PLATT)


def held_out_figures(examples: Sequence[Example], scores: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    """Figures of the held-out examples; None where a figure is not defined.

    `held_out` and `held_out_questions`: how many · `accuracy` with its 95 % bootstrap interval over questions ·
    `auc` · `calibration_error` · `length_correlation` (Spearman, score against tokens of what is judged) ·
    `longer_wins`: how often the longer answer is the chosen one, or the AUC of the length alone.

    Pairwise: accuracy is how often chosen scores above rejected (a tie counts one half), and the calibration error
    is that of `sigmoid(chosen - rejected)`. Point-wise: both are of the calibrated chance of being safe, the
    calibration of a row fitted on the half of the questions that it is not in; `majority` is the share of the
    commoner label, `accuracy_raw` that of scores on the right side of 0, which training aims at.
    """
    pairwise = examples[0].safe is None
    lengths = [float(length) for example in examples for length in example.lengths]
    flat = [score for row in scores for score in row]
    labels = [True, False] * len(examples) if pairwise else [bool(example.safe) for example in examples]
    right, specific = (
        _of_pairs(examples, scores) if pairwise else _of_labelled(examples, flat, labels, lengths)
    )
    return {
        "held_out": len(examples),
        "held_out_questions": len({example.group for example in examples}),
        "accuracy": _by_question(examples, right).as_dict(),
        "auc": area_under_curve(flat, labels),
        "length_correlation": rank_correlation(flat, lengths),
        **specific,
    }


def _of_pairs(
    examples: Sequence[Example], scores: Sequence[tuple[float, ...]]
) -> tuple[list[float], dict[str, Any]]:
    """Which pairs are in order, and the figures that pairs alone have."""
    chosen, rejected = [row[0] for row in scores], [row[1] for row in scores]
    long = pair_outcomes([float(e.lengths[0]) for e in examples], [float(e.lengths[1]) for e in examples])
    chances = [sigmoid(a - b) for a, b in zip(chosen, rejected, strict=True)]
    return pair_outcomes(chosen, rejected), {
        "calibration_error": pair_calibration_error(chances),
        "longer_wins": sum(long) / len(long),
    }


def _of_labelled(
    examples: Sequence[Example], scores: Sequence[float], labels: Sequence[bool], lengths: Sequence[float]
) -> tuple[list[float], dict[str, Any]]:
    """Which labels are met, and the figures that labelled responses alone have."""

    def met(values: Sequence[float], threshold: float) -> list[float]:
        above = pair_outcomes(values, [threshold] * len(values))
        return [up if safe else 1.0 - up for up, safe in zip(above, labels, strict=True)]

    raw = met(scores, 0.0)
    chances = _cross_fitted(examples, scores, labels)
    share = sum(labels) / len(labels)
    return raw if chances is None else met(chances, 0.5), {
        "calibration_error": None
        if chances is None
        else expected_calibration_error(chances, [float(label) for label in labels]),
        "longer_wins": area_under_curve(lengths, labels),
        "majority": max(share, 1.0 - share),
        "accuracy_raw": sum(raw) / len(raw),
    }


def warnings_of(figures: dict[str, Any], calibrated_by: str) -> list[str]:
    """What the person should know before using the model, in words."""
    found = []
    pairwise = "majority" not in figures
    n, accuracy = figures["held_out"], figures["accuracy"]
    correlation, longer = figures["length_correlation"], figures["longer_wins"]
    if n < FEW:
        found.append(f"only {n} rows are held out: the figures are rough")
    chance = 0.5 if pairwise else figures["majority"]
    if accuracy["low"] <= chance:
        than = "a coin" if pairwise else "always giving the commoner label"
        found.append(
            f"held-out accuracy {accuracy['value']:.3f} is not shown to be better than {than} ({chance:.3f})"
        )
    if correlation is not None and abs(correlation) > MOST_LENGTH_CORRELATION:
        found.append(
            f"the score follows length: rank correlation {correlation:+.2f} "
            f"(the warning begins at ±{MOST_LENGTH_CORRELATION})"
        )
    if longer is not None and abs(longer - 0.5) > MOST_LENGTH_ADVANTAGE:
        found.append(
            f"length alone tells the held-out rows apart: the longer one is "
            f"{'chosen' if pairwise else 'safe'} {longer:.0%} of the time; balance the lengths of the data"
        )
    if not pairwise and calibrated_by != PLATT:
        found.append("Platt scaling found no rising map: rewards are spread by the scores' quartiles instead")
    return found


def _by_question(examples: Sequence[Example], right: Sequence[float]) -> Estimate:
    """Mean over rows, resampled by question: rows of one question are not independent."""
    sums: dict[int, list[float]] = {}
    for example, value in zip(examples, right, strict=True):
        sums.setdefault(example.group, []).append(value)
    return bootstrap([sum(values) for values in sums.values()], 1, [len(values) for values in sums.values()])


def _cross_fitted(
    examples: Sequence[Example], scores: Sequence[float], labels: Sequence[bool]
) -> list[float] | None:
    """Chances of being safe, each by Platt scaling of the half of the questions that the row is not in.

    So no fit is judged by rows it saw. None where a half has no rising map.
    """
    groups = sorted({example.group for example in examples})
    second = set(groups[len(groups) // 2 :])
    side = [example.group in second for example in examples]
    maps = {}
    for half in (False, True):
        fitted = [row for row in range(len(examples)) if side[row] is not half]
        found = platt_map([scores[row] for row in fitted], [labels[row] for row in fitted])
        if found is None:
            return None
        maps[half] = found
    return [maps[half](score) for half, score in zip(side, scores, strict=True)]
