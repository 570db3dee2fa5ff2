"""A mistake in a recipe or an option is one clear message and exit code 2; nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import Aha
from small_runs import small_recipe, write_recipe


@pytest.fixture
def recipe(trained_base: Path, questions: Path) -> dict[str, Any]:
    return small_recipe(trained_base, questions)


def change(recipe: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    place = recipe
    for parent in parents:
        place = place[parent]
    place[last] = value


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("stages.zero.rl.lerning_rate", 1e-4, ["stages.zero.rl: `lerning_rate`: unknown key", "`learning_rate`"]),
        ("stages.zero.rl.form", "base", ["`form`: unknown key; did you mean `from`?", "Known here: accuracy_needs"]),
        ("stages.zero.rl.dead_rollouts", 3, ["it belongs at `stop.dead_rollouts`"]),
        ("stages.before.evaluate.samples", 3, ["stages.before.evaluate: `samples`: unknown key", "nearest known"]),
        ("sead", 3, ["small.yaml: `sead`: unknown key; did you mean `seed`?"]),
        ("stages.zero.rl.learning_rate", 3, ["expected at most 1, got 3", "more than 0 and", "The paper: 3e-06"]),
        ("stages.zero.rl.samples_per_prompt", 1, ["expected at least 2, got 1", "Group size G", "The paper: 16"]),
        ("stages.zero.rl.clip_low", 0, ["expected more than 0, got 0", "The paper: 10"]),
        ("stages.zero.rl.steps", "many", ["`steps`: expected a whole number, got 'many'", "The paper: 10400"]),
        ("stages.zero.rl.steps", 2.5, ["`steps`: expected a whole number, got 2.5"]),
        ("stages.zero.rl.steps", True, ["`steps`: expected a whole number, got true"]),
        ("stages.zero.rl.preset", "papr", ["or 'paper-r1-alignment', got 'papr'", "nearest: 'paper'"]),
        ("stages.zero.rl.preset", ["paper"], ["'paper-r1-alignment', got ['paper']"]),
        ("stages.zero.rl.aggregate", "outputs", ["expected 'token' or 'output'", "nearest: 'output'"]),
        ("stages.zero.rl.rewards", ["acuracy"], ["unknown reward 'acuracy'; did you mean `accuracy`?"]),
        ("stages.zero.rl.rewards", [["accuracy"]], ["unknown reward ['accuracy']"]),
        ("stages.zero.rl.rewards", [], ["`rewards`: expected at least 1 item"]),
        ("stages.zero.rl.rewards", {"format": 0}, ["all weights in rewards are 0"]),
        ("stages.zero.rl.rewards", {"format": -1}, ["`rewards.format`: expected at least 0, got -1"]),
        ("stages.zero.rl.updates_per_rollout", 4, ["stages.zero.rl: steps (6) must be a multiple of"]),
        ("stages.zero.rl.kl_coefficient", 0.1, ["stages.zero.rl: drop_zero_gradient_groups needs kl_coefficient 0"]),
        ("stages.before.evaluate.temperature", 0, ["stages.before.evaluate: temperature 0 gives k equal samples"]),
        ("stages.zero.rl.prompts", [{"wrld": "math"}], ["`prompts[0]`", "did you mean `world` by `wrld`?"]),
        ("stages.zero.rl.prompts", [], ["`prompts`: expected at least 1 item"]),
        ("stages.zero.rl", 3, ["stages.zero.rl: expected a mapping of keys to values, got 3"]),
        ("stages.zero", {"reinforce": {}}, ["unknown kind of stage 'reinforce'", "pretrain, reward_model, rl"]),
        ("stages.zero", {}, ["stages.zero: expected exactly one kind", "found none"]),
        ("stages.zero", 3, ["`stages.zero`: expected a mapping of keys to values, got 3"]),
        ("stages", {}, ["`stages`: expected at least 1 item"]),
        ("stages.after.evaluate.from", "zeroo", ["'zeroo' is neither `base` nor a stage; did you mean `zero`?"]),
        ("stages.after.evaluate.from", "before", ["from: a model is needed there, and 'before' leaves an evaluation"]),
        ("stages.zero.rl.from", "zero", ["wait for each other in a circle: zero → zero"]),
        ("threads", 0, ["`threads`: expected at least 1, got 0"]),
        ("name", "a/b", ["`name`"]),
    ],
)  # fmt: skip
def test_a_wrong_recipe_is_refused_with_what_is_right(
    aha: Aha, recipe: dict[str, Any], tmp_path: Path, key: str, value: Any, words: list[str]
) -> None:
    change(recipe, key, value)
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--runs", tmp_path / "runs")
    assert done.code == 2, done.err
    assert done.err.startswith("aha: ")
    for word in words:
        assert word in done.err
    assert done.out == ""
    assert not (tmp_path / "runs").exists()


def test_all_mistakes_of_a_stage_are_told_at_once(aha: Aha, recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["stages"]["zero"]["rl"].update(steps=0, lerning_rate=1, clip_low=-1)
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--runs", tmp_path / "runs")
    assert done.code == 2
    assert "stages.zero.rl: 3 problems" in done.err
    assert done.err.count("\n  - `") == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x\n  stages: [", ["small.yaml: not valid YAML", "line 2"]),
        ("", ["small.yaml: expected a mapping of keys to values, got nothing"]),
        ("- a\n- b\n", ["small.yaml: expected a mapping of keys to values, got ['a', 'b']"]),
        ("name: x\nname: y\nstages: {}\n", ["the key 'name' is there twice", "line 2"]),
        ("stages: {a: {rl: {prompts: [{world: math}]}}}\n", ["`name`: missing"]),
        ("name: x\nstages: {a.partial: {rl: {}}}\n", ["stages.a.partial", "does not end in .partial"]),
        ("name: x\nstages: {base: {rl: {}}}\n", ["call the stage something else"]),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(aha: Aha, tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(text, encoding="utf-8")
    for arguments in (["explain", path], ["run", path, "--seed", "1", "--runs", tmp_path / "runs"]):
        done = aha(*arguments)
        assert done.code == 2, done.err
        for word in words:
            assert word in done.err
    assert not (tmp_path / "runs").exists()


def test_a_file_of_other_bytes_and_a_missing_file_are_refused(aha: Aha, tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: größer".encode("latin-1"))
    assert "not UTF-8 text" in aha("explain", tmp_path / "latin.yaml").err
    missing = aha("run", "zero-quickstrt")
    assert missing.code == 2
    assert "no such file and no bundled recipe; did you mean `zero-quickstart`?" in missing.err


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("stages.zero.rl.steps", ["expected KEY=VALUE"]),
        ("=3", ["expected KEY=VALUE"]),
        ("stages.zero.rl.steps=[1,", ["the value is not valid YAML"]),
        ("stages.zeroo.rl.steps=3", ["no key 'zeroo' here; did you mean `zero`?"]),
        ("stages.zero.rl.stp.dead_rollouts=3", ["`stp`: unknown key; did you mean `stop`?"]),
        ("stages.zero.rl.steps.x=3", ["stages.zero.rl.steps is not a mapping"]),
        ("stages.zero.rl.steps=-3", ["expected at least 1, got -3"]),
    ],
)
def test_a_wrong_set_option_is_refused(aha: Aha, setting: str, words: list[str]) -> None:
    done = aha("explain", "zero-quickstart", "--set", setting)
    assert done.code == 2
    for word in words:
        assert word in done.err


def test_a_set_option_reaches_a_mapping_that_the_recipe_leaves_out(aha: Aha) -> None:
    done = aha("explain", "zero-quickstart", "--set", "stages.zero.rl.stop.dead_rollouts=3")
    assert done.code == 0
    assert any("stop.dead_rollouts" in line and " 3 " in line for line in done.out.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [["rnu"], ["run"], ["run", "zero-quickstart", "--stps", "3"], ["run", "zero-quickstart", "--seed", "a"]],
)
def test_a_wrong_command_line_is_exit_code_2_without_a_traceback(aha: Aha, arguments: list[str]) -> None:
    done = aha(*arguments)
    assert done.code == 2
    assert "Usage" in done.err
    assert "Traceback" not in done.err
