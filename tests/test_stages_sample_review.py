"""A reviewed file takes the place of sampling; every drop of it is counted and every edit checked again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.stages import sample
from ahalab.stages.context import StageContext
from ahalab.stages.datasets import read_rows
from ahalab.stages.review import export_rows
from ahalab.stages.sample import check_sample, run_sample
from ahalab.stages.sample_config import SampleConfig
from data_stages import FakeJudge, lines, make_config, make_context
from sample_tools import run, settings, small_shards  # noqa: F401


@pytest.fixture
def reviewed(trained_base: Path, questions: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A review file of a finished stage, and the stage's settings."""
    plain = settings(questions)
    run(tmp_path / "first", trained_base, questions)
    export_rows(tmp_path / "first", tmp_path / "review.jsonl")
    return tmp_path / "review.jsonl", {**plain, "reviewed": str(tmp_path / "review.jsonl")}


def rewrite(path: Path, change: Any) -> list[dict[str, Any]]:
    *rows, exported = lines(path)
    change(rows)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*rows, exported])
    path.write_text(text, encoding="utf-8")
    return rows


def import_(plain: dict[str, Any], context: StageContext) -> dict[str, Any]:
    return dict(run_sample(make_config(SampleConfig, **plain), context).figures)


def test_a_reviewed_file_takes_the_place_of_sampling(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain = reviewed
    monkeypatch.setattr("ahalab.stages.sampling_shards.load_policy", None)
    import_(plain, make_context(tmp_path / "second", trained_base))
    first, second = read_rows(tmp_path / "first" / "data"), read_rows(tmp_path / "second" / "data")
    assert [replace(row, source="") for row in first] == [replace(row, source="") for row in second]
    assert second[0].source == "data: base, reviewed"
    assert path.exists()


def test_drops_are_counted_and_edited_rows_are_checked_again(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path
) -> None:
    path, plain = reviewed

    def change(rows: list[dict[str, Any]]) -> None:
        rows[0].update(status="drop", note="dull")
        rows[1].update(thinking="I was there before.", status="keep")
        rows[2].update(answer="17")
        rows[3].update(status="keep")

    rows = rewrite(path, change)
    figures = import_(plain, make_context(tmp_path / "second", trained_base))
    before = json.loads((tmp_path / "first" / "data" / "dropped.json").read_text())
    assert figures["dropped"] == {**before, "after review: not correct": 1, "dropped in review": 1}
    assert figures["rows"] == len(rows) - 2
    kept = {row.id: row for row in read_rows(tmp_path / "second" / "data")}
    assert kept[rows[1]["id"]].thinking == "I was there before."
    drops = {one["id"]: one for one in lines(tmp_path / "second" / "data" / "dropped.jsonl")}
    assert drops[rows[0]["id"]]["detail"] == "dull"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "q/1#0"}, "row 2: the id 'q/1#0' was not exported"),
        ({"question": "Who?"}, "row 2: its question is not that of"),
        ({"status": "maybe"}, "row 2: status 'maybe'"),
        ({"answer": " "}, "row 2: the answer is blank"),
        ({"answer": "</think> 4"}, "row 2, key 'answer': it contains </think>"),
        ({"thinking": 4}, "row 2, key 'thinking': expected text"),
        ({"stauts": "keep"}, "row 2: unknown key 'stauts'; did you mean 'status'"),
    ],
)
def test_a_reviewed_row_that_cannot_be_used_is_named(
    reviewed: tuple[Path, dict[str, Any]], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path, plain = reviewed
    rewrite(path, lambda rows: rows[1].update(change))
    with pytest.raises(UserError) as refused:
        check_sample(make_config(SampleConfig, **plain), make_context(tmp_path / "second"))
    assert f"{path}, {said}" in str(refused.value)


def test_every_sample_is_still_a_row_or_a_counted_drop_when_a_person_removed_rows(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path
) -> None:
    path, plain = reviewed
    gone: list[str] = []

    def change(rows: list[dict[str, Any]]) -> None:
        rows[0].update(status="drop")
        gone.extend((rows.pop(3)["id"], rows.pop(1)["id"]))

    rows = rewrite(path, change)
    figures = import_(plain, make_context(tmp_path / "second", trained_base))
    before = json.loads((tmp_path / "first" / "data" / "dropped.json").read_text())
    dropped = json.loads((tmp_path / "second" / "data" / "dropped.json").read_text())
    assert dropped == {**before, "removed in review": 2, "dropped in review": 1} == figures["dropped"]
    assert figures["candidates"] == 40 == figures["rows"] + sum(dropped.values())
    assert figures["rows"] == len(rows) - 1
    listed = lines(tmp_path / "second" / "data" / "dropped.jsonl")
    assert {one["id"] for one in listed if one["reason"] == "removed in review"} == set(gone)
    # A resumed import says the same, and so does a second review of what the first one left.
    again = import_(plain, make_context(tmp_path / "second", trained_base))
    assert again == figures
    export_rows(tmp_path / "second", tmp_path / "again.jsonl")
    plain["reviewed"] = str(tmp_path / "again.jsonl")
    rewrite(tmp_path / "again.jsonl", lambda rows: rows.pop())
    third = import_(plain, make_context(tmp_path / "third", trained_base))
    assert third["dropped"] == {**dropped, "removed in review": 3}
    assert third["candidates"] == 40


def test_a_file_exported_from_other_samples_is_refused(
    reviewed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    path, plain = reviewed
    fewer = make_config(SampleConfig, **{**plain, "per_prompt": 1})
    with pytest.raises(UserError, match=r"the id .* is none of data\. Export again"):
        check_sample(fewer, make_context(tmp_path / "second"))
    assert path.exists()


def test_an_edited_row_that_no_rule_can_check_is_all_that_is_asked_of_a_judge(
    trained_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "open.jsonl"
    path.write_text("".join(json.dumps({"question": f"Say a digit, number {n}"}) + "\n" for n in range(4)))
    entry = {"file": str(path), "question": "question", "verifier": "none"}
    plain = settings(
        path, prompts=[entry], n=4, keep=["well_formed", "not_truncated", "correct"], judge="rules"
    )
    monkeypatch.setattr(sample, "build_judge", lambda *_: FakeJudge())
    import_(plain, make_context(tmp_path / "first", trained_base))
    export_rows(tmp_path / "first", tmp_path / "review.jsonl")
    rewrite(tmp_path / "review.jsonl", lambda rows: rows[0].update(answer="seven"))
    judge = FakeJudge(right=lambda answer: answer != "seven")
    monkeypatch.setattr(sample, "build_judge", lambda *_: judge)
    plain["reviewed"] = str(tmp_path / "review.jsonl")
    figures = import_(plain, make_context(tmp_path / "second", trained_base))
    assert judge.asked == 1
    assert figures["dropped"]["after review: not correct"] == 1


def test_the_reviewed_file_may_not_change_on_the_way(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path
) -> None:
    path, plain = reviewed
    context = make_context(tmp_path / "second", trained_base)
    import_(plain, context)
    rewrite(path, lambda rows: rows[0].update(status="drop"))
    with pytest.raises(UserError, match=r"the reviewed file .* changed since it began"):
        import_(plain, context)


def test_when_everything_was_dropped_in_review_it_says_so(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path
) -> None:
    path, plain = reviewed
    rows = rewrite(path, lambda rows: [row.update(status="drop") for row in rows])
    with pytest.raises(
        UserError, match=rf"of {len(rows)} rows of the reviewed file .* {len(rows)} dropped in review"
    ):
        import_(plain, make_context(tmp_path / "second", trained_base))
