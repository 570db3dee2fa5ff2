"""Token-budget packing: outputs of different lengths side by side in one row, without padding.

The paper packs with Best-Fit into fixed-length chunks (appendix B.1, Training). Here a chunk is at most the
budget and needs no filling up, since attention runs per segment.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def best_fit(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Best-Fit decreasing: chunks of indices into `lengths`, every index in exactly one chunk.

    Longest first; each goes to the chunk it leaves the least room in (the earliest of equals), or opens a new
    one. No chunk exceeds `budget` tokens, except that a segment longer than the budget is alone in its chunk.
    Deterministic: depends on the arguments only. Raises ValueError for a length or a budget below 1.
    """
    if budget < 1:
        raise ValueError(f"the token budget of a chunk must be at least 1, got {budget}")
    if any(length < 1 for length in lengths):
        raise ValueError("every segment needs at least one token")
    chunks: list[list[int]] = []
    open_chunks: list[tuple[int, int]] = []  # (room left, chunk), sorted
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        place = bisect_left(open_chunks, (length, -1))
        if place < len(open_chunks):
            room, chunk = open_chunks.pop(place)
            chunks[chunk].append(index)
        else:
            room, chunk = budget, len(chunks)
            chunks.append([index])
        if room > length:
            insort(open_chunks, (room - length, chunk))
    return chunks


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """S sequences in one row of T tokens, N of whose positions predict a completion token."""

    indices: list[int]
    """[S] which sequences, in packed order."""
    tokens: Tensor
    """[T] int64. A sequence's last token is left out: it predicts nothing."""
    lengths: list[int]
    """[S] tokens of each segment, sum T."""
    positions: Tensor
    """[N] int64 into T: the position before each completion token."""
    targets: Tensor
    """[N] int64: the completion tokens."""
    counts: list[int]
    """[S] completion tokens of each segment, sum N."""


def pack(
    sequences: Sequence[tuple[Sequence[int], Sequence[int]]], budget: int, device: torch.device
) -> list[PackedChunk]:
    """Chunks of (prompt ids, completion ids) pairs, of at most `budget` fed tokens (see `best_fit`).

    Completions of one prompt stay together where the budget allows it: `packed_hidden` runs what segments
    have in common once. Only completion tokens become targets, so nothing about a prompt's own tokens can reach
    a loss. Raises ValueError for an empty prompt or completion.
    """
    if any(not prompt or not completion for prompt, completion in sequences):
        raise ValueError("a sequence needs at least one prompt token and one completion token")
    fed = [len(prompt) + len(completion) - 1 for prompt, completion in sequences]
    chunks = []
    for indices in _best_fit_by_prompt([tuple(prompt) for prompt, _ in sequences], fed, budget):
        tokens: list[int] = []
        positions: list[int] = []
        targets: list[int] = []
        for index in indices:
            prompt, completion = sequences[index]
            first = len(tokens) + len(prompt) - 1
            positions.extend(range(first, first + len(completion)))
            targets.extend(completion)
            tokens.extend(prompt)
            tokens.extend(completion[:-1])
        chunks.append(
            PackedChunk(
                indices=indices,
                tokens=torch.tensor(tokens, dtype=torch.int64, device=device),
                lengths=[fed[index] for index in indices],
                positions=torch.tensor(positions, dtype=torch.int64, device=device),
                targets=torch.tensor(targets, dtype=torch.int64, device=device),
                counts=[len(sequences[index][1]) for index in indices],
            )
        )
    return chunks


def _best_fit_by_prompt(
    prompts: Sequence[tuple[int, ...]], lengths: Sequence[int], budget: int
) -> list[list[int]]:
    """Best-Fit twice: each prompt's segments into pieces within the budget, then the pieces into chunks."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(index)
    pieces = [
        [group[place] for place in piece]
        for group in groups.values()
        for piece in best_fit([lengths[index] for index in group], budget)
    ]
    sizes = [sum(lengths[index] for index in piece) for piece in pieces]
    return [[index for piece in chunk for index in pieces[piece]] for chunk in best_fit(sizes, budget)]
