"""The report: one file that opens offline, says its numbers in words, and never trusts a sample."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ahalab.analysis.curves import read_curves
from ahalab.errors import UserError
from ahalab.report import write_picture, write_report
from ahalab.report.summary import summarise
from ahalab.report.wording import number, times
from synthetic_run import RECIPE, make_run, write_rows

VOID = {"meta", "link", "br"}
LOADING = {"src", "srcset", "href", "xlink:href", "data", "action", "poster", "background", "formaction"}


class Page(HTMLParser):
    """A parsed page: its elements, its text by element, and whether every tag is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.by_tag: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.raw = path.read_text(encoding="utf-8")
        self.feed(self.raw)
        assert self._open == [], "tags left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.by_tag.setdefault(tag, []).append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        for tag in set(self._open):
            self.by_tag[tag][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "quickstart")


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(write_report(run))


def assert_opens_offline(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in {"script", "iframe", "object", "embed", "form", "img", "base", "foreignobject"}, tag
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} {name}"
            if name in LOADING:
                assert str(value).startswith("#") or value == "data:,", f"{tag} {name}={value}"
            if name == "style":
                assert not re.search(r"url\((?!#)", str(value))
    for style in page.by_tag["style"]:
        assert "url(" not in style
        assert "@import" not in style
    policy = [each for each in page.named("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policy[0]["content"])


def test_the_page_loads_nothing_and_runs_nothing(page: Page) -> None:
    assert_opens_offline(page)
    assert "http://" not in page.raw
    assert "https://" not in page.raw


def test_captions_hold_the_first_and_last_values_the_ratio_and_the_step_of_the_maximum(
    run: Path, page: Page
) -> None:
    curves = read_curves(run / "stages" / "zero")
    captions = " ".join(page.by_tag["figcaption"])
    for label, name in (
        ("Accuracy", "accuracy"),
        ("Thinking tokens", "thinking_tokens"),
        ("All reflective words", "reflective_per_answer"),
        ("Reflective words per 1,000 tokens", "reflective_per_1k"),
        ("Entropy", "entropy"),
    ):
        curve = curves.by_name[name]
        step, highest = curve.highest
        sentence = f"{label}: {number(curve.first)} at step 0 → {number(curve.last)} at step 119 ({times(curve.ratio)})"
        assert sentence in captions
        assert f"highest {number(highest)} at step {step}." in captions


def test_before_and_after_stand_in_the_table_with_interval_and_ratio(page: Page) -> None:
    text = " ".join(page.text.split())
    for cells in ("0.18 [0.16, 0.20]", "0.90 [0.88, 0.92]", "5.0×", "7.4×", "Before (base)", "After (zero)"):
        assert cells in text
    assert "200 prompts, 16 samples each, temperature 1, top-p 1, at most 200 tokens." in text
    assert "Held-out pass@1 rose: 0.18 (95 % interval 0.16 to 0.20) before, 0.90" in text


def test_every_figure_and_table_can_be_read_without_seeing_it(page: Page) -> None:
    drawings = page.named("svg")
    assert len(drawings) == len(page.by_tag["figcaption"]) >= 14
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert len(str(drawing["aria-label"])) > 40
    assert all(caption.strip() for caption in page.by_tag["figcaption"])
    assert all(cell.get("scope") in {"row", "col"} for cell in page.named("th") if "scope" in cell)
    assert page.named("html")[0]["lang"] == "en"
    for size in ("h1", "title"):
        assert len(page.by_tag[size]) == 1


def test_ids_are_unique_and_every_reference_inside_the_page_exists(page: Page) -> None:
    ids = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]+)"', page.raw) + re.findall(r"url\(#([^)]+)\)", page.raw)
    assert used
    assert set(used) <= set(ids)


def test_drawings_take_the_page_s_colours(page: Page) -> None:
    drawings = "".join(re.findall(r"<svg.*?</svg>", page.raw, flags=re.S))
    assert "var(--series-1)" in drawings
    assert "var(--muted)" in drawings
    assert not re.findall(r"#[0-9a-f]{6}\b(?!-)", drawings), "a fixed colour would vanish in the dark"
    assert "prefers-color-scheme: dark" in page.raw
    assert "@media print" in page.raw


def test_text_contrast_is_at_least_4_5_to_1_in_light_and_dark(page: Page) -> None:
    style = page.by_tag["style"][0]
    for block in re.findall(r":root \{(.*?)\}", style, flags=re.S)[:2]:
        colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6});", block))
        for ground in ("paper", "card"):
            for ink in ("ink", "muted", "good", "bad", "series-1"):
                assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
            for series in range(2, 7):
                assert _contrast(colours[f"series-{series}"], colours[ground]) >= 3.0
        assert _contrast(colours["mark-ink"], colours["mark"]) >= 4.5
        assert _contrast(colours["ink"], colours["note"]) >= 4.5


def test_the_same_folder_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    first, second = write_report(run, tmp_path / "a.html"), write_report(run, tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".json").read_bytes() == second.with_suffix(".json").read_bytes()


