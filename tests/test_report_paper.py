"""The paper's figures in the report: each has its counterpart with what is seen in numbers, or says what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ahalab.report import write_report
from ahalab.report.effort import measure_effort
from ahalab.report.groups import normal, scan_groups, vote
from ahalab.report.paper import FIGURES
from ahalab.report.summary import summarise
from synthetic_graph import make_graph
from synthetic_run import RECIPE, flat_samples, make_run, write_rows
from test_report_page import HOSTILE, Page, assert_opens_offline


def twin(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return found


def figures(run: Path) -> dict[str, dict[str, Any]]:
    return {one["number"]: one for one in twin(run)["paper_figures"]}


def answers(prompt: str, right: int, of: int, tokens: int, **more: Any) -> list[dict[str, Any]]:
    """Sample rows of one prompt: the first `right` are right and took `tokens`, the wrong ones took 999."""
    return [
        {
            "step": 1,
            "rollout": 1,
            "prompt_id": prompt,
            "sample": i,
            "domain": "math",
            "level": 1,
            "answer": "1" if i < right else "2",
            "correct": float(i < right),
            "thinking_tokens": tokens if i < right else 999,
            **more,
        }
        for i in range(of)
    ]


def stage_of(folder: Path, rows: list[dict[str, Any]]) -> Path:
    write_rows(folder / "samples" / "shard-000001.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quickstart whose last evaluation has 6 easy and 5 hard prompts, the hard ones with twice the tokens."""
    run = make_run(tmp_path_factory.mktemp("runs") / "quickstart")
    rows = [row for i in range(6) for row in answers(f"easy{i}", 4, 4, 40)]
    rows += [row for i in range(5) for row in answers(f"hard{i}", 1, 8, 80)]
    write_rows(run / "stages" / "after" / "samples" / "shard-000001.jsonl", [full(row) for row in rows])
    return run


def full(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "question": "q",
        "gold": "1",
        "text": "t",
        "tokens": 9,
        "reflective": {},
        "well_formed": True,
        **row,
    }


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(write_report(run))


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_graph(tmp_path_factory.mktemp("runs") / "graph", seed=0, prompts=24, steps=12)
    write_report(run)
    return run


@pytest.mark.usefixtures("page")
def test_every_figure_of_the_paper_has_its_counterpart_in_numbers_or_says_what_is_missing(
    run: Path, graph: Path
) -> None:
    both = [figures(run), figures(graph)]
    for found in both:
        assert list(found) == [one.number for one in FIGURES] == ["1a", "1b", "6", "7", "8", "9a", "9b", "18"]
        for one in found.values():
            if one["panels"]:
                assert one["missing"] is None
                assert sum(character.isdigit() for character in one["seen"]) >= 4, one["seen"]
            else:
                assert one["seen"] is None
                assert len(one["missing"]) > 30
    assert all(any(found[one.number]["panels"] for found in both) for one in FIGURES)


def test_the_overview_links_to_the_figures_and_repeats_what_is_seen(run: Path, page: Page) -> None:
    text = " ".join(page.text.split())
    ids = {attributes.get("id") for _, attributes in page.elements}
    links = {attributes.get("href") for attributes in page.named("a")}
    for one in figures(run).values():
        assert f"Figure {one['number']}" in text
        assert (one["seen"] or f"Not here: {one['missing']}.") in text
        for panel in one["panels"]:
            assert panel["anchor"] in ids
            assert f"#{panel['anchor']}" in links
    assert page.text.count("Paper: figure ") == sum(len(one["panels"]) for one in figures(run).values())


def test_accuracy_by_level_is_told_from_the_samples(run: Path, page: Page) -> None:
    rows = [row for row in flat_samples(run / "stages" / "zero") if row["step"] == 1]
    by_level = {
        level: [row["correct"] for row in rows if row["level"] == level]
        for level in {r["level"] for r in rows}
    }
    levels = twin(run)["training"][0]["levels"]
    assert set(levels) == {f"level {level}" for level in by_level}
    for level, verdicts in by_level.items():
        assert levels[f"level {level}"]["values"][0] == pytest.approx(sum(verdicts) / len(verdicts))
    assert "Level 1: " in page.text
    assert "The largest gain is that of level " in page.text


