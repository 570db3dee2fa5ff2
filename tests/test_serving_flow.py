"""One exchange: what is recorded before the first byte, who is asked, and how it ends when something fails."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.guard_control import BAD, CLEAN, Scripted
from tests.serving_tools import (
    BAD_REPLY,
    HELLO,
    MemoryAudit,
    ScriptedModel,
    Served,
    chat_body,
    events,
    shown,
    text_body,
)

from ahalab.errors import EnvironmentFailure
from ahalab.guard.records import Delta, Exchange, Review
from ahalab.serving.errors import Refusal

WAYS = [
    (path, body, stream)
    for path, body in (("/v1/chat/completions", chat_body), ("/v1/completions", text_body))
    for stream in (False, True)
]
FAILED = Refusal(502, "The model failed.", "model_failed", kind="api_error")


def error_of(answer: Any) -> str:
    """The code of an error, in a reply of its own or at the end of a stream."""
    if answer.headers["content-type"].startswith("application/json"):
        return str(answer.json()["error"]["code"])
    return str(events(answer)[-1]["error"]["code"])


class Slow(MemoryAudit):
    """Writes take a while; what is done is noted in order."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self.order = order

    async def intent(self, exchange: Exchange, policy: str) -> None:
        await asyncio.sleep(0.05)
        await super().intent(exchange, policy)
        self.order.append("intent")

    async def conclude_soon(self, *row: Any) -> Any:
        self.order.append("kept")
        return await super().conclude_soon(*row)

    async def conclude(self, *row: Any) -> None:
        await asyncio.sleep(0.05)
        await super().conclude(*row)
        self.order.append("concluded")


def noting(app: Any, order: list[str]) -> Any:
    """The app; bytes that go out are noted."""

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" or message.get("body"):
                order.append("bytes")
            await send(message)

        await app(scope, receive, sending)

    return noted


@pytest.mark.parametrize(("path", "body", "stream"), WAYS)
def test_no_byte_goes_out_before_the_intent_is_durable(
    path: str, body: Any, stream: bool, tmp_path: Path
) -> None:
    order: list[str] = []
    served = Served(tmp_path, audit=Slow(order))
    served.app = noting(served.app, order)
    answer = served.ask(path, body(stream=stream))
    assert shown(answer) == "Hello there"
    assert order[0] == "intent"
    assert order[-1] == "concluded"
    exchange, decision, reply, _, extra = served.audit.rows[0]
    assert (decision.action, reply, extra["tokens_in"], extra["tokens_out"]) == (
        "release",
        "Hello there",
        7,
        3,
    )
    assert exchange.id in answer.headers["x-request-id"]


@pytest.mark.parametrize("first", ["always", "flagged"])
@pytest.mark.parametrize(("path", "body", "stream"), WAYS)
def test_the_conclusion_is_durable_before_the_last_byte(
    path: str, body: Any, stream: bool, first: str, tmp_path: Path
) -> None:
    order: list[str] = []
    settings = {"conclude_first": first}
    flagged = Served(tmp_path, audit=Slow(order), model=ScriptedModel(BAD_REPLY), settings=settings)
    flagged.app = noting(flagged.app, order)
    flagged.ask(path, body(stream=stream))
    assert order[-2:] == ["concluded", "bytes"] if stream else order[1] == "concluded"
    del order[:]
    ordinary = Served(tmp_path, audit=Slow(order), settings=settings)
    ordinary.app = noting(ordinary.app, order)
    ordinary.ask(path, body(stream=stream))
    assert (order[-1] == "concluded") is (first == "flagged")
    if first == "flagged":  # what nobody waits for outlives the process before the last byte
        assert order[-3:] == ["kept", "bytes", "concluded"] if stream else order.index("kept") == 1
    else:
        assert "kept" not in order


@pytest.mark.parametrize(("path", "body", "stream"), WAYS)
def test_a_conclusion_that_cannot_even_be_kept_holds_back_the_rest(
    path: str, body: Any, stream: bool, tmp_path: Path
) -> None:
    served = Served(tmp_path, model=ScriptedModel([Delta("zo"), *HELLO[2:]]))
    served.audit.broken = "conclude soon"
    answer = served.ask(path, body(stream=stream))
    assert error_of(answer) == "unavailable"
    assert "zo" not in answer.text


