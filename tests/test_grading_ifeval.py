"""IFEval's official rules: which of them work offline, and that what cannot be checked is counted, never a 0."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from ahalab.grading.failure import GraderFailure
from ahalab.grading.ifeval import DATA_MISSING, ifeval_verifier
from ahalab.grading.pool import GraderPool
from ahalab.records import GradeRequest

NEEDED = ("lm_eval", "langdetect", "nltk", "immutabledict")
INSTALLED = all(importlib.util.find_spec(name) for name in NEEDED)
needs_rules = pytest.mark.skipif(not INSTALLED, reason="the extra `ifeval` is not installed")

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    # (instruction, its settings, a response that follows it, one that does not)
    ("keywords:existence", {"keywords": ["tea"]}, "I like tea.", "I like milk."),
    ("keywords:frequency", {"keyword": "tea", "frequency": 2, "relation": "at least"}, "tea, tea", "tea"),
    ("keywords:forbidden_words", {"forbidden_words": ["tea"]}, "milk", "tea"),
    (
        "keywords:letter_frequency",
        {"letter": "e", "let_frequency": 2, "let_relation": "at least"},
        "tree",
        "tea",
    ),
    (
        "language:response_language",
        {"language": "de"},
        "Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter.",
        "This is an ordinary English sentence about the weather.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", "one"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two three", "one two"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "two"},
        "one\n\ntwo",
        "two\n\none",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 1}, "Dear [name]", "Dear you"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP.S. hi", "Bye."),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n* b", "* a"),
    ("detectable_format:constrained_response", {}, "My answer is yes.", "Sure."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "*so* it is", "so it is"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1\na\nSection 2\nb",
        "a",
    ),
    ("detectable_format:json_format", {}, '{"a": 1}', "a: 1"),
    ("detectable_format:title", {}, "<<Song>>\nla", "Song\nla"),
    ("combination:two_responses", {}, "one\n******\ntwo", "one"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "Say hi. Hi!", "Hi!"),
    ("startend:end_checker", {"end_phrase": "the end"}, "and that is the end", "no"),
    ("change_case:english_capital", {}, "THIS IS ENGLISH TEXT INDEED AND LOUD", "this is english"),
    ("change_case:english_lowercase", {}, "this is english text indeed and quiet", "This Is English"),
    ("punctuation:no_comma", {}, "no pause", "a, b"),
    ("startend:quotation", {}, '"quoted"', "bare"),
]
NEED_DATA: list[tuple[str, dict[str, Any]]] = [
    ("length_constraints:number_sentences", {"num_sentences": 1, "relation": "at least"}),
    ("change_case:capital_word_frequency", {"capital_frequency": 1, "capital_relation": "at least"}),
]


def request(answer: str, *instructions: tuple[str, dict[str, Any]]) -> GradeRequest:
    extra = {
        "instruction_id_list": [name for name, _ in instructions],
        # As the data set has them: every key there is, most of them null.
        "kwargs": [{"num_words": None, "letter": None, **settings} for _, settings in instructions],
        "prompt": "Say hi.",
    }
    return GradeRequest("ifeval", answer, None, extra)


@needs_rules
def test_23_of_the_25_rules_work_without_any_data_and_tell_following_from_not() -> None:
    with GraderPool(1, cpu_seconds=20) as pool:
        good = pool.grade_all([request(good, (name, how)) for name, how, good, _ in CASES])
        bad = pool.grade_all([request(bad, (name, how)) for name, how, _, bad in CASES])
    assert {name: one.score for (name, *_), one in zip(CASES, good, strict=True)} == {
        name: 1.0 for name, *_ in CASES
    }
    assert {name: one.score for (name, *_), one in zip(CASES, bad, strict=True)} == {
        name: 0.0 for name, *_ in CASES
    }
    assert len(CASES) + len(NEED_DATA) == 25


@needs_rules
def test_a_prompt_counts_only_where_all_of_its_instructions_are_followed() -> None:
    both = ("punctuation:no_comma", {}), ("keywords:existence", {"keywords": ["tea"]})
    with GraderPool(1, cpu_seconds=20) as pool:
        scores = [
            one.score for one in pool.grade_all([request(a, *both) for a in ("tea", "tea, milk", "", "x")])
        ]
        long = pool.grade_all([request("tea " * 20_000, *both)])[0]
    assert scores == [1.0, 0.0, 0.0, 0.0]
    assert long.score == 1.0


@needs_rules
def test_what_cannot_be_checked_without_nltks_data_is_an_error_even_for_an_empty_answer() -> None:
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        pass
    else:
        pytest.skip("nltk's punkt_tab is on this machine")
    with GraderPool(1, cpu_seconds=20) as pool:
        for instruction in NEED_DATA:
            for answer in ("HELLO there. Bye.", ""):
                verdict = pool.grade_all([request(answer, instruction)])[0]
                assert verdict.score is None
                assert str(verdict.error).startswith(DATA_MISSING)


@needs_rules
def test_an_instruction_that_ifeval_does_not_have_is_an_error() -> None:
    with GraderPool(1, cpu_seconds=20) as pool:
        verdict = pool.grade_all([request("hi", ("keywords:rhyme", {}))])[0]
    assert verdict.score is None
    assert "no instruction 'keywords:rhyme'" in str(verdict.error)


def test_a_prompt_without_instructions_is_an_error() -> None:
    for extra in (
        {},
        {"instruction_id_list": ["a"], "kwargs": []},
        {"instruction_id_list": [], "kwargs": []},
    ):
        with pytest.raises(GraderFailure, match="ifeval needs extra"):
            ifeval_verifier("x", None, extra)
