"""Alignment RL: each type of prompt has its own rewards, general prompts only in the window; it resumes to the byte."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import RunStopped, UserError
from ahalab.stages import rl
from ahalab.stages.preference import Preferences
from alignment_tools import (
    FakeJudge,
    Killed,
    alignment,
    kill_after_samples_of,
    left,
    make_reward_model,
    metrics_of,
    rows_of,
    run,
    write_general,
)

Entries = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def general(tmp_path_factory: pytest.TempPathFactory) -> Entries:
    return write_general(tmp_path_factory.mktemp("general"))


@pytest.fixture(scope="module")
def inputs(trained_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    helpful = make_reward_model(folder / "helpful", trained_base, "pairwise")
    safety = make_reward_model(folder / "safety", trained_base, "pointwise", seed=2)
    return {
        "from": str(trained_base),
        "preference.helpful": str(helpful),
        "preference.safety": str(safety),
    }


@pytest.fixture(scope="module")
def done(
    questions: Path, general: Entries, inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("done")
    run(alignment(questions, general), folder, inputs)
    return folder


def test_general_prompts_are_sampled_in_the_window_only(done: Path) -> None:
    domains = [Counter(row["domain"] for row in rows_of(done) if row["rollout"] == n) for n in range(1, 7)]
    assert [set(counts) for counts in domains[:2]] == [{"general"}, {"general"}]
    inside = sum(domains[2:], Counter())
    # Three sources of weight 1: each has its third of 4 rollouts of 16 samples, to the prompt.
    assert set(inside) == {"general", "instructions", "other"}
    assert all(abs(count / 4 - 16 / 3) <= 1 for count in inside.values())
    assert [row["window"] for row in metrics_of(done)] == [False, False, True, True, True, True]


def test_the_stages_own_prompts_go_on_in_the_window_where_they_stood(done: Path) -> None:
    served: dict[str, int] = {}
    for row in rows_of(done):
        if row["domain"] == "general":
            served.setdefault(row["prompt_id"], row["rollout"])
    # 8 of 12 questions came before the window; the next ones in it are the other 4, before any comes again.
    assert sorted(served.values())[:8] == [1] * 4 + [2] * 4
    assert len(served) == 12
    assert all(rollout > 2 for rollout in sorted(served.values())[8:])


def test_each_type_of_prompt_has_the_rewards_of_its_type(done: Path) -> None:
    judge_of = {"general": "accuracy", "instructions": "helpful", "other": "safety"}
    for row in rows_of(done):
        parts, own = row["reward"], judge_of[row["domain"]]
        assert set(parts) == {"accuracy", "format", "helpful", "safety"}
        applying = {name for name, value in parts.items() if value is not None}
        assert applying == {own, "format"}
        assert 0.0 <= parts[own] <= 1.0
        if own == "accuracy":
            assert row["total"] == parts["format"] + (parts["accuracy"] if row["well_formed"] else 0.0)
        else:
            assert row["total"] == pytest.approx(parts[own] + parts["format"])
            assert row["correct"] is None


def test_metrics_tell_the_domains_apart_and_accuracy_is_of_reasoning_prompts_alone(done: Path) -> None:
    rows = rows_of(done)
    for metrics in metrics_of(done):
        mine = [row for row in rows if row["step"] == metrics["step"]]
        right = [row["correct"] for row in mine if row["domain"] == "general"]
        assert metrics["accuracy"] == pytest.approx(sum(right) / len(right))
        judged = [value for row in mine for name in ("helpful", "safety") if (value := row["reward"][name]) is not None]
        if metrics["window"]:
            assert metrics["accuracy/general"] == metrics["accuracy"]
            assert metrics["accuracy/instructions"] is None
            assert metrics["preference"] == pytest.approx(sum(judged) / len(judged))
        else:
            assert "accuracy/general" not in metrics
            assert metrics["preference"] is None
        assert metrics["preference_errors"] == 0


def test_the_finished_stage_names_its_preference(questions: Path, general: Entries, inputs: dict[str, str], tmp_path: Path) -> None:
    result = run(alignment(questions, general), tmp_path, inputs)
    assert {"steps", "accuracy", "format", "preference"} <= set(result.figures)
    assert result.reproducible


@pytest.mark.parametrize("rollout", [2, 3, 6])
def test_a_killed_run_ends_with_the_same_bytes(
    questions: Path,
    general: Entries,
    inputs: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    watched: Path,
    rollout: int,
) -> None:
    config = alignment(questions, general, hacking=WATCH)
    with monkeypatch.context() as patch:
        kill_after_samples_of(patch, rollout)
        with pytest.raises(Killed):
            run(config, tmp_path, inputs)
    run(config, tmp_path, inputs)
    assert left(tmp_path) == left(watched)


WATCH = {"every": 2, "prompts": 16, "temperature": 1.0}


@pytest.fixture(scope="module")
def watched(
    questions: Path, general: Entries, inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    run(alignment(questions, general, hacking=watching(questions, general)), folder, inputs)
    return folder
