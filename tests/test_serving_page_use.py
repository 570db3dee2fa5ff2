"""The chat page in a person's hands: keyboard, screen reader, API key, errors in words, copying, theme."""

# ruff: noqa: F811  (the fixture `chromium` is imported and then asked for by name)

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from browser import chromium, watched_page  # noqa: F401
from serving_page_tools import SKY, Standin, ask, finished, opened, shows, usual

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def server() -> Iterator[Standin]:
    with usual() as made:
        yield made


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
        for _ in range(13):
            keys.press("Tab")
            order.append(
                page.evaluate("() => document.activeElement.id || document.activeElement.textContent")
            )
        side, head = ["new", "again", "×", "clear"], ["model", "key", "language", "theme"]
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
        page.get_by_label("Key", exact=True).fill("my key: 密钥")
        page.keyboard.press("Enter")
        assert "copy it again" in page.get_by_label("Key", exact=True).evaluate(
            "one => one.validationMessage"
        )
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


def test_a_server_that_went_away_is_said_and_found_again(chromium: Browser, server: Standin) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
        page.goto(server.address)
        assert "gives no answer" in page.locator(".notice").inner_text()
        ask(page, "hello")
        page.locator(".failed").wait_for()
        assert "gives no answer" in page.locator(".failed").inner_text()
        page.unroute("**/v1/**")
        page.get_by_role("button", name="Look again").click()
        page.wait_for_function("() => document.getElementById('model').options.length === 2")
        assert page.locator(".notice").count() == 0
        page.get_by_role("button", name="Try again").click()
        shows(page, "Echo: hello")


def test_the_page_follows_the_newest_text_unless_a_person_reads_further_up(
    chromium: Browser, server: Standin
) -> None:
    lines = "\n\n".join(f"Paragraph {number}." for number in range(80))
    server.scripts["long"] = [
        ("content", lines),
        ("wait", "more"),
        ("content", f"\n\n{lines}\n\nThe end."),
        ("finish", "stop"),
    ]
    thread = "const one = document.getElementById('thread');"
    at = f"() => {{ {thread} return one.scrollHeight - one.scrollTop - one.clientHeight; }}"
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, "long")
        shows(page, "Paragraph 79.")
        page.wait_for_function(f"() => ({at})() < 80")
        page.evaluate("() => { document.getElementById('thread').scrollTop = 0; }")
        page.get_by_role("button", name="To the newest text").wait_for()
        server.release("more")
        finished(page)
        assert page.evaluate("() => document.getElementById('thread').scrollTop") == 0
        page.get_by_role("button", name="To the newest text").click()
        assert page.evaluate(at) < 80
        watched.assert_clean()


@pytest.mark.parametrize("way", ["clipboard", "old"])
def test_what_is_copied_is_what_was_seen(chromium: Browser, server: Standin, way: str) -> None:
    server.scripts["copy"] = [("content", "a **b** \u202ec\n\n```sh\necho\u200b x\n```"), ("finish", "stop")]
    with watched_page(chromium, permissions=["clipboard-read", "clipboard-write"]) as watched:
        page = watched.page
        if way == "old":  # over plain HTTP beyond this machine there is no navigator.clipboard
            page.add_init_script(
                "navigator.clipboard.writeText = () => Promise.reject(new Error('not secure'))"
            )
        opened(watched, server)
        ask(page, "copy")
        finished(page)
        read = "() => navigator.clipboard.readText()"
        page.get_by_role("button", name="Copy", exact=True).click()
        page.wait_for_function("() => document.getElementById('said').textContent === 'The reply is copied.'")
        assert page.evaluate(read) == "a **b** \\u{202E}c\n\n```sh\necho\\u{200B} x\n```"
        page.get_by_role("button", name="Copy code").click()
        page.wait_for_function("() => document.getElementById('said').textContent === 'The code is copied.'")
        assert page.evaluate(read) == "echo\\u{200B} x"
        assert page.locator("textarea").count() == 1
        watched.assert_clean()
