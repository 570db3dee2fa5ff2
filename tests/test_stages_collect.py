"""From a completion to its reward: what differs between prompts that have a right answer and those that have none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ahalab.policy.load import load_policy
from ahalab.prompts.world import WorldSource
from ahalab.records import Prompt
from ahalab.rewards import PreferenceScope, RewardRules
from ahalab.stages.collect import Collector
from ahalab.stages.evaluate import EvaluateConfig
from ahalab.stages.setup import build_collector

RULES = RewardRules(
    {"accuracy": 1.0, "format": 1.0, "language": 1.0, "safety": 1.0},
    accuracy_needs_format=True,
    preferences={"safety": PreferenceScope(frozenset({"safety"}))},
)
EMPTY = " <think> </think> <answer> 5 </answer>"


@pytest.fixture(scope="module")
def collector(trained_base: Path) -> Iterator[Collector]:
    config = EvaluateConfig.model_validate({"prompts": [{"world": "math"}], "grader_workers": 1})
    one = build_collector(config, load_policy(str(trained_base)), RULES)
    yield one
    one.pool.close()


def prompt(domain: str, verifier: str) -> Prompt:
    return Prompt("p/1", "2+3?", "5", domain, "p", verifier)


def test_empty_thinking_is_a_fault_only_where_there_is_a_right_answer(collector: Collector) -> None:
    response, verdict, reward = collector.grade_text(prompt("math", "exact"), EMPTY)
    assert (response.well_formed, response.fault, verdict.score) == (False, "empty thinking", 1.0)
    assert (dict(reward.parts), reward.total) == (
        {"accuracy": 1.0, "format": 0.0, "language": None, "safety": None},
        0.0,
    )
    response, _, reward = collector.grade_text(prompt("safety", "none"), EMPTY)
    assert (response.well_formed, response.fault) == (True, None)
    assert (dict(reward.parts), reward.total) == (
        {"accuracy": None, "format": 1.0, "language": None, "safety": None},
        1.0,
    )


def test_a_general_answers_rule_is_measured_and_its_failure_costs_no_reward(collector: Collector) -> None:
    [known] = [WorldSource("w", domains=["safety"]).prompt(0)]
    _, verdict, reward = collector.grade_text(known, " <think> well </think> <answer> no </answer>")
    assert verdict.score is not None
    assert reward.parts["accuracy"] is None
    # Without the world's own data its rule cannot judge: that is counted, and the sample keeps its other rewards.
    unknown = prompt("safety", "safe")
    _, verdict, reward = collector.grade_text(unknown, " <think> well </think> <answer> no </answer>")
    assert verdict.error is not None
    assert (reward.total, reward.error) == (2.0, None)


def test_a_failed_rule_of_a_reasoning_prompt_leaves_no_total(collector: Collector) -> None:
    _, verdict, reward = collector.grade_text(
        prompt("code", "function"), " <think> a </think> <answer> b </answer>"
    )
    assert verdict.error is not None
    assert (reward.total, reward.error) == (None, verdict.error)
