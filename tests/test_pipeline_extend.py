"""Recipes made from recipes: only what is needed comes along, own keys win, and circles are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.pipeline.extend import extend, resolve_likes
from ahalab.pipeline.recipe import bundled_recipes, load_recipe


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_an_extension_keeps_only_what_its_own_stages_need(tmp_path):
    own = write(
        tmp_path / "own.yaml",
        "name: own\nextends: r1-quickstart\nseed: 3\n"
        "stages:\n  again:\n    rl: {like: dev2, steps: 7}\n"
        "  dev1:\n    sft: {from: base, data: [cold_start], epochs: 9}\n",
    )
    recipe = load_recipe(own)
    assert set(recipe.stages) == {"zero", "cold_start", "dev1", "again"}
    assert recipe.head.seed == 3
    again, dev2 = recipe.stages["again"].config, load_recipe("r1-quickstart").stages["dev2"].config
    assert again.steps == 7
    assert again.model_dump() | {"steps": dev2.steps} == dev2.model_dump()
    assert recipe.stages["dev1"].config.epochs == 9


def test_a_stage_that_is_not_touched_is_the_parents_own():
    """So that a finished run of the parent can be used again."""
    for name in (name for name in bundled_recipes() if name.startswith("ablation-")):
        parent, child = load_recipe("r1-quickstart"), load_recipe(name)
        shared = [stage for stage in child.stages if stage in parent.stages and stage != "table"]
        assert all(
            child.stages[stage].config.model_dump() == parent.stages[stage].config.model_dump()
            for stage in shared
        )
        assert name == "ablation-ppo" or len(shared) >= 4


def test_a_recipe_file_extends_one_beside_it(tmp_path):
    write(tmp_path / "first.yaml", "name: first\nstages: {a: {rl: {prompts: [{world: math}], steps: 3}}}\n")
    own = write(tmp_path / "second.yaml", "name: second\nextends: first.yaml\nstages: {b: {rl: {like: a}}}\n")
    assert load_recipe(own).stages["b"].config.steps == 3
    assert list(load_recipe(own).stages) == ["b"]


def test_a_setting_of_one_stage_reaches_those_that_are_like_it():
    recipe = load_recipe("r1-quickstart", {"stages.eval_base.evaluate.n": 7})
    assert {s.config.n for s in recipe.stages.values() if s.kind.name == "evaluate"} == {7}
    alone = load_recipe("r1-quickstart", {"stages.eval_zero.evaluate.n": 7})
    assert alone.stages["eval_zero"].config.n == 7
    assert alone.stages["eval_dev1"].config.n != 7


def test_mappings_are_merged_and_lists_replaced():
    first = {"rl": {"window": {"last": 3, "prompts": [1]}, "rewards": ["a", "b"]}}
    data = {"stages": {"a": first, "b": {"rl": {"like": "a", "window": {"last": 9}, "rewards": ["c"]}}}}
    assert resolve_likes(data, "x")["stages"]["b"] == {
        "rl": {"window": {"last": 9, "prompts": [1]}, "rewards": ["c"]}
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("extends: 3\nstages: {}", "expected the name"),
        ("extends: no-such\nstages: {a: {}}", "no such file"),
        ("extends: own.yaml\nstages: {a: {rl: {}}}", "circle: own.yaml"),
        ("stages: {a: {rl: {like: b}}, b: {rl: {like: a}}}", "circle"),
        ("stages: {a: {rl: {like: bb}}, b: {rl: {}}}", "did you mean"),
        ("stages: {a: {rl: {like: b}}, b: {sft: {}}}", "no rl stage"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, monkeypatch, text, told):
    monkeypatch.chdir(tmp_path)
    own = write(tmp_path / "own.yaml", f"name: own\n{text}\n")
    with pytest.raises(UserError, match=told):
        load_recipe(own)


def test_plain_recipes_pass_through_unchanged():
    data = {"name": "x", "stages": {"a": {"rl": {"steps": 1}}, "b": 3}}
    assert extend(data, "x", {}.get) == (data, None)
    assert resolve_likes(data, "x") == data
    assert resolve_likes("no mapping", "x") == "no mapping"
