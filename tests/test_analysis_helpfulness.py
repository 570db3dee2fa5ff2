"""Do reflections help: hand-worked tables, among them one where the raw comparison has the wrong sign."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ahalab.analysis.helpfulness import (
    bootstrap_mean,
    mantel_haenszel,
    measure_help,
    tokens_by_difficulty,
    within_prompts,
)
from ahalab.analysis.tally import Cell, Seen, Tally
from ahalab.evaluation.estimators import bootstrap


def answers(
    prompt: str,
    right: int,
    wrong: int,
    *,
    reflecting: bool,
    step: int = 0,
    level: str = "1",
    tokens: int = 10,
) -> list[Seen]:
    words = {"wait": 1} if reflecting else {}
    return [Seen(step, prompt, i < right, tokens, words, level) for i in range(right + wrong)]


def tally(*groups: list[Seen]) -> Tally:
    found = Tally()
    for group in groups:
        for sample in group:
            found.add(sample)
    return found


def simpson() -> Tally:
    """Reflecting adds 0.25 at either level, and is used where it is hard: raw it looks harmful."""
    groups = []
    for i in range(8):
        # Easy: 12 of 16 right without, 4 of 4 with. Hard: 1 of 4 without, 8 of 16 with.
        groups += [
            answers(f"easy{i}", 12, 4, reflecting=False), answers(f"easy{i}", 4, 0, reflecting=True),
            answers(f"hard{i}", 1, 3, reflecting=False, level="2"),
            answers(f"hard{i}", 8, 8, reflecting=True, level="2"),
        ]  # fmt: skip
    return tally(*groups)


def test_matching_turns_the_sign_that_difficulty_gave() -> None:
    found = measure_help(simpson())
    assert (found.raw.accuracy_without, found.raw.accuracy_reflecting) == (13 / 20, 12 / 20)
    assert found.raw.difference == pytest.approx(-0.05)
    assert found.levels["1"].difference == pytest.approx(0.25)
    assert found.levels["2"].difference == pytest.approx(0.25)
    assert found.by_level == pytest.approx(0.25)
    assert found.within_prompts is not None
    assert found.within_prompts.value == pytest.approx(0.25)
    assert (found.within_prompts.n, found.groups) == (16, 16)
    assert found.turned


def test_mantel_haenszel_by_hand() -> None:
    """Weights 2·2/4 = 1 and 1·3/4; differences 1/2 and −1/3; a stratum of one kind says nothing."""
    strata = [Cell([2, 2], [1, 2]), Cell([1, 3], [1, 2]), Cell([5, 0], [5, 0])]
    assert mantel_haenszel(strata) == pytest.approx((1 * 0.5 - 0.75 / 3) / 1.75)
    assert mantel_haenszel([Cell([5, 0], [1, 0])]) is None


def test_steps_are_matched_too() -> None:
    """A model that learns: later it reflects more and is right more often, but reflecting changes nothing."""
    found = measure_help(
        tally(
            answers("a", 1, 7, reflecting=False, step=0),
            answers("a", 0, 0, reflecting=True, step=0),
            answers("b", 1, 1, reflecting=False, step=1),
            answers("b", 3, 3, reflecting=True, step=1),
        )
    )
    assert found.raw.difference == pytest.approx(3 / 6 - 2 / 10)
    assert found.by_level == pytest.approx(0)


def test_a_prompt_is_the_mean_of_its_groups_and_groups_of_one_kind_are_left_out() -> None:
    groups = tally(
        answers("a", 1, 1, reflecting=False), answers("a", 2, 0, reflecting=True),
        answers("a", 1, 0, reflecting=False, step=1), answers("a", 0, 3, reflecting=True, step=1),
        answers("b", 0, 1, reflecting=False), answers("b", 1, 0, reflecting=True),
        answers("c", 4, 0, reflecting=True),
        answers("d", 4, 0, reflecting=False, step=1), answers("d", 0, 4, reflecting=True, step=2),
    ).groups  # fmt: skip
    figure, pairs = within_prompts(groups)
    assert figure is not None
    assert figure.value == pytest.approx(((0.5 - 1) / 2 + 1) / 2)
    assert (figure.n, pairs, figure.low) == (2, 3, None), "two prompts have no interval"


def test_the_bootstrap_is_that_of_the_evaluations() -> None:
    draw = random.Random(3)
    values = [draw.choice([-1.0, -0.5, 0.0, 0.25, 1.0]) for _ in range(200)]
    mine, other = bootstrap_mean(Counter(values)), bootstrap(values, 1)
    assert mine is not None
    assert mine.value == pytest.approx(other.value)
    assert mine.low == pytest.approx(other.low, abs=0.02)
    assert mine.high == pytest.approx(other.high, abs=0.02)
    assert bootstrap_mean(Counter(values)) == mine, "the draws are fixed"
    assert bootstrap_mean(Counter()) is None


def test_nine_in_ten_and_more_intervals_hold_the_truth() -> None:
    """300 runs of 60 prompts whose difference is 0.2 on average: 95 % is 285 ± 4."""
    draw = random.Random(5)
    held = 0
    for _ in range(300):
        values = Counter(draw.choice([-0.5, 0.0, 0.25, 0.5, 0.75]) for _ in range(60))
        figure = bootstrap_mean(values)
        assert figure is not None
        assert figure.low is not None
        assert figure.high is not None
        held += figure.low <= 0.2 <= figure.high
    assert 0.92 <= held / 300 <= 0.98


def test_tokens_of_right_answers_by_difficulty_by_hand() -> None:
    groups = [answers(f"e{i}", 4, 0, reflecting=False, tokens=10 + i) for i in range(5)]
    groups += [answers(f"h{i}", 1, 3, reflecting=True, tokens=90) for i in range(5)]
    groups += [answers(f"few{i}", 3, 1, reflecting=True, tokens=1000) for i in range(4)]
    groups += [answers("alone", 1, 0, reflecting=True, tokens=5000)]
    found = tokens_by_difficulty(tally(*groups).groups, {0})
    assert {name: (figure.value, figure.n) for name, figure in found.items()} == {
        "1": (12.0, 5),
        "0.25 to 0.5": (90.0, 5),
    }
    assert tokens_by_difficulty(tally(*groups).groups, {1}) == {}


def test_ungraded_answers_and_scores_of_other_kinds_are_compared_with_nothing() -> None:
    found = Tally()
    found.add(Seen(0, "a", None, 5, {"wait": 2}))
    found.add_row(
        {"domain": "safety", "correct": 1.0, "reflective": {"wait": 1}, "tokens": 4, "prompt_id": "s"}, 0
    )
    helps = measure_help(found)
    assert (helps.raw.without, helps.raw.reflecting, helps.raw.difference) == (0, 0, None)
    assert found.over(side="not graded").occurrences == 3
