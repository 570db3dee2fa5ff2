"""Agreement of a judge with labels: confusion matrix, accuracy, recall of each class, Cohen's kappa with its interval.

Kappa is unweighted (Cohen 1960): the classes have no order that a distance could be taken from. Its interval is a
percentile bootstrap over clusters: the replies of several models to one question are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ahalab.evaluation.estimators import RESAMPLES, drawn_items
from ahalab.evaluation.intervals import wilson
from ahalab.safety.labels.pairs import JUDGE_ERROR, Pair
from ahalab.safety.records import VERDICTS

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recall:
    """Of the replies labelled as a class, the share that the judge calls so."""

    n: int
    """Pairs with that label and a verdict."""
    value: float
    low: float
    high: float
    """Wilson's interval over the pairs, which takes them as independent: a guide, not the headline."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a judge and the labels agree, over pairs with a verdict."""

    n: int
    """Pairs with a verdict: what every figure below is over."""
    clusters: int
    """Questions they come from."""
    judge_errors: int
    """Labelled replies that the judge gave no verdict on: in no figure below."""
    accuracy: float
    kappa: float | None
    """None where chance alone agrees fully: one class is all that either uses."""
    low: float | None
    high: float | None
    classes: tuple[str, ...]
    confusion: tuple[tuple[float, ...], ...]
    """[label, verdict], in the order of `classes`: counts, or replies of the run they stand for where weighted."""
    recall: dict[str, Recall | None]
    """None for a class that no label names."""
    weighted: bool = False
    """Whether pairs count by the weights of a stratified sample."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def agreement(
    pairs: Sequence[Pair], classes: Sequence[str] = VERDICTS, resamples: int = RESAMPLES
) -> Agreement | None:
    """Agreement over the pairs whose verdict is one of `classes`; None where there is no such pair.

    Raises:
        ValueError: a label that is none of `classes`.
    """
    strange = {pair.truth for pair in pairs} - set(classes)
    if strange:
        raise ValueError(f"label {min(strange)!r} is none of {', '.join(classes)}")
    errors = sum(pair.said == JUDGE_ERROR for pair in pairs)
    read = [pair for pair in pairs if pair.said != JUDGE_ERROR]
    if not read:
        return None
    by_cluster = cluster_matrices(read, classes)
    confusion = by_cluster.sum(axis=0)
    kappa = cohen_kappa(confusion)
    low, high = _interval(by_cluster, resamples) if kappa is not None else (None, None)
    counts = cluster_matrices(read, classes, weighted=False).sum(axis=0)
    return Agreement(
        n=len(read),
        clusters=len(by_cluster),
        judge_errors=errors,
        accuracy=float(np.trace(confusion) / confusion.sum()),
        kappa=kappa,
        low=low,
        high=high,
        classes=tuple(classes),
        confusion=tuple(tuple(float(cell) for cell in row) for row in confusion),
        recall={
            name: _recall(confusion[place], place, int(counts[place].sum()))
            for place, name in enumerate(classes)
        },
        weighted=any(pair.weight != 1.0 for pair in read),
    )


def cluster_matrices(pairs: Sequence[Pair], classes: Sequence[str], *, weighted: bool = True) -> Matrix:
    """[clusters, label, verdict] weights; every pair without a cluster is one of its own.

    Raises:
        ValueError: a verdict that is none of `classes`.
    """
    place = {name: number for number, name in enumerate(classes)}
    rows: dict[str, int] = {}
    cells = []
    for number, pair in enumerate(pairs):
        if pair.said not in place:
            raise ValueError(f"verdict {pair.said!r} is none of {', '.join(classes)}")
        row = rows.setdefault(pair.cluster or f"\x00{number}", len(rows))
        cells.append((row, place[pair.truth], place[pair.said], pair.weight if weighted else 1.0))
    matrices = np.zeros((len(rows), len(classes), len(classes)))
    for row, truth, said, weight in cells:
        matrices[row, truth, said] += weight
    return matrices


def cohen_kappa(confusion: Matrix) -> float | None:
    """(observed - expected) / (1 - expected) of a matrix [label, verdict]; None where the expected agreement is 1."""
    value = float(_kappas(confusion[None])[0])
    return None if np.isnan(value) else value


def _kappas(matrices: Matrix) -> Matrix:
    """Kappa of each of [R, k, k]; NaN where chance agrees fully."""
    total = matrices.sum(axis=(1, 2))
    observed = np.trace(matrices, axis1=1, axis2=2) / total
    expected = (matrices.sum(axis=2) * matrices.sum(axis=1)).sum(axis=1) / total**2
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Matrix = np.where(expected < 1.0 - 1e-12, (observed - expected) / (1.0 - expected), np.nan)
    return found


def _interval(by_cluster: Matrix, resamples: int) -> tuple[float, float] | tuple[None, None]:
    """95 % percentile bootstrap over clusters; none for a single cluster, which tells no spread."""
    n = len(by_cluster)
    if n < 2:
        return None, None
    drawn = drawn_items(n, resamples)
    times = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)
    size = by_cluster.shape[1]
    kappas = _kappas((times @ by_cluster.reshape(n, -1)).reshape(-1, size, size))
    kappas = kappas[~np.isnan(kappas)]
    if not len(kappas):
        return None, None
    low, high = np.quantile(kappas, [0.025, 0.975])
    return float(low), float(high)


def _recall(row: Matrix, place: int, n: int) -> Recall | None:
    if not n or not row.sum():
        return None
    value = float(row[place] / row.sum())
    return Recall(n, value, *wilson(min(1.0, value), n))