def test_the_vote_of_a_prompt_equals_a_hand_made_table() -> None:
    assert vote([("7", True), ("7.0", True), ("8", False)]) == 1.0
    assert vote([("7", True), ("8", False), ("8", False)]) == 0.0
    assert vote([("7", True), ("8", False)]) == 0.5, "a tie is the expected value of a fair draw"
    assert vote([(None, False), (None, False), ("7", True)]) == 1.0, "no answer, no vote"
    assert vote([(None, False)]) == 0.0
    assert normal("1,000") == normal("1000.00") == "1000"
    assert normal("-0.0") == normal("0") == "0"
    assert normal("9" * 40 + "1") != normal("9" * 40 + "2"), "long numbers are not rounded"


def test_the_vote_is_counted_by_prompt_and_only_where_answers_can_be_equal(tmp_path: Path) -> None:
    rows = [
        *answers("a", 3, 4, 1),
        *answers("b", 1, 4, 1),
        *answers("c", 4, 4, 1, domain="code"),
        *answers("d", 4, 4, 1, domain="instructions"),
        *answers("a", 0, 4, 1, rollout=2, step=2),
    ]
    found = scan_groups(stage_of(tmp_path, rows), {1: 0, 2: 1})
    single, voted = found.curve("pass@1", found.single), found.curve("cons", found.voted)
    assert single is not None
    assert voted is not None
    assert (single.steps, single.values) == ((0, 1), (0.5, 0.0))
    assert voted.values == (0.5, 0.0)
    assert found.k == 4


def test_tokens_of_right_answers_by_difficulty_equal_a_hand_made_table(tmp_path: Path) -> None:
    rows = [row for i in range(5) for row in answers(f"all{i}", 4, 4, 10 + i)]
    rows += [row for i in range(5) for row in answers(f"half{i}", 2, 4, 30)]
    rows += [row for i in range(4) for row in answers(f"few{i}", 1, 8, 90)]
    rows += [row for i in range(9) for row in answers(f"none{i}", 0, 4, 0)]
    rows += [row for i in range(9) for row in answers(f"safe{i}", 4, 4, 500, domain="safety")]
    effort = measure_effort(stage_of(tmp_path, rows), "after")
    assert list(effort.bands) == ["1", "0.5 to 0.75"], "a band of 4 prompts is left out"
    easy, half = effort.bands.values()
    assert (easy.value, easy.n, half.value, half.n) == (12.0, 5, 30.0, 5)
    assert easy.low is not None
    assert easy.high is not None
    assert 10 < easy.low < 12 < easy.high < 14


def test_the_caption_of_figure_18_says_what_hard_problems_cost(run: Path, page: Page) -> None:
    said = (
        "After (zero): a right answer takes 40.0 [40.0, 40.0] thinking tokens where every sample is right (6 prompts), "
        "80.0 [80.0, 80.0] where under 0.25 are (5 prompts) (2.0 times)."
    )
    assert figures(run)["18"]["seen"] == said
    assert said in page.text
    assert twin(run)["effort"]["by_stage"]["after"]["under 0.25"]["value"] == 80.0


def test_reward_and_rules_apart_are_told_together(graph: Path) -> None:
    seen = figures(graph)["6"]["seen"]
    assert "Preference reward 0.4" in seen
    assert (
        "Here the reward ended higher and the score of rules, general prompts lower than at the start."
        in seen
    )


