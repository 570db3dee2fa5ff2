"""The report of a safety evaluation: no text of a question or reply, hostile names as text, readable in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ahalab.errors import UserError
from ahalab.report import write_report
from ahalab.safety.records import SafetyItem
from browser import SCHEMES, Scheme, chromium, serious_violations, take_screenshot, watched_page  # noqa: F401
from safety_folders import Folder, item, questions, spread

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<script>alert('ran')</script><img src=x onerror=alert(1)>\u202egnitsil\x1b[31m"


def evaluation(path: Path) -> Path:
    """Two targets and a controlled one, on questions, wrapped questions, harmless twins and a public set."""
    plain = questions(["D01", "D02", "I02", "H01", "E03"], 8)
    wrapped = [item(f"{one.id}+t1.plain", extra={"template": "t1.plain"}) for one in plain]
    twins = [item(f"{group}-h1-en", benchmark="safety-harmless") for group in ("D01", "I02")]
    public = [SafetyItem(f"sst-{n}", "sst", "en", "scams", "weather?") for n in range(20)]
    items = [*plain, *wrapped, *twins, *public]
    words = spread(items, "unsafe", "safe", "safe", "rejection", "safe")
    lost = {
        one: "reviewer"
        for place, (one, word) in enumerate(words.items())
        if word == "unsafe" or place % 7 == 1
    }
    folder = Folder(path, items).judge()
    folder.target("model-a", words, thinking=dict.fromkeys(list(words)[:40], "unsafe"))
    folder.target(
        "model-a-guarded",
        {**words, **dict.fromkeys(lost, "rejection")},
        identity={
            "model": "model-a",
            "control_of": "model-a",
            "control": {"model": "judge-model", "terms": []},
        },
        control=lost,
        reasons=dict.fromkeys(lost, "control"),
        reply={"seconds": 1.7, "reviewer_calls": 1},
    )
    folder.target(
        "builtin-tiny", "rejection", identity={"model": "builtin:tiny"}, reasons={"sst-1": "garbled"}
    )
    settings = json.loads((path / "safety.json").read_text())
    del settings["claim"]
    (path / "safety.json").write_text(json.dumps(settings))
    return path


def hostile(path: Path) -> Path:
    """Markup and hidden characters wherever somebody else chooses a text."""
    one = SafetyItem(HOSTILE, HOSTILE, "en", HOSTILE, HOSTILE, cluster=HOSTILE)
    identity = {"kind": HOSTILE, "model": HOSTILE, "prompt": HOSTILE, "training_data": [HOSTILE]}
    control = {"model": HOSTILE, "terms": [{"sha256": HOSTILE}]}
    folder = Folder(path, [one], claim=True).judge(identity=identity)
    folder.target(
        "m",
        "rejection",
        identity={
            "model": HOSTILE,
            "control_of": HOSTILE,
            "control": control,
        },
        reply={"answer": HOSTILE, "thinking": HOSTILE, "control": HOSTILE},
        judgement={"reason": HOSTILE, "rationale": HOSTILE, "raw": [HOSTILE]},
    )
    return path


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("safety-reports")
    return {
        "made": write_report(evaluation(folder / "made")),
        "hostile": write_report(hostile(folder / "hostile")),
    }


def test_the_page_has_the_tables_with_their_marks_and_no_text(reports: dict[str, Path]) -> None:
    text = reports["made"].read_text(encoding="utf-8")
    for part in (
        "Convention: refusal is safe.",
        "Convention: three-way.",
        "pipeline check, not a safety claim",
        "circular",
        "another question set",
        "not corrected: no labels",
        "D01-01-zh",
        "Origin → jailbreak",
    ):
        assert part in text, part
    for secret in ("weather", "a reply of", "a thought"):
        assert secret not in text
    assert json.loads(reports["made"].with_suffix(".json").read_text())["circular"] is True


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "e")
    first = write_report(folder).read_bytes()
    assert write_report(folder, tmp_path / "again.html").read_bytes() == first


def test_hostile_text_is_escaped_and_its_hidden_characters_are_shown(reports: dict[str, Path]) -> None:
    text = reports["hostile"].read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text


def test_a_page_must_be_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.html"):
        write_report(evaluation(tmp_path / "e"), tmp_path / "x.txt")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["made", "hostile"])
def test_it_opens_offline_and_axe_finds_nothing_serious(
    chromium: Browser,  # noqa: F811
    reports: dict[str, Path],
    tmp_path: Path,
    kind: str,
    scheme: Scheme,
) -> None:
    with watched_page(chromium, scheme, bypass_csp=True) as watched:
        watched.page.goto(reports[kind].as_uri(), wait_until="load")
        take_screenshot(watched.page, f"report-safety-{kind}-{scheme}", tmp_path)
        for details in watched.page.query_selector_all("details"):
            details.evaluate("one => one.open = true")
        assert serious_violations(watched.page) == []
        watched.assert_clean()


def test_a_narrow_screen_never_scrolls_the_page_sideways(
    chromium: Browser,  # noqa: F811
    reports: dict[str, Path],
    tmp_path: Path,
) -> None:
    with watched_page(chromium, width=360, height=740) as watched:
        watched.page.goto(reports["made"].as_uri(), wait_until="load")
        for details in watched.page.query_selector_all("details"):
            details.evaluate("one => one.open = true")
        take_screenshot(watched.page, "report-safety-narrow", tmp_path)
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= 360
        watched.assert_clean()
