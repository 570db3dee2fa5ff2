"""Four verdicts on a pair, each order twice; and pairs whose lengths tell nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from ahalab.counter import make_key, uniform
from ahalab.records import PreferencePair, Prompt
from ahalab.teachers.balance import balance_lengths, length_figures
from ahalab.teachers.comparison import (
    CALLS,
    Comparison,
    compare_four,
    compare_many,
    position_bias,
    shown_orders,
)
from ahalab.teachers.protocol import Failure

PROMPT = Prompt("s/1", "Thank Anna.", None, "instructions", "s", "helpful")


class ScriptedJudge:
    """Compares by a function of (a, b, number of the call)."""

    name = "scripted"
    counts: Mapping[str, int] = {}
    traffic: Mapping[str, int] = {}

    def __init__(self, verdict: Callable[[str, str, int], int | Failure]) -> None:
        self._verdict = verdict
        self.asked: list[tuple[str, str, int]] = []

    def identity(self) -> dict[str, Any]:
        return {}

    def correctness(self, items: Sequence[tuple[Prompt, str, int]]) -> list[bool | Failure]:
        raise NotImplementedError

    def safe(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[bool | Failure]:
        raise NotImplementedError

    def compare(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[int | Failure]:
        self.asked += [(a, b, key) for _, a, b, key in items]
        return [self._verdict(a, b, number) for number, (_, a, b, _) in enumerate(items)]


def mean(outcome: Comparison | Failure) -> float:
    assert isinstance(outcome, Comparison)
    return outcome.mean


def test_the_mean_counts_for_x_whichever_was_shown_first() -> None:
    # By hand: shown-first verdicts 2, -1, 1, 0; y first in the 2nd and 4th → 2, 1, 1, 0 for x: mean 1.
    assert Comparison((2, -1, 1, 0), (False, True, False, True)).mean == 1.0
    assert Comparison((2, 2, -2, -2), (False, False, True, True)).mean == 2.0
    assert Comparison((1, 1, 1, 1), (False, True, True, False)).mean == 0.0


def test_a_judge_with_an_opinion_gives_it_in_either_order() -> None:
    judge = ScriptedJudge(lambda a, *_: 2 if a == "good" else -2)
    assert mean(compare_four(judge, PROMPT, "good", "bad", 1)) == 2.0
    assert mean(compare_four(judge, PROMPT, "bad", "good", 1)) == -2.0


def test_a_judge_that_only_minds_the_place_prefers_neither_and_is_found_out() -> None:
    judge = ScriptedJudge(lambda *_: 1)
    outcomes = [compare_four(judge, PROMPT, "x", "y", key) for key in range(20)]
    assert {mean(one) for one in outcomes} == {0.0}
    assert position_bias([one for one in outcomes if isinstance(one, Comparison)]) == 1.0
    assert position_bias([]) is None


def test_each_order_is_used_twice_and_which_is_first_is_random_by_the_key() -> None:
    orders = Counter(shown_orders(make_key("pair", number)) for number in range(3000))
    assert len(orders) == 6
    assert all(sum(order) == CALLS // 2 for order in orders)
    assert all(400 < count < 600 for count in orders.values())
    assert shown_orders(7) == shown_orders(7)


def test_the_four_calls_are_four_requests_and_many_pairs_are_one_batch() -> None:
    judge = ScriptedJudge(lambda *_: 0)
    alone = [compare_four(judge, PROMPT, "x", "y", key) for key in (1, 2)]
    asked = list(judge.asked)
    judge.asked.clear()
    assert compare_many(judge, [(PROMPT, "x", "y", 1), (PROMPT, "x", "y", 2)]) == alone
    assert judge.asked == asked
    assert len({key for *_, key in asked}) == 2 * CALLS


def test_one_failed_call_fails_its_pair_and_no_other() -> None:
    judge = ScriptedJudge(lambda _a, _b, number: Failure("no verdict") if number == 5 else 1)
    outcomes = compare_many(judge, [(PROMPT, "x", "y", key) for key in range(3)])
    assert [isinstance(one, Failure) for one in outcomes] == [False, True, False]


def pair(number: int, chosen: int, rejected: int, language: str = "en") -> PreferencePair:
    return PreferencePair(f"p/{number:05}", "q", "c" * chosen, "r" * rejected, "instructions", language, "s")


def test_length_figures_by_hand() -> None:
    figures = length_figures([pair(0, 10, 4), pair(1, 3, 5), pair(2, 7, 7), pair(3, 8, 7)])
    assert figures == {
        "pairs": 4, "chosen_length": 7.0, "rejected_length": 5.75, "mean_difference": 1.25, "chosen_longer": 2 / 3,
    }  # fmt: skip
    assert length_figures([])["mean_difference"] is None


def test_matched_by_hand() -> None:
    # Longer by 10, 5 and 40; shorter by 9: 10 matches 9, the others have no partner; equal lengths stay.
    pairs = [pair(0, 50, 40), pair(1, 45, 40), pair(2, 80, 40), pair(3, 40, 49), pair(4, 30, 30)]
    assert [one.id for one in balance_lengths([*pairs, *[pair(9, 200, 200)] * 1])] == [
        "p/00000",
        "p/00003",
        "p/00004",
        "p/00009",
    ]


def test_languages_are_matched_apart() -> None:
    assert balance_lengths([pair(0, 50, 40, "en"), pair(1, 40, 50, "zh")]) == []


@pytest.mark.parametrize("push", [0, 8, 25])
def test_lengths_tell_nothing_after_balancing(push: int) -> None:
    pairs = []
    for number in range(4000):
        chosen = int(40 + push + 60 * uniform(make_key("c", number), 0))
        rejected = int(40 + 60 * uniform(make_key("r", number), 0))
        pairs.append(pair(number, chosen, rejected, "zh" if number % 3 == 0 else "en"))
    kept = balance_lengths(pairs)
    figures = length_figures(kept)
    assert len(kept) > 800
    assert abs(float(figures["mean_difference"] or 0.0)) <= 0.01 * 80
    assert figures["chosen_longer"] == pytest.approx(0.5, abs=0.02)
    # At every size of difference, not only in the mean: a rule on length alone guesses no better than a coin.
    for low in (1, 10, 20, 30):
        sizes = [len(one.chosen) - len(one.rejected) for one in kept]
        signs = [size > 0 for size in sizes if low <= abs(size) < low + 10]
        if len(signs) > 100:
            assert sum(signs) / len(signs) == pytest.approx(0.5, abs=0.08)


def test_balancing_keeps_the_order_and_does_not_depend_on_it() -> None:
    pairs = [pair(n, 20 + n * 7 % 23, 20 + n * 5 % 19) for n in range(300)]
    kept = balance_lengths(pairs)
    assert [one.id for one in kept] == sorted(one.id for one in kept)
    assert {one.id for one in balance_lengths(pairs[::-1])} == {one.id for one in kept}


def test_one_sided_pairs_leave_nothing_but_equal_ones() -> None:
    assert balance_lengths([pair(0, 9, 1), pair(1, 5, 5), pair(2, 30, 2)]) == [pair(1, 5, 5)]
    assert balance_lengths([]) == []