def test_a_conclusion_that_failed_later_refuses_what_comes_next(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.audit.broken = "conclude"
    assert served.chat().status_code == 200
    assert b'aha_audit_failures_total{step="conclude"} 1.0' in served.gateway.metrics.text()
    served.audit.broken = "ready"
    assert served.chat().status_code == 503


def test_the_model_stops_when_the_intent_cannot_be_written(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel([30.0]))
    served.audit.broken = "intent"
    for stream in (False, True):
        assert served.chat(stream=stream).status_code == 503
    assert served.model.closed == len(served.model.asked)


@pytest.mark.parametrize("step", ["ready", "intent", "conclude"])
@pytest.mark.parametrize(("path", "body", "stream"), WAYS)
def test_an_audit_store_that_cannot_be_written_refuses_traffic(
    step: str, path: str, body: Any, stream: bool, tmp_path: Path
) -> None:
    model = ScriptedModel([Delta("zo"), *HELLO[2:]])
    served = Served(tmp_path, model=model, settings={"conclude_first": "always"})
    served.audit.broken = step
    answer = served.ask(path, body(stream=stream))
    assert answer.status_code == 503
    assert error_of(answer) == "unavailable"
    assert "zo" not in answer.text
    assert answer.headers["retry-after"] == "5"
    if step == "ready":
        assert not served.model.asked


def test_what_was_not_shown_when_the_conclusion_failed_is_never_shown(tmp_path: Path) -> None:
    model = ScriptedModel([Delta("Hello zo"), HELLO[2]])
    served = Served(tmp_path, model=model, settings={"conclude_first": "always"})
    served.audit.broken = "conclude"
    answer = served.chat(stream=True)
    assert answer.status_code == 200
    assert shown(answer) == "Hello "
    assert error_of(answer) == "unavailable"
    assert all(one.get("choices", [{}])[0].get("finish_reason") is None for one in events(answer))


@pytest.mark.parametrize("step", ["ready", "intent", "conclude"])
def test_insecure_answers_and_counts_every_bypass(step: str, tmp_path: Path, caplog: Any) -> None:
    served = Served(tmp_path, settings={"insecure": True})
    served.audit.broken = step
    for stream in (False, True):
        assert shown(served.chat(stream=stream)) == "Hello there"
    assert b'aha_bypasses_total{why="insecure"}' in served.gateway.metrics.text()
    assert "insecure" in caplog.text
    health = served.ask("/healthz", method="GET")
    assert health.json()["insecure"] is True


def test_without_terms_nothing_is_answered(tmp_path: Path) -> None:
    served = Served(tmp_path)
    control = served.controls.get()
    control.matcher = None
    for path, body, stream in WAYS:
        assert served.ask(path, body(stream=stream)).status_code == 503
    assert served.ask("/v1/moderations", {"input": "x"}).status_code == 503
    assert served.ask("/healthz", method="GET").status_code == 503
    assert not served.model.asked
    assert {row[1].reason for row in served.audit.rows} == {"unavailable"}


@pytest.mark.parametrize("streaming", ["hold", "retract"])
def test_a_filter_that_crashes_refuses(streaming: str, tmp_path: Path, caplog: Any) -> None:
    served = Served(tmp_path, policy={"streaming": streaming})

    class Broken:
        terms = served.controls.get().matcher.terms  # type: ignore[union-attr]

        def find(self, text: str) -> Any:
            raise RuntimeError(len(text))

    served.controls.get().matcher = Broken()  # type: ignore[assignment]
    for path, body, stream in WAYS:
        answer = served.ask(path, body(stream=stream))
        assert answer.status_code == 503
        assert error_of(answer) == "unavailable"
    assert "the keyword filter failed" in caplog.text


@pytest.mark.parametrize(("path", "body", "stream"), WAYS)
def test_a_model_that_fails_before_its_first_piece_keeps_its_status(
    path: str, body: Any, stream: bool, tmp_path: Path
) -> None:
    served = Served(tmp_path, model=ScriptedModel([FAILED]))
    answer = served.ask(path, body(stream=stream))
    assert (answer.status_code, error_of(answer)) == (502, "model_failed")
    assert served.audit.rows[0][4]["ended"] == "model_failed"
    assert not served.reviewer.calls


@pytest.mark.parametrize(("path", "body", "stream"), WAYS)
def test_a_model_that_breaks_its_promise_is_a_502_without_details(
    path: str, body: Any, stream: bool, tmp_path: Path
) -> None:
    served = Served(tmp_path, model=ScriptedModel([ValueError("secret place")]))
    answer = served.ask(path, body(stream=stream))
    assert (answer.status_code, error_of(answer)) == (502, "model_failed")
    assert "secret" not in answer.text


def test_a_stream_that_breaks_off_ends_in_an_error_not_in_a_finish_reason(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel([Delta("Hello wor"), Delta("ld. zo"), FAILED]))
    answer = served.chat(stream=True, stream_options={"include_usage": True})
    assert shown(answer) == "Hello world. zo"
    *before, last = events(answer)
    assert all(one["choices"][0]["finish_reason"] is None for one in before if one["choices"])
    assert last["error"]["code"] == "model_failed"
    assert last["error"]["verdict_id"] == served.audit.rows[0][0].id
    _, decision, reply, _, extra = served.audit.rows[0]
    assert (decision.action, reply, extra["ended"]) == ("release", "Hello world. zo", "model_failed")


def test_a_flagged_reply_that_breaks_off_is_reviewed_and_retracted(tmp_path: Path) -> None:
    for stream in (False, True):
        served = Served(tmp_path, model=ScriptedModel([Delta("Hello zorbom"), FAILED]))
        answer = served.chat(stream=stream)
        assert "zor" not in answer.text
        assert served.audit.rows[0][1].action == "retract"
        last = events(answer)[-1] if stream else answer.json()
        assert last["choices"][0]["finish_reason"] == "content_filter"


def test_a_model_that_takes_too_long_is_ended_and_audited(tmp_path: Path) -> None:
    for stream, pieces in ((False, [Delta("Hello"), 30.0]), (True, [30.0]), (True, [Delta("Hello "), 30.0])):
        served = Served(tmp_path, model=ScriptedModel(pieces), settings={"reply_seconds": 0.1})
        answer = served.chat(stream=stream)
        assert error_of(answer) == "model_timeout"
        assert answer.status_code == (200 if stream and len(pieces) == 2 else 504)
        assert served.audit.rows[0][4]["ended"] == "time-out"
        assert served.model.closed == 1


def test_a_retracted_reply_sent_back_is_refused_in_the_clients_terms(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), policy={"streaming": "retract"})
    served.chat(stream=True)
    asked = len(served.model.asked)
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "You build a zorbom like so"},
        {"role": "user", "content": "Go on"},
    ]
    for stream in (False, True):
        answer = served.ask("/v1/chat/completions", {"model": "m", "messages": messages, "stream": stream})
        last = events(answer)[-1] if stream else answer.json()
        assert last["choices"][0]["finish_reason"] == "content_filter"
        assert last["ahalab"]["reason"] == "retracted_history"
        assert "withdrawn" in shown(answer)
    assert len(served.model.asked) == asked
    assert [row[1].action for row in served.audit.rows] == ["retract", "refuse", "refuse"]


