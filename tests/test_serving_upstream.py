"""An OpenAI-compatible server as the model: what is sent to it, and what a client is told when it fails."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.serving_tools import Served, chat_body, events, shown
from tests.stream_server import DONE, Sent, StreamServer, delta, plain, streamed, usage

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.serving.upstream import open_upstream

WHOLE = streamed(delta(content="Hello"), delta(content=" there"), delta("stop"), usage(4, 2), DONE)
PLAIN = plain(
    {
        "choices": [{"message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2},
    }
)


def through(folder: Path, script: Any, *bodies: dict[str, Any], key_env: str | None = None) -> Any:
    """The gateway's answers in front of a scripted server; and the server."""

    async def main() -> Any:
        async with StreamServer(script) as server:
            model = open_upstream(server.url, {"m": "own-name"}, key_env, 10.0)
            served = Served(folder, model=model)
            transport = httpx2.ASGITransport(app=served.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                answers = [await client.post("/v1/chat/completions", json=one) for one in bodies]
            await served.gateway.settled()
            await model.aclose()
            return answers, server, served

    return asyncio.run(main())


def both(body: dict[str, Any]) -> Sent:
    return WHOLE if body.get("stream") else PLAIN


def test_only_what_is_allowed_reaches_the_server(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "the-operators-key")
    messages = [
        {"role": "developer", "content": "Be kind"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Yes", "reasoning_content": "Hmm"},
        {"role": "user", "content": "Go on"},
    ]
    asked = {"model": "m", "messages": messages, "temperature": 0.5, "user": "me", "n": 1}
    answers, server, _ = through(tmp_path, both, asked, asked | {"stream": True}, key_env="UPSTREAM_KEY")
    assert [shown(one) for one in answers] == ["Hello there", "Hello there"]
    sent = [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "Go on"},
    ]
    common = {"messages": sent, "model": "own-name", "temperature": 0.5}
    assert server.bodies == [
        common | {"stream": False},
        common | {"stream": True, "stream_options": {"include_usage": True}},
    ]
    assert "bearer the-operators-key" in server.heads[0].lower()
    assert all("the-operators-key" not in one.text for one in answers)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (plain({"error": {"message": "slow down"}}, 429, Retry_After="7"), 429, "model_rate_limit"),
        (plain({"error": {"message": "secret place"}}, 500), 502, "model_failed"),
        (plain({"error": {"message": "bad key"}}, 401), 502, "model_unauthorized"),
        (plain({"error": {"message": "pay"}}, 402), 502, "model_unpaid"),
        (plain({"error": {"message": "maximum context length is 10"}}, 400), 400, "context_length_exceeded"),
        (plain({"error": {"message": "content_filter"}}, 400), 400, "content_filter"),
        (plain({"error": {"message": "unknown field secret"}}, 400), 502, "model_refused"),
        (plain("no object"), 502, "model_failed"),
        (Sent([b"<html>secret</html>"], 200), 502, "model_failed"),
        (Sent([], 200, whole=False), 502, "model_failed"),
    ],
)
def test_an_error_of_the_server_becomes_openais_without_its_words(
    sent: Sent, status: int, code: str, tmp_path: Path
) -> None:
    answers, _, served = through(tmp_path, [sent], chat_body(), chat_body(stream=True))
    for answer in answers:
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["code"] == code
        assert "secret" not in answer.text
    if status == 429:
        assert answers[0].headers["retry-after"] == "7"
    assert [row[4]["ended"] for row in served.audit.rows] == [code, code]


def test_a_server_that_cannot_be_reached_is_a_502(tmp_path: Path) -> None:
    model = open_upstream("http://127.0.0.1:9/v1", {"m": "m"}, None, 5.0)
    served = Served(tmp_path, model=model)
    for stream in (False, True):
        answer = served.chat(stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "model_unreachable")
        assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    "broken",
    [
        streamed(delta(content="Hello "), delta(content="wor"), whole=False),
        streamed(delta(content="Hello "), b"data: {broken\n\n"),
        streamed(delta(content="Hello "), DONE),
        streamed(delta(content="Hello "), b'data: {"error": {"message": "secret"}}\n\n'),
    ],
)
def test_a_server_that_dies_in_a_stream_leaves_a_well_formed_end(broken: Sent, tmp_path: Path) -> None:
    [answer], _, served = through(tmp_path, [broken], chat_body(stream=True))
    *before, last = events(answer)
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in before).startswith("Hello")
    assert all(one["choices"][0]["finish_reason"] is None for one in before)
    assert last["error"]["code"] == "model_failed"
    assert "secret" not in answer.text
    assert served.audit.rows[0][4]["ended"] == "model_failed"


def test_a_flagged_half_reply_of_a_server_that_died_is_retracted(tmp_path: Path) -> None:
    broken = streamed(delta(content="Hello zorbom"), delta(content=" and"), whole=False)
    [answer], _, served = through(tmp_path, [broken], chat_body(stream=True))
    assert events(answer)[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert "zor" not in answer.text
    assert served.audit.rows[0][1].action == "retract"


def test_models_are_listed_by_the_server_or_named() -> None:
    class Listing(http.server.BaseHTTPRequestHandler):
        body = json.dumps({"data": [{"id": "a"}, {"id": "b"}]}).encode()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(type(self).body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        assert open_upstream(url, {}, None, 5.0).names == ("a", "b")
        for body in (b"{}", b"[]", b"<html>", b'{"data": [5]}', b'{"data": []}'):
            Listing.body = body
            with pytest.raises(EnvironmentFailure, match="--model"):
                open_upstream(url, {}, None, 5.0)
        server.shutdown()
    with pytest.raises(EnvironmentFailure, match="Is it running"):
        open_upstream("http://127.0.0.1:9/v1", {}, None, 5.0)
    with pytest.raises(UserError, match="--upstream: `url`"):
        open_upstream("ftp://x", {}, None, 5.0)
