"""The order prompts come in: exact shares, every prompt once an epoch, and a position that says it all."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.counter import make_key, permute
from ahalab.errors import UserError
from ahalab.prompts.mixture import Mixture, Schedule
from ahalab.records import Prompt


class Numbers:
    """`size` prompts (None: endless) called by their index; content repeats after `different`."""

    def __init__(self, name: str, size: int | None, different: int | None = None) -> None:
        self.name, self.size, self.different = name, size, different

    def prompt(self, index: int) -> Prompt:
        assert index >= 0
        assert self.size is None or index < self.size
        shown = index if self.different is None else index % self.different
        return Prompt(f"{self.name}/{shown}", f"{shown}?", str(shown), "math", self.name, "exact")


weights = st.lists(
    st.one_of(st.integers(1, 12), st.sampled_from([0.1, 0.25, 0.3, 1.5, 2.75])), min_size=1, max_size=9
)


@given(weights, st.integers(1, 700))
@settings(max_examples=60, deadline=None)
def test_every_source_is_always_less_than_one_prompt_from_its_share(shares: list[float], count: int) -> None:
    schedule = Schedule(shares)
    exact = [Fraction(str(share)) for share in shares]
    served = Counter[int]()
    for position in range(count):
        source, ordinal = schedule.at(position)
        assert ordinal == served[source]
        served[source] += 1
        for index, share in enumerate(exact):
            assert abs(served[index] - (position + 1) * share / sum(exact)) < 1


def test_serving_whichever_lags_most_would_not_keep_the_shares() -> None:
    """The reason for the deadlines: on these weights the simpler rule falls more than one prompt behind."""
    shares, period = (100, 100, 100, 100, 50, 8, 3, 2), 463

    def furthest(counts: list[list[int]]) -> Fraction:
        return max(
            abs(count - Fraction(share * slot, period))
            for slot, row in enumerate(counts, start=1)
            for share, count in zip(shares, row, strict=True)
        )

    greedy, ours = [[0] * 8], [[0] * 8]
    schedule = Schedule(shares)
    for slot in range(period):
        lags = [share * (slot + 1) - period * count for share, count in zip(shares, greedy[-1], strict=True)]
        for counts, source in ((greedy, lags.index(max(lags))), (ours, schedule.at(slot)[0])):
            counts.append([count + (index == source) for index, count in enumerate(counts[-1])])
    assert furthest(greedy[1:]) > 1
    assert furthest(ours[1:]) < 1


def test_equal_weights_take_turns_and_a_double_weight_comes_twice() -> None:
    assert [Schedule([1, 1, 1]).at(position)[0] for position in range(6)] == [0, 1, 2, 0, 1, 2]
    assert Counter(Schedule([1, 1, 2]).at(position)[0] for position in range(4)) == {0: 1, 1: 1, 2: 2}
    assert Schedule([0.1, 0.3]).shares == (1, 3)


@given(st.integers(0, 2**64 - 1), st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_the_permutation_is_bijective(key: int, size: int) -> None:
    assert sorted(permute(key, size, index) for index in range(size)) == list(range(size))


def test_the_permutation_shuffles() -> None:
    size = 1000
    order = [permute(make_key("a"), size, index) for index in range(size)]
    assert sum(index == place for index, place in enumerate(order)) < 10
    assert sum(after == before + 1 for before, after in pairwise(order)) < 10
    assert order != [permute(make_key("b"), size, index) for index in range(size)]
    # Over many keys, any place of a tiny source is equally likely to come first (expected 250, deviation 14).
    first = Counter(permute(make_key(key), 4, 0) for key in range(1000))
    assert all(180 < first[place] < 320 for place in range(4))


def test_the_permutation_refuses_an_index_outside() -> None:
    with pytest.raises(IndexError):
        permute(1, 5, 5)


def mixture(seed: int = 7) -> Mixture:
    return Mixture([Numbers("a", 30), Numbers("b", None), Numbers("c", 11)], [2, 1, 1], seed)


@given(st.integers(0, 400), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_resuming_from_any_position_equals_an_undisturbed_run(position: int, count: int) -> None:
    undisturbed = mixture()
    before = [undisturbed.prompt(place) for place in range(position)]
    assert len(before) == position
    assert undisturbed.take(position, count) == mixture().take(position, count)
    assert mixture().prompt(position) == undisturbed.prompt(position)


def test_a_take_is_the_prompts_of_its_positions_where_the_sources_are_big_enough() -> None:
    ours = mixture()
    for start in range(0, 200, 10):
        assert ours.take(start, 10) == [ours.prompt(position) for position in range(start, start + 10)]


def test_a_finite_source_is_asked_whole_once_an_epoch_and_each_epoch_in_another_order() -> None:
    ours = Mixture([Numbers("a", 25)], [1], 0)
    epochs = [[ours.prompt(epoch * 25 + place).id for place in range(25)] for epoch in range(4)]
    everything = {f"a/{index}" for index in range(25)}
    assert all(set(epoch) == everything for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_an_endless_source_is_read_in_its_own_order() -> None:
    ours = Mixture([Numbers("a", 5), Numbers("b", None)], [1, 1], 0)
    endless = [prompt.id for position in range(40) if (prompt := ours.prompt(position)).source == "b"]
    assert endless == [f"b/{index}" for index in range(20)]


def test_another_seed_is_another_order() -> None:
    assert [p.id for p in mixture(1).take(0, 12)] != [p.id for p in mixture(2).take(0, 12)]


@given(st.integers(1, 40), st.integers(0, 300))
@settings(max_examples=80, deadline=None)
def test_no_prompt_returns_before_half_of_its_source_has_passed(size: int, start: int) -> None:
    ours = Mixture([Numbers("a", size)], [1], 3)
    window = [ours.prompt(start + offset).id for offset in range(size // 2 + 1)]
    assert len(set(window)) == len(window)


@given(st.integers(1, 40), st.integers(0, 300), st.data())
@settings(max_examples=80, deadline=None)
def test_no_id_comes_twice_in_a_take_up_to_the_whole_source(
    size: int, start: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, size))
    ids = [prompt.id for prompt in Mixture([Numbers("a", size)], [1], 3).take(start, count)]
    assert len(ids) == len(set(ids)) == count


def test_a_repetitive_endless_source_still_gives_different_prompts() -> None:
    ours = Mixture([Numbers("a", None, different=9)], [1], 0)
    for start in range(20):
        assert len({prompt.id for prompt in ours.take(start, 9)}) == 9
    with pytest.raises(UserError, match="too few different prompts"):
        ours.take(0, 10)


def test_a_source_too_small_for_a_rollout_is_refused_beforehand_and_at_the_take() -> None:
    ours = Mixture([Numbers("a", 3), Numbers("b", None)], [1, 1], 0)
    ours.check_take(6)
    assert len(ours.take(0, 6)) == 6
    for refuse in (ours.check_take, lambda count: ours.take(0, count)):
        with pytest.raises(
            UserError, match=r"'a' has 3 prompts, and 4 different ones are wanted .*prompts_per_step"
        ):
            refuse(8)


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match=r"two prompt sources are called 'a'.*`name`"):
        Mixture([Numbers("a", 3), Numbers("a", 4)], [1, 1], 0)


def test_a_source_without_a_description_is_still_stated() -> None:
    assert mixture().describe()[1] == {"name": "b", "size": None, "weight": 1}
    assert mixture().skipped == {}
