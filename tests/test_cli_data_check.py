"""`aha data check` from the command line, through the real sandbox where this machine has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ahalab.grading.pool import GraderPool
from ahalab.records import GradeRequest
from ahalab.runs.jsonl import read_jsonl
from ahalab.sandbox.open import why_no_isolation
from conftest import Aha
from contest_rows import APPS_CALL, BUG_FIX, CODEFORCES, OWN, OWN_CALL, SUM, load, write

REASON = why_no_isolation()
isolated = pytest.mark.skipif(REASON is not None, reason=f"not run: {REASON}")


def wrong(row: dict, source: str) -> dict:  # type: ignore[type-arg]
    return {**row, "id": "wrong", "solutions": {"good": [{"language": "python", "source": source}]}}


@isolated
def test_references_run_in_the_sandbox_and_failing_problems_are_named(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slow = {**wrong(OWN, "while True: pass"), "id": "slow", "cpu_seconds": 0.5}
    write(
        tmp_path / "data.jsonl",
        OWN,
        wrong(OWN, "print(3)"),
        OWN_CALL,
        slow,
        {**OWN, "id": "none", "solutions": None},
    )
    done = aha("data", "check", "data.jsonl", "--out", "good.jsonl", "--workers", 1)
    assert done.code == 0, done.err
    for words in (
        "wrong answer",
        "time limit",
        "2 accepted",
        "1 no reference solution",
        "written: good.jsonl (2 problems)",
    ):
        assert words in done.out
    assert [row["id"] for row in read_jsonl(tmp_path / "good.jsonl")] == ["sum-of-two", "add"]
    again = aha("data", "check", "data.jsonl", "--out", "good.jsonl", "--overwrite")
    assert "taken over from the report: 5" in again.out


@isolated
def test_bug_fixes_and_methods_pass_their_own_tests(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unfixed = {
        **BUG_FIX,
        "id": "unfixed",
        "solutions": {"good": [{"files": {"tail.py": "def tail(xs, n):\n    return 1\n"}}]},
    }
    write(tmp_path / "bugs.jsonl", BUG_FIX, unfixed)
    done = aha("data", "check", "bugs.jsonl", "--workers", 1)
    assert done.code == 0, done.err
    assert "1 accepted, 1 tests failed" in done.out
    write(tmp_path / "apps.jsonl", APPS_CALL)
    assert "1 accepted" in aha("data", "check", "apps.jsonl", "--workers", 1).out


@isolated
def test_questions_about_inputs_and_outputs_are_graded_by_the_pool(tmp_path: Path) -> None:
    source = load(write(tmp_path / "data.jsonl", OWN, OWN_CALL), code={"io": "both"})
    assert source.size is not None
    prompts = [source.prompt(index) for index in range(source.size)]
    right = [GradeRequest(one.verifier, one.answer, one.answer, dict(one.extra)) for one in prompts]
    bad = [GradeRequest(one.verifier, "```\n77 77\n```", one.answer, dict(one.extra)) for one in prompts]
    with GraderPool(1) as pool:
        assert [verdict.score for verdict in pool.grade_all(right)] == [1.0] * len(prompts)
        assert [verdict.score for verdict in pool.grade_all(bad)] == [0.0] * len(prompts)


@isolated
def test_a_program_that_reads_a_hostile_input_is_contained() -> None:
    """The reference is trusted to be a program; what it is given is not."""
    extra = {
        "kind": "input",
        "program": {"language": "python", "source": f"{SUM}\n"},
        "test": {"stdin": "1 2", "stdout": "3"},
        "cpu_seconds": 1.0,
    }
    answers = [
        "```\n" + "9" * 9000 + " 1\n```",
        "```\n\x00\x1b[2J 3\n```",
        "```\n__import__('os')\n```",
        "```\n3\n```",
    ]
    with GraderPool(1) as pool:
        verdicts = pool.grade_all([GradeRequest("code_io", answer, None, extra) for answer in answers])
    assert [verdict.score for verdict in verdicts] == [0.0, 0.0, 0.0, 1.0]


def test_what_is_wrong_with_the_command_is_said(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ahalab.sandbox.open.open_executor", lambda _settings: Nothing())
    refused = aha("data", "check", "missing.jsonl")
    assert refused.code == 2
    assert "missing.jsonl does not exist" in refused.err
    write(tmp_path / "data.jsonl", {"prompt": "Add.", "cases": []})
    assert "columns: {question: prompt, tests: cases}" in aha("data", "check", "data.jsonl").err
    assert "expected NAME=COLUMN" in aha("data", "check", "data.jsonl", "--column", "prompt").err
    assert "unknown name 'promt'" in aha("data", "check", "data.jsonl", "--column", "promt=prompt").err
    assert (
        "without tests nothing can be graded"
        in aha("data", "check", "data.jsonl", "--column", "question=prompt", "--column", "tests=cases").err
    )
    assert aha("data", "check", "data.jsonl", "--layout", "leetcode").code == 2


class Nothing:
    def close(self) -> None:
        """Nothing is open."""


def test_where_programs_cannot_be_isolated_nothing_is_run(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ahalab.sandbox.probe.find_walls", lambda: (None, "there are no namespaces"))
    refused = aha("data", "check", write(tmp_path / "data.jsonl", OWN))
    assert refused.code == 2
    for words in ("there are no namespaces", "--unsafe-no-isolation"):
        assert words in refused.err


@isolated
def test_a_checker_of_codeforces_judges_in_the_sandbox(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Any number that is not smaller is right here.
    files = "given, right, answered = (open(path).read() for path in sys.argv[1:])"
    checker = f"import sys\n{files}\nprint(int(int(answered) >= int(right)))"
    row = {**CODEFORCES, "generated_checker": checker}
    larger = {**row, "id": "larger", "solutions": [f"print(1 + {SUM.removeprefix('print(')}"]}
    smaller = {**row, "id": "smaller", "solutions": [f"print(-1 + {SUM.removeprefix('print(')}"]}
    write(tmp_path / "data.jsonl", larger, smaller)
    done = aha("data", "check", "data.jsonl", "--workers", 1)
    assert done.code == 0, done.err
    assert "problems: 2 (1 accepted, 1 wrong answer)" in done.out
