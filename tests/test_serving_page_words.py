"""The chat page in English and Chinese: chosen by the browser's language, switched by hand, every word translated."""

# ruff: noqa: F811  (the fixture `chromium` is imported and then asked for by name)

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser import chromium, serious_violations, take_screenshot, watched_page  # noqa: F401
from serving_page_tools import BOAT, SKY, Standin, opened, shows, usual

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

QUESTION = "纸船怎么折？"
LONGEST = "天空为什么是蓝色的？请详细说明瑞利散射与波长的关系，并举出三个日常生活中的例子"
THINKING = "提问的人想知道天空为什么是蓝色的。阳光含有所有颜色，空气对短波的散射更强。"
ANSWER = """天空是蓝色的，因为**空气对蓝光的散射比红光强**。

| 颜色 | 波长 |
|---|---|
| 红 | 680 |
| 蓝 | 450 |

```python
1 / 450 ** 4
```
"""
LATIN = {"ahalab", "API", "Enter", "Shift", "Esc", "Authorization", "Bearer", "aha", "guard", "keys", "add"}
"""What stays in Latin letters on the Chinese page: names, keys, and what is typed as it stands."""
GIVEN = {"English", "tiny", "large", "python"}
"""What is not the page's own: the other language's name, models, the language of a code block."""
WORDS = """() => {
    const seen = [document.title];
    const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
    while (walk.nextNode())
        if (!walk.currentNode.parentElement.closest("script, noscript")) seen.push(walk.currentNode.data);
    for (const node of document.querySelectorAll("*"))
        for (const name of ["aria-label", "title", "placeholder", "alt"]) seen.push(node.getAttribute(name) || "");
    return seen;
}"""


@pytest.fixture
def server() -> Iterator[Standin]:
    with usual() as made:
        yield made


def english(page: Page) -> set[str]:
    """Words in Latin letters anywhere on the page, hidden parts and labels too."""
    found = {word for text in page.evaluate(WORDS) for word in re.findall(r"[A-Za-z]{2,}", text)}
    return found - LATIN - GIVEN


def send(page: Page, question: str) -> None:
    page.locator("#question").fill(question)
    page.locator("#question").press("Enter")


def ended(page: Page) -> None:
    page.locator(".round").last.locator("[data-name=retry]").wait_for()
    page.locator("#send").wait_for()


def test_both_languages_have_the_same_words_of_the_same_kind(chromium: Browser, server: Standin) -> None:
    kinds = (
        "async () => { const { LANGUAGES } = await import('/page/words.js');"
        " return Object.values(LANGUAGES).map((words) => Object.entries(words).map(([name, one]) =>"
        " `${name}: ${typeof one} ${one.length ?? ''}`.replace(/(string) .*/, '$1'))); }"
    )
    with watched_page(chromium) as watched:
        first, second = opened(watched, server).evaluate(kinds)
        assert len(first) > 80
        assert first == second
        watched.assert_clean()


@pytest.mark.parametrize(
    ("locale", "tag"),
    [("zh-CN", "zh-Hans"), ("zh-TW", "zh-Hans"), ("en-GB", "en"), ("de-DE", "en")],
)
def test_the_browsers_language_decides_until_a_person_does(
    chromium: Browser, server: Standin, locale: str, tag: str
) -> None:
    other = "en" if tag == "zh-Hans" else "zh-Hans"
    with watched_page(chromium, locale=locale) as watched:
        page = opened(watched, server)
        assert page.evaluate("() => document.documentElement.lang") == tag
        switch = page.locator("#language")
        assert switch.inner_text() == ("English" if tag == "zh-Hans" else "中文")
        assert switch.get_attribute("lang") == other
        switch.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("() => document.activeElement.id") == "language"
        assert page.evaluate("() => document.documentElement.lang") == other
        page.reload()
        assert page.evaluate("() => document.documentElement.lang") == other
        assert page.locator("#send").inner_text() == ("Send" if other == "en" else "发送")
        watched.assert_clean()


def test_with_storage_forbidden_the_switch_still_works(chromium: Browser, server: Standin) -> None:
    with watched_page(chromium, locale="zh-CN") as watched:
        watched.page.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('forbidden'); } })"
        )
        page = opened(watched, server)
        page.locator("#language").click()
        assert page.locator("#send").inner_text() == "Send"


