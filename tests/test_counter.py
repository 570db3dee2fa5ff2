"""Random numbers are a pure function of what they are for, and look random."""

from __future__ import annotations

import numpy as np
import pytest

from ahalab.counter import bits, permutation, row_key, uniform, uniforms


def keys_of(n: int) -> np.ndarray:
    return np.array([row_key(0, "zero", 3, f"world/{i // 8}", i % 8) for i in range(n)], dtype=np.uint64)


def test_splitmix64_gives_its_published_numbers() -> None:
    # First outputs of SplitMix64 with seed 1234567 (the reference implementation's test vector).
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert bits(np.full(4, 1234567, dtype=np.uint64), np.arange(4)).tolist() == expected


def test_the_scalar_form_gives_the_same_numbers() -> None:
    keys = keys_of(50)
    index = np.arange(50) * 977
    assert [uniform(int(key), int(i)) for key, i in zip(keys, index, strict=True)] == uniforms(
        keys, index
    ).tolist()


def test_a_rows_numbers_do_not_depend_on_its_company() -> None:
    keys = keys_of(64)
    index = np.arange(64) % 7
    together = uniforms(keys, index)
    order = np.random.default_rng(0).permutation(64)
    assert uniforms(keys[order], index[order]).tolist() == together[order].tolist()
    assert uniforms(keys[5:6], index[5:6])[0] == together[5]


def test_uniforms_lie_in_the_half_open_interval() -> None:
    numbers = uniforms(keys_of(200)[:, None], np.arange(500)[None, :])
    assert numbers.dtype == np.float64
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0


@pytest.mark.parametrize("along", ["tokens of a row", "rows at a token"])
def test_uniforms_are_uniform_and_uncorrelated(along: str) -> None:
    numbers = uniforms(keys_of(400)[:, None], np.arange(500)[None, :])
    if along == "rows at a token":
        numbers = numbers.T
    counts = np.bincount((numbers * 100).astype(int).ravel(), minlength=100)
    expected = numbers.size / 100
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert 55 < chi_square < 155  # 99 degrees of freedom: about one in 10,000 outside on either side
    for lag in (1, 2, 7):
        correlation = np.corrcoef(numbers[:, :-lag].ravel(), numbers[:, lag:].ravel())[0, 1]
        assert abs(correlation) < 4 / np.sqrt(numbers.size)


def test_every_part_of_a_key_matters_and_parts_cannot_run_together() -> None:
    parts = [
        (0, "a", 1, "p", 2),
        (1, "a", 1, "p", 2),
        (0, "b", 1, "p", 2),
        (0, "a", 2, "p", 2),
        (0, "a", 1, "q", 2),
        (0, "a", 1, "p", 3),
        (0, "a", 1, "p12", 2),
        (0, "a", 11, "p", 2),
        (0, 'a", 1, "p', 1, "p", 2),
        (0, "世界", 1, "p", 2),
    ]
    assert len({row_key(*part) for part in parts}) == len(parts)
    assert all(0 <= row_key(*part) < 2**64 for part in parts)


def test_keys_never_change() -> None:
    # Resuming a run of an older version depends on it.
    assert row_key(0, "zero", 1, "world/0123456789abcdef", 5) == 2925845502504158544
    assert permutation(11638427104377771962, 8) == [5, 2, 6, 4, 0, 3, 1, 7]


def test_permutations_are_complete_and_depend_on_the_key() -> None:
    for n in (0, 1, 2, 50):
        assert sorted(permutation(7, n)) == list(range(n))
    assert permutation(7, 50) == permutation(7, 50)
    assert permutation(7, 50) != permutation(8, 50)
    assert permutation(7, 50) != list(range(50))


def test_every_permutation_is_equally_likely() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for key in keys_of(2400):
        order = tuple(permutation(int(key), 4))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((n - 100) ** 2 / 100 for n in counts.values()) < 60  # 23 degrees of freedom, p about 4e-5
