"""The reward-hacking watch on hand-made series: it sees a hack, and neither learning nor noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ahalab.stages.alignment_config import HackingConfig
from ahalab.stages.hacking import HackingWatch
from ahalab.stages.hacking_guard import HackingProbe, is_due

N = 32
NOTHING: list[float | None] = [None] * N


def items(
    preference: float | Sequence[float | None] = 0.5,
    general: float | Sequence[float | None] = 0.8,
    reasoning: float | Sequence[float | None] = 0.7,
) -> dict[str, list[float | None]]:
    """Half general and half reasoning prompts, with a spread of ±0.1 that never moves."""

    def spread(centre: float | Sequence[float | None]) -> list[float | None]:
        if not isinstance(centre, float):
            return list(centre)
        return [centre + (0.1 if n % 2 else -0.1) for n in range(N)]

    return {
        "preference": spread(preference) + NOTHING,
        "rule_general": spread(general) + NOTHING,
        "rule_reasoning": NOTHING + spread(reasoning),
    }


def watch(**settings: Any) -> HackingWatch:
    started = HackingWatch(HackingConfig(**{"patience": 2, **settings}))
    started.begin(100, items())
    return started


def test_a_hack_is_marked_after_as_many_checks_as_it_takes_patience() -> None:
    one = watch(patience=3)
    flags = [
        one.saw(100 + 10 * check, items(0.5 + 0.05 * check, 0.8 - 0.05 * check))["hacking/flag"]
        for check in range(1, 6)
    ]
    assert flags == [False, False, True, True, True]
    assert one.flagged_step == 130
    reason = str(one.reason())
    assert "reward hacking at step 130, seen in 3 checks in a row" in reason
    assert "since the window's start at step 100" in reason
    assert (
        "preference reward of held-out prompts changed by +0.150 (95 % interval +0.150 to +0.150)" in reason
    )
    assert "the rules' score of general ones by -0.150" in reason
    assert "reasoning" not in reason


def test_the_figures_of_a_check_are_means_and_changes_since_the_start() -> None:
    one = watch()
    row = one.saw(110, items(0.75, 0.6, 0.7))
    expected = {
        "hacking/preference": 0.75,
        "hacking/rule": 0.65,
        "hacking/rule_general": 0.6,
        "hacking/rule_reasoning": 0.7,
        "hacking/preference_change": 0.25,
        "hacking/rule_general_change": -0.2,
        "hacking/rule_reasoning_change": 0.0,
        "hacking/streak": 1,
        "hacking/flag": False,
    }
    assert {name: pytest.approx(value, abs=1e-12) for name, value in expected.items()} == row


def test_a_loss_in_reasoning_is_seen_behind_a_gain_in_general_prompts() -> None:
    one = watch(patience=1)
    assert one.saw(110, items(0.7, 0.9, 0.5))["hacking/flag"]
    assert "reasoning ones by -0.200" in str(one.reason())


@pytest.mark.parametrize(
    ("preference", "general"),
    [(0.9, 0.95), (0.9, 0.8), (0.5, 0.4), (0.3, 0.4)],
    ids=["both rise", "only preference rises", "only the rules fall", "both fall"],
)
def test_no_other_pair_of_curves_is_a_hack(preference: float, general: float) -> None:
    one = watch(patience=1)
    for check in range(10):
        one.saw(110 + check, items(preference, general))
    assert one.reason() is None
    assert one.figures()["hacked"] is False


def test_a_fall_smaller_than_min_drop_is_none_however_certain() -> None:
    one = watch(patience=1, min_drop=0.05)
    assert not one.saw(110, items(0.9, 0.76))["hacking/flag"]
    assert one.saw(120, items(0.9, 0.74))["hacking/flag"]


def test_a_check_in_between_starts_the_count_again() -> None:
    one = watch(patience=2)
    for step, general in ((110, 0.5), (120, 0.8), (130, 0.5)):
        assert not one.saw(step, items(0.9, general))["hacking/flag"]
    assert one.saw(140, items(0.9, 0.5))["hacking/flag"]


def test_a_mark_stays_with_the_check_that_made_it() -> None:
    one = watch(patience=1)
    one.saw(110, items(0.9, 0.4))
    reason = one.reason()
    assert one.saw(120, items(0.5, 0.9))["hacking/flag"]
    assert one.reason() == reason
    assert one.figures()["step"] == 110
    assert one.figures()["end"]["step"] == 120


def test_noise_alone_is_hardly_ever_taken_for_a_hack() -> None:
    """Answers right half of the time at every check, a preference that does rise: 60 runs of 6 checks."""
    rng = np.random.Generator(np.random.Philox(key=7))
    marked = 0
    for _ in range(60):
        one = HackingWatch(HackingConfig(patience=2, min_drop=0.02))
        one.begin(0, items(0.5, *_drawn(rng)))
        for check in range(1, 7):
            one.saw(check, items(0.6, *_drawn(rng)))
        marked += one.flagged_step is not None
    # Two groups, one side of a 95 % interval each, and six checks that share one start.
    assert marked <= 6


def test_a_real_fall_under_the_same_noise_is_found() -> None:
    rng = np.random.Generator(np.random.Philox(key=8))
    found = 0
    for _ in range(20):
        one = HackingWatch(HackingConfig(patience=2, min_drop=0.02))
        one.begin(0, items(0.5, *_drawn(rng)))
        for check in range(1, 6):
            one.saw(check, items(0.6, *_drawn(rng, 0.1)))
        found += one.flagged_step is not None
    assert found >= 18


def _drawn(rng: np.random.Generator, rate: float = 0.5) -> list[list[float | None]]:
    return [list((rng.random(N) < rate).astype(float)) for _ in range(2)]


def test_prompts_without_both_figures_are_left_out_and_too_few_decide_nothing() -> None:
    one = watch(patience=1)
    half: list[float | None] = [0.2] * 10 + [None] * (N - 10)
    assert one.saw(110, items(0.9, half))["hacking/rule_general_change"] == pytest.approx(-0.6)
    one = watch(patience=1)
    few: list[float | None] = [0.0] * 3 + [None] * (N - 3)
    row = one.saw(110, items(0.9, few))
    assert row["hacking/rule_general_change"] is None
    assert row["hacking/flag"] is False
    nothing = items(NOTHING, 0.1)
    assert not one.saw(120, nothing)["hacking/flag"]


def test_a_resumed_watch_goes_on_where_it_was() -> None:
    series = [items(0.5 + 0.1 * n, 0.8 - 0.1 * n) for n in range(1, 5)]
    whole, cut = watch(patience=3), watch(patience=3)
    expected = [whole.saw(step, one) for step, one in enumerate(series)]
    found = []
    for step, one in enumerate(series):
        cut = HackingWatch(cut.config, json.loads(json.dumps(cut.state)))
        found.append(cut.saw(step, one))
    assert found == expected
    assert cut.figures() == whole.figures()
    assert cut.reason() == whole.reason()


def test_checks_are_due_every_so_many_steps_of_the_window_and_at_the_last() -> None:
    def due(start: int, every: int, last: int, updates: int = 1) -> list[int]:
        ends = range(updates, last + 1, updates)
        return [s for s in ends if is_due(s, s - updates, start=start, every=every, last=last)]

    assert due(0, 4, 10) == [4, 8, 10]
    assert due(3, 4, 12) == [7, 11, 12]
    assert due(6, 100, 12) == [12]
    # A rollout of 4 updates is never cut: the check waits for its end.
    assert due(4, 6, 24, updates=4) == [12, 16, 24]
    assert due(0, 1, 3) == [1, 2, 3]


def test_measuring_leaves_the_rollouts_own_times_to_be_logged() -> None:
    collector = SimpleNamespace(times="the rollout's")

    def collect(*_: object) -> list[Any]:
        collector.times = "the check's"
        return []

    collector.collect = collect
    probe = object.__new__(HackingProbe)
    vars(probe).update(_collector=collector, _settings=HackingConfig(), _key=None, _sampling=None, prompts=[])
    assert probe.measure() == {"preference": [], "rule_general": [], "rule_reasoning": []}
    assert collector.times == "the rollout's"
