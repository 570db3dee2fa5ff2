"""A `sample` stage leaves data, counts every drop, and after a kill at any moment leaves the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import Interrupted, UserError
from ahalab.stages import sample, sample_config
from ahalab.stages.datasets import read_rows
from ahalab.stages.sample import check_sample, run_sample
from ahalab.stages.sample_config import SampleConfig
from ahalab.validation import validate
from data_stages import Asking, FakeTeacher, contents, good, lines, make_config, make_context
from sample_tools import KEEP, run, settings, small_shards  # noqa: F401


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> FakeTeacher:
    made = FakeTeacher(good())
    monkeypatch.setattr(sample, "build_teacher", lambda *_: made)
    return made


def test_every_sample_is_a_row_or_a_counted_drop(trained_base: Path, questions: Path, tmp_path: Path) -> None:
    figures = run(tmp_path, trained_base, questions, keep_per_prompt=1)
    rows = read_rows(tmp_path / "data")
    dropped = json.loads((tmp_path / "data" / "dropped.json").read_text())
    assert figures["candidates"] == 40 == len(rows) + sum(dropped.values())
    assert figures["dropped"] == dropped
    assert {"not correct", "not well formed", "more than keep_per_prompt"} <= dropped.keys()
    listed = lines(tmp_path / "data" / "dropped.jsonl")
    assert {one["reason"]: 0 for one in listed}.keys() == dropped.keys()
    assert len({one["id"] for one in listed} | {row.id for row in rows}) == 40
    # What was kept is what the samples say is right.
    samples = {
        f"{one['prompt_id']}#{one['sample']}": one
        for path in sorted((tmp_path / "samples").iterdir())
        for one in lines(path)
    }
    assert len(samples) == 40
    for row in rows:
        assert samples[row.id]["correct"] == 1.0
        assert samples[row.id]["answer"] == row.answer
        assert row.question == samples[row.id]["question"]
    assert len({row.prompt_id for row in rows}) == len(rows) == figures["prompts_with_rows"]


def test_the_statistics_are_those_of_the_rows(trained_base: Path, questions: Path, tmp_path: Path) -> None:
    figures = run(tmp_path, trained_base, questions)
    table = json.loads((tmp_path / "data" / "statistics.json").read_text())
    assert table == figures["statistics"]
    assert [one["domain"] for one in table] == ["general", "total"]
    assert table[-1]["samples"] == figures["rows"]
    assert table[-1]["rounds"] == 1.0
    assert table[-1]["tokens"] > 1


def test_an_interrupted_stage_ends_with_the_same_bytes(
    trained_base: Path, questions: Path, tmp_path: Path, teacher: FakeTeacher
) -> None:
    changes = {"refine": {"teacher": "rules"}, "keep": [*KEEP, "unique"]}
    figures = run(tmp_path / "calm", trained_base, questions, **changes)
    assert figures["refine"]["counts"]["refined"] == len(teacher.seen) > 0
    config = make_config(SampleConfig, **settings(questions, **changes))
    context = make_context(tmp_path / "cut", trained_base)
    for number in (1, 2):
        with pytest.raises(Interrupted, match=f"data: {number} of 3 shards are saved"):
            run_sample(config, replace(context, interrupt=Asking(0)))
    again = run_sample(config, context)
    assert dict(again.figures) == figures
    assert contents(tmp_path / "cut") == contents(tmp_path / "calm")


def test_a_kill_at_any_write_leaves_the_same_bytes(
    trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: FakeTeacher
) -> None:
    changes = {"refine": {"teacher": "rules"}, "n": 6}
    calm = run(tmp_path / "calm", trained_base, questions, **changes)
    rename, left = Path.rename, [0]

    def dying(self: Path, target: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dying)
    monkeypatch.setattr(Path, "replace", dying)
    for survived in range(50):
        left[0] = survived
        try:
            figures = run(tmp_path / "cut", trained_base, questions, **changes)
        except KeyboardInterrupt:
            continue
        break
    assert survived >= 2
    assert figures == calm
    assert contents(tmp_path / "cut") == contents(tmp_path / "calm")
    assert teacher.seen


def test_a_sampled_shard_is_not_sampled_again_when_the_teacher_stops_the_stage(
    trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"refine": {"teacher": "rules"}, "n": 4}

    def down(*_: Any) -> Any:
        raise UserError("the endpoint is down")

    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(down))
    with pytest.raises(UserError, match="the endpoint is down"):
        run(tmp_path, trained_base, questions, **changes)
    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(good()))
    monkeypatch.setattr("ahalab.stages.sampling_shards.load_policy", down)
    assert run(tmp_path, trained_base, questions, **changes)["rows"] > 0


def test_the_rows_do_not_depend_on_how_many_are_sampled_side_by_side(
    trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    run(tmp_path / "wide", trained_base, questions)
    run(tmp_path / "narrow", trained_base, questions, max_rows=3)
    assert contents(tmp_path / "wide" / "data") == contents(tmp_path / "narrow" / "data")


def test_when_nothing_is_left_it_says_which_filter_took_how_many(
    endless_base: Path, questions: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refused:
        run(tmp_path, endless_base, questions, n=5, keep=["not_truncated", "correct"])
    said = str(refused.value)
    assert "data: nothing is left of 20 answers to 5 prompts: " in said
    drops = json.loads((tmp_path / "data" / "dropped.json").read_text())
    assert sum(drops.values()) == 20
    for reason, count in drops.items():
        assert f"{count} {reason}" in said
    assert "raise `per_prompt`" in said
    assert len(list((tmp_path / "samples").iterdir())) == 2, "the samples stay to be looked at"
    assert not (tmp_path / "data" / "rows.jsonl").exists()


def test_another_teacher_in_the_middle_of_a_stage_is_refused(
    trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(SampleConfig, **settings(questions, refine={"teacher": "rules"}))
    context = make_context(tmp_path, trained_base)
    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(good()))
    with pytest.raises(Interrupted):
        run_sample(config, replace(context, interrupt=Asking(0)))
    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(good(), identity="other"))
    with pytest.raises(UserError, match="the teacher or judge, or its prompt files, of data changed"):
        run_sample(config, context)


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"from": "teacher"}, "needs the key `teacher`"),
        ({"from": "teacher", "teacher": "self"}, "samples none"),
        ({"from": "base", "teacher": "rules"}, "goes with `from: teacher`"),
        ({"from": "teacher", "teacher": "rules", "refine": {}}, "is not rewritten"),
        ({"from": "base", "keep": ["correct", "corect"]}, "correct"),
        ({"from": "base", "keep": ["correct", "correct"]}, "twice"),
        ({"from": "base", "temperature": 0}, "equal samples"),
        ({"from": "base", "refine": {"parts": []}}, "at least 1 item"),
        ({"from": "base", "thresholds": {"correct": 2}}, "at most 1"),
        ({"from": "base", "refine": {"techer": "rules"}}, "did you mean `teacher`"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(plain: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        validate(SampleConfig, {"prompts": [{"world": "math"}], **plain}, "test")


def test_an_unknown_teacher_is_refused_before_anything_is_spent(tmp_path: Path) -> None:
    config = make_config(
        SampleConfig, **{"from": "base", "prompts": [{"world": "math"}], "refine": {"teacher": "rule"}}
    )
    assert config.endpoint_names() == ("rule",)
    with pytest.raises(UserError, match="did you mean `rules`"):
        check_sample(config, make_context(tmp_path))
    assert not list(tmp_path.iterdir()), "a check writes nothing"


def test_the_paper_stands_beside_the_keys() -> None:
    fields = SampleConfig.model_fields
    for name in ("temperature", "n", "per_prompt", "keep", "judge"):
        extra = fields[name].json_schema_extra
        assert isinstance(extra, dict)
        assert extra["paper"]
    assert sample_config.RefineConfig.model_fields["teacher"].json_schema_extra == {
        "paper": "DeepSeek-V3",
        "paper_note": "",
    }
