"""Rates corrected for the judge's errors, with the full confusion matrix and both uncertainties.

A judge that says q (shares of unsafe, safe, rejection) and whose words depend on the truth by M = P(says | truth) saw
true shares p with q = Mᵀ p: solved for p within the simplex (for two classes: Rogan and Gladen 1978). M has to come
from labels of the same set and language: on other replies a judge errs otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ahalab.counter import make_key
from ahalab.evaluation.estimators import RESAMPLES
from ahalab.safety.labels.kappa import cluster_matrices
from ahalab.safety.labels.pairs import JUDGE_ERROR, Pair
from ahalab.safety.labels.simplex import solve_on_simplex
from ahalab.safety.records import VERDICTS

Matrix = NDArray[np.float64]

NO_LABELS = "not corrected: no labels"
LEAST_LABELS = 5
"""Labels of a class below which its row of the matrix is a guess (our choice)."""
NEARLY_SINGULAR = 0.1
"""Smallest singular value of M below which an error of the labels is multiplied tenfold or more (our choice)."""
PRIOR = 1.0 / 3.0
"""Added to each cell in the resamples: a judge without an error among few labels is not thereby free of errors."""


@dataclass(frozen=True, slots=True)
class CorrectedRate:
    """A corrected share with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Correction:
    """Corrected shares of the verdicts; or why there are none."""

    rates: Mapping[str, CorrectedRate]
    """By verdict; {} where it was not corrected."""
    why_not: str
    """"" where it was corrected; else a sentence to print, such as "not corrected: no labels"."""
    n: int
    """Verdicts of the run that were corrected, judge errors left out."""
    labels: int
    """Labels that the matrix was estimated on."""
    matrix: tuple[tuple[float, ...], ...] = ()
    """P(judge says | truth), rows and columns as `VERDICTS`; a row of a class that does not occur is zeros."""

    @property
    def corrected(self) -> bool:
        """Whether there are corrected rates."""
        return not self.why_not

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def corrected_rates(
    verdicts: Mapping[str, str],
    pairs: Sequence[Pair],
    clusters: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
) -> Correction:
    """The shares of the three verdicts, corrected.

    Args:
        verdicts: what the judge says, by item: of one target, one set, one language. Judge errors are left out.
        pairs: labels beside the same judge's verdicts, of the SAME set and language (the caller chooses:
            `pairs_for`), weighted as they were sampled.
        clusters: item to question; items of one question are one draw. None: each item is its own.

    The interval: 2,000 resamples, each of the labels and of the run, by a Bayesian bootstrap over clusters (Rubin 1981:
    exponential weights, so no class ever vanishes) with `PRIOR` added to each cell; percentiles of the solutions.
    Labels that are of the run itself are resampled apart from it, which makes the interval, if anything, too wide.
    """
    said = {item: word for item, word in verdicts.items() if word != JUDGE_ERROR}
    labelled = [pair for pair in pairs if pair.said != JUDGE_ERROR]
    if not labelled or not said:
        why = NO_LABELS if not labelled else "not corrected: no verdicts"
        return Correction({}, why, len(said), len(labelled))
    by_cluster = cluster_matrices(labelled, VERDICTS)
    run = _run_counts(said, clusters or {})
    counts = cluster_matrices(labelled, VERDICTS, weighted=False).sum(axis=0).sum(axis=1)
    used = [
        place
        for place in range(len(VERDICTS))
        if counts[place] or run[:, place].any() or by_cluster[:, :, place].any()
    ]
    few = [place for place in used if counts[place] < LEAST_LABELS]
    if few:
        word, n = VERDICTS[few[0]], int(counts[few[0]])
        why = f"not corrected: labels that say {word!r}: {n}, at least {LEAST_LABELS} are needed"
        return Correction({}, why, len(said), len(labelled))
    cut = np.ix_(range(len(by_cluster)), used, used)
    joint = by_cluster[cut]
    matrix = _rows(joint.sum(axis=0)[None])
    smallest = float(np.linalg.svd(matrix[0], compute_uv=False)[-1])
    full = np.zeros((len(VERDICTS), len(VERDICTS)))
    full[np.ix_(used, used)] = matrix[0]
    shown = tuple(tuple(float(cell) for cell in row) for row in full)
    if smallest < NEARLY_SINGULAR:
        why = (
            "not corrected: the judge's verdicts hardly depend on the labels "
            f"(smallest singular value {smallest:.2f}, at least {NEARLY_SINGULAR} is needed)"
        )
        return Correction({}, why, len(said), len(labelled), shown)
    values = solve_on_simplex(matrix, _shares(run[:, used].sum(axis=0)[None]))[0]
    stratified = any(pair.weight != 1.0 for pair in labelled)
    unit = float(joint.sum()) / len(labelled)
    drawn = _resampled(joint, unit, run[:, used], resamples, stratified=stratified)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    rates: dict[str, CorrectedRate] = {word: CorrectedRate(0.0, 0.0, 0.0) for word in VERDICTS}
    rates |= {
        VERDICTS[place]: CorrectedRate(float(values[k]), float(low[k]), float(high[k]))
        for k, place in enumerate(used)
    }
    return Correction(rates, "", len(said), len(labelled), shown)


def pairs_for(pairs: Sequence[Pair], benchmark: str, language: str) -> list[Pair]:
    """Those of one set and one language: the only ones that a rate of that set and language may be corrected with."""
    return [pair for pair in pairs if pair.benchmark == benchmark and pair.language == language]


def _run_counts(said: Mapping[str, str], clusters: Mapping[str, str]) -> Matrix:
    """[clusters, verdict] counts of what the judge said."""
    place = {word: number for number, word in enumerate(VERDICTS)}
    rows: dict[tuple[bool, str], int] = {}
    cells = []
    for item, word in said.items():
        cluster = clusters.get(item, "")
        cells.append((rows.setdefault((bool(cluster), cluster or item), len(rows)), place[word]))  # type: ignore[index]
    counts = np.zeros((len(rows), len(VERDICTS)))
    for row, column in cells:
        counts[row, column] += 1.0
    return counts


def _resampled(joint: Matrix, unit: float, run: Matrix, resamples: int, *, stratified: bool) -> Matrix:
    """[R, k] solutions of resampled labels [C, k, k] and a resampled run [D, k]. The same input, the same draws.

    The prior is worth a label of average weight `unit`: the weights of a sample do not change what it weighs. Of a
    sample stratified by verdict the totals of the verdicts are known, and no resample changes them.
    """
    rng = np.random.Generator(np.random.Philox(key=make_key("safety correction")))
    k = joint.shape[1]
    labels = rng.exponential(size=(resamples, len(joint))) @ joint.reshape(len(joint), -1)
    labels += unit * rng.gamma(PRIOR, size=labels.shape)
    labels = labels.reshape(-1, k, k)
    if stratified:
        labels *= joint.sum(axis=(0, 1)) / labels.sum(axis=1, keepdims=True)
    shares = rng.exponential(size=(resamples, len(run))) @ run
    shares += rng.gamma(PRIOR, size=shares.shape)
    return solve_on_simplex(_rows(labels), _shares(shares))


def _rows(matrices: Matrix) -> Matrix:
    """[R, k, k] with rows that sum to one."""
    found: Matrix = matrices / matrices.sum(axis=2, keepdims=True)
    return found


def _shares(counts: Matrix) -> Matrix:
    """[R, k] that sum to one."""
    found: Matrix = counts / counts.sum(axis=1, keepdims=True)
    return found
