"""Safety evaluations in the dashboard: found, asked over HTTP, in a browser; texts only where they are asked for."""

# ruff: noqa: F811  (the fixture `chromium` is imported and then asked for by name)

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("starlette", reason="the extra `ui` is not installed")
pytest.importorskip("uvicorn", reason="the extra `ui` is not installed")

from starlette.testclient import TestClient

from ahalab.dashboard.catalog import find_evaluations, find_runs
from ahalab.dashboard.server import make_app
from browser import SCHEMES, Scheme, chromium, serious_violations, take_screenshot, watched_page  # noqa: F401
from dashboard_tools import served, small_dashboard, small_run
from safety_folders import JUDGE, Folder, questions
from test_report_safety import HOSTILE, evaluation, hostile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, an evaluation, and one with hostile texts."""
    folder = tmp_path_factory.mktemp("safety") / "runs"
    small_run(folder / "first", steps=4)
    evaluation(folder / "safety-made")
    hostile(folder / "safety-hostile")
    return folder


@pytest.fixture
def client(root: Path, tmp_path: Path) -> TestClient:
    return TestClient(make_app(small_dashboard(root, cache=tmp_path)), base_url="http://127.0.0.1:8321")


@pytest.fixture(scope="module")
def address(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(small_dashboard(root, cache=tmp_path_factory.mktemp("cache"))) as found:
        yield found


def _get(client: TestClient, name: str, **query: str) -> Any:
    answer = client.get(f"/api/{name}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_evaluations_are_found_beside_runs_and_are_no_runs(root: Path) -> None:
    assert [one.name for one in find_evaluations(root)] == ["safety-hostile", "safety-made"]
    assert [one.name for one in find_runs(root)] == ["first"]
    (root / "safety-made" / "charts").mkdir(exist_ok=True)
    assert find_runs(root / "safety-made") == []
    assert find_evaluations(root / "safety-made") == [root / "safety-made"]


def test_tables_and_verdicts_come_without_any_text(client: TestClient) -> None:
    whole = client.get("/api/safety", params={"evaluation": "safety-made"}).text
    found = json.loads(whole)
    assert [one["kind"] for one in found["tables"]][:2] == ["headline", "table-9"]
    assert any("circular" in notice for notice in found["notices"])
    group = _get(client, "safety-items", evaluation="safety-made", set="safety-1120", group="D01")
    assert len(group["items"]) == 16
    assert group["targets"] == ["builtin-tiny", "model-a", "model-a-guarded"]
    one = _get(client, "safety-item", evaluation="safety-made", item="D01-01-zh")
    assert one["verdicts"][1]["parts"][0]["verdict"] == "unsafe"
    assert one["verdicts"][2]["control"] == "reviewer"
    for text in (whole, json.dumps(group), json.dumps(one)):
        assert "weather" not in text
        assert "a reply of" not in text
        assert "a thought" not in text


def test_texts_come_only_where_they_are_asked_for(client: TestClient) -> None:
    found = _get(client, "safety-texts", evaluation="safety-made", item="D01-01-zh")
    assert found["question"] == "What is the weather like, D01-01-zh?"
    assert [one["answer"] for one in found["replies"]][1] == "a reply of model-a to D01-01-zh"
    assert found["replies"][1]["thinking"] == "a thought"


def test_what_is_not_there_is_said(client: TestClient) -> None:
    answer = client.get("/api/safety", params={"evaluation": "gone"})
    assert answer.status_code == 400
    assert "there is no safety evaluation 'gone' here" in answer.json()["error"]
    answer = client.get("/api/safety-item", params={"evaluation": "safety-made", "item": "../x"})
    assert answer.status_code == 400
    assert "there is no question '../x'" in answer.json()["error"]


def test_a_broken_evaluation_is_named_with_its_file(tmp_path: Path) -> None:
    Folder(tmp_path / "e", questions(["D01"], 2)).judge().target("m", "safe")
    (tmp_path / "e" / "judges" / JUDGE / "m.jsonl").write_text('{"item": 1}\n')
    client = TestClient(
        make_app(small_dashboard(tmp_path, cache=tmp_path / "c")), base_url="http://127.0.0.1:8321"
    )
    answer = client.get("/api/safety")
    assert answer.status_code == 400
    assert "m.jsonl" in answer.json()["error"]


def test_new_verdicts_are_seen_but_not_summed_up_at_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ahalab.dashboard import safety

    folder = Folder(tmp_path / "e", questions(["D01"], 2)).judge().target("m", "safe")
    dashboard = small_dashboard(tmp_path, cache=tmp_path / "c")
    before = dashboard.safety.evaluation({})
    folder.target("n", "unsafe")
    assert dashboard.safety.evaluation({})["targets"] == before["targets"] == ["m"]
    monkeypatch.setattr(safety, "AGAIN_SECONDS", 0.0)
    assert dashboard.safety.evaluation({})["targets"] == ["m", "n"]


def _ready(page: Page) -> None:
    page.wait_for_selector("#safety table")
    page.wait_for_function("() => document.getElementById('live-text')?.textContent.startsWith('live')")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_view_is_clean_and_accessible(
    chromium: Browser, address: str, tmp_path: Path, scheme: Scheme
) -> None:
    with watched_page(chromium, scheme) as watched:
        page = watched.page
        page.goto(f"{address}?view=safety&evaluation=safety-made&set=safety-1120&group=D01&item=D01-01-zh")
        _ready(page)
        page.wait_for_selector("#safety-item table")
        take_screenshot(page, f"dashboard-safety-{scheme}", tmp_path)
        for details in page.locator("details").all():
            details.evaluate("one => { one.open = true; }")
        assert page.locator("h1").count() == 1
        assert serious_violations(page) == []
        watched.assert_clean()


def test_it_fits_a_narrow_screen(chromium: Browser, address: str, tmp_path: Path) -> None:
    with watched_page(chromium, width=380, height=800) as watched:
        watched.page.goto(f"{address}?view=safety&evaluation=safety-made&set=safety-1120&group=D01")
        _ready(watched.page)
        take_screenshot(watched.page, "dashboard-safety-narrow", tmp_path)
        assert watched.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth") <= 1
        watched.assert_clean()


def test_by_keyboard_from_the_set_to_the_texts_which_are_shown_only_after_the_warning(
    chromium: Browser, address: str, tmp_path: Path
) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        page.goto(f"{address}?view=run&run=first")
        page.get_by_role("link", name="Safety", exact=True).press("Enter")
        page.get_by_role("link", name="safety-made").press("Enter")
        page.get_by_role("heading", name="safety-made").wait_for()
        page.get_by_text("safety-1120: 5 groups").press("Enter")
        page.get_by_role("link", name="D01 Age (16)").first.press("Enter")
        page.get_by_role("link", name="D01-01-zh").press("Enter")
        page.get_by_role("heading", name="Question D01-01-zh").wait_for()
        assert page.evaluate("() => document.activeElement.textContent") == "Question D01-01-zh"
        assert "weather" not in page.content()
        page.get_by_role("button", name="Show the texts").press("Enter")
        page.get_by_text("What is the weather like, D01-01-zh?").wait_for()
        assert "a reply of model-a to D01-01-zh" in page.locator("#safety-texts").inner_text()
        take_screenshot(page, "dashboard-safety-texts", tmp_path)
        assert "weather" not in page.url
        page.get_by_role("link", name="D01-02-zh").press("Enter")
        page.get_by_role("heading", name="Question D01-02-zh").wait_for()
        assert "weather" not in page.content()
        watched.assert_clean()


def test_hostile_texts_are_shown_as_text_and_nothing_runs(
    chromium: Browser, address: str, tmp_path: Path
) -> None:
    with watched_page(chromium) as watched:
        page = watched.page
        page.goto(f"{address}?view=safety&evaluation=safety-hostile")
        _ready(page)
        page.locator("#safety details[data-key^='set-'] summary").click()
        page.locator("#safety .choices a").click()
        page.locator("#safety-ids tbody a").click()
        page.get_by_role("button", name="Show the texts").click()
        page.wait_for_selector("#safety-texts .text")
        assert "<script>alert('ran')</script>" in page.locator("#safety-texts .text").first.inner_text()
        assert "\u202e" in HOSTILE
        assert "\u202e" not in page.content()
        assert page.locator("main script, main img").count() == 0
        take_screenshot(page, "dashboard-safety-hostile", tmp_path)
        watched.assert_clean()


def test_a_folder_with_evaluations_only_opens_on_them(chromium: Browser, tmp_path: Path) -> None:
    evaluation(tmp_path / "evaluations" / "only")
    with (
        served(small_dashboard(tmp_path / "evaluations", cache=tmp_path / "cache")) as address,
        watched_page(chromium) as watched,
    ):
        watched.page.goto(address)
        _ready(watched.page)
        assert watched.page.locator("#views a").all_inner_texts() == ["Safety"]
        assert not watched.page.get_by_label("Run", exact=True).is_visible()
        watched.assert_clean()
