"""The chat page in a real browser: streaming, thinking, withdrawal, stopping, keeping, keys, errors, accessibility."""

# ruff: noqa: F811  (the fixture `chromium` is imported and then asked for by name)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser import (  # noqa: F401
    SCHEMES,
    Scheme,
    chromium,
    serious_violations,
    take_screenshot,
    watched_page,
)
from serving_page_tools import (
    SECRET,
    VERDICT,
    Standin,
    ask,
    finished,
    kept,
    opened,
    running,
    shows,
    standin,
)

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from tests.guard_control import BAD, CLEAN, Scripted

from ahalab.guard.records import Delta
from ahalab.serving.page import mount_page
from serving_tools import ScriptedModel, Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

THINKING = (
    "The person wants to know why the sky is blue.\n\nLight from the sun holds **all colours**. Air scatters short "
    "waves far more than long ones: the strength goes with the inverse fourth power of the wavelength.\n\nWhy not "
    "violet? Wait, there is less violet in sunlight, and the eye sees it less."
)
ANSWER = """The sky is blue because **air scatters blue light more than red light**.

1. Sunlight holds all colours.
2. Molecules of air scatter short waves most (*Rayleigh scattering*): by `1 / λ⁴`.
3. From every direction of the sky, blue reaches the eye.

| colour | wavelength | scattered, against red |
|---|---|---|
| red | 680 nm | 1 |
| blue | 450 nm | 5.2 |

As a program:

```python
def scattered(wavelength: float, against: float = 680.0) -> float:
    return (against / wavelength) ** 4
```
"""
SKY, BOAT, HELD = "Why is the sky blue?", "How do I fold a paper boat?", "How do I fold a paper hat?"
TEXT = "This reply was withdrawn because it may break the rules of this service. You can ask in another way."


@pytest.fixture
def server() -> Iterator[Standin]:
    with standin() as made:
        made.scripts[SKY] = [
            ("thinking", THINKING[:150]),
            ("wait", "thought"),
            ("thinking", THINKING[150:]),
            ("content", ANSWER[:120]),
            ("wait", "answered"),
            ("content", ANSWER[120:]),
            ("finish", "stop"),
        ]
        made.scripts[BOAT] = [
            ("thinking", f"thought {SECRET}"),
            ("content", f"First {SECRET}"),
            ("content", f" and `{SECRET}` again"),
            ("wait", "review"),
            ("withdraw", TEXT),
        ]
        made.scripts[HELD] = [
            ("comment", ""),
            ("wait", "review"),
            ("comment", ""),
            ("content", TEXT),
            ("withdraw", TEXT),
        ]
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


def test_the_whole_page_works_with_the_keyboard_alone(chromium: Browser, server: Standin) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        keys = page.keyboard
        assert page.evaluate("() => document.activeElement.id") == "question"
        keys.type("first line")
        keys.press("Shift+Enter")
        keys.type("second line")
        assert server.asked == []
        keys.press("Enter")
        shows(page, "Echo: first line")
        finished(page)
        assert server.asked[-1]["messages"][-1]["content"] == "first line\nsecond line"
        assert page.evaluate("() => document.activeElement.id") == "question"
        keys.press("Shift+Tab")
        assert page.evaluate("() => document.activeElement.textContent") == "Change the question"
        keys.press("Enter")
        assert page.evaluate("() => document.activeElement.value") == "first line\nsecond line"
        assert page.locator(".round").count() == 0
        keys.press("Control+A")
        keys.type("again")
        keys.press("Enter")
        shows(page, "Echo: again")
        finished(page)
        page.locator(".skip").focus()
        order = []
        for _ in range(12):
            keys.press("Tab")
            order.append(
                page.evaluate("() => document.activeElement.id || document.activeElement.textContent")
            )
        side, head = ["new", "again", "×", "clear"], ["model", "key", "theme"]
        assert order == [*side, *head, "Copy", "Try again", "Change the question", "question", "send"]
        page.locator(".skip").focus()
        keys.press("Enter")
        assert page.evaluate("() => document.activeElement.id") == "question"
        watched.assert_clean()


def test_enter_of_an_input_method_does_not_send(chromium: Browser, server: Standin) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        page.get_by_label("Your question").fill("你好")
        page.evaluate(
            "() => document.getElementById('question').dispatchEvent(new KeyboardEvent('keydown',"
            " { key: 'Enter', isComposing: true, bubbles: true, cancelable: true }))"
        )
        assert page.get_by_label("Your question").input_value() == "你好"
        assert server.asked == []
        page.get_by_label("Your question").press("Enter")
        shows(page, "Echo: 你好")


