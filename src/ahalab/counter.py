"""Counter-based random numbers: a pure function of what a number is for, with no state to save or to lose.

The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) read at
an index instead of stepped, its seed being a hash of (run seed, stage, rollout, prompt id, sample index).
So a token's uniform does not depend on the batch the row sat in, its position there, or what ran before.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = 0xFFFFFFFFFFFFFFFF


def make_key(*parts: object) -> int:
    """64 bits that stand for `parts` (numbers and names; none may contain U+001F, which keeps them apart)."""
    digest = blake2b("\x1f".join(map(str, parts)).encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def row_key(seed: int, stage: str, rollout: int, prompt_id: str, sample: int) -> int:
    """The 64-bit key of one sampled row."""
    return make_key(seed, stage, rollout, prompt_id, sample)


def bits(keys: npt.NDArray[np.uint64], index: npt.NDArray[np.integer]) -> npt.NDArray[np.uint64]:
    """64 random bits for each (key, index). Both are [B] or broadcast to it; `index` counts from 0."""
    state = np.asarray(keys, dtype=np.uint64) + (
        np.asarray(index).astype(np.uint64) + np.uint64(1)
    ) * np.uint64(_GOLDEN)
    state ^= state >> np.uint64(30)
    state *= np.uint64(_MIX_1)
    state ^= state >> np.uint64(27)
    state *= np.uint64(_MIX_2)
    state ^= state >> np.uint64(31)
    return state


def uniforms(keys: npt.NDArray[np.uint64], token_index: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """One uniform in [0, 1) for each (key, token index), float64 with 53 random bits, [B]."""
    return (bits(keys, token_index) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(key: int, token_index: int) -> float:
    """The scalar form of `uniforms`: the same number from plain Python integers."""
    return (_mixed(key + token_index * _GOLDEN) >> 11) * 2.0**-53


def _mixed(value: int) -> int:
    state = (value + _GOLDEN) & _MASK
    state = ((state ^ (state >> 30)) * _MIX_1) & _MASK
    state = ((state ^ (state >> 27)) * _MIX_2) & _MASK
    return state ^ (state >> 31)


def permutation(key: int, n: int) -> list[int]:
    """A shuffle of 0 … n-1 that depends on (key, n) only: the order of n counter-based 64-bit numbers."""
    numbers = bits(np.full(n, key & _MASK, dtype=np.uint64), np.arange(n))
    order: list[int] = np.argsort(numbers, kind="stable").tolist()
    return order


FEISTEL_ROUNDS = 6
"""Our choice: four rounds of a Feistel network pass for random; tiny domains are better for two more."""


def permute(key: int, size: int, index: int) -> int:
    """Where `index` goes in the permutation of 0 … size-1 that `key` names, never stored: constant time and memory.

    A balanced Feistel network over the next even number of bits, walked along its cycle until it lands inside
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"): fewer than four walks on average.

    Raises:
        IndexError: `index` outside the domain.
    """
    if not 0 <= index < size:
        raise IndexError(f"index {index} outside 0 … {size - 1}")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(FEISTEL_ROUNDS):
            left, right = right, left ^ (_mixed(key ^ _mixed(turn << 56 | right)) & mask)
        index = left << half | right
        if index < size:
            return index
