"""`aha explain` sets each number beside what the paper gives for a stage of the same role."""

from __future__ import annotations

from typing import Any

import pytest

from ahalab.pipeline.explain import Explained, explain_stage
from ahalab.pipeline.recipe import load_recipe, parse_recipe

RL = {
    "algorithm": ["grpo"],
    "gae_lambda": ["1"],
    "prompts_per_step": ["32"],
    "samples_per_prompt": ["16"],
    "updates_per_rollout": ["16"],
    "max_new_tokens": ["32768"],
    "learning_rate": ["3e-06"],
    "kl_coefficient": ["0.001"],
    "reference_every": ["400"],
    "aggregate": ["output"],
    "advantage_scale": ["std"],
}
R1 = {**RL, "rewards": ["accuracy 1, format 1, language 1"], "clip_low": ["10"], "clip_high": ["10"]}
SFT = {"epochs": ["2", "3"], "max_tokens": ["32768"]}
SUPERVISED = {**SFT, "batch_size": ["128"], "learning_rate": ["5e-05"], "final_learning_rate": ["5e-06"]}
PAPER: dict[str, dict[str, list[str]]] = {
    "zero": {**RL, "rewards": ["accuracy 1, format 1"], "temperature": ["1"], "steps": ["10400"]},
    "dev1": SUPERVISED,
    "dev2": {**R1, "temperature": ["1"]},
    "dev3": SUPERVISED,
    "r1": {**R1, "temperature": ["0.7"], "steps": ["1700"], "window.last": ["400/1700"]},
    "distilled": {
        **SFT,
        "batch_size": ["64"],
        "learning_rate": [f"{rate}e-05" for rate in (2, 5, 6, 7, 8)] + ["0.0001"],
        "final_learning_rate": [f"{rate}e-06" for rate in (2, 5, 6, 7, 8)] + ["1e-05"],
    },
}
"""Stage → key → the values that the paper prints for it (§1.2, B.4.2, F), written here a second time."""


def explained(name: str, recipe: str = "r1-quickstart", **overrides: Any) -> dict[str, Explained]:
    settings = {f"stages.{name}.{key.replace('__', '.')}": value for key, value in overrides.items()}
    return {line.key: line for line in explain_stage(load_recipe(recipe, settings).stages[name])}


@pytest.mark.parametrize("recipe", ["r1-quickstart", "r1", "r1-endpoint"])
@pytest.mark.parametrize("stage", PAPER)
def test_no_value_of_the_paper_is_called_different_and_no_other_one_the_same(recipe: str, stage: str) -> None:
    compared = {line.key: line for line in explained(stage, recipe).values() if line.same is not None}
    assert set(compared) == set(PAPER[stage])
    for key, line in compared.items():
        assert line.same == (line.value in PAPER[stage][key]), (key, line)


@pytest.mark.parametrize("stage", PAPER)
def test_every_value_of_the_paper_is_recognised_where_a_recipe_has_it(stage: str) -> None:
    recipe = load_recipe("r1-quickstart")
    kind = recipe.stages[stage].kind.name
    for key, values in PAPER[stage].items():
        for value in values:
            settings = {f"{kind}__{key.replace('.', '__')}": _read(value)}
            if key == "final_learning_rate":  # a cosine that would rise is refused
                settings["sft__learning_rate"] = 1e-4
            if key in ("prompts_per_step", "updates_per_rollout"):
                settings["rl__steps"] = 1600
            if key == "kl_coefficient":
                settings["rl__drop_zero_gradient_groups"] = False
            assert explained(stage, **settings)[key].same is True, (key, value)


def _read(value: str) -> Any:
    if ", " in value:
        return dict.fromkeys((part.split()[0] for part in value.split(", ")), 1.0)
    try:
        return int(value) if value.isdigit() else float(value)
    except ValueError:
        return value


def test_what_the_paper_does_not_print_for_a_role_is_not_compared() -> None:
    for stage, keys in (("zero", ("clip_low", "clip_high")), ("dev2", ("steps", "template"))):
        for key in keys:
            line = explained(stage)[key]
            assert line.paper.startswith("not said"), (stage, key)
            assert line.same is None


def test_a_language_reward_of_weight_0_is_the_first_rl_stage_without_it() -> None:
    line = explained("dev2_no_language", "ablation-language")["rewards"]
    assert (line.value, line.same) == ("accuracy 1, format 1, language 0", False)


def test_the_preset_of_distillation_is_told_without_a_small_base() -> None:
    line = explained("dev1", sft__preset="distill", sft__batch_size=64)["batch_size"]
    assert (line.paper, line.same) == ("64", True)


def test_a_rate_that_was_left_out_is_shown_as_what_it_comes_to() -> None:
    line = explained("dev1", sft__learning_rate=5e-5)["final_learning_rate"]
    assert (line.value, line.same) == ("5e-06", True)


def test_an_endpoint_is_not_told_from_the_papers_model_by_its_name() -> None:
    labels = {"from": ["base"], "prompts": [{"world": "safety"}], "judge": "v3"}
    recipe = parse_recipe(
        {
            "name": "x",
            "endpoints": {"v3": {"url": "http://127.0.0.1:9/v1", "model": "deepseek-v3"}},
            "stages": {"a": {"labels": labels}, "b": {"labels": {**labels, "judge": "rules"}}},
        },
        "test",
    )
    judges = [
        next(line for line in explain_stage(recipe.stages[name]) if line.key == "judge") for name in "ab"
    ]
    assert [one.same for one in judges] == [None, False]
