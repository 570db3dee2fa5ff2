"""What a client reads instead of a retracted reply."""

from __future__ import annotations

import pytest

from ahalab.guard.records import Review, Span
from ahalab.guard.texts import bundled_texts, category_of, retraction_text
from guard_control import make_policy


def span(category: str, severity: int) -> Span:
    return Span("reply", -1, 0, 1, "t", category, severity, ("raw",))


@pytest.mark.parametrize(
    ("category", "language", "begins"),
    [
        ("violence", "en", "This reply was withdrawn because it may help to hurt"),
        ("violence", "zh", "这条回复可能会帮助伤害他人"),
        ("violence", "zh-TW", "这条回复可能会帮助伤害他人"),
        ("violence", "sw", "This reply was withdrawn because it may help to hurt"),
        ("no-such", "zh", "这条回复可能不符合本服务的规定"),
        ("", "", "This reply was withdrawn because it may break"),
    ],
)
def test_the_text_follows_category_and_language(category: str, language: str, begins: str) -> None:
    assert retraction_text(make_policy(), category, language).startswith(begins)


def test_the_policys_own_words_go_first() -> None:
    policy = make_policy(retraction={"violence": {"en": "Ours."}, "default": {"fr": "Retirée."}})
    assert retraction_text(policy, "violence", "en") == "Ours."
    assert retraction_text(policy, "violence", "zh").startswith("这条")
    assert retraction_text(policy, "other", "fr") == "Retirée."
    assert retraction_text(policy, "violence", "fr") == "Retirée."
    assert "alone" in retraction_text(policy, "self-harm", "fr")


def test_self_harm_is_supportive_and_ends_with_the_operators_resource() -> None:
    with_line = make_policy(resource="Call 000.")
    assert retraction_text(with_line, "self-harm", "en").endswith("Call 000.")
    assert "不必独自承受" in retraction_text(with_line, "self-harm", "zh")
    assert "{" not in retraction_text(make_policy(), "self-harm", "en")
    own = make_policy(resource="Call {x}.", retraction={"self-harm": {"en": "You matter."}})
    assert retraction_text(own, "self-harm", "en") == "You matter. Call {x}."
    assert "000" not in retraction_text(with_line, "violence", "en")


def test_the_category_is_the_rules_then_the_gravest_spans_and_self_harm_before_all() -> None:
    policy = make_policy()
    spans = (span("fraud", 1), span("hate", 3))
    assert category_of(policy, spans, None) == "hate"
    assert category_of(policy, spans, Review(rules=(3,))) == "hate"
    assert category_of(policy, spans, Review(rules=(3, 2))) == "violence"
    assert category_of(policy, (*spans, span("self-harm", 1)), Review(rules=(2,))) == "self-harm"
    assert category_of(policy, (), Review(rules=(3,))) == "default"


def test_every_bundled_text_is_there_in_both_languages() -> None:
    assert {"default", "self-harm", "retracted_history", "unavailable"} <= set(bundled_texts())
    for texts in bundled_texts().values():
        assert set(texts) == {"en", "zh"}
