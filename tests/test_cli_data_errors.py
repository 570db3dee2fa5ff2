"""Bad data: named by file, row and column before anything is spent; skipped and counted only when asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.readers import read_samples
from conftest import Aha
from small_runs import events, interrupt_in_rollout, small_recipe, training_only, write_recipe

GOOD = [{"question": f"Say a digit, number {n}", "answer": str(n % 4 + 1)} for n in range(8)]


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "Say a digit"}, ["row 6, column 'answer'", "the row has no such column"]),
        ({"question": "Say a digit", "answer": None}, ["row 6, column 'answer'", "it is null"]),
        ({"question": "Say a digit", "answer": "  "}, ["row 6, column 'answer'", "it is empty"]),
        ({"question": "", "answer": "3"}, ["row 6, column 'question'", "it is empty"]),
        ({"question": "Say a digit", "answer": [3]}, ["row 6, column 'answer'", "it is a list"]),
        ('{"question": "Say', ["row 6", "not JSON"]),
        ("[1, 2]", ["row 6", "it is a list"]),
    ],
)
def test_a_bad_row_is_named_and_only_skipped_when_asked(
    aha: Aha, trained_base: Path, tmp_path: Path, row: Any, words: list[str]
) -> None:
    data = write_rows(tmp_path / "data.jsonl", [*GOOD[:5], row, *GOOD[5:]])
    recipe = write_recipe(tmp_path / "small.yaml", training_only(trained_base, data, steps=1))
    refused = aha("run", recipe, "--runs", tmp_path / "runs")
    assert refused.code == 2
    assert "Traceback" not in refused.err
    for word in [str(data), *words, "--skip-bad-rows"]:
        assert word in refused.err
    assert not (tmp_path / "runs").exists()

    done = aha("run", recipe, "--runs", tmp_path / "runs", "--skip-bad-rows")
    assert done.code == 0, done.err
    assert "data: skipped 1 rows (1 × " in done.err
    run = tmp_path / "runs" / "small"
    assert [sum(event["reasons"].values()) for event in events(run, "skipped_rows")] == [1]
    asked = {row["question"] for row in read_samples(run / "stages" / "zero")}
    assert asked <= {good["question"] for good in GOOD}


def test_bad_rows_of_a_later_stage_are_found_before_the_first_begins(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(trained_base, questions)
    held_out = write_rows(tmp_path / "held_out.jsonl", [*GOOD, {"question": "Say a digit"}])
    recipe["stages"]["after"]["evaluate"]["prompts"] = [{"file": str(held_out)}]
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--runs", tmp_path / "runs")
    assert done.code == 2
    assert f"{held_out}, row 9, column 'answer'" in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"question": "question", "answer": "gold"}, ["prompts[0].answer", "has no column 'gold'"]),
        ({"file": "daat.jsonl"}, ["daat.jsonl does not exist", "nearest file there is data.jsonl"]),
        ({"file": "data.csv"}, ["data.csv is no file of a known kind", ".jsonl"]),
        ({"answer_after": "####"}, ["row 1, column 'answer'", "a gold answer after '####'"]),
        ({"weight": 0}, ["`prompts[0].weight`: expected more than 0"]),
    ],
)  # fmt: skip
def test_a_wrong_prompt_entry_is_named(
    aha: Aha, trained_base: Path, tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    write_rows(tmp_path / "data.jsonl", GOOD)
    (tmp_path / "data.csv").write_text("question,answer\n")
    recipe = training_only(trained_base, {"file": "data.jsonl", **changes})
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--dry-run")
    assert done.code == 2
    for word in words:
        assert word in done.err


def test_fewer_rows_than_a_rollout_needs_are_refused(aha: Aha, trained_base: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.jsonl", GOOD[:3])
    recipe = training_only(trained_base, data)
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--dry-run")
    assert done.code == 2
    assert "has 3 prompts, and 4 different ones are wanted" in done.err


@pytest.mark.parametrize(
    ("row", "entry", "words"),
    [
        ({"answer": "not a number"}, {"verifier": "math"}, ["'not a number' (verifier math)", "gold unreadable"]),
        ({"answer": "\\frac{1}{"}, {"verifier": "math"}, ["(verifier math)", "gold unreadable"]),
        ({"answer": "E"}, {"verifier": "choice", "extra": {"options": "options"}}, ["'E' (verifier choice)", "gold"]),
        ({"answer": "4 </answer> 4"}, {"verifier": "exact"}, ["does not fit the response format"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stage", ["zero", "after"])
def test_an_answer_that_the_grader_cannot_read_is_refused_with_the_reason(
    aha: Aha,
    trained_base: Path,
    questions: Path,
    tmp_path: Path,
    stage: str,
    row: dict[str, Any],
    entry: dict[str, Any],
    words: list[str],
) -> None:
    options = {"options": ["one", "two", "three", "four"]}
    good = [{"question": f"Say a digit, number {n}", "answer": "B", **options} for n in range(7)]
    if entry.get("verifier") != "choice":
        good = [{**one, "answer": "2"} for one in good]
    data = write_rows(tmp_path / "data.jsonl", [*good, {"question": "Which of them?", **options, **row}])
    recipe = small_recipe(trained_base, questions)
    next(iter(recipe["stages"][stage].values()))["prompts"] = [{"file": str(data), **entry}]
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--runs", tmp_path / "runs")
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert f"preflight of {stage}: " in done.err
    for word in ["data/", *words]:  # the prompt's id begins with its source
        assert word in done.err
    assert not (tmp_path / "runs").exists()


def test_gold_answers_that_cannot_score_are_listed_and_the_check_stays_short(
    aha: Aha, trained_base: Path, tmp_path: Path
) -> None:
    rows = [
        {"question": f"Say a digit, number {n}", "answer": f"some digit {chr(97 + n)}"} for n in range(12)
    ]
    data = write_rows(tmp_path / "data.jsonl", rows)
    recipe = training_only(trained_base, {"file": str(data), "verifier": "math"})
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--dry-run")
    assert done.code == 2
    assert "of 12 gold answers do not score full marks" in done.err
    assert done.err.count("(verifier math)") == 5
    assert "Check the answer column, `answer_after` and the verifier" in done.err


def test_data_that_change_under_a_run_are_noticed_and_nothing_is_lost(
    aha: Aha, trained_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_rows(tmp_path / "data.jsonl", GOOD)
    recipe = write_recipe(tmp_path / "small.yaml", training_only(trained_base, data))
    with monkeypatch.context() as patch:
        interrupt_in_rollout(patch, 3)
        assert aha("run", recipe, "--runs", tmp_path / "runs").code == 130
    write_rows(data, [*GOOD[:-1], {"question": "Another one", "answer": "3"}])
    done = aha("run", recipe, "--runs", tmp_path / "runs")
    assert done.code == 2
    assert f"zero.partial was begun from something else: the data in {data} changed since" in done.err
    stage = tmp_path / "runs" / "small" / "stages" / "zero.partial"
    assert [row["step"] for row in read_jsonl(stage / "metrics.jsonl")] == [1, 2, 3]
    write_rows(data, GOOD)
    assert aha("run", recipe, "--runs", tmp_path / "runs").code == 0
