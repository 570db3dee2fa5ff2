"""The report in headless Chromium: opened from file://, in light and dark, narrow, printed and by keyboard."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ahalab.report import write_report
from browser import SCHEMES, Scheme, chromium, serious_violations, take_screenshot, watched_page  # noqa: F401
from synthetic_graph import make_graph
from synthetic_run import make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = (
    "<script>alert('ran')</script><img src=x onerror=\"alert('ran')\"><svg onload=alert('ran')>"
    "\u202egnitsil\u202c \x1b[31mred\x07 \x00 </pre></section><style>body{display:none}</style> wait"
)
KINDS = ("zero", "r1")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    return {
        "zero": write_report(make_run(folder / "quickstart", steps=40)),
        "r1": write_report(make_graph(folder / "r1")),
    }


def opened(page: Page, path: Path) -> None:
    page.goto(path.as_uri(), wait_until="load")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_opens_offline_in_both_schemes_and_axe_finds_nothing_serious(
    chromium: Browser,  # noqa: F811
    reports: dict[str, Path],
    tmp_path: Path,
    kind: str,
    scheme: Scheme,
) -> None:
    with watched_page(chromium, scheme, bypass_csp=True) as watched:
        opened(watched.page, reports[kind])
        for details in watched.page.query_selector_all("details"):
            details.evaluate("one => one.open = true")
        assert serious_violations(watched.page) == []
        watched.assert_clean()
    with watched_page(chromium, scheme) as watched:
        opened(watched.page, reports[kind])
        paper = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", paper)[:3])) > 3 * 128
        assert light is (scheme == "light")
        take_screenshot(watched.page, f"report-{kind}-{scheme}", tmp_path)
        watched.assert_clean()


@pytest.mark.parametrize("kind", KINDS)
def test_a_narrow_screen_never_scrolls_the_page_sideways(
    chromium: Browser,  # noqa: F811
    reports: dict[str, Path],
    tmp_path: Path,
    kind: str,
) -> None:
    with watched_page(chromium, width=360, height=740, bypass_csp=True) as watched:
        opened(watched.page, reports[kind])
        for details in watched.page.query_selector_all("details"):
            details.evaluate("one => one.open = true")
        take_screenshot(watched.page, f"report-{kind}-narrow", tmp_path)
        width = watched.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360
        beyond = watched.page.evaluate(
            """() => [...document.querySelectorAll('body *')].filter(one =>
                !one.closest('.scroll, svg, .text') && one.getBoundingClientRect().right > innerWidth + 1
            ).map(one => `${one.tagName}.${one.className}: ${one.textContent.slice(0, 60)}`)"""
        )
        assert beyond == []
        assert serious_violations(watched.page) == []


@pytest.mark.parametrize("kind", KINDS)
def test_print_cuts_no_figure(
    chromium: Browser,  # noqa: F811
    reports: dict[str, Path],
    tmp_path: Path,
    kind: str,
) -> None:
    with watched_page(chromium, "dark", width=718) as watched:
        page = watched.page
        opened(page, reports[kind])
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        # A4 less its margins: what is wider is cut off at the edge, what is higher by the page's end.
        room = {"width": (210 - 28) / 25.4 * 96, "height": (297 - 28) / 25.4 * 96}
        page.set_viewport_size({"width": int(room["width"]), "height": 1000})
        for selector in ("figure", "table"):
            for box in [one.bounding_box() for one in page.query_selector_all(selector) if one.is_visible()]:
                assert box is not None
                assert box["x"] + box["width"] <= room["width"] + 1, selector
                if selector == "figure":
                    assert box["height"] <= room["height"]
        inside = "getComputedStyle(document.querySelector('figure')).breakInside"
        assert page.evaluate(f"!document.querySelector('figure') || {inside} === 'avoid'")
        scrolling = page.evaluate(
            """() => [...document.querySelectorAll('.scroll, .text')].filter(one => one.checkVisibility() &&
                (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1)).length"""
        )
        assert scrolling == 0, "what scrolls on a screen is cut off on paper"
        take_screenshot(page, f"report-{kind}-print", tmp_path)
        written = page.pdf(format="A4", print_background=True, prefer_css_page_size=True)
        assert written.startswith(b"%PDF")
        assert len(written) > 20_000
        watched.assert_clean()


@pytest.mark.parametrize("kind", KINDS)
def test_the_keyboard_reaches_every_link_and_every_table_behind_a_figure(
    chromium: Browser,  # noqa: F811
    reports: dict[str, Path],
    kind: str,
) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        opened(page, reports[kind])
        wanted = page.evaluate(
            "[...document.querySelectorAll('a[href], summary')].filter(one => one.checkVisibility()).length"
        )
        assert wanted > 0
        reached: set[Any] = set()
        for _ in range(4 * wanted + 40):
            page.keyboard.press("Tab")
            place = page.evaluate(
                """() => { const one = document.activeElement;
                    return one.matches('a[href], summary')
                        ? [...document.querySelectorAll('a[href], summary')].indexOf(one) : -1 }"""
            )
            if place in reached and place == 0:
                break
            reached.add(place)
        assert len(reached - {-1}) == wanted
        if page.query_selector("summary"):
            page.focus("summary")
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.parentElement.open") is True
            assert outline != "none"
        watched.assert_clean()


def test_hostile_text_is_shown_and_never_run(
    chromium: Browser,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "hostile", steps=6)
    for path in run.rglob("*.jsonl"):
        if path.parent.name != "samples":
            continue
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            row |= {
                "text": f" <think> {HOSTILE} {row['text']}",
                "question": HOSTILE,
                "answer": HOSTILE,
                "gold": HOSTILE,
            }
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with watched_page(chromium) as watched:
        page = watched.page
        opened(page, write_report(run))
        said = page.inner_text("body")
        assert "<script>alert('ran')</script><img src=x onerror=" in said
        assert r"\u{202E}gnitsil" in said
        assert r"\u{001B}[31mred" in said
        assert page.query_selector("script, img, iframe, svg[onload]") is None
        assert page.is_visible("h1")
        take_screenshot(page, "report-hostile", tmp_path)
        watched.assert_clean()


def test_an_empty_and_a_half_written_run_say_what_is_missing(
    chromium: Browser,  # noqa: F811
    tmp_path: Path,
) -> None:
    half = make_run(tmp_path / "half", steps=6, finished=False)
    metrics = next(half.rglob("metrics.jsonl"))
    metrics.write_bytes(metrics.read_bytes()[:-40])
    empty = make_run(tmp_path / "empty", steps=2)
    shutil.rmtree(empty / "stages")
    for run, name in ((half, "half"), (empty, "empty")):
        with watched_page(chromium, bypass_csp=True) as watched:
            opened(watched.page, write_report(run))
            said = watched.page.inner_text("body")
            assert re.search(
                r"not (yet )?(been )?(finished|written)|half-written|no stage|nothing", said, re.IGNORECASE
            )
            assert serious_violations(watched.page) == []
            take_screenshot(watched.page, f"report-{name}", tmp_path)
            watched.assert_clean()
