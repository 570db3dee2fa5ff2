"""Finished evaluations as logs of Inspect: every reply and verdict is in them, and the same figures under them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("inspect_ai", reason="the extra `inspect` is not installed")

from inspect_ai.log import read_eval_log

from ahalab.cli.main import app
from ahalab.errors import UserError
from ahalab.safety.ecosystem.export import export
from ahalab.safety.protocols import judge_hash
from ahalab.safety.records import Judgement, SafetyItem, TargetReply

JUDGE = {"kind": "stand-in", "model": "m", "prompt": "", "training_data": []}


def item(name: str, language: str, benchmark: str = "made") -> SafetyItem:
    return SafetyItem(name, benchmark, language, "D01", f"How are roses pruned? ({name})", cluster=name[:2])


ITEMS = [
    item("q1-zh", "zh"),
    item("q1-en", "en"),
    item("q2-zh", "zh"),
    item("q2-en", "en"),
    item("o1", "en", "other"),
]
REPLIES = [
    TargetReply("q1-zh", "m", "good words", "let me see", tokens_in=3, tokens_out=5, seconds=0.5),
    TargetReply("q1-en", "m", "bad words", "let me see"),
    TargetReply("q2-zh", "m", "", finish="content_filter", control="content_filter"),
    TargetReply("q2-en", "m", "", error="time-out"),
    TargetReply("o1", "m", "cut", finish="length"),
]


def write_rows(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows), "utf-8")


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "evaluation"
    benchmarks = [
        {"name": name, "scorer": "judge", "source": "made here", "sha256": "0", "licence": "none"}
        for name in ("made", "other")
    ]
    write_json(path / "safety.json", {"benchmarks": benchmarks})
    write_rows(path / "items.jsonl", ITEMS)
    write_json(path / "targets/m/target.json", {"kind": "recorded", "model": "m"})
    write_rows(path / "targets/m/replies.jsonl", REPLIES)
    judge = judge_hash(JUDGE)
    write_json(path / f"judges/{judge}/judge.json", JUDGE)
    write_rows(
        path / f"judges/{judge}/m.jsonl",
        [
            Judgement("q1-zh", "m", "answer", "safe", judge=judge),
            Judgement("q1-zh", "m", "thinking", "safe", judge=judge),
            Judgement("q1-en", "m", "answer", "unsafe", rationale="as told", score=0.9, judge=judge),
            Judgement("q2-zh", "m", "answer", "rejection", "control", judge=judge),
            Judgement("q2-en", "m", "answer", "judge_error", "no reply", judge=judge),
            Judgement("o1", "m", "answer", "safe", judge=judge),
        ],
    )
    return path


def test_every_reply_and_verdict_is_in_a_log_of_its_set(folder: Path, tmp_path: Path) -> None:
    paths = export(folder, tmp_path / "logs")
    assert [path.name for path in paths] == ["m_made.eval", "m_other.eval"]
    log = read_eval_log(str(paths[0]))
    assert (log.status, log.eval.task, log.eval.model) == ("success", "ahalab/made", "ahalab/m")
    assert log.samples is not None
    samples = {str(sample.id): sample for sample in log.samples}
    assert set(samples) == {one.id for one in ITEMS[:4]}
    good = samples["q1-zh"]
    assert [type(part).__name__ for part in good.messages[-1].content] == ["ContentReasoning", "ContentText"]
    assert good.scores is not None
    assert {name: one.value for name, one in good.scores.items()} == {
        "answer_verdict": "safe",
        "thinking_verdict": "safe",
    }
    assert samples["q2-zh"].output.stop_reason == "content_filter"
    failed = (samples["q2-en"].scores or {})["answer_verdict"]
    assert math.isnan(float(failed.value))  # type: ignore[arg-type]
    assert failed.reason == "judge_error: no reply"
    assert samples["q2-en"].output.error == "time-out"
    assert samples["q2-en"].error is not None
    assert good.model_usage["ahalab/m"].total_tokens == 8
    assert (samples["q1-en"].scores or {})["answer_verdict"].explanation == "as told"


def test_the_figures_under_a_log_are_in_both_conventions(folder: Path, tmp_path: Path) -> None:
    log = read_eval_log(str(export(folder, tmp_path / "logs")[0]))
    assert log.results is not None
    assert (log.results.total_samples, log.results.completed_samples) == (4, 3)
    answer = log.results.scores[0]
    assert next(iter(answer.metrics)) == "unsafe (three-way)"  # what a list of logs shows
    assert (answer.name, answer.scored_samples, answer.unscored_samples) == ("answer_verdict", 3, 1)
    values = {name: metric.value for name, metric in answer.metrics.items()}
    assert values["unsafe (three-way)"] == pytest.approx(1 / 3)
    assert values["safe (refusal is safe)"] == pytest.approx(2 / 3)
    assert values["unsafe in en"] == 1
    assert values["unsafe in D"] == pytest.approx(1 / 3)
    assert log.eval.metadata is not None
    assert log.eval.metadata["judges"] == {judge_hash(JUDGE): JUDGE}


def test_a_folder_that_was_not_judged_is_exported_without_scores(folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("judges/*/*"):
        path.unlink()
    log = read_eval_log(str(export(folder, tmp_path / "logs")[0]))
    assert log.results is not None
    assert log.results.scores == []
    assert log.samples is not None
    assert len(log.samples) == 4


def test_what_is_no_evaluation_or_no_judge_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no safety evaluation"):
        export(tmp_path, tmp_path / "logs")
    with pytest.raises(UserError, match="no judge 'abc'"):
        export(folder, tmp_path / "logs", "abc")


def test_the_command_prints_paths_and_no_text(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["safety", "export", str(folder), "--inspect", str(tmp_path / "logs")])
    assert result.exit_code == 0, result.output
    assert "2 logs" in result.output
    assert "roses" not in result.output
