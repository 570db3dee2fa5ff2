"""`benchmarks/grading`: its answers are what they are said to be, its figures are made from the right numbers."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.grading import (
    Difference,
    describe,
    differences,
    share_of_step,
    tell_differences,
    wrong_verdicts,
)
from benchmarks.grading_answers import (
    GROUP,
    PATHOLOGICAL,
    SHAPES,
    Row,
    gsm8k_golds,
    make_rows,
    read_rows,
    write_rows,
)
from benchmarks.grading_contestants import PoolGrading

from ahalab.errors import UserError
from ahalab.grading import GraderPool
from ahalab.records import GradeRequest

GOLDS = ["18", "72", "1,050", "7.5", "0"]


def test_answers_follow_from_the_seed_and_come_in_groups_to_one_gold() -> None:
    rows = make_rows(GOLDS, 400, 0.0, seed=3)
    assert rows == make_rows(GOLDS, 400, 0.0, seed=3) != make_rows(GOLDS, 400, 0.0, seed=4)
    assert len(rows) == 400
    assert all(len({row.gold for row in rows[start : start + GROUP]}) == 1 for start in range(0, 400, GROUP))
    shapes = Counter(row.shape for row in rows)
    assert all(
        shapes[shape] / 400 == pytest.approx(weight, abs=0.08) for shape, (weight, _) in SHAPES.items()
    )
    assert sum(bool(row.right) for row in rows) / 400 == pytest.approx(0.5, abs=0.1)


def test_the_share_without_end_is_exact_and_of_every_kind() -> None:
    rows = make_rows(GOLDS, 600, 0.02, seed=0)
    pathological = [row for row in rows if row.pathological]
    assert Counter(row.shape for row in pathological) == dict.fromkeys(PATHOLOGICAL, 1)
    assert not any(row.right for row in pathological)
    assert sum(row.pathological for row in make_rows(GOLDS, 10, 0.02, seed=0)) == 1
    assert len({make(random.Random(seed)) for make in PATHOLOGICAL.values() for seed in range(3)}) > 12


def test_what_is_called_right_or_wrong_is_so_for_the_graders() -> None:
    rows = make_rows(GOLDS, 480, 0.0, seed=1)
    with GraderPool(2, cpu_seconds=20) as pool:
        verdicts = pool.grade_all([GradeRequest(row.verifier, row.answer, row.gold) for row in rows])
    scores = [verdict.score for verdict in verdicts]
    assert wrong_verdicts(rows, scores) == 0
    assert None not in scores


def test_rows_survive_the_way_to_a_contestant(tmp_path: Path) -> None:
    rows = [
        *make_rows(GOLDS, 20, 0.1, seed=2),
        Row("A", "B", None, "sampled", "exact", {"world": {"n": [1, "北"]}}),
    ]
    write_rows(tmp_path / "rows_0.jsonl", rows)
    assert read_rows(tmp_path / "rows_0.jsonl") == rows


def test_missing_data_name_the_option(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--gsm8k"):
        gsm8k_golds(tmp_path / "absent.jsonl")


RIGHT, BARE = Row("\\boxed{5}", "5", True, "box"), Row("2\\sqrt{2}", "\\sqrt{8}", True, "bare")
BOMB = Row("\\boxed{9!!}", "5", False, "factorial", pathological=True)


def test_differences_are_counted_by_kind_and_explained() -> None:
    rows = [RIGHT, RIGHT, BARE, BARE, BOMB, BOMB]
    found = differences(rows, [1.0, 0.0, 1.0, 1.0, None, 0.0], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    causes = {difference.cause.partition(":")[0]: len(each) for difference, each in found.items()}
    assert causes == {"ours misreads it": 1, "LaTeX without delimiters": 2, "time-out": 1}
    text, counted = tell_differences(found, "in-line", len(rows))
    assert text.startswith("Verdicts of ahalab that differ from in-line: 4 of 6.")
    assert [one["answers"] for one in counted] == [2, 1, 1]
    assert Difference("sampled", False, 1.0, 0.0, None).cause == "unexplained"


def test_a_missing_verdict_is_not_a_wrong_one() -> None:
    unknown = Row("5", "5", None, "sampled")
    assert wrong_verdicts([RIGHT, RIGHT, BOMB, unknown], [1.0, 0.0, None, 0.0]) == 1


def test_shares_of_a_step_are_of_all_its_time() -> None:
    figures = {
        "seconds": 4.0,
        "steps": 2,
        "seconds_submitting": 0.02,
        "seconds_waiting": 0.06,
        "workers_cpu_seconds": 0.4,
    }
    assert share_of_step(figures) == pytest.approx(
        {"step_seconds": 2.0, "adds": 0.02, "waiting": 0.015, "workers_cpu": 0.1}
    )


def test_the_description_says_what_share_is_what() -> None:
    assert describe([[RIGHT, BARE], [BOMB, RIGHT]]) == (
        "2 rounds of 2 answers; 75% right. box 50%, bare 25%, pathological 25%."
    )


@pytest.mark.parametrize("at_once", [True, False])
def test_a_round_counts_answers_processor_time_and_memory_of_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    from ahalab.grading import pool

    monkeypatch.setattr(pool, "quick_score", pool.quick_score)  # put back what the contestant changes
    rows = [RIGHT, BARE, Row("\\boxed{6}", "5", False, "box")]
    write_rows(tmp_path / "rows_0.jsonl", rows)
    contestant = PoolGrading(str(tmp_path), workers=1, cpu_seconds=20, at_once=at_once)
    try:
        figures = contestant.run(0)
    finally:
        contestant.close()
    assert figures["scores"] == [1.0, 1.0, 0.0]
    assert figures["at_once"] == (2 if at_once else 0)
    assert figures["time_outs"] == 0
    assert figures["cpu_seconds"] > figures["callers_cpu_seconds"] > 0
    assert figures["workers_peak_mb"] > 20
