"""What a graph of real kinds is refused for before anything is spent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.pipeline import checks
from ahalab.pipeline.kinds import KINDS, rows_needed
from ahalab.pipeline.recipe import bundled_recipes, load_recipe, parse_recipe
from conftest import Aha
from small_runs import write_recipe

WORLD = [{"world": "math"}]
STAGES: dict[str, Any] = {
    "answers": {"sample": {"from": "base", "prompts": WORLD}},
    "pairs": {"preferences": {"from": ["base", "rules"], "prompts": [{"world": "instructions"}]}},
    "marks": {"labels": {"from": ["base"], "prompts": [{"world": "safety"}]}},
    "tuned": {"sft": {"from": "base", "data": ["answers"]}},
    "helpful": {"reward_model": {"from": "base", "pairwise": {"data": ["pairs"]}}},
    "safety": {"reward_model": {"from": "base", "pointwise": {"data": ["marks"]}}},
    "aligned": {
        "rl": {
            "from": "tuned",
            "prompts": WORLD,
            "preference": {"helpful": {"from": "helpful", "domains": ["instructions"]}},
            "window": {"last": 20, "prompts": [{"world": "instructions"}]},
        }
    },
}


def parse(**stages: Any) -> Any:
    return parse_recipe({"name": "graph", "stages": {**STAGES, **stages}}, "graph.yaml")


def test_a_graph_of_all_kinds_that_learn_is_accepted() -> None:
    recipe = parse()
    assert [stage.makes for stage in recipe.stages.values()].count("dataset") == 3
    assert recipe.stages["aligned"].inputs["from"] == "tuned"
    assert "helpful" in recipe.stages["aligned"].inputs.values()


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        (
            "tuned",
            {"sft": {"data": ["pairs"]}},
            "'pairs' is of kind preferences; what a stage of kind sample leaves",
        ),
        ("tuned", {"sft": {"data": ["base"]}}, "a data set is needed there, and 'base' leaves a model"),
        (
            "helpful",
            {"reward_model": {"pairwise": {"data": ["marks"]}}},
            "'marks' is of kind labels; what a stage of kind preferences leaves is needed there. Here that is: pairs.",
        ),
        (
            "safety",
            {"reward_model": {"pointwise": {"data": ["answers"]}}},
            "what a stage of kind labels leaves is needed there. Here that is: marks.",
        ),
        (
            "tuned",
            {"sft": {"from": "helpful", "data": ["answers"]}},
            "a model is needed there, and 'helpful' leaves",
        ),
        (
            "shown",
            {"table": {"rows": {"a": "tuned"}}},
            "an evaluation is needed there, and 'tuned' leaves a model",
        ),
    ],
)
def test_data_of_another_kind_is_refused(name: str, body: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(**{name: body})
    assert words in str(caught.value)


def test_a_reward_model_of_another_vocabulary_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def load(base: str) -> Any:
        asked.append(base)
        words = {"a": 0, "b": 1} if base == "builtin:tiny" else {"b": 0, "a": 1}
        return SimpleNamespace(tokenizer=SimpleNamespace(get_vocab=lambda: words))

    monkeypatch.setattr(checks, "load_policy", load)
    same = parse()
    checks._check_vocabularies(same, same.stages["aligned"], checks.OneModel())
    assert asked == [], "one root, one vocabulary: nothing needs loading"
    other = parse(helpful={"reward_model": {"from": "small_base", "pairwise": {"data": ["pairs"]}}})
    with pytest.raises(
        UserError, match="reward model 'helpful' descends from builtin:tiny-small, whose vocabulary"
    ):
        checks._check_vocabularies(other, other.stages["aligned"], checks.OneModel())


def test_missing_data_are_told_before_anything_is_made(aha: Aha, random_base: Path, tmp_path: Path) -> None:
    stages = {
        "first": {"sample": {"from": "teacher", "teacher": "rules", "prompts": WORLD, "n": 2}},
        "tuned": {"sft": {"from": "base", "data": ["first", {"file": "gone.jsonl"}]}},
    }
    recipe = {"name": "small", "base": str(random_base), "threads": 1, "stages": stages}
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--runs", tmp_path / "runs")
    assert done.code == 2
    assert "gone.jsonl" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", sorted(bundled_recipes()))
def test_every_bundled_recipe_is_a_graph_that_can_be(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.stages
    assert {stage.kind.name for stage in recipe.stages.values()} <= set(KINDS)


def test_every_kind_that_learns_from_data_says_what_it_needs() -> None:
    stages = parse().stages
    needed = {name: rows_needed(stage.config) for name, stage in stages.items()}
    assert needed == {
        "answers": None,
        "pairs": None,
        "marks": None,
        "tuned": "rows",
        "helpful": "pairs",
        "safety": "labelled",
        "aligned": None,
    }
