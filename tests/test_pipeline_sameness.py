"""The two promises on sameness, on whole runs of the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.readers import read_metrics, read_samples
from conftest import Aha
from small_runs import hashes, manifests, small_recipe, training_only, write_recipe


@pytest.fixture(scope="module")
def recipe(trained_base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    return write_recipe(folder / "small.yaml", small_recipe(trained_base, questions))


def run(aha: Aha, recipe: Path, runs: Path, name: str, *options: object) -> Path:
    done = aha("run", recipe, "--runs", runs, "--name", name, "--no-reuse", *options)
    assert done.code == 0, done.err
    return runs / name


def test_two_runs_with_the_same_seed_leave_the_same_bytes_and_another_seed_others(
    aha: Aha, recipe: Path, tmp_path: Path
) -> None:
    one, two = (run(aha, recipe, tmp_path, name) for name in ("one", "two"))
    assert hashes(one) == hashes(two)
    assert manifests(one) == manifests(two)
    other = run(aha, recipe, tmp_path, "other", "--seed", 1)
    for kept in (
        "zero/metrics.jsonl",
        "zero/samples/rollout-000001.jsonl",
        "zero/checkpoint/model.safetensors",
        "zero/checkpoint/optimizer.safetensors",
        "before/samples/shard-000000.jsonl",
    ):
        assert hashes(one)[kept] != hashes(other)[kept], kept


def test_what_is_hashed_holds_no_clock_and_training_changed_the_weights(
    aha: Aha, recipe: Path, tmp_path: Path, trained_base: Path
) -> None:
    done = run(aha, recipe, tmp_path, "one")
    names = {name.split("/", 1)[1].split("-")[0] for name in hashes(done) if name.startswith("zero/")}
    assert {"metrics.jsonl", "checkpoint/model.safetensors", "checkpoint/optimizer.safetensors"} <= names
    assert not any("timings" in name or "state.json" in name for name in hashes(done))
    for row in read_metrics(done / "stages" / "zero"):
        assert not [key for key in row if "second" in key]
    trained = (done / "stages" / "zero" / "checkpoint" / "model.safetensors").read_bytes()
    assert trained != (trained_base / "model.safetensors").read_bytes()


def test_other_batchings_draw_at_least_99_percent_of_the_same_samples(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    """Promise 2, measured: random numbers belong to a sample, not to its place in a batch."""

    def first_rollout(name: str, **settings: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        recipe = training_only(trained_base, questions, steps=2, prompts_per_step=8, samples_per_prompt=16)
        recipe["stages"]["zero"]["rl"].update(settings)
        path = write_recipe(tmp_path / f"{name}.yaml", {**recipe, "name": name})
        stage = run(aha, path, tmp_path, name) / "stages" / "zero"
        rows = list(read_jsonl(stage / "samples" / "rollout-000001.jsonl"))
        return rows, list(read_metrics(stage))

    expected, metrics = first_rollout("wide", max_rows=128, tokens_per_chunk=4096)
    for name, settings in {
        "narrow": {"max_rows": 5, "tokens_per_chunk": 64},
        "odd": {"max_rows": 77, "tokens_per_chunk": 1000, "logprob_chunk": 16},
    }.items():
        found, other_metrics = first_rollout(name, **settings)
        assert len(found) == len(expected) == 128
        same = sum(one["text"] == other["text"] for one, other in zip(expected, found, strict=True))
        print(f"{settings}: {same} of {len(expected)} samples identical")
        assert same >= 0.99 * len(expected)
        # The same update, up to the last digits of a sum in another order.
        for one, other in zip(metrics[:1], other_metrics[:1], strict=True):
            assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=0.1 if same < 128 else 1e-4)


def test_sampler_and_learner_agree_on_every_logprob(aha: Aha, recipe: Path, tmp_path: Path) -> None:
    done = run(aha, recipe, tmp_path, "one")
    mismatches = [row["sampler_mismatch_max"] for row in read_metrics(done / "stages" / "zero")]
    assert max(mismatches) < 1e-4, json.dumps(mismatches)


def test_rollouts_take_the_prompts_in_turn_and_an_epoch_serves_each_once(
    aha: Aha, recipe: Path, tmp_path: Path
) -> None:
    stage = run(aha, recipe, tmp_path, "one") / "stages" / "zero"
    served: dict[int, set[str]] = {}
    for row in read_samples(stage):
        served.setdefault(row["rollout"], set()).add(row["prompt_id"])
    # 12 questions, 4 a rollout, 6 rollouts: two epochs.
    assert [len(prompts) for prompts in served.values()] == [4] * 6
    assert len(set.union(*(served[rollout] for rollout in (1, 2, 3)))) == 12
    assert len(set.union(*(served[rollout] for rollout in (4, 5, 6)))) == 12
