"""Choosing cases: the smallest set that exposes what all cases expose, and further ones that differ."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.datatools.testcases.cover import Cover, smallest_cover
from ahalab.datatools.testcases.selection import Candidate, most_different, select

CASES = st.lists(st.frozensets(st.integers(0, 9), max_size=5), min_size=1, max_size=12)


def exposed(cases: list[frozenset[int]], chosen: tuple[int, ...]) -> frozenset[int]:
    return frozenset().union(*(cases[place] for place in chosen))


def by_trying_all(cases: list[frozenset[int]]) -> int:
    """The size of the smallest cover, by trying every set of cases."""
    everything = frozenset().union(*cases)
    return next(
        size
        for size in range(len(cases) + 1)
        for chosen in combinations(range(len(cases)), size)
        if exposed(cases, chosen) == everything
    )


def test_a_hand_made_problem_keeps_its_known_smallest_set() -> None:
    # Greedy takes the case of four first and then needs two more; two cases are enough.
    cases = [{0, 1, 2, 3}, {0, 1, 4}, {2, 3, 5}]
    assert smallest_cover(cases, [1, 1, 1]) == Cover((1, 2), True, 2)


def test_of_equally_useful_cases_the_shorter_is_kept() -> None:
    assert smallest_cover([{0, 1}, {0, 1}, {0}], [9, 4, 1]).chosen == (1,)


def test_no_case_that_exposes_anything_gives_an_empty_cover() -> None:
    assert smallest_cover([set(), set()], [1, 1]) == Cover((), True, 0)


def test_forced_cases_stay_and_count() -> None:
    cover = smallest_cover([{0}, {0, 1}, {2}], [1, 1, 1], forced=[0])
    assert cover == Cover((0, 1, 2), True, 3)


@given(CASES)
@settings(max_examples=200, deadline=None)
def test_the_kept_subset_exposes_everything_that_the_full_set_exposed_and_none_is_smaller(
    cases: list[frozenset[int]],
) -> None:
    cover = smallest_cover(cases, [1] * len(cases))
    assert exposed(cases, cover.chosen) == frozenset().union(*cases)
    assert cover.exact
    assert len(cover.chosen) == cover.at_least == by_trying_all(cases)


@given(CASES)
@settings(max_examples=200, deadline=None)
def test_without_a_search_the_greedy_cover_keeps_its_bound_and_its_lower_bound_is_true(
    cases: list[frozenset[int]],
) -> None:
    cover = smallest_cover(cases, [1] * len(cases), most_nodes=0)
    smallest = by_trying_all(cases)
    largest = max(map(len, cases))
    assert exposed(cases, cover.chosen) == frozenset().union(*cases)
    assert len(cover.chosen) <= sum(1 / size for size in range(1, largest + 1)) * smallest
    assert cover.at_least <= smallest
    assert cover.exact == (len(cover.chosen) == cover.at_least)


def test_a_large_problem_ends_soon_and_says_what_is_proven() -> None:
    # Points of a projective plane of order 11 (133 lines of 12 points): hard to prove, easy to cover.
    cases = projective_plane(11)
    cover = smallest_cover(cases, [1] * len(cases), most_nodes=200)
    assert exposed(cases, cover.chosen) == frozenset(range(133))
    assert 12 <= cover.at_least <= len(cover.chosen) <= math.ceil(12 * sum(1 / k for k in range(1, 13)))


def projective_plane(order: int) -> list[frozenset[int]]:
    points = [(1, a, b) for a in range(order) for b in range(order)]
    points += [(0, 1, a) for a in range(order)] + [(0, 0, 1)]
    return [
        frozenset(
            number
            for number, point in enumerate(points)
            if sum(x * y for x, y in zip(line, point, strict=True)) % order == 0
        )
        for line in points
    ]


def candidate(*exposes: int, origin: str = "generator 0", size: int = 1, output: str = "") -> Candidate:
    return Candidate(frozenset(exposes), origin, size, output)


def test_further_cases_come_beyond_the_smallest_set() -> None:
    cases = [candidate(0, 1), candidate(0), candidate(1, origin="generator 1"), candidate()]
    selection = select(cases, further=1, without_wrong=5)
    assert selection.kept == ((0, "exposes"), (2, "further"))
    assert (selection.method, selection.cover, selection.at_least) == ("exact", 1, 1)


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (3, 3), (9, 4)])
def test_without_an_exposed_submission_so_many_different_cases_stay_and_at_least_one(
    count: int, kept: int
) -> None:
    cases = [candidate(size=size) for size in (1, 2, 3, 4)]
    selection = select(cases, further=0, without_wrong=count)
    assert selection.method == "none"
    assert len(selection.kept) == kept


def test_cases_that_differ_come_from_other_generators_with_other_outputs_and_lengths() -> None:
    cases = [
        candidate(origin="a", size=10, output="x"),
        candidate(origin="a", size=10_000, output="x"),
        candidate(origin="a", size=9_000, output="x"),
        candidate(origin="b", size=10, output="y"),
    ]
    assert most_different(cases, (), 3) == [1, 3, 0]


def test_given_tests_that_must_stay_are_part_of_the_set() -> None:
    cases = [Candidate(frozenset(), "tests", 1, "", forced=True), candidate(0)]
    assert select(cases, 0, 5).kept == ((0, "given"), (1, "exposes"))
