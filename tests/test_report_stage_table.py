"""The stage table on the page, in the terminal and across runs: the same numbers everywhere, nothing hostile."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ahalab.analysis.stage_table import read_stage_table
from ahalab.cli.table import table as aha_table
from ahalab.cli.tables import print_stage_table, print_summary
from ahalab.errors import UserError
from ahalab.report import write_report
from ahalab.report.seeds import evaluation_folder, read_tables, write_tables
from ahalab.report.summary import summarise
from synthetic_graph import SKILLS, make_graph
from test_report_page import HOSTILE, Page, assert_opens_offline


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [make_graph(folder / f"seed{seed}", seed=seed, prompts=24, steps=4) for seed in (0, 1)]


@pytest.fixture(scope="module")
def page(runs: list[Path]) -> Page:
    return Page(write_report(runs[0]))


def content(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "stages" / "table" / "table.json").read_text(encoding="utf-8"))
    return found


def printed(run: Path, width: int = 140) -> str:
    out = StringIO()
    print_summary(Console(file=out, width=width), run)
    return out.getvalue()


def test_the_page_shows_the_table_and_the_orderings(runs: list[Path], page: Page) -> None:
    assert_opens_offline(page)
    text = " ".join(page.text.split())
    cell = content(runs[0])["rows"]["r1"]["cells"]["reasoning"]
    assert f"{100 * cell['value']:.1f} {100 * cell['low']:.1f} to {100 * cell['high']:.1f}" in text
    for said in (
        "Stage table",
        "The paper's orderings",
        "helpfulness win rate",
        "– at equal length",
        "holds",
        "not measured",
    ):
        assert said in text
    for one in content(runs[0])["orderings"]:
        assert one["sentence"] in text
        assert one["why"] in text


def test_the_page_tells_of_data_reward_models_and_hacking(page: Page) -> None:
    text = " ".join(page.text.split())
    for said in (
        "reasoning_data (sample)",
        "395,285",
        "Left out: 1,500 not correct and 88 repetition.",
        "helpful_pairs (preferences)",
        "helpful_rm (pairwise)",
        "0.91 [0.86, 0.95]",
        "helpful_rm: the score follows length: rank correlation +0.41.",
        "Stage r1 was marked by the reward-hacking watch at step 9",
        "What changed over the steps of stage dev1",
        "Rule score by domain",
        "Preference reward and the rules, held out",
        "Language consistency",
        "Loss: 1.62 at step 0",
        "48 s",
    ):
        assert said in text, said


def test_a_student_is_no_after_of_the_base(runs: list[Path], page: Page) -> None:
    before_after = summarise(runs[0], with_samples=False).before_after
    assert before_after is not None
    assert [evaluation.of for evaluation in before_after] == ["base", "r1"]
    assert "After (r1)" in page.text
    assert "distilled" in page.text


@pytest.mark.usefixtures("page")
def test_the_twin_holds_the_table(runs: list[Path]) -> None:
    twin = json.loads((runs[0] / "report.json").read_text(encoding="utf-8"))
    table = twin["stage_tables"]["table"]
    wanted = content(runs[0])
    assert table["rows"]["zero"]["cells"]["math"]["value"] == wanted["rows"]["zero"]["cells"]["math"]["value"]
    assert len(table["differences"]) == len(wanted["differences"])
    assert table["orderings"] == wanted["orderings"]


def test_hostile_names_and_sentences_are_shown_and_never_interpreted(tmp_path: Path) -> None:
    run = make_graph(tmp_path / "run", prompts=3, steps=2)
    path = run / "stages" / "table" / "table.json"
    found = content(run)
    found["rows"][HOSTILE] = found["rows"].pop("base")
    found["columns"].append(HOSTILE)
    found["rows"]["zero"]["cells"][HOSTILE] = 0.5
    found["prompts"][HOSTILE] = 3
    found["reference"] = HOSTILE
    for key in ("sentence", "why", "source", "verdict"):
        found["orderings"][0][key] = HOSTILE
    path.write_text(json.dumps(found), encoding="utf-8")
    manifest = run / "stages" / "reasoning_data" / "manifest.json"
    figures = json.loads(manifest.read_text(encoding="utf-8"))
    figures["figures"]["dropped"][HOSTILE] = 2
    figures["figures"]["statistics"][0]["domain"] = HOSTILE
    figures["figures"][HOSTILE] = HOSTILE
    manifest.write_text(json.dumps(figures), encoding="utf-8")
    page = Page(write_report(run))
    assert_opens_offline(page)
    for hidden in "\u202e\u2066\x1b\ud83d":
        assert hidden not in page.raw
        assert hidden not in printed(run)
    assert page.text.count("<script>alert(1)</script>") >= 6
    assert "<script>" not in read_tables([run]).markdown()


@pytest.mark.parametrize("damage", ["gone", "broken", "a list", "other format", "odd cells"])
def test_a_broken_table_is_a_notice_and_not_a_crash(runs: list[Path], tmp_path: Path, damage: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    path = run / "stages" / "table" / "table.json"
    found = content(run)
    if damage == "gone":
        path.unlink()
    elif damage == "odd cells":
        found["rows"]["zero"] = 7
    texts = {
        "broken": "{",
        "a list": "[]",
        "other format": json.dumps({**found, "format": 9}),
        "odd cells": json.dumps(found),
    }
    if damage in texts:
        path.write_text(texts[damage], encoding="utf-8")
    summary = summarise(run, with_samples=False)
    assert any("Stage table: its table could not be read." in notice for notice in summary.notices)
    assert not summary.tables
    with pytest.raises(UserError):
        read_tables([run])


def test_the_end_of_a_run_prints_the_table_and_the_orderings(runs: list[Path]) -> None:
    text = printed(runs[0])
    assert "helpfulness win rate" in text
    assert "holds        The small cold-start set costs reasoning" in text
    assert "before (base)" not in text, "the table replaces the before-and-after"


def test_a_narrow_terminal_gets_values_without_intervals(runs: list[Path]) -> None:
    table = read_stage_table(content(runs[0]), "table.json")
    seen = {}
    for width in (60, 100, 140, 240):
        out = StringIO()
        print_stage_table(Console(file=out, width=width), "t", table)
        seen[width] = out.getvalue()
        value = f"{100 * content(runs[0])['rows']['r1']['cells']['math']['value']:.1f}"
        assert value in seen[width] or width == 60
    assert "[" not in seen[100]
    assert "[" in seen[140]
    assert ", 100.0]" in seen[240]


def test_seeds_are_pooled_with_the_verdicts_of_each(runs: list[Path]) -> None:
    tables = read_tables(runs)
    first, second = (content(run)["rows"]["zero"]["cells"]["math"]["value"] for run in runs)
    cell = tables.table.cell("zero", "math")
    assert cell is not None
    assert cell.value == pytest.approx((first + second) / 2)
    assert cell.n == 48
    text = tables.markdown()
    assert f"({100 * min(first, second):.1f}–{100 * max(first, second):.1f})" in text
    assert "| ordering | verdict | seed0 | seed1 | decided by | the paper |" in text
    told = tables.as_dict()
    assert told["orderings"][0]["by_run"] == {"seed0": "holds", "seed1": "holds"}
    assert told["pooled"]["rows"]["zero"]["math"]["range"] == [min(first, second), max(first, second)]


def test_rows_of_other_runs_join_and_decide_orderings(runs: list[Path]) -> None:
    run = runs[0]
    tables = read_tables([run], [("no_language", run / "eval_zero"), ("student_rl", run / "eval_base")])
    verdicts = {outcome.ordering.name: outcome.verdict for outcome in tables.outcomes}
    assert verdicts["language_reward_needed"] == "holds"
    assert verdicts["distillation_beats_rl"] == "holds"
    assert list(tables.table.rows) == [*SKILLS, "no_language", "student_rl"]
    kept = content(run)["rows"]["r1"]["cells"]["win_rate"]["value"]
    cell = tables.table.cell("r1", "win_rate")
    assert cell is not None
    assert cell.value == kept


def test_rows_alone_make_a_table(runs: list[Path], tmp_path: Path) -> None:
    rows = [("zero", run / "eval_zero") for run in runs] + [("dev1", run / "eval_dev1") for run in runs]
    tables = read_tables([], rows, "zero")
    assert {outcome.verdict for outcome in tables.outcomes if outcome.ordering.name == "dev1_below_zero"} == {
        "holds"
    }
    path = write_tables(tables, tmp_path / "ablation.md")
    assert "| mathematics |" in path.read_text(encoding="utf-8")
    written = json.loads(write_tables(tables, tmp_path / "ablation.json").read_text(encoding="utf-8"))
    assert list(written["runs"]) == ["seed0", "seed1"]


def test_rows_of_runs_of_other_seeds_are_refused(runs: list[Path]) -> None:
    with pytest.raises(UserError, match="they answer different prompts"):
        read_tables([runs[0]], [("no_language", runs[1] / "eval_zero")])


def test_the_command_prints_and_writes(runs: list[Path], tmp_path: Path) -> None:
    aha_table(runs=[runs[0]], rows=None, reference=None, to=tmp_path / "t.md")
    assert "dev1 is below zero" in (tmp_path / "t.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"runs": []}, "nothing to show"),
        ({"runs": ["nowhere"]}, "no run folder"),
        ({"runs": ["seed0/eval_zero"]}, "of kind evaluate: a table was expected"),
        ({"runs": ["seed0"], "rows": ["no_language"]}, "expected NAME=RUN/STAGE"),
        ({"runs": ["seed0"], "rows": ["x=seed0/eval_zer"]}, "did you mean `eval_zero`"),
        ({"runs": ["seed0"], "rows": ["x=seed0/zero"]}, "of kind rl; a table's rows are evaluate stages"),
        ({"runs": ["seed0", "seed1"], "rows": ["x=seed0/eval_zero"]}, "given 1 times for 2 tables"),
        ({"runs": ["seed0"], "reference": "r2"}, "no row 'r2'"),
        ({"runs": ["seed0"], "to": "out.txt"}, "written as .md"),
        ({"runs": ["seed0"], "to": "nowhere/out.md"}, "there is no folder"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(
    runs: list[Path], arguments: dict[str, Any], says: str
) -> None:
    folder = runs[0].parent
    rows = [text.replace("=", f"={folder}/") for text in arguments.get("rows", [])]
    to = folder / arguments["to"] if "to" in arguments else None
    with pytest.raises(UserError, match=says):
        aha_table([folder / name for name in arguments["runs"]], rows, arguments.get("reference"), to)


def test_a_stage_that_has_not_finished_is_said(tmp_path: Path) -> None:
    run = make_graph(tmp_path / "run", prompts=3, steps=2)
    for stage in ("table", "eval_r1"):
        (run / "stages" / stage).rename(run / "stages" / f"{stage}.partial")
    with pytest.raises(UserError, match="no finished `table` stage"):
        read_tables([run])
    with pytest.raises(UserError, match="eval_r1 has not finished"):
        evaluation_folder(run / "eval_r1")
    assert any("Stage table has not finished" in notice for notice in summarise(run).notices)
