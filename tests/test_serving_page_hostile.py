"""Replies, names, errors and storage that want to break the chat page: they stay text, and drawing them stays quick."""

# ruff: noqa: F811  (the fixture `chromium` is imported and then asked for by name)

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from browser import chromium, serious_violations, watched_page  # noqa: F401
from serving_page_tools import ANSWER, SECRET, Standin, ask, finished, opened, shows, standin

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = (
    '<script>alert(1)</script><img src=x onerror="alert(2)"><svg onload=alert(3)>'
    '<iframe srcdoc="<script>alert(4)</script>">'
    " [click](javascript:alert(5)) ![p](http://elsewhere.example/?q=secret) **<b onclick=alert(6)>bold</b>** "
    "`<u>code</u>` a\u202egnp.exe \u2066x\u2069 t\u200bo \x1b[31mred\x07 \U000e0041 e\u0301\u0301\u0301\u0301\u0301"
    "\n\n```html onload=alert(7)\n<script>alert(8)</script>\n```\n\n| <img src=x onerror=alert(9)> | b |\n|---|---|\n"
    "| javascript:alert(10) | </td></table><script>alert(11)</script> |\n\n"
    "- <object data=x></object>\n> <form action=x>"
)


DRAWN = {"p", "strong", "em", "code", "pre", "div", "span", "button", "ul", "ol", "li", "blockquote", "hr"}
DRAWN |= {"table", "thead", "tbody", "tr", "th", "td"}


@pytest.fixture
def server() -> Iterator[Standin]:
    with standin() as made:
        yield made


def test_a_hostile_reply_stays_text(chromium: Browser, server: Standin) -> None:
    server.models = ("<img src=x onerror=alert(0)>", "two")
    server.scripts["hostile"] = [
        ("thinking", HOSTILE),
        *(("content", one) for one in HOSTILE),
        ("finish", "stop"),
    ]
    server.scripts["hostile withdrawal"] = [("withdraw", HOSTILE)]
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        ask(page, "hostile")
        finished(page)
        page.locator(".thinking summary").click()
        for text in (
            "<script>alert(1)</script>",
            "[click](javascript:alert(5))",
            "\\u{202E}gnp.exe",
            "\\u{001B}[31m",
            "\\u{E0041}",
        ):
            assert page.locator(".answer").inner_text().count(text) == 1, text
        for place in (".answer", ".thinking .text"):
            tags = page.locator(place).evaluate(
                "one => [...one.querySelectorAll('*')].map((two) => two.localName)"
            )
            assert set(tags) <= DRAWN
        names = page.locator("#rounds").evaluate(
            "one => [...one.querySelectorAll('*')].flatMap((two) => two.getAttributeNames())"
        )
        assert not [
            one
            for one in names
            if one.startswith("on") or one in ("src", "href", "srcdoc", "style", "action")
        ]
        ask(page, "hostile withdrawal")
        finished(page)
        server.refusals = [(400, {}, {"error": {"message": HOSTILE}})]
        ask(page, HOSTILE)
        page.locator(".failed").wait_for()
        page.reload()
        shows(page, "\\u{202E}gnp.exe")
        for hidden in "\u202e\u2066\u200b\x1b\x07":
            assert hidden not in page.locator("body").inner_text()
        assert serious_violations(page) == []
        assert [one for one in watched.errors if "status of 400" not in one] == []
        assert watched.foreign == watched.dialogs == []


def test_storage_that_somebody_wrote_into_harms_nothing(chromium: Browser, server: Standin) -> None:
    rounds = [
        {"question": HOSTILE, "reply": {"state": "withdrawn", "text": SECRET, "note": HOSTILE}},
        {"question": "q", "reply": {"state": "answering", "text": SECRET}},
    ]
    hostile = json.dumps({"id": "4", "title": HOSTILE, "changed": "x", "rounds": rounds})
    broken = ["no json", "null", "[]", '{"id":"3","rounds":[null,{"question":3}]}', hostile]
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        page.evaluate(
            "rows => rows.forEach((row, at) => localStorage.setItem(`ahalab.chat.conversation.${at}`, row))",
            broken,
        )
        page.reload()
        page.wait_for_function("() => document.getElementById('model').options.length > 0")
        page.locator("#list button.open").first.click()
        shows(page, "\\u{202E}gnp.exe")
        assert SECRET not in page.content()
        watched.assert_clean()


def test_markdown_is_linear_in_whatever_a_model_writes(chromium: Browser, server: Standin) -> None:
    size = 200_000
    bad = [
        "*a ",
        "**a",
        "***a",
        "*a*",
        "*a **b ",
        "` `` ",
        "`",
        "`a`",
        "* ",
        "> ",
        "| a |\n|---|\n",
        "- a\n",
        "1. ",
    ]
    bad += [
        "  - a\n    - b\n",
        "#",
        "\\*",
        "```\n",
        "a\n",
        "_",
        "|",
        "-|",
        "\u0301",
        "\u200d",
        "\u200da",
        "~",
        " ",
    ]
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        for one in bad:
            text = one * (size // len(one))
            assert page.evaluate(
                "async (text) => { const { draw } = await import('/page/markdown.js');"
                " draw(document.createElement('div'), text); return true; }",
                text,
            )


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a\nb\n\nc", '<p dir="auto">a\nb</p><p dir="auto">c</p>'),
        ("2*3*4 and *x* and **y *z***", '<p dir="auto">2*3*4 and <em>x</em> and <strong>y <em>z</em></strong></p>'),
        ("`a*b*` \\*c\\*", '<p dir="auto"><code>a*b*</code> *c*</p>'),
        (
            "- a\n  - b\n- c",
            '<ul><li dir="auto"><p dir="auto">a</p><ul><li dir="auto">b</li></ul></li><li dir="auto">c</li></ul>',
        ),
        ("3. a\n4. b", '<ol start="3"><li dir="auto">a</li><li dir="auto">b</li></ol>'),
        ("> a\n> - b", '<blockquote><p dir="auto">a</p><ul><li dir="auto">b</li></ul></blockquote>'),
        ("# T #\n---", '<p class="heading level-1" role="heading" aria-level="3" dir="auto">T</p><hr>'),
        ("x < y & z", '<p dir="auto">x &lt; y &amp; z</p>'),
        ("👩\u200d🔬 a\u200db", '<p dir="auto">👩\u200d🔬 a<span class="hidden">\\u{200D}</span>b</p>'),
    ],
)  # fmt: skip
def test_markdown_is_drawn_as_it_is_meant(chromium: Browser, server: Standin, text: str, html: str) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        found = page.evaluate(
            "async (text) => { const { draw } = await import('/page/markdown.js');"
            " const place = document.createElement('div'); draw(place, text); return place.innerHTML; }",
            text,
        )
        assert found == html


def test_a_text_drawn_piece_by_piece_is_as_if_drawn_at_once(chromium: Browser, server: Standin) -> None:
    with watched_page(chromium) as watched:
        page = opened(watched, server)
        assert page.evaluate(
            "async (text) => { const { draw } = await import('/page/markdown.js');"
            " const one = document.createElement('div'), two = document.createElement('div');"
            " for (let at = 0; at <= text.length; at++) draw(one, text.slice(0, at)); draw(two, text);"
            " return one.innerHTML === two.innerHTML; }",
            ANSWER + HOSTILE,
        )