def test_language_with_and_without_its_reward_is_one_figure(tmp_path: Path) -> None:
    recipe: dict[str, Any] = json.loads(json.dumps(RECIPE))
    recipe["stages"]["zero"]["rl"]["rewards"] = {"accuracy": 1.0, "format": 1.0, "language": 1.0}
    recipe["stages"]["without"] = {
        "rl": {"from": "base", "rewards": {"accuracy": 1.0, "format": 1.0, "language": 0.0}}
    }
    run = make_run(tmp_path / "run", steps=4, evaluations=False, finished=False, recipe=recipe)
    work = run / "stages" / "zero.partial"
    shutil.copytree(work, run / "stages" / "without.partial")
    for stage, slope in (("zero", 0.0), ("without", -0.1)):
        path = run / "stages" / f"{stage}.partial" / "metrics.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for i, row in enumerate(rows):
            row["language"] = row["reward/language"] = 0.9 + slope * i
        write_rows(path, rows)
    text = Page(write_report(run)).text
    assert "Zero, with the reward: 0.90 at every step." in text
    assert "Without, without the reward: 0.90 at step 0 → 0.60 at step 3" in text
    assert figures(run)["7"]["seen"] == "Over the last steps: with it 0.90 (zero), without it 0.65 (without)."
    assert [one["stage"] for one in figures(run)["7"]["panels"]] == ["zero", "without", None]


def test_metrics_of_other_stages_are_not_taken_for_r1_zero_s(tmp_path: Path) -> None:
    recipe: dict[str, Any] = json.loads(json.dumps(RECIPE))
    recipe["stages"] = {"rm": {"reward_model": {}}, **recipe["stages"]}
    run = make_run(tmp_path / "run", steps=3, recipe=recipe)
    write_rows(
        run / "stages" / "rm.partial" / "metrics.jsonl",
        [{"step": 1, "rollout": 0, "loss": 0.7, "accuracy": 0.5}],
    )
    write_report(run)
    assert [one["stage"] for one in figures(run)["1a"]["panels"]] == ["zero"]


def test_hostile_answers_levels_and_stage_names_are_shown_as_text(tmp_path: Path) -> None:
    recipe: dict[str, Any] = json.loads(json.dumps(RECIPE))
    name = "<img src=x onerror=alert(1)>\u202e"
    recipe["stages"][name] = {"rl": {"from": "base", "rewards": {"language": "much"}}}
    run = make_run(tmp_path / "run", steps=4, recipe=recipe)
    work = run / "stages" / f"{name}.partial"
    shutil.copytree(run / "stages" / "zero", work)
    (work / "manifest.json").unlink()
    path = sorted((work / "samples").glob("*.jsonl"))[0]
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    odd: tuple[dict[str, Any], ...] = (
        {"answer": HOSTILE, "level": HOSTILE},
        {"answer": "9" * 5_000, "level": 10**400},
        {"answer": "1e999999999", "level": -3},
        {"answer": ["a"], "prompt_id": {"a": 1}, "domain": ["math"]},
        {"correct": "yes", "thinking_tokens": "many", "rollout": "one"},
        {"answer": {"a": HOSTILE}, "correct": float("1e308"), "level": 1.5},
    )
    for row, change in zip(rows, odd, strict=False):
        row.update(change)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shutil.copy(path, run / "stages" / "after" / "samples" / "shard-000002.jsonl")
    page = Page(write_report(run))
    assert_opens_offline(page)
    assert "<img src=x onerror=alert(1)>" in page.text
    assert "\u202e" not in page.raw
    assert {"img", "script"}.isdisjoint({tag for tag, _ in page.elements})
    assert figures(run)["1a"]["panels"]


def test_a_folder_without_stages_or_samples_says_what_the_figures_would_need(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_report(tmp_path / "empty")
    assert all(one["panels"] == [] and one["missing"] for one in figures(tmp_path / "empty").values())
    run = make_run(tmp_path / "run", steps=3, samples=0, evaluations=False)
    text = " ".join(Page(write_report(run)).text.split())
    assert "or there are no sample files" in text
    assert figures(run)["18"]["missing"] in text


def test_half_written_samples_give_what_there_is_and_one_notice(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=4)
    shard = run / "stages" / "after" / "samples" / "shard-000001.jsonl"
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join(lines[:9]) + lines[9][:20])
    write_report(run)
    assert "after" in twin(run)["effort"]["by_stage"]
    broken = run / "stages" / "after" / "samples" / "shard-000002.jsonl"
    broken.write_text("x\ny\n", encoding="utf-8")
    notices = [notice for notice in summarise(run).notices if "shard-000002" in notice]
    assert len(notices) == 1
    assert "read only in part" in notices[0]
