"""A keyed shuffle that is never stored: where position `i` goes is computed from the key alone."""

from __future__ import annotations

import hashlib

ROUNDS = 6
"""Our choice: four rounds of a Feistel network pass for random; tiny domains are better for two more."""
_MASK = (1 << 64) - 1


def make_key(*parts: object) -> int:
    """64 bits from the repr of plain values (numbers, strings)."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def permute(key: int, size: int, index: int) -> int:
    """Where `index` goes in the permutation of 0 … size-1 that `key` names. Constant time and memory.

    A balanced Feistel network over the next even number of bits, walked along its cycle until it lands inside
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"): fewer than four walks on average.
    """
    if not 0 <= index < size:
        raise IndexError(f"index {index} outside 0 … {size - 1}")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(ROUNDS):
            left, right = right, left ^ (_mix(key ^ _mix(turn << 56 | right)) & mask)
        index = left << half | right
        if index < size:
            return index


def _mix(value: int) -> int:
    """The splitmix64 finaliser (Steele, Lea and Flood 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31
