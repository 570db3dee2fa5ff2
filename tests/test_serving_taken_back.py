"""An error after shown text takes that text back, unless a verdict lets it stand; what was retracted is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.guard_control import CLEAN, Scripted
from tests.serving_tools import BAD_REPLY, HELLO, ScriptedModel, Served, chat_body, events

SHOWING = {"streaming": "retract"}


class Slow(Scripted):
    """A reviewer that has not ended when the gateway does; whether it was closed."""

    def __init__(self) -> None:
        super().__init__(CLEAN, seconds=60)
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


def ended_in_review(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx2.Response:
    """The stream of a request whose review the gateway's end cuts short."""
    waits = iter([0.05, 0.1, 5.0])
    plain = served.gateway._until_idle
    monkeypatch.setattr(served.gateway, "_until_idle", lambda _: plain(next(waits)))

    async def use(url: str) -> httpx2.Response:
        async with httpx2.AsyncClient() as client:
            asking = asyncio.ensure_future(client.post(f"{url}/chat/completions", json=body(stream=True)))
            while not served.reviewer.now:
                await asyncio.sleep(0.005)
            await served.gateway.drain()
            monkeypatch.undo()
            return await asking

    found: httpx2.Response = served.run(use)
    return found


def body(**more: Any) -> dict[str, Any]:
    return chat_body("How is it made?", **more)


def retraction(found: list[dict[str, Any]]) -> Mapping[str, Any]:
    (one,) = [event for event in found if "ahalab" in event]
    assert one["choices"][0]["finish_reason"] == "content_filter"
    extension: Mapping[str, Any] = one["ahalab"]
    return extension


def test_text_shown_before_a_review_that_the_end_cuts_short_is_taken_back_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewer = Slow()
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), reviewer=reviewer, policy=SHOWING)
    found = events(ended_in_review(served, monkeypatch))
    assert retraction(found)["retracted"] is True
    assert retraction(found)["reason"] == "unavailable"
    assert found[-1]["error"]["code"] == "shutting_down"
    assert served.audit.rows[0][1].action == "retract"
    assert reviewer.closed == 1
    reply = served.audit.rows[0][2]
    turns = [{"role": "user", "content": "How is it made?"}, {"role": "assistant", "content": reply}]
    again = Served(tmp_path, model=ScriptedModel(HELLO), policy=SHOWING)
    again.controls = served.controls
    again.gateway.controls = served.controls
    assert (
        again.ask("/v1/chat/completions", {"model": "m", "messages": [*turns, turns[0]]}).json()["choices"][
            0
        ]["finish_reason"]
        == "content_filter"
    )


def test_text_held_back_in_such_a_review_needs_no_retraction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ScriptedModel([BAD_REPLY[2], BAD_REPLY[3], BAD_REPLY[-1]])
    served = Served(tmp_path, model=model, reviewer=Slow(), policy={"streaming": "hold"})
    response = ended_in_review(served, monkeypatch)
    assert "ahalab" not in response.text
    assert "zor" not in response.text
    assert "shutting_down" in response.text


def test_a_retraction_that_cannot_be_recorded_still_takes_the_text_back(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), policy=SHOWING)
    served.audit.broken = "conclude"
    found = events(served.chat(stream=True))
    assert retraction(found)["verdict_id"] == served.audit.intents[0].id
    assert found[-1]["error"]["code"] == "unavailable"


def test_a_reply_judged_clean_stands_though_its_conclusion_cannot_be_recorded(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), reviewer=Scripted(CLEAN), policy=SHOWING)
    served.audit.broken = "conclude"
    found = events(served.chat(stream=True))
    assert not [event for event in found if "ahalab" in event]
    assert found[-1]["error"]["code"] == "unavailable"
