"""The parse: every format rule by name, best effort otherwise, and never slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahalab.text import FAULTS, TAGS, parse_response

GOOD = " <think> a </think> <answer> 5 </answer>"

CASES = [
    ("", "no <think>", None, None),
    ("just 5", "no <think>", None, None),
    ("<answer> 5 </answer>", "no <think>", None, "5"),
    ("a </think> <answer> 5 </answer>", "no <think>", "a", "5"),
    ("<think> a <answer> 5 </answer>", "no </think>", "a", "5"),
    ("<think> a", "no </think>", "a", None),
    ("<think> a </think> 5", "no <answer>", "a", "5"),
    ("<think> a </think>", "no <answer>", "a", None),
    ("<answer> 5 </answer> <think> a </think>", "no <answer>", "a", None),
    ("<think> a </think> <answer> 5", "no </answer>", "a", "5"),
    ("</answer> <think> a </think> <answer> 5", "no </answer>", "a", "5"),
    (GOOD + GOOD, "repeated tag", "a", "5"),
    ("<think> <think> a </think> <answer> 5 </answer>", "repeated tag", "<think> a", "5"),
    ("<think> a </think> <answer> 5 </answer> <answer> 6 </answer>", "repeated tag", "a", "5"),
    ("so <think> a </think> <answer> 5 </answer>", "text before <think>", "a", "5"),
    ("<think> a </think> so <answer> 5 </answer>", "text between", "a", "5"),
    ("<think> a </think> <answer> 5 </answer> !", "text after </answer>", "a", "5"),
    ("<think> </think> <answer> 5 </answer>", "empty thinking", None, "5"),
    ("<think> a </think> <answer>\n</answer>", "empty answer", "a", None),
]


@pytest.mark.parametrize(("text", "fault", "thinking", "answer"), CASES)
def test_every_rule_is_named_and_the_rest_is_read_anyway(
    text: str, fault: str, thinking: str | None, answer: str | None
) -> None:
    response = parse_response(text, "stop")
    assert (response.fault, response.thinking, response.answer) == (fault, thinking, answer)
    assert not response.well_formed
    assert response.text == text


def test_every_fault_has_a_case() -> None:
    assert {fault for _, fault, _, _ in CASES} | {"truncated"} == set(FAULTS)


@pytest.mark.parametrize(
    "text", [GOOD, GOOD.strip() + "\n", "<think>a</think><answer>5</answer>", f"\n{GOOD}"]
)
def test_a_well_formed_response_has_each_tag_once_and_nothing_outside(text: str) -> None:
    response = parse_response(text, "stop")
    assert (response.well_formed, response.fault, response.thinking, response.answer) == (
        True,
        None,
        "a",
        "5",
    )


def test_a_truncated_response_is_never_well_formed_but_is_read() -> None:
    response = parse_response(GOOD, "length")
    assert (response.well_formed, response.fault, response.answer) == (False, "truncated", "5")


@given(st.lists(st.one_of(st.sampled_from([*TAGS, " ", "5", "\n"]), st.text(max_size=3)), max_size=12))
def test_any_text_is_parsed_and_well_formed_means_the_grammar(parts: list[str]) -> None:
    text = "".join(parts)
    response = parse_response(text, "stop")
    assert (response.fault is None) is response.well_formed
    assert response.fault is None or response.fault in FAULTS
    if response.well_formed:
        assert [text.count(tag) for tag in TAGS] == [1, 1, 1, 1]
        assert response.thinking
        assert response.answer
        rest = text.split("<think>")[1].split("</think>")
        assert rest[0].strip() == response.thinking


@pytest.mark.parametrize(
    "unit",
    ["<think>", "</think>", "<answer>", "<think></think>", "<", "</", "<think", " ", "\x00", "\ud800", "等"],
)
def test_a_megabyte_is_parsed_at_once(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    parse_response(text, "stop")
    parse_response(f"<think> {text} </think> <answer> {text} </answer>", "stop")
    assert time.process_time() - started < 0.5
