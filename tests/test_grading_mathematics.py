"""Mathematics and reasoning-gym, graded in real worker processes, with the answers hostile models give."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ahalab.grading import GraderPool
from ahalab.records import GradeRequest, Verdict


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(2, cpu_seconds=10) as pool:
        pool.start(["math"])
        yield pool


def scores(pool: GraderPool, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], float | None]:
    verdicts = pool.grade_all([GradeRequest("math", answer, gold) for answer, gold in pairs])
    assert [verdict.error for verdict in verdicts] == [None] * len(pairs)
    return {pair: verdict.score for pair, verdict in zip(pairs, verdicts, strict=True)}


def test_math_accepts_equal_values_in_other_words(pool: GraderPool) -> None:
    right = [
        ("284", "284"),
        ("284.", "284"),
        ("1,234", "1234"),
        ("１２３４", "1234"),
        ("10 000", "10000"),
        ("−5", "-5"),
        ("12 apples", "12"),
        ("$18", "18"),
        ("\\$18 per day", "18"),
        ("72 dollars", "72"),
        ("the answer is 284", "284"),
        ("答案是20", "20"),
        ("二十", "20"),
        ("20元", "20"),
        ("\\boxed{\\frac{1}{2}}", "0.5"),
        ("\\frac12", "1/2"),
        ("3\\frac{1}{2}", "7/2"),
        ("50%", "0.5"),
        ("0.333333", "1/3"),
        ("(1,2)", "(1, 2)"),
        ("\\{1,2\\}", "\\{2,1\\}"),
        ("3:4", "3:4"),
        ("x=5", "5"),
        ("5", "x = 5"),
        ("(x+1)^2", "x^2+2x+1"),
        ("\\sqrt{8}", "2\\sqrt{2}"),
        ("2*(3+4)", "14"),
        (
            "\\boxed{\\begin{pmatrix} 1 \\\\ 3 \\end{pmatrix}}",
            "\\begin{pmatrix} 1 \\\\ \\frac{6}{2} \\end{pmatrix}",
        ),
        ("5\x00", "5"),
    ]
    assert scores(pool, right) == dict.fromkeys(right, 1.0)


def test_math_refuses_wrong_unreadable_and_hedged_answers(pool: GraderPool) -> None:
    wrong = [
        ("285", "284"),
        ("28.4", "284"),
        ("3", "3:4"),
        ("0.33", "1/3"),
        ("5 or 6", "6"),
        ("1/0", "5"),
        ("I do not know", "5"),
        ("\ud800", "5"),
        ("\\frac{1}{", "5"),
        ("$$$$$", "5"),
        ("9**9**9", "5"),
        ("10**10**10", "5"),
        ("(" * 100_000 + "5" + ")" * 100_000, "5"),
        ("{" * 100_000 + "5" + "}" * 100_000, "5"),
        ("5" * 1_000_000, "5"),
        ("5" * 4_000, "5"),
        ("5 " + "a" * 2_000, "5"),
    ]
    assert scores(pool, wrong) == dict.fromkeys(wrong, 0.0)


@pytest.mark.parametrize("gold", ["Evelyn", "", "\\frac{1}{", "甲"])
@pytest.mark.parametrize("answer", ["5", "Evelyn", "nylevE"])
def test_a_gold_answer_that_is_no_mathematics_is_named_and_never_a_score(
    pool: GraderPool, gold: str, answer: str
) -> None:
    [verdict] = pool.grade_all([GradeRequest("math", answer, gold)])
    assert verdict.score is None
    assert verdict.error is not None
    assert verdict.error.startswith("gold unreadable: ")
    assert repr(gold) in verdict.error


def test_answers_are_never_run(pool: GraderPool, tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    code = f"__import__('pathlib').Path('{target}').touch()"
    answers = [code, f"${code}$", f"\\boxed{{{code}}}", f"1+{code}", f"eval({code})", f"lambda:{code}"]
    entries = {
        "spiral_matrix": {"answer": "1 2", "metadata": {}},
        "string_insertion": {"answer": "ABC", "metadata": {}},
        "binary_matrix": {"answer": "0 1", "metadata": {}},
        "n_queens": {"answer": "Q", "metadata": {"valid_answers": ["Q"]}},
        "countdown": {"answer": "1+2", "metadata": {"numbers": [1, 2], "target": 3}},
        "puzzle24": {"answer": "1*2*3*4", "metadata": {"numbers": [1, 2, 3, 4]}},
        "simple_integration": {"answer": "x", "metadata": {"variable": "x", "integrand": "1"}},
        "polynomial_multiplication": {"answer": "x", "metadata": {}},
    }
    requests = [GradeRequest("math", answer, "5") for answer in answers]
    requests += [
        GradeRequest("reasoning_gym", answer, None, {"task": task, "entry": {"question": "", **entry}})
        for task, entry in entries.items()
        for answer in answers
    ]
    verdicts = pool.grade_all(requests)
    assert not target.exists()
    assert [verdict.error for verdict in verdicts] == [None] * len(requests)
    assert max(verdict.score or 0.0 for verdict in verdicts) < 0.1


TOWERS = [
    "$9^{9^{9}}$",
    "\\boxed{10^{10^{10}}}",
    "100000000!",
    "$(20!)!$",
    "(x+y+z)^{300}",
    "$\\log(7^{10^{10}})$",
]
TOWERS += ["\\binom{10^9}{5\\cdot 10^8}", "$7^{7^{7^7}} \\mod 1000$", "$\\frac{2^{1000000}}{3^{1000000}}$"]
TOWERS += ["\\boxed{" + "\\frac{1}{1+" * 30 + "1" + "}" * 31, "$\\{1, 9^{9^9}\\}$", "$x = 9^{9^9}$"]


def test_what_stands_for_more_than_can_be_worked_out_is_no_answer_and_costs_nothing(pool: GraderPool) -> None:
    assert scores(pool, [(tower, "5") for tower in TOWERS]) == {(tower, "5"): 0.0 for tower in TOWERS}
    assert pool.counts.respawned == 0


def test_large_numbers_within_bounds_are_worked_out(pool: GraderPool) -> None:
    right = [
        ("\\frac{2023!}{2022!}", "2023"),
        ("2^{2023}", "2 \\cdot 2^{2022}"),
        ("2^{100000} \\mod 1000", "376"),
        ("\\binom{52}{5}", "2598960"),
        ("x^{1000000}", "x^{999999} x"),
        ("(x+y)^{10}(x+y)", "(x+y)^{11}"),
        ("9^{9^9}", "9^{9^9}"),
    ]
    assert scores(pool, right) == dict.fromkeys(right, 1.0)


def test_expressions_that_would_take_for_ever_are_grader_errors() -> None:
    sines = "\\cdot".join(f"\\sin({k}x)" for k in range(1, 18))
    bombs = ["$\\sum_{k=1}^{1000000000} \\frac{1}{k^2}$", f"${sines}$", "(" * 60 + "5" + ")" * 60]
    with GraderPool(2, cpu_seconds=1.0) as pool:
        pool.start(["math"])
        requests = [GradeRequest("math", bomb, "5") for bomb in bombs]
        right = GradeRequest("math", "2\\sqrt{2}", "\\sqrt{8}")
        verdicts = pool.grade_all([*requests, right])
        assert verdicts.pop() == Verdict(1.0)
        assert {(verdict.score, verdict.error) for verdict in verdicts} == {(None, "cpu time-out")}
        assert pool.counts.errors == {"cpu time-out": len(bombs)}
        assert pool.counts.wall_timeouts == 0


def test_reasoning_gym_scores_its_own_answers_after_json(pool: GraderPool) -> None:
    reasoning_gym = pytest.importorskip("reasoning_gym")
    tasks = [
        "basic_arithmetic",
        "leg_counting",
        "countdown",
        "simple_integration",
        "n_queens",
        "arc_agi",
        "puzzle24",
    ]
    tasks += [
        "spiral_matrix",
        "bitwise_arithmetic",
        "polynomial_multiplication",
        "prime_factorization",
        "sudoku",
    ]
    requests, natively = [], []
    for task in tasks:
        dataset = reasoning_gym.create_dataset(task, size=2, seed=3)
        entry = dataset[1]
        natively.append(dataset.score_answer(entry["answer"], entry))
        extra = json.loads(json.dumps({"task": task, "entry": entry}))
        requests.append(GradeRequest("reasoning_gym", str(entry["answer"]), None, extra))
        requests.append(GradeRequest("reasoning_gym", "no idea", None, extra))
    verdicts = pool.grade_all(requests)
    assert natively == [1.0] * len(tasks)
    assert dict(zip(tasks, verdicts[::2], strict=True)) == dict.fromkeys(tasks, Verdict(1.0))
    assert [verdict.error for verdict in verdicts[1::2]] == [None] * len(tasks)
    assert max(verdict.score or 0.0 for verdict in verdicts[1::2]) <= 0.05


def test_reasoning_gym_uses_the_settings_the_entry_was_made_with(pool: GraderPool) -> None:
    pytest.importorskip("reasoning_gym")
    entry = {"question": "", "answer": "6*4*1*1", "metadata": {"numbers": [6, 4, 1, 1]}}
    default = {"task": "puzzle24", "entry": entry}
    narrower = {**default, "config": {"max_value": 5}}
    requests = [GradeRequest("reasoning_gym", "6*4*1*1", None, extra) for extra in (default, narrower)]
    assert [verdict.score for verdict in pool.grade_all(requests)] == [1.0, 0.01]


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        ({}, "verifier error: reasoning_gym needs extra"),
        (
            {"task": "no_such_task", "entry": {}},
            "verifier error: reasoning-gym cannot make the task 'no_such_task'",
        ),
        (
            {"task": "spiral_matrix", "entry": {}},
            "verifier error: scoring of reasoning-gym task 'spiral_matrix'",
        ),
    ],
)
def test_a_broken_reasoning_gym_request_is_a_grader_error(
    pool: GraderPool, extra: dict[str, object], error: str
) -> None:
    pytest.importorskip("reasoning_gym")
    [verdict] = pool.grade_all([GradeRequest("reasoning_gym", "5", None, extra)])
    assert verdict.score is None
    assert (verdict.error or "").startswith(error)


def test_a_missing_reasoning_gym_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "reasoning_gym.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    extra = {"task": "spiral_matrix", "entry": {"answer": "1"}}
    with GraderPool(1) as pool:
        pool.start(["reasoning_gym"])
        first, second = pool.grade_all(
            [GradeRequest("reasoning_gym", answer, None, extra) for answer in "12"]
        )
    assert first == second
    assert first.error is not None
    assert "reasoning-gym is not installed" in first.error
    assert "pip install 'ahalab[tasks]'" in first.error


def test_the_parent_process_keeps_sympys_own_parser() -> None:
    program = """
import sys
from ahalab.grading.pool import GraderPool
from ahalab.records import GradeRequest

if __name__ == "__main__":
    with GraderPool(workers=1) as pool:
        [verdict] = pool.grade_all([GradeRequest("math", "\\\\sqrt{8}", "2\\\\sqrt{2}")])
    assert verdict.score == 1.0, verdict
    assert "reasoning_gym" not in sys.modules
    import sympy.parsing.sympy_parser as parser

    print(parser.parse_expr.__module__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "sympy.parsing.sympy_parser", done.stderr
