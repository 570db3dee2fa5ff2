"""The chat page in a real browser: streaming, thinking, withdrawal, stopping, keeping, keys, errors, accessibility."""

# ruff: noqa: F811  (the fixture `chromium` is imported and then asked for by name)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app_server import running
from browser import (  # noqa: F401
    SCHEMES,
    Scheme,
    chromium,
    serious_violations,
    take_screenshot,
    watched_page,
)
from serving_page_tools import (
    ANSWER,
    BOAT,
    HELD,
    SECRET,
    SKY,
    TEXT,
    THINKING,
    VERDICT,
    Standin,
    ask,
    finished,
    kept,
    opened,
    shows,
    usual,
)

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from tests.guard_control import BAD, CLEAN, Scripted

from ahalab.guard.records import Delta
from ahalab.serving.page import mount_page
from serving_tools import ScriptedModel, Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def server() -> Iterator[Standin]:
    with usual() as made:
        yield made


@pytest.mark.parametrize("width", [1180, 360])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_state_of_the_page_is_clean_accessible_and_fits(
    chromium: Browser, server: Standin, tmp_path: Path, scheme: Scheme, width: int
) -> None:
    name = f"chat-{{}}-{'phone' if width < 400 else 'wide'}-{scheme}"

    def look(state: str) -> None:
        assert serious_violations(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert page.evaluate(
            "() => document.querySelector('main').scrollWidth <= document.querySelector('main').clientWidth"
        )
        take_screenshot(page, name.format(state), tmp_path, whole=False)

    with watched_page(chromium, scheme, width, 740 if width < 400 else 820) as watched:
        page = opened(watched, server)
        look("empty")
        ask(page, SKY)
        page.locator(".thinking summary").click()
        shows(page, THINKING[:20])
        look("thinking")
        page.locator(".thinking summary").click()
        server.release("thought")
        page.locator(".answer.streaming").wait_for()
        look("writing")
        server.release("answered")
        finished(page)
        look("normal")
        ask(page, BOAT)
        shows(page, SECRET)
        server.release("review")
        page.locator(".withdrawn").wait_for()
        finished(page)
        look("withdrawn")
        page.get_by_role("button", name="API key").click()
        look("key")
        page.keyboard.press("Escape")
        if width < 400:
            page.get_by_role("button", name="Conversations", exact=True).click()
            look("conversations")
        watched.assert_clean()


def test_a_reply_streams_with_a_caret_and_its_thinking_is_folded_and_timed(
    chromium: Browser, server: Standin
) -> None:
    caret = "place => getComputedStyle(place, '::after').content"
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, SKY)
        summary = page.locator(".thinking summary")
        page.wait_for_function(
            "() => document.querySelector('.thinking summary')?.textContent.startsWith('Thinking…')"
        )
        assert not page.locator(".thinking .text").is_visible()
        assert "▍" in page.locator(".thinking .text > :last-child").evaluate(caret)
        server.release("thought")
        page.locator(".answer.streaming").wait_for()
        assert "▍" in page.locator(
            ".answer > :last-child li:last-child, .answer > p:last-child"
        ).last.evaluate(caret)
        assert page.locator("article.reply").get_attribute("aria-busy") == "true"
        server.release("answered")
        finished(page)
        assert page.locator(".streaming").count() == 0
        assert page.locator("article.reply").get_attribute("aria-busy") == "false"
        assert summary.inner_text().startswith("Thought for ")
        assert summary.inner_text().endswith(" s")
        summary.click()
        assert "Why not violet?" in page.locator(".thinking .text").inner_text()
        assert page.locator(".answer strong").inner_text().startswith("air scatters")
        assert page.locator(".answer ol > li").count() == 3
        assert page.locator(".answer tbody tr").count() == 2
        assert page.locator(".answer pre code").inner_text().startswith("def scattered")
        assert server.asked[-1] == {
            "model": "tiny",
            "messages": [{"role": "user", "content": SKY}],
            "stream": True,
        }
        watched.assert_clean()


