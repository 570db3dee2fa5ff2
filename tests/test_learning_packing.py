"""Best-Fit decreasing and the packed row made of it."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ahalab.learning.packing import best_fit, pack

LENGTHS = st.lists(st.integers(1, 60), max_size=60)
CPU = torch.device("cpu")


@given(LENGTHS, st.integers(1, 80))
def test_every_index_is_packed_exactly_once(lengths: list[int], budget: int) -> None:
    packed = [index for chunk in best_fit(lengths, budget) for index in chunk]
    assert sorted(packed) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 80))
def test_no_chunk_exceeds_the_budget_unless_it_holds_one_segment(lengths: list[int], budget: int) -> None:
    for chunk in best_fit(lengths, budget):
        assert len(chunk) == 1 or sum(lengths[index] for index in chunk) <= budget


@given(LENGTHS, st.integers(1, 80))
def test_packing_is_best_fit_decreasing_as_done_by_a_plain_scan(lengths: list[int], budget: int) -> None:
    chunks: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        rooms = [budget - sum(lengths[i] for i in chunk) for chunk in chunks]
        fitting = [(room, chunk) for chunk, room in enumerate(rooms) if room >= lengths[index]]
        if fitting:
            chunks[min(fitting)[1]].append(index)
        else:
            chunks.append([index])
    assert best_fit(lengths, budget) == chunks


@given(LENGTHS, st.integers(1, 80))
def test_packing_depends_on_its_arguments_only(lengths: list[int], budget: int) -> None:
    assert best_fit(lengths, budget) == best_fit(list(lengths), budget)


def test_a_segment_goes_where_it_leaves_the_least_room() -> None:
    # 7 and 6 open chunks with 3 and 4 left; 4 fills the second exactly, 3 the first
    assert best_fit([3, 6, 4, 7], 10) == [[3, 0], [1, 2]]
    assert best_fit([12, 5, 5], 10) == [[0], [1, 2]]


@pytest.mark.parametrize(("lengths", "budget"), [([1], 0), ([0, 2], 5)])
def test_empty_segments_and_empty_budgets_are_refused(lengths: list[int], budget: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        best_fit(lengths, budget)


def test_a_packed_row_predicts_every_completion_token_from_the_position_before_it() -> None:
    (chunk,) = pack([([1, 2], [3, 4, 5]), ([6], [7])], 100, CPU)
    assert chunk.indices == [0, 1]
    assert chunk.tokens.tolist() == [1, 2, 3, 4, 6]  # last tokens predict nothing and are not fed
    assert chunk.lengths == [4, 1]
    assert chunk.positions.tolist() == [1, 2, 3, 4]
    assert chunk.targets.tolist() == [3, 4, 5, 7]
    assert chunk.counts == [3, 1]


def test_prompt_tokens_are_never_targets() -> None:
    sequences = [([100 + i] * (i + 1), [i] * (2 + i % 3)) for i in range(9)]
    for chunk in pack(sequences, 12, CPU):
        assert (chunk.targets < 100).all()
        assert len(chunk.targets) == sum(len(sequences[i][1]) for i in chunk.indices) == len(chunk.positions)


@pytest.mark.parametrize("sequence", [([], [1]), ([1], [])])
def test_empty_prompts_and_completions_are_refused(sequence: tuple[list[int], list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        pack([sequence], 10, CPU)


GROUPS = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=8), max_size=12)


@given(GROUPS, st.integers(1, 120), st.randoms())
def test_packed_chunks_keep_the_budget_and_every_sequence(
    groups: list[list[int]], budget: int, random: Any
) -> None:
    sequences = [([g + 1] * (g + 1), [1] * n) for g, lengths in enumerate(groups) for n in lengths]
    random.shuffle(sequences)
    chunks = pack(sequences, budget, CPU)
    assert sorted(index for chunk in chunks for index in chunk.indices) == list(range(len(sequences)))
    for chunk in chunks:
        assert len(chunk.tokens) == sum(chunk.lengths)
        assert len(chunk.tokens) <= budget or len(chunk.indices) == 1


def test_completions_of_one_prompt_share_a_chunk_where_the_budget_allows_it() -> None:
    # 4 prompts of 10 tokens with 4 completions each, of very different lengths; 90 tokens fit a whole group
    sequences = [([prompt] * 10, [0] * n) for n in (3, 40, 11, 1) for prompt in range(4)]
    chunks = pack(sequences, 100, CPU)
    assert len(chunks) == 4
    for chunk in chunks:
        assert len({tuple(sequences[index][0]) for index in chunk.indices}) == 1
