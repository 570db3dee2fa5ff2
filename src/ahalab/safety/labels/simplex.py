"""Solving q = Mᵀ p for shares p: within the simplex, exactly, for up to three classes and many problems at once."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_SINGULAR = 1e-9


def solve_on_simplex(matrices: Matrix, shares: Matrix) -> Matrix:
    """[R, k] p of least squares |Mᵀ p - q| with p ≥ 0 and sum 1, for matrices M [R, k, k] and shares q [R, k].

    Rows of M and q sum to one, so an exact solution sums to one too: where it lies in the simplex it is the answer.
    Else the answer lies on an edge (k ≤ 3), and the best of all edges is taken.

    Raises:
        ValueError: more than three classes.
    """
    size = matrices.shape[1]
    if size > 3:
        raise ValueError(f"up to three classes, not {size}")
    best = _on_edges(matrices, shares)
    sound = np.abs(np.linalg.det(matrices)) > _SINGULAR
    if sound.any():
        turned = np.swapaxes(matrices[sound], 1, 2)
        exact = np.linalg.solve(turned, shares[sound][:, :, None])[:, :, 0]
        inside = (exact >= -1e-12).all(axis=1)
        places = np.flatnonzero(sound)[inside]
        kept = np.clip(exact[inside], 0.0, 1.0)
        best[places] = kept / kept.sum(axis=1, keepdims=True)
    return best


def _on_edges(matrices: Matrix, shares: Matrix) -> Matrix:
    """The best point on an edge of the simplex: p = t e_i + (1 - t) e_j, t in 0 … 1, ends included."""
    size = matrices.shape[1]
    best = np.zeros_like(shares)
    if size == 1:
        return best + 1.0
    error = np.full(len(shares), np.inf)
    for i, j in combinations(range(size), 2):
        along = matrices[:, i] - matrices[:, j]
        length = np.maximum((along**2).sum(axis=1), 1e-300)
        t = np.clip((along * (shares - matrices[:, j])).sum(axis=1) / length, 0.0, 1.0)
        missed = ((matrices[:, j] + t[:, None] * along - shares) ** 2).sum(axis=1)
        better = missed < error
        error[better] = missed[better]
        best[better] = 0.0
        best[better, i], best[better, j] = t[better], 1.0 - t[better]
    return best