def test_the_twin_holds_the_numbers_of_the_page(run: Path, page: Page) -> None:
    twin = json.loads((run / "report.json").read_text(encoding="utf-8"))
    zero = twin["training"][0]
    curves = read_curves(run / "stages" / "zero")
    assert zero["curves"]["accuracy"]["values"] == list(curves.by_name["accuracy"].values)
    assert zero["steps"] == 120
    assert zero["totals"]["grader_errors"] == 1
    assert twin["evaluations"][0]["figures"]["pass@1"]["value"] == pytest.approx(0.18)
    for captions in zero["captions"].values():
        for sentence in captions:
            assert sentence in page.text


def test_the_run_s_facts_are_told(page: Page) -> None:
    text = " ".join(page.text.split())
    for fact in (
        "Example CPU",
        "torch 2.13.0+cpu",
        "5.2 min",
        "120 steps",
        "1 grader error",
        "float32",
        "seed 7",
    ):
        assert fact in text


def test_reflective_words_are_marked_in_samples(page: Page) -> None:
    marked = {text.lower() for text in page.by_tag["mark"]}
    assert {"wait", "check", "however", "wrong"} <= marked


HOSTILE = (
    "</div></style><script>alert(1)</script> wait \u202edesrever\u2066 \x00\x1b[31m \ud83d "
    "<img src=http://evil.example/x onerror=alert(1)> &lt;b&gt; <!-- ]]> <svg onload=alert(1)> {{7*7}} $\\frac$ 等等 "
)


