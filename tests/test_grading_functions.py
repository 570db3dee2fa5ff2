"""Functions of one number: right by their outputs, in whatever form, and never run as code."""

from __future__ import annotations

import pytest

from ahalab.grading.choice import choice_verifier
from ahalab.grading.failure import GraderFailure
from ahalab.grading.functions import function_verifier
from ahalab.grading.normal import final_answer
from ahalab.grading.verifiers import exact_verifier

TESTS = {"tests": [[0, 6], [1, 8], [-3, 0]]}  # (x + 3) * 2


@pytest.mark.parametrize(
    "answer",
    [
        "def f(x): return (x+3)*2",
        "def f(x): return x*2+6.",
        "Here it is:\n```python\ndef f(x):\n    return 2 * (x + 3)\n```",
        "def f(x): return x\nno, rather: def g(n): return 6 + n*2",
        "得到函数：def f(x): return (x+3)*2",
    ],
)
def test_every_form_of_the_right_function_passes(answer):
    assert function_verifier(answer, "", TESTS) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "(x+3)*2",
        "def f(x): return x+3*2",
        "def f(x): return (x+3)*2 if x else 6",
        "def f(x): return __import__('os').getpid()",
        "def f(x): return y",
        "def f(x): return 9**9**9",
        "def f(x): return 10//x",
        "def f(x): return " + "(" * 300 + "x",
        "def f(x): return " + "-" * 400 + "x",
        "def f(x): return " + "x+" * 400 + "x",
        "def f(x): return True",
        "def f(x): return 6.0",
        "",
    ],
)
def test_what_is_wrong_or_no_plain_function_scores_zero(answer):
    assert function_verifier(answer, "", TESTS) == 0.0


@pytest.mark.parametrize(
    "extra", [{}, {"tests": []}, {"tests": [[1]]}, {"tests": [["1", 2]]}, {"tests": "x"}]
)
def test_missing_tests_are_a_grader_failure(extra):
    with pytest.raises(GraderFailure, match="tests"):
        function_verifier("def f(x): return x", "", extra)


def test_a_summarys_last_box_is_its_final_answer():
    assert final_answer(r"First \boxed{1}, then \boxed{\frac{1}{2}}.") == r"\frac{1}{2}"
    assert final_answer("131") == "131"
    assert final_answer(r"open \boxed{12") == r"open \boxed{12"
    assert exact_verifier(r"Working out 60+71 gives \boxed{131}.", "131", {}) == 1.0
    assert exact_verifier(r"Working out 60+71 gives \boxed{132}, not 131", "131", {}) == 0.0
    assert choice_verifier(r"选项中金属是\boxed{B}。", "B", {"options": ["木", "铁"]}) == 1.0
    assert (
        choice_verifier(r"Not \boxed{A}; the metal is \boxed{C}.", "B", {"options": ["a", "b", "c"]}) == 0.0
    )