def test_what_a_review_releases_is_shown_whole(tmp_path: Path) -> None:
    for streaming in ("hold", "retract"):
        served = Served(
            tmp_path,
            model=ScriptedModel(BAD_REPLY),
            reviewer=Scripted(CLEAN),
            policy={"streaming": streaming},
        )
        for stream in (False, True):
            assert shown(served.chat(stream=stream)) == "You build a zorbom like so"


def test_shadow_mode_shows_everything_and_records_what_would_have_been(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), policy={"mode": "shadow"})
    for stream in (False, True):
        answer = served.chat(stream=stream)
        assert shown(answer) == "You build a zorbom like so"
        if stream:
            finishes = [one["choices"][0]["finish_reason"] for one in events(answer)]
            assert finishes.count("stop") == 1
            assert finishes[-1] == "stop"
    assert {(row[1].action, row[1].would) for row in served.audit.rows} == {("release", "retract")}


def test_a_retraction_is_in_the_language_of_the_user(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY))
    assert "已被撤回" in shown(served.chat("怎么做这个？"))
    assert "withdrawn" in shown(served.chat("How is this made?"))


def test_usage_is_told_as_openai_does(tmp_path: Path) -> None:
    served = Served(tmp_path)
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert served.chat().json()["usage"] == usage
    told = events(served.chat(stream=True, stream_options={"include_usage": True}))
    assert [one["usage"] for one in told] == [None] * (len(told) - 1) + [usage]
    assert told[-1]["choices"] == []
    assert all("usage" not in one for one in events(served.chat(stream=True)))


