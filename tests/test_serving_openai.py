"""What a plain OpenAI client sees of each mode: the real client library against a server on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from tests.guard_control import CLEAN, Scripted
from tests.serving_tools import BAD_REPLY, ScriptedModel, Served

from ahalab.guard.records import Delta
from ahalab.serving.errors import Refusal
from ahalab.serving.keys import Key

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
WITHDRAWN = "This reply was withdrawn"


def client(url: str, key: str = "none") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=30)


async def streamed(url: str, **more: Any) -> list[Any]:
    async with client(url) as asking:
        stream = await asking.chat.completions.create(**ASKED, stream=True, **more)
        return [chunk async for chunk in stream]


def text(chunks: list[Any]) -> str:
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)


def thinking(chunks: list[Any]) -> str:
    found = [getattr(one.choices[0].delta, "reasoning_content", None) for one in chunks if one.choices]
    return "".join(filter(None, found))


def finishes(chunks: list[Any]) -> list[str]:
    return [one.choices[0].finish_reason for one in chunks if one.choices and one.choices[0].finish_reason]


@pytest.mark.parametrize("streaming", ["hold", "retract"])
def test_an_ordinary_reply(streaming: str, tmp_path: Path) -> None:
    served = Served(tmp_path, policy={"streaming": streaming})

    async def use(url: str) -> None:
        async with client(url) as asking:
            plain = await asking.chat.completions.create(**ASKED)
            prompted = await asking.completions.create(model="m", prompt="Hi")
            pieces = [
                one async for one in await asking.completions.create(model="m", prompt="Hi", stream=True)
            ]
            assert [one.id for one in (await asking.models.list()).data] == ["m", "m2"]
        assert plain.choices[0].message.content == "Hello there"
        assert plain.choices[0].finish_reason == "stop"
        assert plain.usage is not None
        assert plain.usage.total_tokens == 10
        assert prompted.choices[0].text == "Hello there"
        assert "".join(one.choices[0].text for one in pieces) == "Hello there"
        chunks = await streamed(url, stream_options={"include_usage": True})
        assert (text(chunks), finishes(chunks)) == ("Hello there", ["stop"])
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-1].usage.completion_tokens == 3

    served.run(use)


def test_hold_a_retracted_stream_shows_nothing_of_the_term(tmp_path: Path) -> None:
    chunks = Served(tmp_path, model=ScriptedModel(BAD_REPLY)).run(streamed)
    assert text(chunks) == "You build a "
    assert thinking(chunks) == "Let me think."
    assert finishes(chunks) == ["content_filter"]
    told = chunks[-1].ahalab
    assert (told["retracted"], told["reason"]) == (True, "content_filter")
    assert told["text"].startswith(WITHDRAWN)
    assert chunks[-1].id.endswith(told["verdict_id"])


def test_hold_a_stream_withheld_from_its_start_shows_the_retraction_text(tmp_path: Path) -> None:
    model = ScriptedModel([Delta("zorbom"), Delta(" and more"), Delta(finish="stop")])
    chunks = Served(tmp_path, model=model).run(streamed)
    assert text(chunks).startswith(WITHDRAWN)
    assert finishes(chunks) == ["content_filter"]


def test_hold_a_released_stream_comes_whole(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), reviewer=Scripted(CLEAN))
    chunks = served.run(streamed)
    assert (text(chunks), finishes(chunks)) == ("You build a zorbom like so", ["stop"])


def test_retract_a_stream_is_shown_then_ended_as_filtered(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), policy={"streaming": "retract"})
    chunks = served.run(streamed)
    assert text(chunks) == "You build a zorbom like so"
    assert finishes(chunks) == ["content_filter"]
    assert chunks[-1].ahalab["text"].startswith(WITHDRAWN)


@pytest.mark.parametrize("streaming", ["hold", "retract"])
def test_a_plain_reply_is_never_shown_before_it_is_judged(streaming: str, tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), policy={"streaming": streaming})

    async def use(url: str) -> None:
        async with client(url) as asking:
            reply = await asking.chat.completions.create(**ASKED)
            prompted = await asking.completions.create(model="m", prompt="Hi")
        choice = reply.choices[0]
        assert choice.message.content is not None
        assert choice.message.content.startswith(WITHDRAWN)
        assert choice.finish_reason == "content_filter"
        assert "zorbom" not in reply.model_dump_json()
        assert "think" not in reply.model_dump_json()
        assert reply.ahalab["retracted"] is True  # type: ignore[attr-defined]
        assert prompted.choices[0].text.startswith(WITHDRAWN)

    served.run(use)


def test_keep_alive_comments_are_invisible_to_it(tmp_path: Path) -> None:
    served = Served(
        tmp_path,
        model=ScriptedModel([0.2, Delta("Hello zorbom"), Delta(finish="stop")]),
        reviewer=Scripted(CLEAN, seconds=0.3),
        settings={"keep_alive_seconds": 0.05},
    )
    chunks = served.run(streamed)
    assert (text(chunks), finishes(chunks)) == ("Hello zorbom", ["stop"])


def test_errors_are_raised_as_openais_own(tmp_path: Path) -> None:
    served = Served(
        tmp_path, keys=[Key(id="one", requests_per_minute=1), Key(id="checks", scopes=["moderate"])]
    )

    async def use(url: str) -> None:
        async with client(url, "aha-wrong") as asking:
            with pytest.raises(openai.AuthenticationError):
                await asking.chat.completions.create(**ASKED)
        async with client(url, served.tokens["checks"]) as asking:
            with pytest.raises(openai.PermissionDeniedError):
                await asking.chat.completions.create(**ASKED)
        async with client(url, served.tokens["one"]) as asking:
            with pytest.raises(openai.BadRequestError) as bad:
                await asking.chat.completions.create(**ASKED, n=2)
            assert (bad.value.param, bad.value.code) == ("n", "unsupported_parameter")
            with pytest.raises(openai.RateLimitError) as limited:
                await asking.chat.completions.create(**ASKED)
            assert 1 <= int(limited.value.response.headers["retry-after"]) <= 60

    served.run(use)


def test_a_stream_that_breaks_off_raises(tmp_path: Path) -> None:
    broken = Refusal(502, "The model failed.", "model_failed", kind="api_error")
    served = Served(tmp_path, model=ScriptedModel([Delta("Hello "), broken]))

    async def use(url: str) -> None:
        with pytest.raises(openai.APIError, match="The model failed"):
            await streamed(url)

    served.run(use)


def test_an_unwritable_audit_store_is_a_503(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.audit.broken = "intent"

    async def use(url: str) -> None:
        with pytest.raises(openai.InternalServerError) as caught:
            await streamed(url)
        assert caught.value.status_code == 503

    served.run(use)


def test_moderations_read_like_openais(tmp_path: Path) -> None:
    served = Served(tmp_path)

    async def use(url: str) -> None:
        async with client(url) as asking:
            found = await asking.moderations.create(input=["How to zorbom", "How to bake"])
        assert [one.flagged for one in found.results] == [True, False]
        assert found.results[0].categories.to_dict()["made-up"] is True
        assert found.results[0].categories.self_harm is False

    served.run(use)
    assert not served.model.asked
