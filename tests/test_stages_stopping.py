"""A run that is pointless ends itself: exit code 3, the reason, everything kept, and the same answer later."""

from __future__ import annotations

from pathlib import Path

import pytest

from ahalab.runs.readers import read_metrics, read_samples
from conftest import Aha
from small_runs import events, training_only, write_recipe


def test_a_base_that_never_ends_a_reply_is_warned_of_counted_and_stopped(
    aha: Aha, endless_base: Path, questions: Path, tmp_path: Path
) -> None:
    recipe = training_only(endless_base, questions, steps=50, stop={"dead_rollouts": 3})
    path = write_recipe(tmp_path / "small.yaml", recipe)
    done = aha("run", path, "--runs", tmp_path)
    assert done.code == 3, done.err
    assert "Traceback" not in done.err
    assert "warning: none of 8 samples ended by itself within max_new_tokens=24" in done.err
    assert "aha: zero stopped at step 3: no effective group in 3 rollouts" in done.err
    assert "every sample was cut at max_new_tokens" in done.err
    assert f"What came of it: {tmp_path / 'small' / 'report.html'}" in done.err
    assert done.out == ""

    stage = tmp_path / "small" / "stages" / "zero.partial"
    rows = list(read_metrics(stage))
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["truncated"] == 1.0 and row["format"] == 0.0 for row in rows)
    assert all(row["fault"] == "truncated" for row in read_samples(stage))
    assert [event["step"] for event in events(tmp_path / "small", "stopped")] == [3]
    page = (tmp_path / "small" / "report.html").read_text(encoding="utf-8")
    assert "every sample was cut at max_new_tokens" in page

    # Asked again, it says so again, and spends nothing on it.
    again = aha("run", path, "--runs", tmp_path)
    assert again.code == 3
    assert "zero stopped at step 3" in again.err
    assert [row["step"] for row in read_metrics(stage)] == [1, 2, 3]


def test_a_base_that_never_earns_a_reward_is_stopped_with_the_reason(
    aha: Aha, random_base: Path, tmp_path: Path
) -> None:
    recipe = training_only(random_base, {"world": "math"}, steps=50, stop={"dead_rollouts": 2})
    # A stop token within the limit: such a base ends now and then.
    recipe["stages"]["zero"]["rl"].update(max_new_tokens=200, samples_per_prompt=4)
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--runs", tmp_path)
    assert done.code == 3, done.err
    for part in ("accuracy", "format"):
        assert f"warning: none of 8 samples earned the {part} reward" in done.err
    assert "the run stops itself after 2 rollouts without an effective group" in done.err
    assert "no effective group in 2 rollouts: in each group all rewards are equal" in done.err
    assert "best accuracy so far 0.00" in done.err
    rows = list(read_metrics(tmp_path / "small" / "stages" / "zero.partial"))
    assert [row["effective_groups"] for row in rows] == [0, 0]
    assert rows[0]["dropped_groups"] == rows[0]["groups"] == 4


def test_a_run_that_is_dead_at_its_very_last_step_stays_stopped(
    aha: Aha, endless_base: Path, questions: Path, tmp_path: Path
) -> None:
    recipe = training_only(endless_base, questions, steps=2, stop={"dead_rollouts": 2})
    path = write_recipe(tmp_path / "small.yaml", recipe)
    assert [aha("run", path, "--runs", tmp_path).code for _ in range(2)] == [3, 3]
    assert not (tmp_path / "small" / "stages" / "zero").exists()


@pytest.mark.parametrize("drop", [True, False])
def test_groups_of_equal_rewards_change_no_weight(
    aha: Aha, endless_base: Path, questions: Path, tmp_path: Path, drop: bool
) -> None:
    recipe = training_only(endless_base, questions, steps=2, drop_zero_gradient_groups=drop)
    assert aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--runs", tmp_path).code == 0
    trained = tmp_path / "small" / "stages" / "zero" / "checkpoint" / "model.safetensors"
    assert trained.read_bytes() == (endless_base / "model.safetensors").read_bytes()
