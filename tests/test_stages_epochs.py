"""The cosine on hand-made numbers, and epochs in which every row comes exactly once."""

from __future__ import annotations

import math

import pytest

from ahalab.stages.epochs import cosine_rate, epoch_batches


def test_the_cosine_goes_from_the_papers_5e_5_to_5e_6() -> None:
    rates = [cosine_rate(step, 5, 5e-5, 5e-6, 0) for step in range(5)]
    # cos of 0, 45, 90, 135 and 180 degrees
    root = math.sqrt(0.5)
    shares = [1.0, (1 + root) / 2, 0.5, (1 - root) / 2, 0.0]
    assert rates == pytest.approx([5e-6 + 4.5e-5 * share for share in shares], rel=1e-12)


def test_the_warm_up_rises_evenly_to_the_peak_and_the_last_update_has_the_floor() -> None:
    rates = [cosine_rate(step, 6, 1.0, 0.1, 3) for step in range(6)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.55, 0.1])


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 5), (3, 10), (2, 2), (2, 1)])
def test_few_steps_and_long_warm_ups_stay_within_the_peak(steps: int, warmup: int) -> None:
    rates = [cosine_rate(step, steps, 1.0, 0.1, warmup) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    if warmup == 0:
        assert rates[0] == 1.0


@pytest.mark.parametrize("step", [-1, 4])
def test_a_step_outside_the_run_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="0 … 3"):
        cosine_rate(step, 4, 1.0, 0.1, 0)


def test_every_epoch_sees_every_row_once_in_an_order_of_its_own() -> None:
    batches = epoch_batches(10, 4, 3, key=5)
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    epochs = [[row for batch in batches[start : start + 3] for row in batch] for start in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_depends_on_the_key_alone_and_earlier_epochs_not_on_later() -> None:
    assert epoch_batches(10, 4, 3, key=5) == epoch_batches(10, 4, 3, key=5)
    assert epoch_batches(10, 4, 2, key=5) == epoch_batches(10, 4, 3, key=5)[:6]
    assert epoch_batches(10, 4, 3, key=6) != epoch_batches(10, 4, 3, key=5)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        epoch_batches(0, 4, 1, key=0)
