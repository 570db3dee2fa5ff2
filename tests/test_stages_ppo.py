"""PPO as the `rl` stage's other algorithm: it learns, resumes to the byte, and leaves GRPO as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from ahalab.errors import UserError
from ahalab.policy.load import load_policy
from ahalab.stages.rl_config import RLConfig
from ahalab.validation import validate
from alignment_tools import Killed, kill_after_samples_of, left, metrics_of, rows_of, run

VALUE_METRICS = {"value_loss", "value_error", "explained_variance", "value_grad_norm", "value_learning_rate"}


@pytest.fixture(scope="module")
def threes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four questions whose answer is 3: the base says so one time in four."""
    path = tmp_path_factory.mktemp("data") / "threes.jsonl"
    lines = [json.dumps({"question": f"Say a digit, number {row}", "answer": "3"}) for row in range(4)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def config(questions: Path, **changes: Any) -> RLConfig:
    plain: dict[str, Any] = {
        "algorithm": "ppo",
        "gae_lambda": 0.95,
        "prompts": [{"file": str(questions)}],
        "steps": 4,
        "updates_per_rollout": 2,
        "prompts_per_step": 2,
        "samples_per_prompt": 4,
        "learning_rate": 1e-3,
        "checkpoint_every": 2,
        "max_new_tokens": 24,
        "max_rows": 32,
        "grader_workers": 1,
    }
    return validate(RLConfig, {**plain, **changes}, "ppo.yaml")


@pytest.fixture(scope="module")
def inputs(trained_base: Path) -> dict[str, str]:
    return {"from": str(trained_base)}


@pytest.fixture(scope="module")
def done(threes: Path, inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ppo")
    run(config(threes, kl_in_reward=0.05), folder, inputs)
    return folder


def test_policy_and_value_model_both_learn_and_are_saved(done: Path, trained_base: Path) -> None:
    rows = metrics_of(done)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert set(row) >= VALUE_METRICS
        assert row["dropped_groups"] == 0
        assert row["trained_outputs"] == 8
    # The head starts at zero: of the first rollout it says nothing, of the second it does.
    assert (rows[0]["value_mean"], rows[0]["explained_variance"]) == (0.0, 0.0)
    assert rows[2]["value_mean"] != 0.0
    base = load_file(trained_base / "model.safetensors")
    policy = load_file(done / "checkpoint" / "model.safetensors")
    critic = load_file(done / "checkpoint" / "critic" / "critic.safetensors")
    for learned, name in (
        (policy, "model.embed_tokens.weight"),
        (critic, "backbone.model.embed_tokens.weight"),
    ):
        assert not learned[name].equal(base["model.embed_tokens.weight"])
    assert load_policy(str(done / "checkpoint")).name


def test_a_kl_in_the_reward_keeps_a_reference_and_is_measured(done: Path) -> None:
    assert (done / "checkpoint" / "reference" / "model.safetensors").is_file()
    kl = [row["kl"] for row in metrics_of(done)]
    assert kl[0] == pytest.approx(0.0, abs=1e-6)
    assert kl[-1] > 0.0


def test_a_rollouts_advantages_are_one_a_token_and_the_log_shows_their_means(done: Path) -> None:
    rows = rows_of(done)
    assert all(row["advantage"] is not None for row in rows)
    # Normalised over all tokens of a rollout, not over a group.
    for rollout in (1, 2):
        mine = [row for row in rows if row["rollout"] == rollout]
        total = sum(row["advantage"] * row["tokens"] for row in mine)
        assert total / sum(row["tokens"] for row in mine) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("rollout", [1, 2])
def test_a_killed_run_ends_with_the_same_bytes_value_model_included(
    threes: Path,
    inputs: dict[str, str],
    done: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rollout: int,
) -> None:
    stage = config(threes, kl_in_reward=0.05)
    with monkeypatch.context() as patch:
        kill_after_samples_of(patch, rollout)
        with pytest.raises(Killed):
            run(stage, tmp_path, inputs)
    run(stage, tmp_path, inputs)
    assert left(tmp_path) == left(done)
    assert "checkpoint/critic/critic.safetensors" in left(done)


@pytest.mark.parametrize("gae_lambda", [0.95, 1.0])
def test_it_learns_a_toy(threes: Path, inputs: dict[str, str], tmp_path: Path, gae_lambda: float) -> None:
    stage = config(
        threes,
        gae_lambda=gae_lambda,
        steps=24,
        updates_per_rollout=1,
        prompts_per_step=4,
        samples_per_prompt=8,
        learning_rate=3e-3,
        checkpoint_every=24,
    )
    run(stage, tmp_path, inputs)
    rows = metrics_of(tmp_path)
    early, late = (sum(row["accuracy"] for row in part) / 4 for part in (rows[:4], rows[-4:]))
    print(f"lambda {gae_lambda}: accuracy {early:.2f} -> {late:.2f}")
    assert late > early + 0.3


@pytest.mark.parametrize(
    "changes", [{"gae_lambda": 0.95}, {"kl_in_reward": 0.1}, {"value_learning_rate": 1e-4}]
)
def test_what_only_ppo_has_is_refused_for_grpo(threes: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(changes))} is for `algorithm: ppo` only"):
        config(threes, **{"algorithm": "grpo", "gae_lambda": 1.0, **changes})
