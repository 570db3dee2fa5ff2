"""The `paper` preset is the paper's, and its machinery (many updates a rollout, a reference model) runs and resumes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ahalab.pipeline.recipe import load_recipe
from ahalab.policy.load import load_policy
from ahalab.runs.readers import read_metrics, read_samples
from ahalab.stages import rl
from ahalab.stages.rl_config import PRESETS, RLConfig
from conftest import Aha
from proof_tools import start
from small_runs import events, hashes, interrupt_in_rollout, manifests, training_only, write_recipe

PAPER = {
    "updates_per_rollout": 16,
    "samples_per_prompt": 16,
    "clip_low": 10.0,
    "clip_high": 10.0,
    "kl_coefficient": 0.001,
    "learning_rate": 3e-6,
    "aggregate": "output",
    "advantage_scale": "std",
    "drop_zero_gradient_groups": False,
    "temperature": 1.0,
    "rewards": {"accuracy": 1.0, "format": 1.0},
    "accuracy_needs_format": False,
}


def config_of(name: str, **overrides: Any) -> RLConfig:
    config = load_recipe(name, overrides).stages["zero"].config
    assert isinstance(config, RLConfig)
    return config


def test_the_tiny_paper_recipe_resolves_to_the_papers_values() -> None:
    config = config_of("zero-paper-tiny")
    assert {key: getattr(config, key) for key in PAPER} == PAPER
    # Scaled, and still whole: every rollout serves 16 updates, and the reference is swapped on the way.
    assert config.steps % 16 == 0
    assert config.steps > config.reference_every
    assert config.reference_every % 16 == 0


def test_the_unscaled_preset_is_the_papers_in_full() -> None:
    config = RLConfig.model_validate({"preset": "paper", "prompts": [{"world": "math"}]})
    assert {key: getattr(config, key) for key in PAPER} == PAPER
    assert (config.steps, config.prompts_per_step, config.reference_every) == (10400, 32, 400)
    assert config.max_new_tokens == 32768
    # 32 questions of 16 outputs a step are 512 outputs, and 8,192 a rollout (the paper, R1-Zero).
    assert (config.outputs_per_step, config.batch_figures()["samples per rollout"]) == (512, 8192)


def test_a_preset_fills_only_what_was_left_out() -> None:
    config = config_of("zero-paper-tiny", **{"stages.zero.rl.kl_coefficient": 0.5})
    assert config.kl_coefficient == 0.5
    assert config.clip_low == PAPER["clip_low"]
    modern = config_of("zero-quickstart")
    assert (modern.updates_per_rollout, modern.kl_coefficient, modern.aggregate) == (1, 0.0, "token")
    assert modern.clip_high > modern.clip_low
    assert modern.drop_zero_gradient_groups
    assert PRESETS["modern"] == {}


def paper_recipe(folder: Path, base: Path, questions: Path, **settings: Any) -> Path:
    scaled = {
        "preset": "paper",
        "steps": 4,
        "updates_per_rollout": 2,
        "reference_every": 2,
        "checkpoint_every": 2,
        "prompts_per_step": 3,
        "samples_per_prompt": 4,
        "learning_rate": 1e-3,
        **settings,
    }
    return write_recipe(folder / "paper.yaml", training_only(base, questions, **scaled))


@pytest.fixture(scope="module")
def paper(trained_base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paper_recipe(tmp_path_factory.mktemp("recipes"), trained_base, questions)


@pytest.fixture(scope="module")
def calm(paper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    runs = tmp_path_factory.mktemp("calm")
    process = start(["run", str(paper), "--runs", str(runs)])
    text, _ = process.communicate()
    assert process.returncode == 0, text
    return runs / "small"


def test_two_updates_of_a_rollout_share_its_samples_and_its_old_logprobs(calm: Path) -> None:
    rows = list(read_metrics(calm / "stages" / "zero"))
    assert [(row["step"], row["rollout"]) for row in rows] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    # Half of the rollout's outputs each, all groups split at random: none goes to one update whole, as a rule.
    samples = list(read_samples(calm / "stages" / "zero"))
    assert Counter(sample["step"] for sample in samples) == {1: 12, 2: 12, 3: 12, 4: 12}
    steps_of = {
        prompt: {sample["step"] for sample in samples if (sample["rollout"], sample["prompt_id"]) == prompt}
        for prompt in {(sample["rollout"], sample["prompt_id"]) for sample in samples}
    }
    assert any(len(steps) == 2 for steps in steps_of.values())
    # Only the first update of a rollout sees the weights that drew the samples.
    assert [row["sampler_mismatch_max"] is None for row in rows] == [False, True, False, True]
    assert max(row["sampler_mismatch_max"] for row in rows[::2]) < 1e-4
    assert all(row["dropped_groups"] == 0 for row in rows)


def test_the_reference_is_the_policy_of_the_last_swap(calm: Path, trained_base: Path) -> None:
    assert [event["step"] for event in events(calm, "reference_swapped")] == [2]
    rows = list(read_metrics(calm / "stages" / "zero"))
    # Before the first update policy and reference are one model, and again right after a swap.
    kl = [row["kl"] for row in rows]
    assert kl[0] == pytest.approx(0.0, abs=1e-6)
    assert kl[1] > 1e-5
    assert kl[2] == pytest.approx(0.0, abs=1e-6)
    assert kl[3] > 1e-5
    final = calm / "stages" / "zero" / "checkpoint"
    weights, reference = (load_file(folder / "model.safetensors") for folder in (final, final / "reference"))
    base = load_file(trained_base / "model.safetensors")
    assert any(not torch.equal(reference[name], base[name]) for name in base)
    assert any(not torch.equal(reference[name], weights[name]) for name in base)
    assert load_policy(str(final)).name == str(final)


def test_the_reference_is_swapped_at_rollout_boundaries_only(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    # Due after 3 steps, in the middle of a rollout of 2: the swap waits for step 4, and the next for step 8.
    path = paper_recipe(tmp_path, trained_base, questions, steps=10, reference_every=3)
    assert aha("run", path, "--runs", tmp_path).code == 0
    assert [event["step"] for event in events(tmp_path / "small", "reference_swapped")] == [4, 8]


@pytest.fixture(scope="module")
def long_paper(trained_base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight steps with one swap: the last checkpoint but one holds a reference that is neither base nor policy."""
    folder = tmp_path_factory.mktemp("recipes")
    return paper_recipe(folder, trained_base, questions, steps=8, reference_every=4)


