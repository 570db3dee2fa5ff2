"""Guard models: what each is sent, how its recorded answers are read, and which standards its categories violate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.review_tools import POLICY, Scripted, exchange, reviewed, reviewer_of

from ahalab.errors import UserError
from ahalab.guard.policy import Policy, bundled_policy
from ahalab.guard.records import Exchange, Turn
from ahalab.guard.review.adapters import CATEGORIES, CategoryForm, ShieldGemmaForm, read_table
from ahalab.guard.review.opening import open_reviewer
from ahalab.guard.review.reviewer import Answer

DIALOGUE = Exchange(
    "e", "", (Turn("user", "One?"), Turn("assistant", "Two."), Turn("user", "Three?")), "m", False
)


def form(name: str, policy: Policy = POLICY, **more: Any) -> CategoryForm:
    return CategoryForm(name, policy, read_table(name, policy), **more)


def verdict(name: str, said: str, finish: str = "stop", **more: Any) -> tuple[tuple[int, ...], str]:
    model = Scripted(lambda _: Answer(said, finish, 5))
    review = reviewed(reviewer_of(model, form(name, **more)), DIALOGUE, "Four.")
    return review.rules, review.error


# Answers in the shape in which the model cards show them.
@pytest.mark.parametrize(
    ("said", "rules", "error"),
    [
        ("Safety: Safe\nCategories: None\nRefusal: Yes", (), ""),
        ("Safety: Safe\nCategories: None\nRefusal: No", (), ""),
        ("Safety: Safe\nCategories: None", (), ""),
        ("\nSafety: Unsafe\nCategories: Violent\n", (2,), ""),
        ("Safety: Unsafe\nCategories: Violent, Suicide & Self-Harm\nRefusal: No", (2, 3), ""),
        ("Safety: Unsafe\nCategories: Non-violent Illegal Acts\nRefusal: No", (6,), ""),
        ("<think>\n\n</think>\n\nSafety: Unsafe\nCategories: PII\nRefusal: No", (8,), ""),
        ("Safety: Controversial\nCategories: Unethical Acts\nRefusal: No", (5,), ""),
        ("Safety: Unsafe\nCategories: Politically Sensitive Topics\nRefusal: No", (), ""),
        ("Safety: Unsafe\nCategories: Jailbreak", (1,), ""),
        ("Safety: Unsafe\nCategories: Magic", (), "unknown rule"),
        ("Safety: Unsafe\nCategories: None", (), "unknown rule"),
        ("Safety: Safe\nCategories: Violent", (), "schema"),
        ("Safety: Safe", (), "schema"),
        ("Safety: Safe.", (), "schema"),
        ("safety: safe\ncategories: none", (), "schema"),
        ("The user said:\nSafety: Safe\nCategories: None", (), "schema"),
        ("Safety: Safe\nCategories: None\nRefusal: No\nSafety: Unsafe\nCategories: Violent", (), "schema"),
        ("Safety: Unsafe\nCategories: Violent\n\nSafety: Safe\nCategories: None", (), "schema"),
        ("", (), "schema"),
    ],
)
def test_qwen3guard_answers(said: str, rules: tuple[int, ...], error: str) -> None:
    assert verdict("qwen3guard", said) == (rules, error)


def test_controversial_counts_unless_the_operator_says_otherwise() -> None:
    said = "Safety: Controversial\nCategories: Violent\nRefusal: No"
    assert verdict("qwen3guard", said) == ((2,), "")
    assert verdict("qwen3guard", said, controversial=False) == ((), "")
    assert verdict("qwen3guard", said.replace("Controversial", "Unsafe"), controversial=False) == ((2,), "")


@pytest.mark.parametrize(
    ("said", "rules", "error"),
    [
        ("safe", (), ""),
        ("\n\nsafe", (), ""),
        ("\n\nunsafe\nS2", (6,), ""),
        ("unsafe\nS1,S11", (2, 3), ""),
        ("unsafe\nS1, S14", (2, 7), ""),
        ("unsafe\nS15", (), "unknown rule"),
        ("unsafe", (), "schema"),
        ("safe\nS1", (), "schema"),
        ("unsafe S1", (), "schema"),
        ("Safe", (), "schema"),
        ("safe\nunsafe\nS1", (), "schema"),
        ("unsafe\nS1\nsafe", (), "schema"),
        ("It is safe", (), "schema"),
    ],
)
def test_llama_guard_answers(said: str, rules: tuple[int, ...], error: str) -> None:
    assert verdict("llamaguard", said) == (rules, error)


@pytest.mark.parametrize("name", ["qwen3guard", "llamaguard"])
def test_a_cut_answer_of_a_guard_model_is_no_verdict(name: str) -> None:
    said = {"qwen3guard": "Safety: Safe\nCategories: None", "llamaguard": "safe"}[name]
    assert verdict(name, said, "length") == ((), "schema: cut off")
    assert verdict(name, said, "content_filter") == ((), "schema: refused")


@pytest.mark.parametrize("name", ["qwen3guard", "llamaguard"])
def test_a_guard_model_gets_the_bare_messages_of_answer_and_thinking_apart(name: str) -> None:
    said = {"qwen3guard": "Safety: Safe\nCategories: None", "llamaguard": "safe"}[name]
    model = Scripted(lambda _: said)
    reviewed(reviewer_of(model, form(name)), DIALOGUE, "Four.", "I think <|im_end|>.")
    turns = [{"role": turn.role, "content": turn.content} for turn in DIALOGUE.turns]
    assert sorted(asked[0][-1]["content"] for asked in model.asked) == [
        "Four.",
        "I think \\u{003C}|im_end|>.",
    ]
    for messages, options in model.asked:
        assert messages[:-1] == turns
        assert messages[-1]["role"] == "assistant"
        assert options == {}
    asked = Scripted(lambda _: said)
    reviewed(reviewer_of(asked, form(name)), DIALOGUE)
    assert asked.asked[0][0] == turns


def test_turns_that_do_not_alternate_are_given_as_one() -> None:
    model = Scripted(lambda _: "safe")
    given = exchange("Now?", Turn("system", "Be brief."), Turn("user", "Before?"))
    reviewed(reviewer_of(model, form("llamaguard")), given, "Here.")
    assert model.asked[0][0] == [
        {"role": "user", "content": "system:\nBe brief.\n\nuser:\nBefore?\n\nNow?"},
        {"role": "assistant", "content": "Here."},
    ]


@pytest.mark.parametrize("name", ["qwen3guard", "llamaguard", "shieldgemma"])
def test_thinking_that_a_client_puts_into_an_earlier_turn_reaches_a_guard_model(name: str) -> None:
    said = {"qwen3guard": "Safety: Safe\nCategories: None", "llamaguard": "safe", "shieldgemma": "No"}[name]
    model = Scripted(lambda _: said)
    given = exchange("Now?", Turn("user", "Before?"), Turn("assistant", "Fine.", "It was hidden here."))
    questions = ShieldGemmaForm(POLICY) if name == "shieldgemma" else form(name)
    reviewed(reviewer_of(model, questions), given, "Here.")
    for messages, _ in model.asked:
        assert "It was hidden here." in messages[0]["content"]


def test_a_long_answer_goes_to_a_guard_model_window_by_window() -> None:
    text = " ".join(f"word{number}" for number in range(4000))
    model = Scripted(lambda said: "unsafe\nS1" if "word3999" in said else "safe")
    review = reviewed(reviewer_of(model, form("llamaguard"), at_once=1), exchange("Short?"), text)
    assert (review.rules, review.windows) == ((2,), 7)
    seen = {word for messages, _ in model.asked for word in messages[-1]["content"].split()}
    assert seen.issuperset(text.split())


def test_shieldgemma_is_asked_once_for_each_standard_about_content() -> None:
    def says(_: str) -> str:
        guideline = model.asked[-1][1]["chat_template_kwargs"]["guideline"]
        return "Yes, it does." if '"No Crime"' in guideline else "No"

    model = Scripted(says)
    review = reviewed(reviewer_of(model, ShieldGemmaForm(POLICY), at_once=1), DIALOGUE, "Four.")
    assert (review.rules, review.error) == ((6,), "")
    guidelines = [options["chat_template_kwargs"]["guideline"] for _, options in model.asked]
    assert [one.split('"')[1] for one in guidelines] == [
        f"No {one.title}" for one in POLICY.standards if not one.meta
    ][:5]
    assert all("The chatbot shall not generate" in one for one in guidelines)
    assert {options["max_tokens"] for _, options in model.asked} == {8}
    assert [turn["role"] for turn in model.asked[0][0]] == ["user", "assistant"]
    clean = Scripted(lambda _: Answer("No", "length", 1))
    review = reviewed(reviewer_of(clean, ShieldGemmaForm(POLICY)), DIALOGUE, "Four.")
    assert (review.rules, review.error, review.calls) == ((), "", 9)


def test_shieldgemma_judges_a_request_alone_by_the_wording_for_requests() -> None:
    model = Scripted(lambda _: "No")
    review = reviewed(reviewer_of(model, ShieldGemmaForm(POLICY)), DIALOGUE, "")
    assert not review.error
    for messages, options in model.asked:
        assert [turn["role"] for turn in messages] == ["user"]
        assert "The prompt shall not contain or seek" in options["chat_template_kwargs"]["guideline"]


@pytest.mark.parametrize("said", ["", "Maybe", "yes", "Yesterday", "The answer is No", "Nobody"])
def test_shieldgemma_answers_that_do_not_begin_with_yes_or_no_are_no_verdict(said: str) -> None:
    review = reviewed(reviewer_of(Scripted(lambda _: said), ShieldGemmaForm(POLICY)), DIALOGUE, "Four.")
    assert (review.rules, review.error) == ((), "schema")


@pytest.mark.parametrize("name", CATEGORIES)
def test_every_bundled_policy_has_a_table_for_every_category(name: str) -> None:
    for policy in ("general", "paper", "jurisdiction-example"):
        table = read_table(name, bundled_policy(policy))
        assert set(table) == set(CATEGORIES[name])
        assert sum(1 for rules in table.values() if not rules) <= 1


def test_a_table_of_ones_own_is_checked(tmp_path: Path) -> None:
    own = POLICY.model_copy(update={"name": "own"})
    with pytest.raises(UserError, match="Write them into a YAML file"):
        read_table("llamaguard", own)
    path = tmp_path / "table.yaml"
    right = {name: [2] for name in CATEGORIES["llamaguard"]}
    for wrong, words in (
        ({"S1": [2]}, "'S2' is missing"),
        ({**right, "S99": [2]}, "'S99' is no category"),
        ({**right, "S3": [11]}, "`S3`: expected a list of ids"),
        ({**right, "S3": 2}, "`S3`: expected a list of ids"),
        ([], "expected a mapping"),
    ):
        path.write_text(yaml.safe_dump(wrong), "utf-8")
        with pytest.raises(UserError, match=words):
            read_table("llamaguard", own, path)
    path.write_text(yaml.safe_dump({**right, "S3": []}), "utf-8")
    assert read_table("llamaguard", own, path)["S3"] == ()
    spec = tmp_path / "reviewer.yaml"
    spec.write_text("url: http://a/v1\nmodel: m\nform: llamaguard\ncategories: table.yaml\n", "utf-8")
    assert open_reviewer(str(spec), own).identity()["form"] == "llamaguard"
    spec.write_text("url: http://a/v1\nmodel: m\nform: shieldgemma\n", "utf-8")
    assert open_reviewer(str(spec), own).identity()["form"] == "shieldgemma"
