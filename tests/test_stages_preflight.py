"""Preflight says what will go wrong before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from ahalab.errors import UserError
from ahalab.policy.memory import MemoryEstimate
from ahalab.stages import preflight as preflight_room
from ahalab.stages.context import StageContext
from ahalab.stages.preflight import PreflightReport, preflight
from ahalab.stages.rl_config import RLConfig
from conftest import Aha
from small_runs import small_recipe, training_only, write_recipe


def check(base: Path, prompts: dict[str, Any], **settings: Any) -> PreflightReport:
    recipe = training_only(base, prompts, **settings)
    config = RLConfig.model_validate(recipe["stages"]["zero"]["rl"])
    context = StageContext(name="zero", folder=Path(), inputs={"from": str(base)}, seed=0)
    seen: list[MemoryEstimate] = []
    report = preflight(config, context, seen.append)
    assert seen == [report.memory]
    return report


@pytest.fixture(scope="module")
def report(trained_base: Path, questions: Path) -> PreflightReport:
    return check(trained_base, {"file": str(questions)}, learning_rate=1e-4)


def test_gold_empty_and_eight_real_samples_are_shown_with_each_reward_part(report: PreflightReport) -> None:
    assert [row.what for row in report.rows] == ["gold", "empty", *(f"sample {n}" for n in range(1, 9))]
    gold, empty, *samples = report.rows
    assert (dict(gold.parts), gold.total, gold.fault) == ({"accuracy": 1.0, "format": 1.0}, 2.0, None)
    assert (dict(empty.parts), empty.total, empty.fault) == (
        {"accuracy": 0.0, "format": 0.0},
        0.0,
        "no <think>",
    )
    assert report.gold_graded == 12
    assert all(sample.text for sample in samples)
    for sample in samples:
        assert (sample.fault is None) == (sample.parts["format"] == 1.0)


def test_batch_figures_are_resolved(trained_base: Path, questions: Path) -> None:
    settings = {"prompts_per_step": 3, "samples_per_prompt": 5, "updates_per_rollout": 2, "steps": 8}
    assert check(trained_base, {"file": str(questions)}, **settings).batch == {
        "prompts per rollout": 6,
        "samples per rollout": 30,
        "updates per rollout": 2,
        "outputs per update": 15,
        "rollouts in all": 4,
        "samples in all": 120,
    }


def test_the_memory_estimate_counts_the_models_own_parameters(
    report: PreflightReport, trained_base: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained_base)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    memory = report.memory
    assert memory is not None
    assert memory.parameters == parameters
    assert memory.weights == 4 * parameters
    assert memory.gradients_and_optimizer == 12 * parameters
    assert memory.reference == 0
    # 24 rows of at most 24 new tokens and the longest question, keys and values of one layer of width 32, fp32.
    longest = len("Name a small number, number 9")
    assert memory.key_value_cache == 2 * 4 * 24 * (longest + 24) * 32
    fixed = memory.weights + memory.gradients_and_optimizer
    assert fixed < memory.total <= fixed + memory.key_value_cache + memory.activations + memory.logits


def test_a_reference_model_and_longer_answers_cost_memory(trained_base: Path, questions: Path) -> None:
    prompts = {"file": str(questions)}
    plain = check(trained_base, prompts).memory
    more = check(
        trained_base, prompts, kl_coefficient=0.1, drop_zero_gradient_groups=False, max_new_tokens=240
    ).memory
    assert plain is not None
    assert more is not None
    assert more.reference == plain.weights
    assert more.key_value_cache > 4 * plain.key_value_cache


def test_more_memory_than_the_machine_has_is_warned_of(
    trained_base: Path, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = {"file": str(questions)}
    assert not [text for text in check(trained_base, prompts).warnings if "free now" in text]
    monkeypatch.setattr(preflight_room, "_free_memory", lambda: 1_000_000)
    [warning] = [text for text in check(trained_base, prompts).warnings if "free now" in text]
    assert "is more than the 1 MB that are free now. Lower max_rows" in warning


def test_only_a_learning_rate_far_above_the_tested_is_warned_of(
    report: PreflightReport, trained_base: Path, questions: Path
) -> None:
    assert not [text for text in report.warnings if "learning_rate" in text]
    high = check(trained_base, {"file": str(questions)}, learning_rate=3e-4)
    [warning] = [text for text in high.warnings if "learning_rate" in text]
    assert "learning_rate 0.0003 is 3 times what is known to be safe at this model size (0.0001" in warning
    assert "the paper: 3e-06" in warning


def test_the_templates_notice_and_missing_gold_are_said(
    report: PreflightReport, trained_base: Path, questions: Path
) -> None:
    assert any("using the paper's Table 1 prompt" in text for text in report.notices)
    unchecked = check(trained_base, {"file": str(questions), "verifier": "none"}, rewards=["format"])
    assert unchecked.gold_graded == 0
    assert any("no prompt here has a gold answer" in text for text in unchecked.notices)
    assert [row.what for row in unchecked.rows[:1]] == ["sample 1"]


def test_a_failing_gold_answer_names_the_prompt_and_the_rule(trained_base: Path, tmp_path: Path) -> None:
    rows = [
        '{"id": 1, "question": "Say a digit", "answer": "3"}',
        '{"question": "Say one", "answer": "three?"}',
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(rows))
    with pytest.raises(UserError) as refused:
        check(trained_base, {"file": str(data), "verifier": "math"}, prompts_per_step=1)
    said = str(refused.value)
    assert "preflight of zero: 1 of 2 gold answers do not score full marks" in said
    assert "data/" in said
    assert "gold answer 'three?' (verifier math): gold unreadable" in said


def test_the_same_run_shows_the_same_samples_in_every_preflight(trained_base: Path, questions: Path) -> None:
    one, two = (check(trained_base, {"file": str(questions)}) for _ in range(2))
    assert one.rows == two.rows


def test_a_dry_run_checks_everything_and_writes_nothing(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in questions.parent.iterdir()}
    path = write_recipe(tmp_path / "small.yaml", small_recipe(trained_base, questions))
    done = aha("run", path, "--runs", tmp_path / "runs", "--dry-run")
    assert done.code == 0, done.err
    assert "preflight of zero" in done.err
    assert "gold answers: 12 of 12 score full marks" in done.err
    assert "memory: about" in done.err
    assert done.out == "dry run: everything checked, nothing was run or written.\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small.yaml"]
    assert {file: file.read_bytes() for file in questions.parent.iterdir()} == before


def test_a_stage_that_trains_another_stages_model_is_checked_too(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    recipe = training_only(trained_base, questions, steps=2)
    recipe["stages"]["more"] = {"rl": {**recipe["stages"]["zero"]["rl"], "from": "zero"}}
    path = write_recipe(tmp_path / "small.yaml", recipe)
    done = aha("run", path, "--runs", tmp_path / "runs")
    assert done.code == 0, done.err
    # The second one is looked at in full once the model it starts from exists.
    assert (
        done.err.index("preflight of zero")
        < done.err.index("zero: 0/2")
        < done.err.index("preflight of more")
    )
    recipe["stages"]["more"]["rl"]["prompts"] = [{"file": str(tmp_path / "nothing.jsonl")}]
    other = write_recipe(tmp_path / "other.yaml", {**recipe, "name": "other"})
    done = aha("run", other, "--runs", tmp_path / "runs")
    assert done.code == 2
    assert "stages.more: prompts[0].file: " in done.err
    assert not (tmp_path / "runs" / "other").exists()
