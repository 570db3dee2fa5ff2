"""`AsyncChat` and the reading of streams: whole or refused, bounded, and the connection goes when the caller goes."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from tests.stream_server import DONE, EVENTS, Sent, StreamServer, delta, event, plain, streamed, usage

from ahalab.endpoints.asynchronous import AsyncChat, Bounds, ChatFailed
from ahalab.endpoints.cache import Reply
from ahalab.endpoints.streaming import Broken, ChunkReader, EventReader, Piece
from ahalab.errors import UserError

USER = [{"role": "user", "content": "Hello"}]
FINE = streamed(
    delta(role="assistant", content=""), delta(content="Good "), delta(content="day", finish="stop"), DONE
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def served(script: Any, work: Callable[[AsyncChat, StreamServer], Awaitable[Any]], **how: Any) -> Any:
    async def main() -> Any:
        bounds = Bounds(**how.pop("bounds", {}))
        async with (
            StreamServer(script) as server,
            AsyncChat("upstream", server.config(**how), bounds) as chat,
        ):
            return await asyncio.wait_for(work(chat, server), 20)

    return asyncio.run(main())


async def gather(chat: AsyncChat) -> list[Piece]:
    return [piece async for piece in chat.stream(USER)]


def pieces(*script: Sent, **how: Any) -> list[Piece]:
    found: list[Piece] = served(script, lambda chat, _: gather(chat), **how)
    return found


def trouble(*script: Sent, plainly: bool = False, **how: Any) -> tuple[str, str]:
    """(reason, detail) of the error that it ends in."""

    async def work(chat: AsyncChat, _: StreamServer) -> ChatFailed:
        with pytest.raises(ChatFailed) as caught:
            await (chat.complete(USER) if plainly else gather(chat))
        return caught.value

    error: ChatFailed = served(script, work, **how)
    return error.trouble.reason, error.trouble.detail


def test_a_stream_gives_content_thinking_finish_and_tokens_in_their_order() -> None:
    found = pieces(
        streamed(
            delta(role="assistant", content=""),
            delta(reasoning_content="Let me "),
            delta(reasoning="see."),
            delta(content="Good"),
            delta(content=" day"),
            delta(finish="stop"),
            usage(7, 5),
            DONE,
        )
    )
    assert found == [
        Piece(thinking="Let me "),
        Piece(thinking="see."),
        Piece("Good"),
        Piece(" day"),
        Piece(finish="stop"),
        Piece(tokens_in=7, tokens_out=5),
    ]


def test_what_is_asked_is_what_was_told_and_nothing_else() -> None:
    async def work(chat: AsyncChat, server: StreamServer) -> StreamServer:
        await chat.complete(USER, {"temperature": 0.0, "max_tokens": None, "model": "other"})
        async for _ in chat.stream(USER):
            pass
        return server

    reply = {"choices": [{"message": {"content": "Yes"}, "finish_reason": "stop"}]}
    server = served([plain(reply), FINE], work, extra={"top_k": 3})
    assert server.bodies == [
        {"model": "other", "messages": USER, "temperature": 0.0, "top_k": 3, "stream": False},
        {
            "model": "fake",
            "messages": USER,
            "temperature": 0.6,
            "max_tokens": 4096,
            "top_k": 3,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ]
    assert "accept-encoding: identity" in server.heads[0].lower()


def test_a_whole_reply_is_read_as_the_plain_client_reads_it() -> None:
    said = {
        "choices": [{"message": {"content": "Yes", "reasoning_content": "Hm"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    reply: Reply = served([plain(said)], lambda chat, _: chat.complete(USER))
    assert (reply.text, reply.thinking, reply.finish, reply.tokens_in, reply.tokens_out) == (
        "Yes",
        "Hm",
        "length",
        3,
        4,
    )
    assert reply.seconds is not None


def test_what_has_no_utf8_form_is_never_passed_on() -> None:
    said = {"content": "a\ud800b \ud83d\ude00", "reasoning_content": "\udfff"}
    whole = {"choices": [{"message": said, "finish_reason": "st\ud800op"}]}
    reply: Reply = served([plain(whole)], lambda chat, _: chat.complete(USER))
    assert (reply.text, reply.thinking, reply.finish) == ("a\ufffdb \U0001f600", "\ufffd", "unknown")
    chunk = event({"choices": [{"delta": said, "finish_reason": "st\x1bop"}]})
    for sent in (plain(whole), streamed(chunk)):
        (piece,) = pieces(sent)
        assert (piece.content, piece.thinking, piece.finish) == ("a\ufffdb \U0001f600", "\ufffd", "unknown")


def test_one_connection_serves_several_requests_also_after_streams() -> None:
    async def work(chat: AsyncChat, server: StreamServer) -> int:
        for _ in range(3):
            await gather(chat)
        return server.connections

    assert served([FINE], work) == 1


def test_many_requests_at_once_share_what_becomes_free_and_a_limit_holds() -> None:
    async def work(chat: AsyncChat, server: StreamServer) -> int:
        await asyncio.gather(*(gather(chat) for _ in range(30)))
        await asyncio.gather(*(gather(chat) for _ in range(30)))
        return server.connections

    assert served([FINE], work) <= 30

    async def limited() -> int:
        async with StreamServer([FINE]) as server:
            async with AsyncChat("upstream", server.config(), connections=3) as chat:
                await asyncio.gather(*(gather(chat) for _ in range(30)))
            return server.connections

    assert asyncio.run(limited()) <= 3


def test_one_client_serves_in_one_loop_after_another() -> None:
    async def once(chat: AsyncChat) -> list[Piece]:
        async with StreamServer([FINE]) as server:
            chat.config = server.config()
            return await gather(chat)

    async def made() -> AsyncChat:
        async with StreamServer([FINE]) as server:
            return AsyncChat("upstream", server.config())

    chat = asyncio.run(made())
    assert asyncio.run(once(chat)) == asyncio.run(once(chat)) != []


CUTS = b"".join(
    (
        b"\xef\xbb\xbf: hello\r\n\r\n",
        delta(content="Gr\u00fc\u00dfe \u4f60\u597d \U0001f600").replace(b"\n", b"\r\n"),
        delta(content="!", finish="stop"),
    )
)


def test_bytes_may_be_cut_anywhere_and_lines_may_end_as_they_like() -> None:
    for ends in (b"\n", b"\r\n", b"\r"):
        body = CUTS.replace(b"\r\n", b"\n").replace(b"\n", ends) + b"data: [DONE]" + ends
        whole = list(EventReader(10_000).feed(body))
        assert len(whole) == 3
        assert whole[-1] == "[DONE]"
        for place in range(len(body)):
            reader = EventReader(10_000)
            assert [*reader.feed(body[:place]), *reader.feed(body[place:])] == whole
        reader = EventReader(10_000)
        assert [data for byte in body for data in reader.feed(bytes([byte]))] == whole


def test_an_event_over_several_lines_is_one_and_other_fields_are_not_data() -> None:
    body = b'event: message\nid: 3\nretry: 10\ndata: {"a":\ndata:1}\nx: y\ndatax: no\n\n'
    assert list(EventReader(1000).feed(body)) == ['{"a":\n1}']
    assert list(EventReader(1000).feed(b'data: {"a": 1}\n')) == []  # its blank line never came


def test_a_character_cut_in_two_halves_is_joined_and_a_lone_half_replaced() -> None:
    reader = ChunkReader()

    def read(text: str, finish: str | None = None) -> str:
        return reader.read(
            json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}]})
        ).content

    assert [read("a\ud83d"), read("\ude00b")] == ["a", "\U0001f600b"]
    assert [read("\ude00x"), read("\ud83d"), read("y"), read("\ud83d", "stop")] == [
        "\ufffdx",
        "",
        "\ufffdy",
        "\ufffd",
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([delta(content="Good")], "broken connection"),  # a proper end of the body, but no finish reason
        ([delta(content="Good"), DONE], "broken connection"),
        ([DONE], "broken connection"),
        ([], "broken connection"),
        ([b"data: {\n\n"], "unreadable reply"),
        ([b"data: [1]\n\n"], "unreadable reply"),
        ([b"data: " + b"[" * 100_000 + b"\n\n"], "unreadable reply"),
        ([b'data: {"choices": "\xff"}\n\n'], "unreadable reply"),
        ([event({"id": "x"})], "unreadable reply"),
        ([event({"choices": [{"index": 0, "text": "x"}]})], "unreadable reply"),
        ([event({"choices": [{"index": 1, "delta": {"content": "x"}}]})], "unreadable reply"),
        ([event({"choices": [{"delta": {}}, {"delta": {"content": "x"}}]})], "unreadable reply"),
        ([delta(content="a", finish="stop"), delta(content="b"), DONE], "unreadable reply"),
        ([delta(content="a"), event({"error": {"message": "out of memory", "code": 500}})], "server error"),
        (
            [event({"object": "error", "message": "context length exceeded", "code": 400})],
            "refused: too long",
        ),
        ([event({"error": "no idea"})], "server error"),
    ],
)
def test_a_broken_stream_is_an_error_and_never_an_end(body: list[bytes], reason: str) -> None:
    gc.collect()  # what earlier tests left is not to be finalised deep inside the reading of nested JSON
    assert trouble(streamed(*body))[0] == reason


def test_a_connection_that_breaks_off_is_an_error_after_what_came() -> None:
    async def work(chat: AsyncChat, _: StreamServer) -> tuple[str, str]:
        shown = ""

        async def show() -> None:
            nonlocal shown
            async for piece in chat.stream(USER):
                shown += piece.content

        with pytest.raises(ChatFailed) as caught:
            await show()
        return shown, caught.value.trouble.reason

    broken = streamed(delta(content="Good"), whole=False)
    assert served([broken], work) == ("Good", "broken connection")


def test_an_end_without_done_is_an_end_where_a_finish_reason_came() -> None:
    assert pieces(streamed(delta(content="a", finish="length"))) == [Piece("a", finish="length")]


def test_tool_calls_and_another_gateways_word_are_told_not_dropped() -> None:
    call = [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]
    word = {"choices": [{"delta": {}, "finish_reason": "content_filter"}], "ahalab": {"control": "rule 7"}}
    found = pieces(streamed(delta(tool_calls=call), event(word), DONE))
    assert [piece.extra for piece in found] == [{"tool_calls": call}, {"ahalab": {"control": "rule 7"}}]


def test_a_server_that_does_not_stream_gives_its_reply_as_one_piece() -> None:
    said = {
        "choices": [{"message": {"content": "Yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    assert pieces(plain(said)) == [Piece("Yes", "", "stop", 3, 4)]
    assert trouble(plain({"error": {"message": "no"}}))[0] == "unreadable reply"


@pytest.mark.parametrize("plainly", [False, True])
def test_refusals_are_read_and_the_key_is_never_repeated(
    plainly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "a-secret-of-the-test")
    said = plain({"error": {"message": "bad key a-secret-of-the-test"}}, 401)
    reason, detail = trouble(said, plainly=plainly, api_key_env="UPSTREAM_KEY")
    assert reason == "unauthorized"
    assert detail == "HTTP 401: bad key (the key)"
    assert trouble(plain({}, 503), plainly=plainly)[0] == "server error"


@pytest.mark.parametrize("plainly", [False, True])
def test_a_busy_server_tells_how_long_to_rest(plainly: bool) -> None:
    async def work(chat: AsyncChat, _: StreamServer) -> float | None:
        with pytest.raises(ChatFailed) as caught:
            await (chat.complete(USER) if plainly else gather(chat))
        return caught.value.rest

    assert served([plain({}, 429, Retry_After="7")], work) == 7


@pytest.mark.parametrize("plainly", [False, True])
def test_a_redirect_is_not_followed_and_a_compressed_body_not_unpacked(plainly: bool) -> None:
    async def work(chat: AsyncChat, server: StreamServer) -> tuple[str, int]:
        with pytest.raises(ChatFailed) as caught:
            await (chat.complete(USER) if plainly else gather(chat))
        return caught.value.trouble.reason, len(server.bodies)

    assert served([Sent([], 307, {"Location": "/elsewhere"})], work) == ("refused", 1)
    assert served([Sent([b"x"], headers={**EVENTS, "Content-Encoding": "gzip"})], work) == (
        "unreadable reply",
        1,
    )


def test_a_missing_key_is_named_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPSTREAM_KEY", raising=False)
    with pytest.raises(UserError, match="UPSTREAM_KEY is not set"):
        served([FINE], lambda chat, _: gather(chat), api_key_env="UPSTREAM_KEY")


@pytest.mark.parametrize("plainly", [False, True])
def test_waits_are_bounded(plainly: bool) -> None:
    silent = trouble(streamed(first=30.0), plainly=plainly, bounds={"first_seconds": 0.1})
    assert silent == ("time-out", "no first byte within 0.1 s")
    head_only = trouble(streamed(30.0), plainly=plainly, bounds={"first_seconds": 0.1})
    assert head_only == ("time-out", "no first byte within 0.1 s")
    drips = streamed(*[part for _ in range(300) for part in (b": still here\n\n", 0.1)])
    slow = trouble(drips, plainly=plainly, timeout_seconds=0.3)
    assert slow == ("time-out", "not whole within 0.3 s")


def test_a_stream_that_falls_silent_is_an_error() -> None:
    stalls = streamed(delta(content="Good"), 30.0)
    assert trouble(stalls, bounds={"idle_seconds": 0.1}) == ("time-out", "silent for 0.1 s")


def test_floods_are_cut_off() -> None:
    endless = streamed(b"data: " + b"x" * 5000, b"y" * 5000)
    assert trouble(endless, bounds={"event_bytes": 8000}) == (
        "reply too large",
        "an event of more than 8,000 bytes",
    )
    lines = streamed(*[b"data: 1\n"] * 2000)
    assert trouble(lines, bounds={"event_bytes": 8000})[0] == "reply too large"
    many = streamed(*[delta(content="word ")] * 500)
    assert trouble(many, bounds={"total_bytes": 20_000}) == ("reply too large", "more than 20,000 bytes")
    assert trouble(plain("x" * 9000), plainly=True, bounds={"total_bytes": 20_000})[0] == "reply too large"


def test_reading_an_event_that_arrives_byte_by_byte_stays_linear() -> None:
    reader = EventReader(1_000_000)
    for _ in range(300_000):
        assert not list(reader.feed(b"x"))  # quadratic, this would take hours
    with pytest.raises(Broken):
        list(reader.feed(b"x" * 1_000_000))


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_the_upstream_hears_when_the_caller_goes(how: str) -> None:
    async def work(chat: AsyncChat, server: StreamServer) -> bool:
        async def reads() -> None:
            async with aclosing(chat.stream(USER)) as arriving:
                async for _ in arriving:
                    if how == "close":
                        return

        task = asyncio.ensure_future(reads())
        if how == "cancel":
            await asyncio.sleep(0.2)
            task.cancel()
        await asyncio.wait({task})
        await asyncio.wait_for(server.gone.wait(), 5)
        return task.cancelled()

    assert served([streamed(delta(content="Good"), 30.0)], work) is (how == "cancel")


def test_a_server_that_is_not_there_is_no_connection() -> None:
    async def main() -> str:
        async with StreamServer([FINE]) as server:
            config = server.config()
        async with AsyncChat("upstream", config) as chat:
            with pytest.raises(ChatFailed) as caught:
                await gather(chat)
            return caught.value.trouble.reason

    assert asyncio.run(main()) == "no connection"
