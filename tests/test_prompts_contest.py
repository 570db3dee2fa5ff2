"""Code data sets as prompts: real layouts work as they are, and what cannot be used is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.prompts.contest.own import read_bug_fix, read_contest
from contest_rows import (
    APPS,
    APPS_CALL,
    BUG_FIX,
    CODEFORCES,
    LIVECODEBENCH,
    LIVECODEBENCH_CALL,
    OWN,
    OWN_CALL,
    SUM,
    TACO,
    load,
    write,
)
from contest_tools import only, refusal


def test_apps_is_recognised_and_its_lines_become_tests(tmp_path: Path) -> None:
    prompt = only(tmp_path, APPS)
    assert (prompt.domain, prompt.verifier, prompt.language, prompt.level) == ("code", "code", "en", 2)
    assert prompt.extra == {
        "tests": [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "-5 5\n", "stdout": "0\n"}],
        "compare": "tokens",
        "tolerance": 1e-6,
        "language": "python",
        "cpu_seconds": 2.0,
        "memory_megabytes": 256,
        "partial": False,
    }
    assert prompt.question.startswith(
        "Two numbers are given. Print their sum.\n\nLimits for each test: 2 s, 256 MB."
    )
    assert "standard input" in prompt.question
    assert prompt.answer == f"```python\n{SUM}\n```"
    assert load(tmp_path / "data.jsonl").describe()["recognised"] == "APPS and TACO"


def test_a_function_of_apps_keeps_its_class_its_signature_and_its_unwrapped_values(tmp_path: Path) -> None:
    prompt = only(tmp_path, APPS_CALL)
    assert prompt.extra["tests"] == [{"input": [1, 2], "output": 3}, {"input": [0, 0], "output": 0}]
    assert (prompt.extra["function"], prompt.extra["class"]) == ("add", "Solution")
    assert "the method `add` of the class `Solution`" in prompt.question
    assert "def add(self, a: int, b: int) -> int:" in prompt.question


def test_outputs_of_a_function_stay_lists_where_not_all_of_them_are_lists_of_one(tmp_path: Path) -> None:
    held = {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[1], [1, 2]]}
    prompt = only(tmp_path, {**APPS_CALL, "input_output": json.dumps(held)})
    assert [test["output"] for test in prompt.extra["tests"]] == [[1], [1, 2]]


def test_taco_s_lines_limits_and_difficulty_are_read(tmp_path: Path) -> None:
    prompt = only(tmp_path, TACO)
    assert prompt.extra["tests"] == [{"stdin": "1 2", "stdout": "2"}, {"stdin": "9 3", "stdout": "9"}]
    assert (prompt.extra["cpu_seconds"], prompt.extra["memory_megabytes"], prompt.level) == (1.5, 512, 3)


def test_livecodebench_s_packed_tests_follow_its_public_ones(tmp_path: Path) -> None:
    prompt = only(tmp_path, LIVECODEBENCH)
    assert [test["stdout"] for test in prompt.extra["tests"]] == ["3\n", "9\n", "0"]
    assert prompt.question.startswith("# Sum\n\n")
    assert prompt.answer is None


def test_livecodebench_s_functions_read_an_argument_a_line(tmp_path: Path) -> None:
    prompt = only(tmp_path, LIVECODEBENCH_CALL)
    assert prompt.extra["tests"] == [{"input": [1, [2, 3]], "output": 6}, {"input": [0, []], "output": 0}]
    assert (prompt.extra["function"], prompt.extra["class"]) == ("add", "Solution")


def test_codeforces_parts_are_put_together(tmp_path: Path) -> None:
    prompt = only(tmp_path, CODEFORCES)
    for part in (
        "# Some Sum",
        "## Input\n\nOne line",
        "## Output\n\nPrint",
        "## Example 1",
        "Input:\n1 2",
        "## Note",
    ):
        assert part in prompt.question
    assert len(prompt.extra["tests"]) == 2
    assert "checker" not in prompt.extra
    assert prompt.level == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"interaction_format": "Ask at most 20 questions."}, "interactive problem"),
        ({"input_mode": "file"}, "reads files instead of stdin"),
        ({"executable": False}, "marked as not executable"),
    ],
)
def test_problems_that_cannot_be_run_are_left_out_and_counted(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    source = load(write(tmp_path / "data.jsonl", CODEFORCES, {**CODEFORCES, **change}, CODEFORCES))
    assert source.size == 2
    assert source.skipped == {reason: 1}
    assert reason in refusal(tmp_path, {**CODEFORCES, **change})


def test_our_own_rows_keep_everything_that_grading_needs(tmp_path: Path) -> None:
    row = {
        **OWN,
        "compare": "float",
        "tolerance": 0.01,
        "checker": "print('ok')",
        "cpu_seconds": 3,
        "memory_megabytes": 512,
    }
    prompt = only(tmp_path, row, language="zh", code={"time_factor": 2.0, "partial": True, "language": "any"})
    assert prompt.extra == {
        "tests": OWN["tests"],
        "compare": "float",
        "tolerance": 0.01,
        "checker": "print('ok')",
        "cpu_seconds": 6.0,
        "memory_megabytes": 512,
        "partial": True,
    }
    assert prompt.question.startswith(
        "# Sum of two\n\n输出 a 与 b 的和。\n\n每个测试点的限制：6 秒，512 MB。"
    )
    assert "Python 3 或 C++17" in prompt.question


def test_a_problem_in_two_languages_is_asked_in_one_that_its_text_decides(tmp_path: Path) -> None:
    rows = [{**OWN, "question": {"en": f"Add {n}.", "zh": f"加 {n}。"}, "title": None} for n in range(40)]
    path = write(tmp_path / "data.jsonl", *rows)
    source = load(path)
    languages = [source.prompt(index).language for index in range(40)]
    assert set(languages) == {"en", "zh"}
    assert languages == [load(path).prompt(index).language for index in range(40)]
    assert {load(path, language="en").prompt(index).language for index in range(40)} == {"en"}
    assert "a text in the language fr" in refusal(tmp_path, OWN, language="fr")


def test_a_row_in_our_own_layout_reads_back_as_it_was_written() -> None:
    for row in (OWN, OWN_CALL, {**OWN, "question": "Add."}):
        problem = read_contest(row)
        assert read_contest(problem.row()) == problem
    bug = read_bug_fix(BUG_FIX)
    assert read_bug_fix(bug.row()) == bug
    assert read_contest(OWN).row()["solutions"] == OWN["solutions"]


def test_a_bug_shows_its_issue_its_files_and_its_tests(tmp_path: Path) -> None:
    prompt = only(tmp_path, BUG_FIX)
    assert (prompt.verifier, prompt.domain) == ("patch", "code")
    assert prompt.extra == {
        "files": BUG_FIX["files"],
        "tests": BUG_FIX["tests"],
        "cpu_seconds": 10.0,
        "memory_megabytes": 512,
    }
    assert "tail.py\n```python\ndef tail(xs, n):" in prompt.question
    assert "test_tail.py" in prompt.question
    assert prompt.answer == "tail.py\n```python\ndef tail(xs, n):\n    return xs[len(xs) - n :]\n```"
    assert "test_tail.py" not in only(tmp_path, BUG_FIX, code={"show_tests": False}).question
    assert "修复" in only(tmp_path, {**BUG_FIX, "issue": {"zh": "没有返回内容。"}}).question


def test_tests_are_spread_over_all_of_them_and_the_largest_go_first(tmp_path: Path) -> None:
    tests = [{"stdin": str(n), "stdout": str(n)} for n in range(11)]
    row = {**OWN, "tests": tests}
    few = only(tmp_path, row, code={"max_tests": 3}).extra["tests"]
    assert [test["stdin"] for test in few] == ["0", "5", "10"]
    large = {**OWN, "tests": [*tests[:3], {"stdin": "x" * 2_000_000, "stdout": ""}, tests[4]]}
    kept = only(tmp_path, large, code={"max_test_megabytes": 1.0}).extra["tests"]
    assert [test["stdin"] for test in kept] == ["0", "1", "2", "4"]
    alone = {**OWN, "tests": [{"stdin": "x" * 2_000_000, "stdout": ""}]}
    assert "1 tests too large" in refusal(tmp_path, alone, code={"max_test_megabytes": 1.0})


def test_other_tests_are_another_prompt(tmp_path: Path) -> None:
    before = only(tmp_path, OWN, language="en").id
    assert before == only(tmp_path, {**OWN, "solutions": None}, language="en").id
    changed = {**OWN, "tests": [*OWN["tests"], {"stdin": "1 1", "stdout": "2"}]}
    assert before != only(tmp_path, changed, language="en").id
