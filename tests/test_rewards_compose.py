"""Reward parts on hand-made samples, and the one place where they are summed."""

from __future__ import annotations

import pytest

from ahalab.records import Prompt, Response, Verdict
from ahalab.rewards import (
    PreferenceScope,
    RewardRules,
    accept_empty_thinking,
    accuracy_reward,
    compose,
    format_reward,
)
from ahalab.text.parse import parse_response


def prompt(verifier: str = "exact") -> Prompt:
    return Prompt("p/1", "2+3?", "5", "math", "p", verifier)


def response(well_formed: bool = True) -> Response:
    return Response("", None, "5", well_formed, None if well_formed else "no <think>")


def test_accuracy_is_the_verdict_and_a_failed_grader_is_none() -> None:
    verdicts = [Verdict(1.0), Verdict(0.0), Verdict(0.5), Verdict(None, "cpu time-out"), Verdict(None)]
    rewards = accuracy_reward([prompt()] * 5, [response()] * 5, verdicts=verdicts)
    assert rewards == [1.0, 0.0, 0.5, None, None]
    assert accuracy_reward([prompt("none")], [response()], verdicts=[Verdict(None)]) == [None]


def test_format_is_the_parse() -> None:
    assert format_reward([prompt()] * 2, [response(), response(well_formed=False)]) == [1.0, 0.0]


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        accuracy_reward([prompt()], [response()], verdicts=[])
    with pytest.raises(ValueError, match="one length"):
        format_reward([prompt()] * 2, [response()])


EQUAL = {"accuracy": 1.0, "format": 1.0}


@pytest.mark.parametrize(
    ("accuracy", "well_formed", "gated", "total"),
    [
        (1.0, True, False, 2.0),
        (1.0, False, False, 1.0),
        (0.0, True, False, 1.0),
        (1.0, True, True, 2.0),
        (1.0, False, True, 0.0),
        (0.0, True, True, 1.0),
        (None, True, True, 1.0),
        (None, False, False, 0.0),
    ],
)
def test_the_sum_of_accuracy_and_format(
    accuracy: float | None, well_formed: bool, gated: bool, total: float
) -> None:
    parts = {"accuracy": accuracy, "format": float(well_formed)}
    assert compose(parts, EQUAL, accuracy_needs_format=gated) == total
    assert compose(parts, EQUAL, accuracy_needs_format=gated, well_formed=well_formed) == total


def test_weights_scale_parts_and_unweighted_parts_do_not_count() -> None:
    parts = {"accuracy": 0.5, "format": 1.0, "language": 0.25}
    weights = {"accuracy": 2.0, "language": 4.0}
    assert compose(parts, weights, accuracy_needs_format=False) == 2.0
    assert compose(parts, {}, accuracy_needs_format=False) is None


def test_accuracy_alone_is_gated_by_the_parse() -> None:
    gate = {"accuracy_needs_format": True}
    assert compose({"accuracy": 1.0}, {"accuracy": 1.0}, **gate, well_formed=False) == 0.0
    assert compose({"accuracy": 1.0}, {"accuracy": 1.0}, **gate, well_formed=True) == 1.0
    with pytest.raises(ValueError, match="needs the part 'format' or `well_formed`"):
        compose({"accuracy": 1.0}, {"accuracy": 1.0}, **gate)


def test_nothing_that_applies_is_no_total_and_a_missing_part_is_a_mistake() -> None:
    assert compose({"accuracy": None}, {"accuracy": 1.0}, accuracy_needs_format=False) is None
    with pytest.raises(ValueError, match="reward parts format"):
        compose({"accuracy": 1.0}, EQUAL, accuracy_needs_format=False)


RULES = RewardRules(
    {"accuracy": 1.0, "format": 1.0, "language": 1.0, "helpful": 1.0, "safety": 2.0},
    accuracy_needs_format=True,
    preferences={
        "helpful": PreferenceScope(frozenset({"instructions"}), frozenset()),
        "safety": PreferenceScope(frozenset({"safety"}), frozenset({"hh"})),
    },
)


def of(domain: str, verifier: str = "exact", source: str = "p") -> Prompt:
    return Prompt("p/1", "?", "5", domain, source, verifier)


@pytest.mark.parametrize(
    ("one", "parts"),
    [
        (of("math"), {"accuracy", "format", "language"}),
        (of("code", "function"), {"accuracy", "format", "language"}),
        (of("instructions", "helpful"), {"format", "language", "helpful"}),
        (of("safety", "safe"), {"format", "language", "safety"}),
        (of("instructions", "none", "hh"), {"format", "language", "safety"}),
        (of("instructions"), {"format", "language", "helpful"}),
    ],
    ids=[
        "reasoning",
        "code",
        "helpful",
        "safety",
        "a source goes before its domain",
        "a rule is no way around",
    ],
)
def test_each_type_of_prompt_has_its_own_parts(one: Prompt, parts: set[str]) -> None:
    """Paper §2.7: rules for reasoning; helpful or safety, with format, for general data; language for all."""
    assert {name for name in RULES.weights if RULES.applies(name, one)} == parts


def test_the_sum_of_each_type() -> None:
    reasoning = {"accuracy": 1.0, "format": 1.0, "language": 0.5, "helpful": None, "safety": None}
    assert RULES.total(reasoning, well_formed=True) == 2.5
    unsafe = {"accuracy": None, "format": 1.0, "language": None, "helpful": None, "safety": 0.25}
    assert RULES.total(unsafe, well_formed=True) == 1.5
    # The language reward is added directly: no format is asked for it.
    assert RULES.total({**reasoning, "format": 0.0}, well_formed=False) == 0.5


def test_the_rules_score_of_a_general_answer_is_no_reward() -> None:
    for verifier in ("helpful", "safe"):
        assert accuracy_reward([prompt(verifier)], [response()], verdicts=[Verdict(1.0)]) == [None]
        assert RULES.is_general(of("whatever", verifier))


def test_empty_thinking_is_no_fault_of_a_general_answer_and_any_other_stays_one() -> None:
    def parsed(text: str) -> Response:
        return accept_empty_thinking(parse_response(text, "stop"))

    empty = parsed(" <think> </think> <answer> hello </answer>")
    assert (empty.well_formed, empty.fault, empty.answer) == (True, None, "hello")
    assert format_reward([prompt()], [empty]) == [1.0]
    assert parsed(" <think> </think> <answer> </answer>").fault == "empty thinking"
    assert parsed(" <answer> hello </answer>").fault == "no <think>"
    whole = parse_response(" <think> well </think> <answer> hello </answer>", "stop")
    assert accept_empty_thinking(whole) is whole