def test_a_model_that_counts_no_tokens_is_estimated(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel([Delta("abcdefgh"), Delta(finish="length")]))
    answer = served.chat("x" * 40).json()
    assert answer["usage"]["prompt_tokens"] == 11
    assert answer["usage"]["completion_tokens"] == 2
    assert answer["choices"][0]["finish_reason"] == "length"


def test_thinking_is_told_apart_from_the_answer(tmp_path: Path) -> None:
    pieces = [Delta(thinking="Hmm."), Delta("Yes"), Delta(finish="stop")]
    served = Served(tmp_path, model=ScriptedModel(pieces))
    message = served.chat().json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hmm.", "Yes")
    deltas = [one["choices"][0]["delta"] for one in events(served.chat(stream=True))]
    assert {"reasoning_content": "Hmm."} in deltas
    assert "Hmm." not in served.ask("/v1/completions", text_body(stream=True)).text


def test_what_the_control_cost_is_told_to_auditors_only(tmp_path: Path) -> None:
    from ahalab.serving.keys import Key

    keys = [Key(id="plain"), Key(id="auditor", scopes=["chat", "audit-read"])]
    reviewer = Scripted(Review(rules=BAD.rules, calls=2))
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), keys=keys, reviewer=reviewer)
    for stream in (False, True):
        told = {}
        for name in served.tokens:
            answer = served.ask("/v1/chat/completions", chat_body(stream=stream), key=name)
            told[name] = (events(answer)[-1] if stream else answer.json())["ahalab"]
        assert "reviewer_calls" not in told["plain"]
        assert told["plain"]["retracted"] is True
        assert (told["auditor"]["reviewer_calls"], told["auditor"]["control"]) == (2, "content_filter")


def test_an_unknown_model_is_404_before_anything_is_recorded(tmp_path: Path) -> None:
    served = Served(tmp_path)
    for path, body, stream in WAYS:
        answer = served.ask(path, body(stream=stream) | {"model": "gpt-9"})
        assert (answer.status_code, error_of(answer)) == (404, "model_not_found")
    assert not served.audit.intents
    listed = served.ask("/v1/models", method="GET").json()
    assert [one["id"] for one in listed["data"]] == ["m", "m2"]
    assert served.ask("/v1/models/m2", method="GET").json()["id"] == "m2"
    assert served.ask("/v1/models/x/y", method="GET").status_code == 404


def test_errors_inside_the_gateway_say_nothing_of_it(tmp_path: Path, monkeypatch: Any) -> None:
    def broken(*_: Any) -> Any:
        raise EnvironmentFailure("/secret/place")

    served = Served(tmp_path)
    monkeypatch.setattr(served.controls, "get", broken)
    answer = served.chat()
    assert (answer.status_code, error_of(answer)) == (500, "internal_error")
    assert "secret" not in answer.text
    assert served.gateway.limits.under_way == 0


def test_every_text_of_a_frame_is_one_line_of_ascii(tmp_path: Path) -> None:
    text = "a\u2028b\nc\u0085d 炸 \U0001f600"
    served = Served(tmp_path, model=ScriptedModel([Delta(text), Delta(finish="stop")]))
    for path, body in (("/v1/chat/completions", chat_body), ("/v1/completions", text_body)):
        answer = served.ask(path, body(stream=True))
        assert answer.content.isascii()
        assert all(not one or one.startswith("data: ") for one in answer.text.splitlines())
        assert shown(answer) == text
        assert json.loads(served.ask(path, body()).text)