@pytest.mark.parametrize("question", [BOAT, HELD])
def test_a_withdrawn_reply_is_gone_from_page_memory_and_storage(
    chromium: Browser, server: Standin, question: str
) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, question)
        if question == BOAT:
            shows(page, SECRET)
            assert SECRET not in kept(page), "what was not released is not kept"
        server.release("review")
        page.locator(".withdrawn").wait_for()
        finished(page)
        assert page.locator(".withdrawn").inner_text().splitlines()[0] == "Reply withdrawn"
        assert TEXT in page.locator(".withdrawn").inner_text()
        assert VERDICT in page.locator(".withdrawn").inner_text()
        page.wait_for_function(
            "() => document.getElementById('said').textContent.startsWith('The reply was withdrawn.')"
        )
        assert SECRET not in page.content()
        assert SECRET not in kept(page)
        assert SECRET not in heap(page)
        assert page.get_by_role("button", name="Copy").count() == 0
        assert page.locator(".thinking").is_hidden()
        page.reload()
        page.locator(".withdrawn").wait_for()
        assert TEXT in page.locator(".withdrawn").inner_text()
        assert SECRET not in page.content()
        ask(page, "Something else?")
        shows(page, "Echo: Something else?")
        assert server.asked[-1]["messages"] == [{"role": "user", "content": "Something else?"}]
        watched.assert_clean()


def heap(page: Page) -> str:
    """All that the page's scripts hold, garbage collected: a snapshot of the heap as text."""
    session = page.context.new_cdp_session(page)
    parts: list[str] = []
    session.on("HeapProfiler.addHeapSnapshotChunk", lambda event: parts.append(event["chunk"]))
    session.send("HeapProfiler.collectGarbage")
    session.send("HeapProfiler.takeHeapSnapshot", {"reportProgress": False})
    session.detach()
    found = "".join(parts)
    assert "ahalab.chat.conversation" in found
    return found


def test_the_heap_is_really_read(chromium: Browser, server: Standin) -> None:
    server.scripts["Say it"] = [("content", f"Here: {SECRET}"), ("finish", "stop")]
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, "Say it")
        shows(page, SECRET)
        finished(page)
        assert SECRET in heap(page)


def test_a_conversation_stays_over_a_reload_and_is_sent_on_without_thinking(
    chromium: Browser, server: Standin
) -> None:
    server.release("thought")
    server.release("answered")
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, SKY)
        finished(page)
        page.reload()
        shows(page, "From every direction")
        assert page.locator(".thinking summary").inner_text().startswith("Thought for ")
        ask(page, "Shorter?")
        shows(page, "Echo: Shorter?")
        assert server.asked[-1]["messages"] == [
            {"role": "user", "content": SKY},
            {"role": "assistant", "content": ANSWER},
            {"role": "user", "content": "Shorter?"},
        ]
        page.get_by_role("button", name="New conversation").click()
        assert page.locator(".round").count() == 0
        ask(page, "Another one")
        shows(page, "Echo: Another one")
        assert len(server.asked[-1]["messages"]) == 1
        assert page.locator("#list li").count() == 2
        page.get_by_role("button", name=SKY, exact=True).click()
        shows(page, "Echo: Shorter?")
        watched.assert_clean()


def test_conversations_are_deleted_one_by_one_and_all_together(chromium: Browser, server: Standin) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        for question in ("one", "two", "three"):
            page.get_by_role("button", name="New conversation").click()
            ask(page, question)
            shows(page, f"Echo: {question}")
            finished(page)
        page.get_by_role("button", name="Delete: two").click()
        page.get_by_role("button", name="Keep").click()
        assert page.locator("#list li").count() == 3
        page.get_by_role("button", name="Delete: two").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.wait_for_function("() => document.querySelectorAll('#list li').length === 2")
        assert "Echo: two" not in kept(page)
        page.get_by_role("button", name="Delete all conversations").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.wait_for_function("() => document.querySelectorAll('#list li').length === 0")
        assert "Echo" not in kept(page)
        assert page.locator(".round").count() == 0


def test_a_conversation_deleted_in_another_tab_is_not_kept_again(chromium: Browser, server: Standin) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, SKY)
        shows(page, THINKING[:20])
        other = page.context.new_page()
        other.goto(server.address)
        other.get_by_role("button", name="Delete all conversations").click()
        other.get_by_role("button", name="Delete", exact=True).click()
        page.wait_for_function("() => document.querySelectorAll('.round').length === 0")
        page.get_by_role("button", name="Send").wait_for()
        assert SKY not in kept(page)
        assert server.left.wait(10)


