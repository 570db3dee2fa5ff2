"""What alignment RL's config says of itself, and what it refuses, with the numbers that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.stages.alignment_config import held_out
from ahalab.stages.inputs import InputRef
from ahalab.stages.rl_config import PRESETS, RLConfig
from ahalab.validation import validate

GENERAL = [{"world": ["instructions", "safety"]}]
FULL: dict[str, Any] = {
    "from": "dev3",
    "prompts": [{"world": ["math", "logic"]}],
    "steps": 60,
    "preference": {
        "helpful": {"from": "helpful_rm", "domains": ["instructions"]},
        "safety": {"from": "safety_rm", "domains": ["safety"]},
    },
    "window": {"last": "400/1700", "prompts": GENERAL},
    "hacking": {},
}


def config(**changes: Any) -> RLConfig:
    given = {key: value for key, value in {**FULL, **changes}.items() if value is not None}
    return validate(RLConfig, given, "r1.yaml")


def window_of(last: Any, steps: int = 60, updates: int = 1) -> int:
    window = {"last": last, "prompts": GENERAL}
    return config(window=window, steps=steps, updates_per_rollout=updates).window_steps


def test_the_papers_window_is_scaled_to_the_steps_and_ends_between_rollouts() -> None:
    assert window_of("400/1700", 1700) == 400
    assert window_of("400/1700", 60) == 14  # 14.1
    assert window_of("400/1700", 64, updates=4) == 16  # 15.06 steps are 3.8 rollouts
    assert window_of("400/1700", 64, updates=16) == 16  # 0.94 of a rollout
    assert window_of("400/1700", 2) == 1  # never none: a run with a window has one
    assert window_of("1/2", 60) == 30
    assert window_of("all") == window_of("1/1") == window_of(60) == 60
    assert window_of(8, 64, updates=8) == 8


def test_a_stage_reads_its_model_and_its_reward_models() -> None:
    assert config().input_refs() == {
        "from": InputRef("dev3"),
        "preference.helpful": InputRef("helpful_rm", ("reward_model",)),
        "preference.safety": InputRef("safety_rm", ("reward_model",)),
    }
    assert config(preference=None, window=None, hacking=None).input_refs() == {"from": InputRef("dev3")}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": {"last": 400, "prompts": GENERAL}}, "window.last (400) exceeds steps (60)"),
        ({"window": {"last": "1800/1700", "prompts": GENERAL}}, "(1800/1700) is more than all steps (60)"),
        ({"window": {"last": 0, "prompts": GENERAL}}, "a window of 0 steps is empty"),
        ({"window": {"last": -3, "prompts": GENERAL}}, "a window of -3 steps is empty"),
        ({"window": {"last": "0/9", "prompts": GENERAL}}, "a window of 0/9 steps is empty"),
        ({"window": {"last": "9/0", "prompts": GENERAL}}, "'9/0' is no window"),
        ({"window": {"last": "late", "prompts": GENERAL}}, "'late' is no window"),
        ({"window": {"last": 20}}, "nothing would be judged in the last 20 of 60 steps"),
        (
            {"window": {"last": 6, "prompts": GENERAL}, "updates_per_rollout": 4},
            "window.last (6) must be a multiple of updates_per_rollout (4)",
        ),
        ({"window": None, "hacking": None}, "`preference` needs a `window`"),
        ({"preference": None}, "`window` needs `preference`"),
        ({"preference": None, "window": None}, "`hacking` needs a `window`"),
        ({"preference": {}}, "name a reward model"),
        (
            {"prompts": [{"world": ["math", "safety"]}]},
            "before the window (the last 14 of 60 steps) only rules reward, and none rewards safety",
        ),
        (
            {"preference": {"helpful": {"from": "helpful_rm", "domains": ["instructions"]}}},
            "no rule rewards the world's safety, and no reward model does",
        ),
        (
            {"preference": None, "window": None, "hacking": None, "prompts": [{"world": "instructions"}]},
            "no rule rewards the world's instructions, and no reward model does",
        ),
        ({"preference": {"helpful": {"from": "rm", "domains": ["math"]}}}, "math is rewarded by rules"),
        ({"preference": {"helpful": {"from": "rm"}}}, "say which prompts this reward model judges"),
        (
            {"preference": {name: {"from": "rm", "domains": ["safety"]} for name in ("helpful", "safety")}},
            "domains: safety is in both `helpful` and `safety`",
        ),
        ({"hacking": {"temperature": 0, "k": 4}}, "temperature 0 gives k equal samples"),
        (
            {
                "prompts": [{"file": "a.jsonl"}],
                "window": {"last": 5, "prompts": [{"file": "b.jsonl"}]},
            },
            "name prompts in hacking.sources",
        ),
        ({"rewards": ["accuracy", "langauge"]}, "did you mean `language`"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        config(**changes)
    assert said in str(refused.value)


def test_with_a_window_of_all_steps_general_prompts_may_stand_among_the_stages_own() -> None:
    prompts = [{"world": ["math", "safety", "instructions"]}]
    assert config(prompts=prompts, window={"last": "all"}).window_steps == 60


def test_a_source_may_be_judged_by_its_name() -> None:
    models = {
        "helpful": {"from": "rm", "sources": ["chat"]},
        "safety": {"from": "rm2", "domains": ["safety"]},
    }
    prompts = [{"world": "instructions", "name": "chat"}, {"world": "safety"}]
    assert config(preference=models, window={"last": 5, "prompts": prompts}).window_steps == 5


def test_the_presets_are_the_papers_two_rl_stages() -> None:
    def preset(name: str, **more: Any) -> RLConfig:
        return validate(RLConfig, {"preset": name, "prompts": FULL["prompts"], **more}, "r1.yaml")

    zero, reasoning = preset("paper"), preset("paper-r1-reasoning")
    aligning = preset("paper-r1-alignment", preference=FULL["preference"], window={"prompts": GENERAL})
    for one in (zero, reasoning, aligning):
        assert (one.kl_coefficient, one.clip_low, one.clip_high) == (0.001, 10.0, 10.0)
        assert (one.learning_rate, one.prompts_per_step, one.samples_per_prompt) == (3e-6, 32, 16)
        assert (one.updates_per_rollout, one.reference_every) == (16, 400)
    assert zero.rewards == {"accuracy": 1.0, "format": 1.0}
    assert reasoning.rewards == aligning.rewards == {"accuracy": 1.0, "format": 1.0, "language": 1.0}
    assert (zero.temperature, reasoning.temperature, aligning.temperature) == (1.0, 1.0, 0.7)
    # 1,700 are no whole rollouts of 16 updates: 106 of them are the nearest, and the window is the paper's 400 steps.
    assert (aligning.steps, aligning.window_steps) == (1696, 400)
    assert abs(aligning.steps - 1700) < 16
    assert set(PRESETS) == {"modern", "paper", "paper-r1-reasoning", "paper-r1-alignment"}


def test_the_watch_looks_at_problems_that_are_never_trained_on() -> None:
    stage = config(
        prompts=[
            {"world": "math", "levels": [1]},
            {"file": "a.jsonl"},
            {"reasoning_gym": "chain_sum", "seed": 3},
        ]
    )
    found = held_out(stage.prompts)
    assert [one.model_dump(exclude_unset=True).get("split") for one in found] == ["held_out", "held_out"]
    assert found[0].levels == [1]  # type: ignore[union-attr]
    assert found[1].seed is None  # type: ignore[union-attr]