def test_a_screen_reader_hears_the_states_and_the_reply_once_it_is_whole(
    chromium: Browser, server: Standin
) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        page.evaluate(
            "() => { window.heard = []; const place = document.getElementById('said');"
            " new MutationObserver(() => place.textContent && window.heard.push(place.textContent))"
            ".observe(place, { childList: true, characterData: true, subtree: true }); }"
        )
        ask(page, SKY)
        page.wait_for_function("() => window.heard.includes('The model is thinking.')")
        server.release("thought")
        page.wait_for_function("() => window.heard.includes('The reply is being written.')")
        assert "The sky" not in " ".join(page.evaluate("() => window.heard"))
        server.release("answered")
        page.wait_for_function(
            "() => window.heard.some((one) => /^Thought for .* s\\. Reply: The sky is blue/.test(one))"
        )
        place = page.locator("#said")
        assert (place.get_attribute("role"), place.get_attribute("aria-live")) == ("status", "polite")
        assert page.get_by_role("heading", name="Reply of tiny").count() == 1


def test_without_storage_the_page_works_and_says_that_nothing_is_kept(
    chromium: Browser, server: Standin
) -> None:
    with watched_page(chromium) as watched:
        watched.page.add_init_script(
            "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }"
        )
        page = opened(watched, server)
        ask(page, "anything")
        shows(page, "Echo: anything")
        assert "no room for this conversation" in page.locator(".notice").inner_text()
        watched.assert_clean()


def test_the_key_is_asked_for_sent_as_bearer_and_gone_with_the_tab(
    chromium: Browser, server: Standin
) -> None:
    server.key = "aha-key-123"
    with watched_page(chromium) as watched:
        page = watched.page
        page.goto(server.address)
        notice = page.locator(".notice")
        notice.get_by_role("button", name="Enter an API key").click()
        assert "session storage" in page.locator("#key-dialog").inner_text()
        page.get_by_label("Key", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        page.wait_for_function(
            "() => document.querySelector('.notice')?.textContent.includes('does not know the one')"
        )
        ask(page, "with a wrong key")
        page.locator(".failed").wait_for()
        assert "asks for an API key, or does not know" in page.locator(".failed").inner_text()
        page.locator(".tools").get_by_role("button", name="Enter an API key").click()
        page.get_by_label("Key", exact=True).fill("aha-key-123")
        page.get_by_role("button", name="Use this key").click()
        shows(page, "Echo: with a wrong key")
        assert page.locator(".round").count() == 1
        assert page.get_by_role("button", name="API key: set").count() == 1
        assert server.keys[-1] == "Bearer aha-key-123"
        assert "aha-key-123" not in page.content()
        assert page.evaluate("() => JSON.stringify(localStorage).includes('aha-key')") is False
        assert page.evaluate("() => JSON.stringify(sessionStorage).includes('aha-key-123')") is True
        other = page.context.new_page()
        other.goto(server.address)
        other.locator(".notice").get_by_role("button", name="Enter an API key").wait_for()
        page.get_by_role("button", name="API key: set").click()
        page.get_by_role("button", name="Forget it").click()
        page.locator(".notice").wait_for()
        assert page.evaluate("() => JSON.stringify(sessionStorage).includes('aha-key')") is False


@pytest.mark.parametrize(
    ("status", "headers", "message", "words", "button"),
    [
        (429, {"Retry-After": "3600"}, "This key may ask 3 times a minute.", "Too many requests", "Try again in "),
        (503, {"Retry-After": "5"}, "The audit store is full.", "cannot answer safely at the moment", "Try again in "),
        (403, {}, "Not in scope.", "may not do that", "Try again"),
        (413, {}, "Too large.", "longer than the server takes", "Try again"),
        (400, {}, "`messages` …", "does not take this request", "Try again"),
        (418, {}, "Teapot.", "The server refused (418).", "Try again"),
    ],
)  # fmt: skip
def test_what_the_api_refuses_is_said_in_words(
    chromium: Browser,
    server: Standin,
    status: int,
    headers: dict[str, str],
    message: str,
    words: str,
    button: str,
) -> None:
    server.refusals = [(status, headers, {"error": {"message": message}})]
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, "hello")
        page.locator(".failed").wait_for()
        assert words in page.locator(".failed").inner_text()
        assert f"The server says: {message}" in page.locator(".failed").inner_text()
        found = page.locator(".round").get_by_role("button", name=button)
        assert found.is_disabled() == button.endswith(" in ")
        assert watched.foreign == watched.dialogs == []


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


def test_theme_and_model_are_chosen_and_kept(chromium: Browser, server: Standin) -> None:
    paper = "() => getComputedStyle(document.body).backgroundColor"
    with watched_page(chromium, "light") as watched:
        page = opened(watched, server)
        light = page.evaluate(paper)
        page.get_by_role("button", name="Theme: auto").click()
        assert page.evaluate(paper) == light
        page.get_by_role("button", name="Theme: light").click()
        dark = page.evaluate(paper)
        assert dark != light
        page.get_by_label("Model", exact=True).select_option("tiny-large")
        page.reload()
        page.get_by_role("button", name="Theme: dark").wait_for()
        page.wait_for_function("() => document.getElementById('model').value === 'tiny-large'")
        assert page.evaluate(paper) == dark
        ask(page, "which")
        finished(page)
        assert server.asked[-1]["model"] == "tiny-large"


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
