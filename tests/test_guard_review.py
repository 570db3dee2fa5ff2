"""Reviews: what a reviewer is sent, how its answer is read, windows, what is asked again, and how errors are told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint_server import EndpointServer, Step, endpoint_alone, error, say
from tests.review_tools import (
    POLICY,
    SLOT_TEXT,
    Scripted,
    block,
    dialogue,
    exchange,
    mark_of,
    reviewed,
    reviewer_of,
    says,
    settings,
)

from ahalab.errors import UserError
from ahalab.guard.policy import bundled_policy
from ahalab.guard.records import Exchange, Turn
from ahalab.guard.review.dialogue import SLOTS, bare, pieces_of, shown
from ahalab.guard.review.endpoint import EndpointAsker
from ahalab.guard.review.opening import open_reviewer
from ahalab.guard.review.prompt import ReviewForm
from ahalab.guard.review.reading import Found, read_review
from ahalab.guard.review.reviewer import Answer, AskFailed, ModelReviewer

__all__ = ["endpoint_alone"]
MARK = "0a1b2c3d"


def tags(rules: str, reason: str = "I have read it.", mark: str = MARK) -> str:
    return f"<judge_reason {mark}>{reason}</judge_reason>\n<target_rule {mark}>{rules}</target_rule>"


def read(text: str, finish: str = "stop") -> Found | str:
    return read_review(text, MARK, finish, POLICY)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (tags("[-1]"), ()),
        (tags("[2]"), (2,)),
        (tags("[ 7,2 ,4 ]"), (2, 4, 7)),
        (tags("[1]"), (1,)),
        (tags("[1, 6]"), (1, 6)),
        (f"\n \ufeff{tags('[3]')}\n\n", (3,)),
        (f"```xml\n{tags('[3]')}\n```", (3,)),
        (f"<think>Perhaps [-1]? No.</think>\n\n{tags('[3]')}", (3,)),
        (f"The opening tag was prefilled. {tags('[-1]')}</think>{tags('[3]')}", (3,)),
        (tags("[3]", "It says </think> somewhere."), (3,)),
        (tags("[3]", "1 < 2 and <b>bold</b>\nover lines"), (3,)),
        (tags("[10]").replace("\n", ""), (10,)),
    ],
)
def test_an_answer_in_the_form_is_read(text: str, rules: tuple[int, ...]) -> None:
    found = read(text)
    assert isinstance(found, Found)
    assert found.rules == rules
    assert found.reason.strip() == found.reason != ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "schema"),
        ("[-1]", "schema"),
        (tags("[-1]", mark="0a1b2c3e"), "schema"),
        (tags("[-1]").replace(f" {MARK}", ""), "schema"),
        (tags("[-1]").replace(f"rule {MARK}", "rule"), "schema"),
        (tags("[]"), "schema"),
        (tags("-1"), "schema"),
        (tags("[-1"), "schema"),
        (tags("[-1, 2]"), "schema"),
        (tags("[2, 2]"), "schema"),
        (tags("[-1, -1]"), "schema"),
        (tags("[2.0]"), "schema"),
        (tags('["2"]'), "schema"),
        (tags("[２]"), "schema"),
        (tags("[…]"), "schema"),
        (tags("[-1]", ""), "schema"),
        (tags("[-1]", " … "), "schema"),
        (tags("[-1]", f"the mark is {MARK}"), "schema"),
        (tags("[-1]", "see <target_rule>[2]</target_rule>"), "schema"),
        (tags("[-1]", "see <TARGET\u200b_RULE>"), "schema"),
        (tags("[-1]") + tags("[-1]"), "schema"),
        (tags("[-1]") + " Good luck.", "schema"),
        ("Here it is: " + tags("[-1]"), "schema"),
        (f"<think>{tags('[-1]')}", "schema"),
        (tags("[11]"), "unknown rule"),
        (tags("[2, 11]"), "unknown rule"),
        (tags("[0]"), "unknown rule"),
        (tags("[-2]"), "unknown rule"),
        ("I'm sorry, but I cannot help with that.", "schema: refused"),
        ("<think>Hm.</think>抱歉，我无法处理。", "schema: refused"),
        (tags("[-1]", "x" * 100_000), "schema"),
    ],
)
def test_anything_else_is_no_verdict(text: str, complaint: str) -> None:
    assert read(text) == complaint


def test_an_answer_that_did_not_end_by_itself_is_no_verdict() -> None:
    assert read(tags("[-1]"), "length") == "schema: cut off"
    assert read(tags("[-1]"), "content_filter") == "schema: refused"


def test_the_prompt_has_the_policys_standards_in_their_order_and_every_text_in_its_block() -> None:
    for name in ("paper", "general", "jurisdiction-example"):
        policy = bundled_policy(name)
        model = Scripted(says)
        turns = (Turn("system", "Be brief."), Turn("user", "Before?"), Turn("assistant", "Yes.", "Hm."))
        reviewed(reviewer_of(model, policy=policy), exchange("Now?", *turns), "Here.", "I think.")
        (prompt,) = model.prompts
        places = [prompt.index(f"\n{one.id}. {one.title}: ") for one in policy.standards]
        assert places == sorted(places)
        assert len(places) == (11 if name == "paper" else 10)
        assert block(prompt, "history") == (
            "system:\nBe brief.\n\nuser:\nBefore?\n\nassistant, thinking:\nHm.\n\nassistant:\nYes."
        )
        assert [block(prompt, slot) for slot in SLOTS[1:]] == ["Now?", "I think.", "Here."]
        assert prompt.index("# Role") < prompt.index("# Workflow") < places[0] < prompt.index("# Data")
        assert prompt.index("# Data") < prompt.index("# Output") < prompt.index("[-1]")


def test_a_request_without_an_answer_is_judged_as_a_request() -> None:
    model = Scripted(says)
    reviewed(reviewer_of(model), exchange("Now?"))
    (prompt,) = model.prompts
    assert "has not answered yet" in prompt
    assert "[begin reply" not in prompt
    assert block(prompt, "query") == "Now?"


def test_hidden_characters_and_control_tokens_are_shown_and_joiners_kept() -> None:
    assert shown("a\u202eb\r\nc\x1b[1m") == "a\\u{202E}b\nc\\u{001B}[1m"
    assert shown("می\u200cخواهم") == "می\u200cخواهم"
    assert shown("<|im_end|> <｜User｜> <end_of_turn> [/INST]") == (
        "\\u{003C}|im_end|> \\u{003C}｜User｜> \\u{003C}end_of_turn> \\u{005B}/INST]"
    )
    assert bare("<END CONVERSATION> <begin> <END>") == "\\u{003C}END CONVERSATION> <begin> <END>"
    assert bare("plain <b> [1] a\u200bb \ud800") == "plain <b> [1] a\u200bb ?"


def test_every_character_of_a_long_dialogue_stands_in_some_piece() -> None:
    words = {slot: [f"{slot}{number}." for number in range(900)] for slot in SLOTS}
    text = {slot: " ".join(words[slot]) for slot in SLOTS}
    for long in (["reply"], ["query", "thinking"], list(SLOTS)):
        said = {slot: text[slot] if slot in long else f"{slot} is short" for slot in SLOTS}
        given = exchange(said["query"], Turn("assistant", said["history"]))
        pieces = pieces_of(given, said["reply"], said["thinking"], 2000, 200)
        assert [piece.number for piece in pieces] == list(range(1, len(pieces) + 1))
        assert {piece.of for piece in pieces} == {len(pieces)}
        for slot in SLOTS:
            seen = {word for piece in pieces for word in getattr(piece, slot).split()}
            assert seen.issuperset(said[slot].split())
        for piece in pieces:
            assert len(getattr(piece, piece.slot)) <= 2000
            assert sum(len(getattr(piece, slot)) for slot in SLOTS) <= 2000 * 1.5 + 300
            others = [slot for slot in SLOTS if slot != piece.slot and slot in long]
            assert all("characters stand in another piece" in getattr(piece, slot) for slot in others)


def test_a_dialogue_that_fits_is_one_piece_and_hidden_characters_count_as_they_are_shown() -> None:
    given, reply, thinking = dialogue("x" * 1000, "reply")
    assert len(pieces_of(given, reply, thinking, 2000, 200)) == 1
    given, reply, thinking = dialogue("\u200b" * 1000, "reply")
    assert len(pieces_of(given, reply, thinking, 2000, 200, shown)) > 3


LONG = " ".join(f"word{number}" for number in range(4000))


def test_a_violation_in_any_window_counts_and_ends_the_review() -> None:
    model = Scripted(lambda prompt: says(prompt, "[4]" if "word2000 " in block(prompt) else "[-1]"))
    review = reviewed(reviewer_of(model, at_once=1), exchange(), LONG)
    assert (review.rules, review.error, review.windows) == ((4,), "", 7)
    assert review.calls == len(model.prompts) == 4
    assert review.tokens == 40
    assert len(review.raw) == 4


def test_an_error_in_a_window_counts_where_no_window_violates_and_not_where_one_does() -> None:
    def script(prompt: str, also: str = "") -> str:
        if "word2000 " in block(prompt):
            return "what?"
        return says(prompt, "[4]" if also and also in block(prompt) else "[-1]")

    clean = reviewed(reviewer_of(Scripted(script)), exchange(), LONG)
    assert (clean.rules, clean.error) == ((), "schema")
    worse = reviewed(reviewer_of(Scripted(lambda prompt: script(prompt, "word3500 "))), exchange(), LONG)
    assert (worse.rules, worse.error) == ((4,), "")


def test_too_many_windows_are_an_error_and_cost_no_call() -> None:
    model = Scripted(says)
    review = reviewed(reviewer_of(model, most_windows=6), exchange(), LONG)
    assert (review.error, review.calls, model.prompts) == ("too long", 0, [])
    assert review.reason == "7 windows, `most_windows` is 6"


def test_an_unreadable_answer_is_asked_for_once_more_with_the_error_shown() -> None:
    answers = iter(["nonsense", "again nonsense", "never asked"])
    model = Scripted(lambda _: next(answers))
    review = reviewed(reviewer_of(model), exchange(), "Here.")
    assert (review.error, review.calls, review.raw) == ("schema", 2, ("nonsense", "again nonsense"))
    assert "Your last answer could not be used" in model.prompts[1]
    assert mark_of(model.prompts[0]) != mark_of(model.prompts[1])
    mended = Scripted(lambda prompt: says(prompt, "[3]" if "could not be used" in prompt else "[99]"))
    review = reviewed(reviewer_of(mended), exchange(), "Here.")
    assert (review.rules, review.error, review.calls) == ((3,), "", 2)
    assert "named a number that is no standard" in mended.prompts[1]


def test_the_mark_of_the_first_request_does_not_serve_for_the_second() -> None:
    model = Scripted(lambda _: says(model.prompts[0], "[-1]") if len(model.prompts) > 1 else "nonsense")
    assert reviewed(reviewer_of(model), exchange(), "Here.").error == "schema"


def test_reviews_of_one_reviewer_do_not_mix() -> None:
    async def main() -> list[tuple[int, ...]]:
        model = Scripted(lambda prompt: says(prompt, f"[{block(prompt)}]"))
        one = reviewer_of(model)
        found = await asyncio.gather(*(one.review(exchange(number=n), str(n), "") for n in range(2, 10)))
        return [review.rules for review in found]

    assert asyncio.run(main()) == [(n,) for n in range(2, 10)]


def served(script: Any, **changes: Any) -> tuple[Any, EndpointServer]:
    with EndpointServer(script) as server:
        config = settings(url=server.url, timeout_seconds=5.0, **changes)
        review = reviewed(
            ModelReviewer(EndpointAsker(config), ReviewForm(POLICY), config), exchange(), "Here."
        )
    return review, server


def test_an_endpoint_reviews_and_its_tokens_are_counted() -> None:
    review, server = served(lambda prompt: says(prompt, "[2]"))
    assert (review.rules, review.error, review.calls, review.tokens) == ((2,), "", 1, 12)
    assert server.bodies[0]["temperature"] == 0.0
    assert server.bodies[0]["stream"] is False


@pytest.mark.parametrize(
    ("step", "told", "calls"),
    [
        (error(500, "busy"), "endpoint: server error", 2),
        (Step(hang_up=True), "endpoint: broken connection", 2),
        (error(401, "no"), "endpoint: unauthorized", 1),
        (error(404, "no such model"), "endpoint: refused", 1),
        (error(402, "pay"), "endpoint: payment", 1),
        (error(400, "maximum context length is 10 tokens"), "too long", 1),
        (error(400, "content policy"), "schema: refused", 1),
        (Step(body=b"<html>"), "endpoint: unreadable reply", 2),
        (say(None, "content_filter"), "schema: refused", 2),
        (say(""), "schema", 2),
        (say("<judge_reason", "length"), "schema: cut off", 2),
    ],
)
def test_what_goes_wrong_at_an_endpoint_is_an_error_in_stable_words(
    step: Step, told: str, calls: int
) -> None:
    review, server = served([step])
    assert (review.rules, review.error, review.calls, len(server.bodies)) == ((), told, calls, calls)


def test_a_silent_endpoint_is_a_time_out_and_not_asked_again() -> None:
    with EndpointServer([say("late", wait=2.0)]) as server:
        config = settings(url=server.url, timeout_seconds=0.2)
        review = reviewed(
            ModelReviewer(EndpointAsker(config), ReviewForm(POLICY), config), exchange(), "Here."
        )
    assert (review.error, review.calls) == ("time-out", 1)


def test_identity_changes_with_whatever_decides_verdicts() -> None:
    def identity(policy: Any = POLICY, **changes: Any) -> dict[str, Any]:
        return ModelReviewer(
            EndpointAsker(settings(**changes)), ReviewForm(policy), settings(**changes)
        ).identity()

    first = identity()
    assert first["kind"] == "endpoint"
    assert first["model"] == "m"
    assert first["training_data"] == []
    others = [identity(model="n"), identity(asks=3), identity(window=7000), identity(bundled_policy("paper"))]
    assert all(other != first for other in others)
    assert others[-1]["prompt"] != first["prompt"]
    assert identity(timeout_seconds=3.0) == first


def test_a_reviewer_that_breaks_is_an_error_not_an_exception() -> None:
    def breaks(_: str) -> Answer | AskFailed:
        raise UserError("the address is wrong")

    review = reviewed(reviewer_of(Scripted(breaks)), exchange(), "Here.")
    assert (review.error, review.reason) == ("endpoint: settings", "the address is wrong")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("http://127.0.0.1:1/v1", "the model's name is missing"),
        ("nowhere", "there is no such reviewer"),
        ("rm:", "there is no such reviewer"),
        ("", "there is no such reviewer"),
        ("rm:/no/such/folder", "is not a reward model"),
        ("recorded:/no/such/file", "is missing"),
        ("missing.yaml", "cannot be read"),
        ("builtin:huge", "no such bundled base"),
    ],
)
def test_a_reviewer_that_is_not_there_is_named(spec: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_reviewer(spec, POLICY)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "expected a mapping"),
        ("model: m", "one of `url`, `checkpoint`, `reward_model`"),
        ("{", "neither YAML nor JSON"),
        ("url: http://a/v1\nmodel: m\nretries: 3", "`retries` is not for a reviewer"),
        ("url: http://a/v1\nmodel: m\noverlap: 5000", "expected at most half of `window`"),
        ("url: http://a/v1\nmodel: m\nform: llama", "form"),
        ("url: http://a/v1\nmodel: m\ncategories: x.yaml", "for the forms qwen3guard and llamaguard only"),
        ("url: http://a/v1\nmodel: m\napi_key_env: NOT_SET_HERE", "NOT_SET_HERE is not set"),
        ("url: http://a/v1\nmodel: m\nwindows: 3", "did you mean `window`"),
    ],
)
def test_a_reviewers_file_that_breaks_a_rule_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "reviewer.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(UserError, match=words):
        open_reviewer(str(path), POLICY)


def test_a_url_and_a_file_open_the_same_reviewer(tmp_path: Path) -> None:
    path = tmp_path / "reviewer.yaml"
    path.write_text("url: http://127.0.0.1:9/v1\nmodel: m\n", "utf-8")
    opened = [open_reviewer(spec, POLICY) for spec in ("http://127.0.0.1:9/v1#m", str(path))]
    assert opened[0].identity() == opened[1].identity()


def test_a_dialogue_without_a_user_turn_is_reviewed_whole() -> None:
    model = Scripted(says)
    reviewed(reviewer_of(model), Exchange("e", "", (Turn("system", SLOT_TEXT),), "m", False), "Here.")
    assert SLOT_TEXT in block(model.prompts[0], "history")
