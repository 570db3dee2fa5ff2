"""The dashboard in a real browser: opened, filtered, compared, watched live; accessible; hostile text never runs."""

# ruff: noqa: F811  (the fixture `chromium` is imported and then asked for by name)

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser import SCHEMES, Scheme, chromium, serious_violations, take_screenshot, watched_page  # noqa: F401
from dashboard_tools import HOSTILE, append_rows, one_more_step, rollout, served, small_dashboard, small_run
from synthetic_graph import make_graph

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VIEWS = {
    "stages": "?view=run&run=graph",
    "curves": "?view=curves&run=first&series=first/zero&series=second/zero&smooth=40",
    "samples": "?view=samples&run=first&stage=zero&verdict=right&word=wait&key=first",
    "table": "?view=table&run=graph",
    "prompts": "?view=prompt&run=first",
    "prompt": "?view=prompt&run=first&prompt=world/0000000000001389",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run at work, a finished one, a whole graph, one with hostile samples, one that has only begun."""
    folder = tmp_path_factory.mktemp("dashboard") / "runs"
    small_run(folder / "first", steps=40, seed=1)
    small_run(folder / "second", steps=30, seed=2)
    make_graph(folder / "graph", prompts=4, steps=20)
    hostile = small_run(folder / "hostile", steps=3, evaluations=False)
    row = rollout(1)[0]
    row |= dict.fromkeys(("question", "answer", "gold", "domain", "prompt_id", "error"), HOSTILE)
    row |= {
        "text": f"<think> {HOSTILE} </think> {HOSTILE}",
        "reward": {HOSTILE: 1.0},
        "step": 9,
        "rollout": 9,
    }
    append_rows(hostile / "stages" / "zero" / "samples" / "rollout-000009.jsonl", [row])
    (folder / "just-begun").mkdir()
    live = small_run(folder / "live", steps=6, finished=False)
    lines = (live / "events.jsonl").read_text(encoding="utf-8").splitlines()
    (live / "events.jsonl").write_text("\n".join(lines[:3]) + "\n", encoding="utf-8")
    (live / ".lock").write_text(
        json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def address(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(small_dashboard(runs, cache=tmp_path_factory.mktemp("cache"))) as found:
        yield found


def ready(page: Page, view: str) -> None:
    """Wait until a view has drawn what it shows."""
    page.wait_for_selector(
        {
            "stages": ".tree .stage",
            "curves": "figure svg path.line",
            "samples": ".detail .text mark",
            "table": "table",
            "prompts": ".plain li",
            "prompt": ".compare article",
        }[view]
    )
    page.wait_for_function("() => document.getElementById('live-text')?.textContent.startsWith('live')")


def found_says(page: Page, pattern: str) -> None:
    """Wait until the line above the list of samples is that."""
    page.wait_for_function(
        "text => new RegExp(text).test(document.getElementById('found')?.textContent)", arg=pattern
    )


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_clean_and_accessible(
    chromium: Browser,
    address: str,
    tmp_path: Path,
    view: str,
    scheme: Scheme,
) -> None:
    with watched_page(chromium, scheme) as watched:
        watched.page.goto(address + VIEWS[view])
        ready(watched.page, view)
        assert watched.page.locator("h1").count() == 1
        for details in watched.page.locator("details").all():
            details.evaluate("one => { one.open = true; }")
        assert serious_violations(watched.page) == []
        for details in watched.page.locator("details").all():
            details.evaluate("one => { one.open = false; }")
        take_screenshot(watched.page, f"dashboard-{view}-{scheme}", tmp_path)
        watched.assert_clean()


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_fits_a_narrow_screen(chromium: Browser, address: str, tmp_path: Path, view: str) -> None:
    with watched_page(chromium, width=380, height=800) as watched:
        watched.page.goto(address + VIEWS[view])
        ready(watched.page, view)
        take_screenshot(watched.page, f"dashboard-{view}-narrow", tmp_path)
        assert watched.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth") <= 1
        assert serious_violations(watched.page) == []
        watched.assert_clean()


def test_filters_lead_to_the_samples_and_the_address_says_it_all(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        page.goto(f"{address}?view=samples&run=first")
        page.wait_for_selector(".list li")
        found_says(page, r"^1 to 25 of 336$")
        page.get_by_label("Stage", exact=True).select_option("zero")
        page.get_by_label("Verdict").select_option("wrong")
        page.get_by_label("Step to").fill("3")
        page.get_by_role("button", name="Show").click()
        found_says(page, r"^1 to (\d|1\d|2\d) of (?!336)\d+$")
        facts = page.locator(".list .facts").all_inner_texts()
        assert facts
        assert all("wrong" in one and "zero, step" in one for one in facts)
        assert {"stage=zero", "verdict=wrong", "to=3"} <= set(page.url.partition("?")[2].split("&"))
        page.locator(".list a").first.click()
        page.wait_for_selector(".detail .text")
        assert page.evaluate("() => document.activeElement.tagName") == "H2"
        shown = page.locator(".detail .text").first.inner_text()
        with watched_page(chromium) as other:
            other.page.goto(page.url)
            other.page.wait_for_selector(".detail .text")
            assert other.page.locator(".detail .text").first.inner_text() == shown
            other.assert_clean()
        page.go_back()
        page.wait_for_selector(".detail .empty")
        watched.assert_clean()


def test_pages_follow_each_other_and_lead_back(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        page.goto(f"{address}?view=samples&run=first&stage=zero")
        found_says(page, r"^1 to 25 of 240$")
        first = page.locator(".list").inner_text()
        page.get_by_role("link", name="Next page").click()
        found_says(page, r"^26 to 50 of 240$")
        assert page.locator(".list").inner_text() != first
        page.get_by_role("link", name="Next page").click()
        found_says(page, r"^51 to 75 of 240$")
        page.get_by_role("link", name="Previous page").click()
        found_says(page, r"^26 to 50 of 240$")
        page.get_by_role("link", name="Previous page").click()
        found_says(page, r"^1 to 25 of 240$")
        assert page.locator(".list").inner_text() == first
        watched.assert_clean()


def test_the_first_right_answer_with_a_word_is_one_press_away(
    chromium: Browser, address: str, runs: Path
) -> None:
    rows = [
        json.loads(line)
        for path in sorted((runs / "first" / "stages" / "zero" / "samples").iterdir())
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    expected = next(row for row in rows if row["correct"] == 1 and "wait" in row["reflective"])
    with watched_page(chromium) as watched:
        page = watched.page
        page.goto(f"{address}?view=samples&run=first&stage=zero")
        page.get_by_label("First right answer with").select_option("wait")
        page.get_by_role("button", name="Go there").click()
        page.wait_for_selector(".detail .text mark")
        assert f"step {expected['step'] - 1}" in page.locator(".detail h2").inner_text()
        assert (
            expected["text"].partition("</think>")[0].strip()
            in page.locator(".detail .text").first.inner_text()
        )
        watched.assert_clean()


def test_runs_are_compared_in_one_chart_and_the_arrow_keys_read_it(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        page.goto(f"{address}?view=curves&run=first")
        page.wait_for_selector("figure svg path.line")
        assert page.locator("#figure-accuracy path.line:not(.raw)").count() == 1
        page.get_by_text("Compare with").click()
        page.get_by_label("second: zero").check()
        page.wait_for_function(
            "() => document.querySelectorAll('#figure-accuracy path.line:not(.raw)').length === 2"
        )
        assert page.locator("#figure-accuracy .key").inner_text().split("\n") == [
            "first / zero",
            "second / zero",
        ]
        assert page.url.count("series=") == 2
        page.locator("#figure-accuracy .plot").focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        assert "step 1" in page.locator("#figure-accuracy .tip").inner_text()
        assert page.locator("#figure-accuracy path.raw").count() == 2
        page.get_by_label("Smoothing").fill("0")
        page.wait_for_function("() => !document.querySelector('#figure-accuracy path.raw')")
        assert "smooth=0" in page.url
        page.locator("#figure-accuracy summary").click()
        assert page.locator("#figure-accuracy tbody tr").count() == 11
        watched.assert_clean()


def test_new_steps_appear_while_the_page_is_open(chromium: Browser, address: str, runs: Path) -> None:
    stage = runs / "live" / "stages" / "zero.partial"
    with (
        watched_page(chromium) as watched,
        watched_page(chromium) as samples,
        watched_page(chromium) as stages,
    ):
        watched.page.goto(f"{address}?view=curves&run=live&smooth=0")
        samples.page.goto(f"{address}?view=samples&run=live&stage=zero&from=6")
        stages.page.goto(f"{address}?view=run&run=live")
        watched.page.wait_for_function(
            "() => /\\b6 steps/.test(document.getElementById('curves-intro')?.textContent)"
        )
        samples.page.wait_for_selector("#list .empty")
        stages.page.wait_for_selector(".state.running")
        before = watched.page.locator("#figure-accuracy path.line").get_attribute("d")
        one_more_step(stage, 7)
        progress = {"done": 7, "total": 120, "unit": "steps", "figures": {"accuracy": 0.75}}
        (stage / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
        watched.page.wait_for_function(
            "() => /\\b7 steps/.test(document.getElementById('curves-intro')?.textContent)"
        )
        assert watched.page.locator("#figure-accuracy path.line").get_attribute("d") != before
        samples.page.wait_for_function("() => document.querySelectorAll('.list li').length === 6")
        stages.page.wait_for_function(
            "() => document.querySelector('.tree')?.textContent.includes('7 of 120 steps')"
        )
        for one in (watched, samples, stages):
            one.assert_clean()


def test_hostile_samples_are_shown_as_text_and_nothing_runs(
    chromium: Browser, address: str, tmp_path: Path
) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        page.goto(f"{address}?view=samples&run=hostile&from=8")
        page.locator(".list a").first.click()
        page.wait_for_selector(".detail .text")
        text = page.locator(".detail .text").first.inner_text()
        assert "<script>alert(1)</script>" in text
        assert "\\u{202E}" in text
        assert "\u202e" not in page.content()
        assert page.locator("main script, main img").count() == 0
        take_screenshot(page, "dashboard-hostile", tmp_path)
        page.get_by_role("link", name="This prompt across stages").click()
        page.wait_for_selector(".compare article")
        assert "<script>alert(1)</script>" in page.locator(".question-text").inner_text()
        watched.assert_clean()


def test_a_run_that_has_only_begun_and_a_view_without_data_say_so(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        for view, said in (
            ("run", "Nothing has begun"),
            ("curves", "Nothing to draw yet"),
            ("samples", "No sample fits"),
            ("table", "No table stage"),
            ("prompt", "No prompt was found"),
        ):
            page.goto(f"{address}?view={view}&run=just-begun")
            page.get_by_text(said).first.wait_for()
        page.goto(f"{address}?view=run&run=gone")
        page.get_by_role("alert").get_by_text("there is no run 'gone'").wait_for()
        watched.errors = [one for one in watched.errors if "400" not in one]
        watched.assert_clean()


def test_the_page_goes_on_after_the_server_was_away(chromium: Browser, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", steps=3)
    with served(small_dashboard(run, cache=tmp_path / "cache")) as address, watched_page(chromium) as watched:
        page = watched.page
        page.goto(address)
        page.wait_for_selector(".tree .stage")
        page.context.set_offline(True)
        page.get_by_text("no answer from aha ui").first.wait_for()
        page.context.set_offline(False)
        page.wait_for_function("() => document.getElementById('live-text')?.textContent === 'live'")
        shutil.rmtree(run)
        page.get_by_role("heading", name="No runs yet").wait_for()
        assert watched.foreign == []


def test_the_keyboard_reaches_everything(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        page.goto(f"{address}?view=run&run=first")
        page.wait_for_selector(".tree .stage")
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
        reached: list[str] = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    "() => { const at = document.activeElement; return at.ariaLabel || at.textContent.trim(); }"
                )
            )
        assert {
            "Stages",
            "Curves",
            "Samples",
            "Stage table",
            "One prompt",
            "Curves of zero",
            "Samples of zero",
        } <= set(reached)
        page.get_by_role("link", name="Samples of zero").press("Enter")
        page.wait_for_selector(".list li")
        assert page.evaluate("() => document.activeElement.id") == "main"
        watched.assert_clean()