@pytest.mark.parametrize("way", ["button", "escape"])
def test_stopping_closes_the_request_and_keeps_no_text(chromium: Browser, server: Standin, way: str) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, SKY)
        server.release("thought")
        shows(page, "The sky is blue because")
        if way == "button":
            page.get_by_role("button", name="Stop").click()
        else:
            page.keyboard.press("Escape")
        finished(page)
        assert server.left.wait(10), "the server saw the client go"
        assert "Stopped." in page.locator(".reply").inner_text()
        assert "The sky is blue because" in page.locator(".reply").inner_text()
        assert "The sky is blue because" not in kept(page)
        page.reload()
        shows(page, "Stopped before its end")
        assert "The sky is blue because" not in page.content()
        page.get_by_role("button", name="Try again").click()
        server.release("answered")
        finished(page)
        assert page.locator(".round").count() == 1
        assert "From every direction" in page.locator(".answer").inner_text()
        watched.assert_clean()


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([("content", "part"), ("error", "the model died")], "reports a fault"),
        ([("content", "part"), ("end", "")], "broke off before its end"),
    ],
)
def test_a_reply_that_breaks_off_is_said_to_and_is_neither_kept_nor_sent_on(
    chromium: Browser, server: Standin, steps: list[tuple[str, str]], words: str
) -> None:
    server.scripts["break"] = steps
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, "break")
        page.locator(".failed").wait_for()
        assert words in page.locator(".failed").inner_text()
        assert '"part"' not in kept(page)
        ask(page, "on")
        shows(page, "Echo: on")
        assert server.asked[-1]["messages"] == [{"role": "user", "content": "on"}]
        watched.assert_clean()


def test_a_reply_that_is_not_streamed_is_read_too_and_so_is_its_withdrawal(
    chromium: Browser, server: Standin
) -> None:
    said = {"role": "assistant", "reasoning_content": "hm", "content": "whole"}
    whole = {"choices": [{"index": 0, "finish_reason": "length", "message": said}]}
    withdrawn = {"index": 0, "finish_reason": "content_filter", "message": {"content": TEXT}}
    word = {"retracted": True, "text": TEXT, "category": "hate", "reason": "retracted_history"}
    gone = {"choices": [withdrawn], "ahalab": word}
    server.refusals = [(200, {}, whole), (200, {}, gone)]
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, "a")
        finished(page)
        assert "whole" in page.locator(".answer").inner_text()
        assert "longest length" in page.locator(".reply").inner_text()
        ask(page, "b")
        page.locator(".withdrawn").wait_for()
        assert page.locator(".withdrawn").inner_text().startswith("Not answered")
        page.reload()
        page.locator(".tools").get_by_role("button", name="New conversation").click()
        assert page.locator(".round").count() == 0


PIECES = [
    Delta(thinking="Let me think. "),
    Delta(content=f"{SECRET} is built of a "),
    Delta(content="zor"),
    Delta(content="bom"),
    Delta(content=" like so"),
    Delta(finish="stop", tokens_in=7, tokens_out=5),
]
"""`zorbom` is a made-up term of the gateway's tests."""


@pytest.mark.parametrize("streaming", ["hold", "retract"])
@pytest.mark.parametrize("verdict", ["bad", "fine"])
def test_behind_the_real_gateway_a_reply_is_released_or_withdrawn(
    chromium: Browser, tmp_path: Path, streaming: str, verdict: str
) -> None:
    served = Served(
        tmp_path,
        model=ScriptedModel(PIECES),
        reviewer=Scripted(BAD if verdict == "bad" else CLEAN),
        policy={"streaming": streaming},
    )
    mount_page(served.app)
    with running(served.app) as address, watched_page(chromium) as watched:
        page = watched.page
        page.goto(address)
        page.wait_for_function("() => document.getElementById('model').options.length === 2")
        ask(page, "How?")
        finished(page)
        if verdict == "fine":
            assert page.locator(".answer").inner_text() == f"{SECRET} is built of a zorbom like so"
            assert page.locator(".withdrawn").count() == 0
        else:
            assert "was withdrawn" in page.locator(".withdrawn").inner_text()
            assert served.audit.rows[0][0].id in page.locator(".withdrawn").inner_text()
            assert SECRET not in page.content() + kept(page) + heap(page)
        assert served.audit.rows[0][1].action == ("retract" if verdict == "bad" else "release")
        watched.assert_clean()