@pytest.fixture(scope="module")
def long_calm(long_paper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its undisturbed run."""
    runs = tmp_path_factory.mktemp("calm")
    process = start(["run", str(long_paper), "--runs", str(runs)])
    text, _ = process.communicate()
    assert process.returncode == 0, text
    return runs / "small"


@pytest.mark.parametrize("point", ["rollout:100", "checkpoint.after_rename:3"])
def test_a_killed_paper_run_ends_with_the_same_bytes_reference_included(
    aha: Aha, long_paper: Path, long_calm: Path, tmp_path: Path, point: str
) -> None:
    process = start(["run", str(long_paper), "--runs", str(tmp_path)], kill_at=point)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == -9, f"{point} was never reached:\n{text}"
    killed = tmp_path / "small" / "stages" / "zero.partial" / "checkpoints" / "step-000006"
    assert (killed / "reference" / "model.safetensors").is_file()
    done = aha("run", long_paper, "--runs", tmp_path)
    assert done.code == 0, done.err
    assert "going on from step 6" in done.err
    assert [event["step"] for event in events(tmp_path / "small", "reference_swapped")] == [4]
    assert hashes(tmp_path / "small") == hashes(long_calm)
    assert manifests(tmp_path / "small") == manifests(long_calm)
    assert "zero/checkpoint/reference/model.safetensors" in hashes(long_calm)


def test_the_paper_run_is_interrupted_only_between_rollouts(
    aha: Aha, long_paper: Path, long_calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rollout in (1, 3):
        with monkeypatch.context() as patch:
            interrupt_in_rollout(patch, rollout)
            done = aha("run", long_paper, "--runs", tmp_path)
        assert done.code == 130
        assert f"zero: saved at step {2 * rollout} of 8" in done.err
    assert aha("run", long_paper, "--runs", tmp_path).code == 0
    assert hashes(tmp_path / "small") == hashes(long_calm)


def test_the_bundled_paper_recipe_runs_on_a_small_base(aha: Aha, trained_base: Path, tmp_path: Path) -> None:
    settings = [
        "steps=16",
        "prompts_per_step=1",
        "samples_per_prompt=4",
        "max_new_tokens=24",
        "reference_every=16",
    ]
    options = [item for setting in settings for item in ("--set", f"stages.zero.rl.{setting}")]
    done = aha("run", "zero-paper-tiny", "--base", trained_base, "--runs", tmp_path, "--threads", 1, *options)
    assert done.code == 0, done.err
    rows = list(read_metrics(tmp_path / "zero-paper-tiny" / "stages" / "zero"))
    assert [row["step"] for row in rows] == list(range(1, 17))
    assert {row["rollout"] for row in rows} == {1}
    assert {row["learning_rate"] for row in rows} == {3e-6}
    assert manifests(tmp_path / "zero-paper-tiny")["zero"]["version"] == rl.VERSION


@pytest.mark.parametrize("updates", [1, 2])
def test_rounded_rollouts_are_weighed_by_importance(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path, updates: int
) -> None:
    recipe = training_only(
        trained_base,
        questions,
        steps=4,
        updates_per_rollout=updates,
        rollout_weights="int8",
        drop_zero_gradient_groups=False,
    )
    aha("run", write_recipe(tmp_path / "int8.yaml", recipe), "--runs", tmp_path / "runs", "--name", "int8")
    stage = tmp_path / "runs" / "int8" / "stages" / "zero"
    rows = list(read_metrics(stage))
    for row in rows[::updates]:
        # Rounded weights: further from the learner than fp32 is, and near it all the same.
        assert 1e-5 < row["sampler_mismatch_mean"] < 0.05
        assert row["importance"] == pytest.approx(1.0, abs=0.02)
        # The old log-probs are the learner's own.
        assert row["ratio_max"] == pytest.approx(1.0, abs=1e-4)
    if updates > 1:
        assert any(row["ratio_max"] > 1.0 + 1e-4 for row in rows[1::2])
