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

    `accuracy` with its 95 % bootstrap interval over questions (a tie counts one half) · `auc` · `calibration_error`
    of pairwise `sigmoid(chosen - rejected)`, or of point-wise Platt scaling fitted on the other half of the
    questions · `length_correlation` (Spearman, score against tokens) · `longer_wins`: how often the longer one is
    the chosen one, or the AUC of the length alone · for point-wise also `majority`, the share of the larger class,
    and `calibration_error_raw` of `sigmoid(score)`.
    """
    lengths = [float(length) for example in examples for length in example.lengths]
    flat = [score for row in scores for score in row]
    figures: dict[str, Any] = {
        "held_out": len(examples),
        "held_out_questions": len({example.group for example in examples}),
    }
    if examples[0].safe is None:
        chosen, rejected = [row[0] for row in scores], [row[1] for row in scores]
        right = pair_outcomes(chosen, rejected)
        chances = [sigmoid(a - b) for a, b in zip(chosen, rejected, strict=True)]
        long = pair_outcomes(
            *zip(*[(float(e.lengths[0]), float(e.lengths[1])) for e in examples], strict=True)
        )
        labels = [True, False] * len(examples)
        specific = {
            "calibration_error": pair_calibration_error(chances),
            "longer_wins": sum(long) / len(long),
        }
    else:
        labels = [bool(example.safe) for example in examples]
        right = pair_outcomes(
            [score if safe else -score for score, safe in zip(flat, labels, strict=True)], [0.0] * len(flat)
        )
        share = sum(labels) / len(labels)
        specific = {
            "calibration_error": _cross_fitted_error(examples, flat),
            "calibration_error_raw": expected_calibration_error(
                list(map(sigmoid, flat)), list(map(float, labels))
            ),
            "longer_wins": area_under_curve(lengths, labels),
            "majority": max(share, 1.0 - share),
        }
    figures |= {
        "accuracy": _by_question(examples, right).as_dict(),
        "auc": area_under_curve(flat, labels),
        "length_correlation": rank_correlation(flat, lengths),
        **specific,
    }
    return figures


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


def _cross_fitted_error(examples: Sequence[Example], scores: Sequence[float]) -> float | None:
    """Each half of the questions mapped by Platt scaling of the other: the fit never saw the rows it is judged on."""
    rows = sorted(zip(examples, scores, strict=True), key=lambda row: row[0].group)
    groups = sorted({example.group for example in examples})
    second = set(groups[len(groups) // 2 :])
    halves = [[row for row in rows if (row[0].group in second) is side] for side in (False, True)]
    chances: list[float] = []
    happened: list[float] = []
    for fitted, judged in (halves, halves[::-1]):
        calibration = platt_map([score for _, score in fitted], [bool(example.safe) for example, _ in fitted])
        if calibration is None:
            return None
        chances += [calibration(score) for _, score in judged]
        happened += [float(bool(example.safe)) for example, _ in judged]
    return expected_calibration_error(chances, happened)