def test_hostile_text_is_shown_and_never_interpreted(tmp_path: Path) -> None:
    recipe: dict[str, Any] = json.loads(json.dumps(RECIPE))
    recipe["name"], recipe["base"] = HOSTILE.replace("\ud83d", ""), 'x" onmouseover="alert(1)'
    run = make_run(tmp_path / "run", steps=4, recipe=recipe)
    stage = run / "stages" / "zero"
    for path in [*(stage / "samples").glob("*.jsonl"), stage / "metrics.jsonl"]:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            if "text" in row:
                row.update(
                    dict.fromkeys(("text", "question", "gold", "answer", "prompt_id", "fault"), HOSTILE)
                )
                row.update(correct=1.0, reflective={"wait": 1, "等等": 1, "<script>": 2})
            else:
                row["words"]["<script>alert(2)</script>"] = 2.0
                row["reward/<i>$\\frac"] = 0.5
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    manifest = json.loads((run / "stages" / "after" / "manifest.json").read_text(encoding="utf-8"))
    manifest["figures"]["by_level"][HOSTILE] = 0.5
    manifest["figures"]["by_level"]["$\\frac$\u202e"] = 0.5
    manifest["environment"][HOSTILE] = HOSTILE
    (run / "stages" / "after" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    write_picture(run, tmp_path / "picture.png")
    page = Page(write_report(run))
    assert_opens_offline(page)
    assert "<script>alert(1)</script>" in page.text, "shown as text"
    for hidden in "\u202e\u2066\x00\x1b\ud83d":
        assert hidden not in page.raw
    for code in (r"\u{202E}", r"\u{2066}", r"\u{0000}", r"\u{001B}", r"\u{D83D}"):
        assert code in page.text
    assert {"wait", "等等"} <= set(page.by_tag["mark"])
    json.loads((run / "report.json").read_text(encoding="utf-8"))


def test_a_long_sample_is_cut_with_a_note(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=2)
    path = run / "stages" / "zero" / "samples" / "rollout-000001.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    text = " <think> wait " + "many words " * 20_000 + "</think> <answer> 1 </answer>"
    rows[0].update(text=text, correct=1.0, reflective={"wait": 1})
    write_rows(path, rows)
    page = Page(write_report(run))
    assert f"{len(text) - 4_000:,} characters are left out here" in page.text
    assert len(page.raw) < 600_000


def test_a_run_still_going_says_so_and_shows_what_there_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=8, evaluations=False, finished=False)
    with (run / "stages" / "zero.partial" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 9, "rollo')
    text = " ".join(Page(write_report(run)).text.split())
    assert "Stage zero has not finished" in text
    assert "half-written last line was left out" in text
    assert "No evaluate stage has finished in this run" in text
    assert "for 8 steps so far" in text


def test_a_run_that_ended_early_says_why_until_it_goes_on(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=3, evaluations=False, finished=False)
    events = [
        {"time": "2026-01-05T10:00:00+00:00", "kind": "stage_started", "stage": "zero"},
        {
            "time": "2026-01-05T10:02:00+00:00",
            "kind": "stage_ended_early",
            "stage": "zero",
            "reason": "it collapsed",
        },
    ]
    write_rows(run / "events.jsonl", events)
    text = Page(write_report(run)).text
    assert "Stage zero ended early: it collapsed" in text
    assert "2.0 min" in text
    again = [
        {"time": "2026-01-05T11:00:00+00:00", "kind": "stage_continued", "stage": "zero"},
        {"time": "2026-01-05T11:01:00+00:00", "kind": "resumed", "stage": "zero", "step": 3},
    ]
    write_rows(run / "events.jsonl", events + again)
    text = Page(write_report(run)).text
    assert "collapsed" not in text
    assert "3.0 min" in text


def test_several_training_stages_have_their_own_curves_and_ids(tmp_path: Path) -> None:
    recipe: dict[str, Any] = json.loads(json.dumps(RECIPE))
    recipe["stages"]["zero-2"] = {"rl": {"from": "zero", "preset": "modern"}}
    recipe["stages"]["pre"] = {"pretrain": {"steps": 3}}
    run = make_run(tmp_path / "run", steps=3, recipe=recipe)
    shutil.copytree(run / "stages" / "zero", run / "stages" / "zero-2.partial")
    losses = [{"step": step, "rollout": 0, "loss": 5.0 / step, "tokens": 9} for step in (10, 20)]
    write_rows(run / "stages" / "pre.partial" / "metrics.jsonl", losses)
    page = Page(write_report(run))
    ids = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for stage in ("zero", "zero-2", "pre"):
        assert f"What changed over the steps of stage {stage}" in page.text
    assert "Loss: 0.50 at step 10 → 0.25 at step 20" in page.text
    assert "row of step 0 is missing" not in page.text


def test_weights_are_compared_in_the_order_they_came_to_be_whatever_the_stages_are_called(
    tmp_path: Path,
) -> None:
    recipe: dict[str, Any] = json.loads(json.dumps(RECIPE))
    recipe["stages"] = {"after": recipe["stages"]["after"], **recipe["stages"]}
    run = make_run(tmp_path / "run", steps=2, recipe=recipe)
    before_after = summarise(run, with_samples=False).before_after
    assert before_after is not None
    assert [evaluation.of for evaluation in before_after] == ["base", "zero"]
    assert "Before (base)" in Page(write_report(run)).text


def test_one_step_is_enough_for_a_page(tmp_path: Path) -> None:
    text = Page(write_report(make_run(tmp_path / "run", steps=1))).text
    assert "at step 0, the only step so far" in text


@pytest.mark.parametrize(
    "damage",
    [
        "empty folder",
        "no recipe",
        "recipe is no YAML",
        "no stages",
        "broken manifest",
        "broken metrics",
        "broken samples",
        "empty metrics",
        "no samples",
        "broken events",
        "broken timings",
        "broken machine",
        "binary",
        "stage is a file",
        "samples is a file",
    ],
)
def test_a_broken_folder_gives_a_sentence_not_a_crash(tmp_path: Path, damage: str) -> None:
    run = tmp_path / "run"
    if damage == "empty folder":
        run.mkdir()
    else:
        make_run(run, steps=3)
    stage = run / "stages" / "zero"
    match damage:
        case "no recipe":
            (run / "recipe.resolved.yaml").unlink()
        case "recipe is no YAML":
            (run / "recipe.resolved.yaml").write_text("a: [1,")
        case "no stages":
            (run / "stages").rename(tmp_path / "elsewhere")
        case "broken manifest":
            (stage / "manifest.json").write_text("{")
        case "broken metrics":
            (stage / "metrics.jsonl").write_text('{"step": 1, "accuracy": 0.1}\n{{\n{"step": 2}\n')
        case "broken samples":
            (stage / "samples" / "rollout-000002.jsonl").write_text("x\ny\n")
        case "empty metrics":
            (stage / "metrics.jsonl").write_text("")
        case "no samples":
            (stage / "samples").rename(tmp_path / "elsewhere")
        case "broken events":
            (run / "events.jsonl").write_text('{"stage": "zero", "kind": "stage_started", "time": "noon"}\n')
        case "broken timings":
            (stage / "timings.jsonl").write_text("[]\n[]\n")
        case "broken machine":
            (stage / "manifest.json").unlink()
            (run / "machine.json").write_text("{")
        case "binary":
            (stage / "metrics.jsonl").write_bytes(b"\xff\xfe\x00\n" * 3)
        case "stage is a file":
            (run / "stages" / "more").write_text("")
        case "samples is a file":
            (stage / "samples").rename(tmp_path / "elsewhere")
            (stage / "samples").write_text("")
    page = Page(write_report(run))
    assert_opens_offline(page)
    if damage not in ("no samples", "stage is a file", "samples is a file"):
        assert [each for each in page.named("div") if each.get("role") == "note"], (
            "a notice says what is missing"
        )
    json.loads((run / "report.json").read_text(encoding="utf-8"))


def test_the_user_s_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        write_report(tmp_path / "missing")
    run = make_run(tmp_path / "run", steps=1)
    with pytest.raises(UserError, match=r"ends in \.html"):
        write_report(run, tmp_path / "report.json")
    with pytest.raises(UserError, match="no folder"):
        write_report(run, tmp_path / "missing" / "report.html")


def test_a_long_run_keeps_the_page_small(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=3_000, samples=0, evaluations=False)
    assert write_report(run).stat().st_size < 1_500_000


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