@pytest.mark.parametrize(("width", "height"), [(1180, 820), (360, 740)])
def test_every_state_is_chinese_through_and_through_accessible_and_fits(
    chromium: Browser, server: Standin, tmp_path: Path, width: int, height: int
) -> None:
    def look(state: str) -> None:
        assert english(page) == set(), state
        assert serious_violations(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth") <= 0
        take_screenshot(page, f"chat-zh-{state}-{width}", tmp_path, whole=False)

    server.scripts[LONGEST] = [
        ("thinking", THINKING),
        ("wait", "thought"),
        ("content", ANSWER),
        ("finish", "length"),
    ]
    server.scripts[QUESTION] = [("content", "先"), ("wait", "review"), ("withdraw", "")]
    server.scripts["停"] = [("content", "写"), ("wait", "never")]
    server.scripts["断"] = [("content", "写"), ("end", "")]
    with watched_page(chromium, "light", width, height, locale="zh-CN") as watched:
        page = opened(watched, server)
        look("empty")
        send(page, LONGEST)
        shows(page, "正在思考")
        look("thinking")
        server.release("thought")
        ended(page)
        page.locator(".thinking summary").click()
        look("normal")
        send(page, QUESTION)
        shows(page, "先")
        server.release("review")
        page.locator(".withdrawn").wait_for()
        ended(page)
        assert "类别：隐私" in page.locator(".withdrawn").inner_text()
        page.locator(".withdrawn .verdict").evaluate("node => { node.textContent = ''; }")  # an id is no word
        look("withdrawn")
        send(page, "停")
        shows(page, "写")
        page.locator("#stop").click()
        ended(page)
        send(page, "断")
        page.locator(".failed").wait_for()
        ended(page)
        look("failed")
        server.refusals = [(429, {"Retry-After": "9"}, {})]
        send(page, "等")
        shows(page, "秒后可重试")
        page.locator("#key").click()
        page.locator("#key-field").fill("a b")
        page.locator("#key-field").press("Enter")
        look("key")
        page.keyboard.press("Escape")
        if width < 400:
            page.locator("#menu").click()
        page.locator("#clear").click()
        look("sure")


def test_what_is_heard_is_in_the_pages_language_too(chromium: Browser, server: Standin) -> None:
    with watched_page(chromium, locale="zh-CN") as watched:
        page = opened(watched, server)
        page.evaluate(
            "() => { window.heard = []; new MutationObserver(() => {"
            " window.heard.push(document.getElementById('said').textContent); })"
            ".observe(document.getElementById('said'), { childList: true }); }"
        )
        send(page, "你好")
        page.wait_for_function("() => window.heard.some((one) => one.startsWith('回答：'))")
        page.locator("#theme").click()
        page.wait_for_function("() => window.heard.includes('主题：浅色')")
        page.locator("#language").click()
        page.wait_for_function("() => window.heard.includes('This page is in English now.')")


def test_a_switch_while_a_reply_comes_changes_the_page_and_not_the_reply(
    chromium: Browser, server: Standin
) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        send(page, SKY)
        page.locator(".thinking summary").click()
        shows(page, "Thinking…")
        page.locator("#language").click()
        shows(page, "正在思考")
        assert page.locator(".thinking .text").is_visible(), "what was open stays open"
        server.release("thought")
        server.release("answered")
        ended(page)
        shows(page, "已思考")
        assert "From every direction" in page.locator(".answer").inner_text()
        send(page, BOAT)
        server.release("review")
        page.locator(".withdrawn").wait_for()
        ended(page)
        page.locator("#language").click()
        assert page.locator(".withdrawn .note-title").inner_text() == "Reply withdrawn"
        assert page.locator(".round").count() == 2
        watched.assert_clean()


def test_a_fault_that_is_shown_changes_its_language_with_the_page(chromium: Browser, server: Standin) -> None:
    server.key = "right"
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        page.locator(".notice").wait_for()
        assert "asks for an API key" in page.locator(".notice").inner_text()
        page.locator("#language").click()
        assert page.locator(".notice").inner_text().startswith("本服务器需要 API 密钥")
        send(page, "x")
        page.locator(".failed").wait_for()
        assert page.locator(".failed .note-title").inner_text().startswith("本服务器需要 API 密钥")
        page.locator("#language").click()
        assert "asks for an API key" in page.locator(".failed .note-title").inner_text()
