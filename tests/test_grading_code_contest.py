"""Programs against hidden tests: contests' verdicts, and whose fault is whose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ahalab.grading.code.budget import WALL_SECONDS
from ahalab.grading.code.contest import judge
from ahalab.grading.code.extraction import Submission
from ahalab.grading.code.problem import CodeProblem
from ahalab.grading.code.verdicts import MEANINGS, CodeVerdict, Kind
from ahalab.grading.failure import GraderFailure
from ahalab.sandbox.records import Executor, Outcome, Program
from code_tools import Played, outcome, real_executor

DOUBLES = [{"stdin": f"{n}\n", "stdout": f"{2 * n}\n"} for n in (1, 2, 5)]
RIGHT = "print(2 * int(input()))"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    opened = real_executor()
    yield opened
    opened.close()


def python(source: str) -> Submission:
    return Submission("python", source)


def judged(executor: Executor, source: str, **extra: Any) -> CodeVerdict:
    return judge(CodeProblem.read({"tests": DOUBLES, **extra}), python(source), executor)


def called(executor: Executor, source: str, tests: list[tuple[list[Any], Any]], **extra: Any) -> CodeVerdict:
    problem = {
        "tests": [{"input": given, "output": wanted} for given, wanted in tests],
        "function": "f",
        **extra,
    }
    return judge(CodeProblem.read(problem), python(source), executor)


# -- stdin to stdout, in the sandbox


def test_a_right_program_is_accepted(executor: Executor) -> None:
    verdict = judged(executor, RIGHT)
    assert (verdict.kind, verdict.score, verdict.total, verdict.passed) == ("accepted", 1.0, 3, 3)
    assert verdict.first_failing is None
    assert verdict.cpu_seconds > 0


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("print(3)", "wrong answer"),
        ("", "wrong answer"),
        ("while True: pass", "time limit"),
        ("x = bytearray(1 << 32)", "memory limit"),
        ("x = [0] * 10**6\nwhile True: x += x", "memory limit"),
        ("while True: print('2' * 1000)", "output limit"),
        ("print(2)\n1 / 0", "runtime error"),
        ("print(2)\nraise SystemExit(3)", "runtime error"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "runtime error"),
        ("def f(n): return f(n + 1)\nf(0)", "runtime error"),
        ("print(2", "compile error"),
    ],
)
def test_every_verdict_of_a_contest(executor: Executor, source: str, kind: Kind) -> None:
    verdict = judged(executor, source, cpu_seconds=1.0)
    assert (verdict.kind, verdict.score, verdict.first_failing) == (kind, 0.0, 0)
    assert verdict.kind in MEANINGS


def test_the_first_failing_test_is_named_and_the_rest_is_not_run(executor: Executor) -> None:
    verdict = judged(executor, "n = int(input())\nprint(2 * n if n != 2 else 5)")
    assert (verdict.kind, verdict.first_failing, len(verdict.cases)) == ("wrong answer", 1, 2)


def test_partial_credit_is_the_share_of_passed_tests(executor: Executor) -> None:
    verdict = judged(executor, "n = int(input())\nprint(2 * n if n != 1 else 5)", partial=True)
    assert (verdict.kind, verdict.first_failing, verdict.score) == ("wrong answer", 0, pytest.approx(2 / 3))
    assert judged(executor, "n = int(input())\nprint(2 * n if n != 1 else 5)").score == 0.0


def test_hidden_outputs_never_enter_the_sandbox() -> None:
    secret = "sEcReT-0123456789"
    for extra in (
        {"tests": [{"stdin": "1\n", "stdout": secret}]},
        {"tests": [{"input": [1], "output": secret}], "function": "f"},
    ):
        played = Played(lambda _program, _given: outcome("no"))
        judge(CodeProblem.read(extra), python("def f(x): return 1"), played)
        assert played.ran
        assert not any(secret in repr(asked) for asked in played.ran)


# -- functions


def test_functions_and_methods_are_called(executor: Executor) -> None:
    tests: list[tuple[list[Any], Any]] = [([1, 2], 3), ([5, -5], 0)]
    assert called(executor, "def f(a, b): return a + b", tests).kind == "accepted"
    method = "class Solution:\n    def f(self, a, b): return a + b"
    assert called(executor, method, tests, **{"class": "Solution"}).kind == "accepted"
    assert called(executor, method, tests).kind == "accepted"  # APPS does not say whether it is a method
    assert called(executor, "def f(a, b): return a - b", tests).kind == "wrong answer"
    missing = called(executor, "def g(a, b): return a + b", tests)
    assert (missing.kind, "no 'f'" in missing.detail) == ("runtime error", True)


def test_names_that_judging_sites_import_are_there(executor: Executor) -> None:
    source = "def f(a: List[int], k: Optional[int]) -> int:\n    return sum(heapq.nlargest(k, a)) + defaultdict(int)[3]"
    assert called(executor, source, [([[1, 5, 3], 2], 8)]).kind == "accepted"


@pytest.mark.parametrize(
    ("returned", "wanted", "kind"),
    [
        ("True", 1, "wrong answer"),
        ("1", True, "wrong answer"),
        ("2.0", 2, "accepted"),
        ("(1, (2,))", [1, [2]], "accepted"),
        ("{1: [2]}", {"1": [2]}, "accepted"),
        ("float('nan')", float("nan"), "accepted"),
        ("10 ** 400", 10**400, "accepted"),
        ("10 ** 10000", 1, "wrong answer"),
        ("'\\ud800'", "x", "wrong answer"),
        ("{1, 2}", [1, 2], "runtime error"),
        ("object()", None, "runtime error"),
        ("None", None, "accepted"),
    ],
)
def test_results_are_json_values(executor: Executor, returned: str, wanted: Any, kind: Kind) -> None:
    assert called(executor, f"def f(): return {returned}", [([], wanted)]).kind == kind


def test_functions_have_the_same_verdicts(executor: Executor) -> None:
    tests: list[tuple[list[Any], Any]] = [([1], 1), ([2], 2), ([3], 3)]
    for body, kind, place in (
        ("return x if x < 3 else 1 / 0", "runtime error", 2),
        ("while x > 2: pass\n    return x", "time limit", 2),
        ("return x if x != 2 else [0] * 10**10", "memory limit", 1),
        ("import os\n    os._exit(0) if x == 2 else None\n    return x", "runtime error", 1),
        ("raise SystemExit(0)", "runtime error", 0),
    ):
        verdict = called(executor, f"def f(x):\n    {body}", tests, cpu_seconds=1.0)
        assert (verdict.kind, verdict.first_failing) == (kind, place), body
    broken = called(executor, "def f(x) return x", tests)
    assert (broken.kind, broken.score) == ("compile error", 0.0)


def test_partial_credit_of_functions_goes_on_behind_whatever_ended_the_process(executor: Executor) -> None:
    tests: list[tuple[list[Any], Any]] = [([n], n) for n in range(6)]
    source = "import os\ndef f(x):\n    if x == 2: os._exit(1)\n    if x == 4: return -1\n    return x"
    verdict = called(executor, source, tests, partial=True)
    assert [case.kind for case in verdict.cases] == [
        "accepted",
        "accepted",
        "runtime error",
        "accepted",
        "wrong answer",
        "accepted",
    ]
    assert verdict.score == pytest.approx(4 / 6)


def test_what_one_test_leaves_behind_costs_another_nothing(executor: Executor) -> None:
    source = "class Solution:\n    seen = []\n    def f(self, x):\n        self.seen.append(x)\n"
    source += "        return len(self.seen)"
    assert called(executor, source, [([1], 1), ([2], 1), ([3], 1)]).kind == "accepted"


def test_many_right_calls_cost_one_process() -> None:
    def play(_program: Program, given: str) -> Outcome:
        calls = json.loads(given)["calls"]
        return outcome("".join(json.dumps({"test": n, "value": x[0]}) + "\n" for n, x in enumerate(calls)))

    played = Played(play)
    problem = CodeProblem.read({"tests": [{"input": [n], "output": n} for n in range(100)], "function": "f"})
    assert judge(problem, python("def f(x): return x"), played).kind == "accepted"
    assert len(played.ran) == 1


def test_programs_in_other_languages_answer_no_function_tests(executor: Executor) -> None:
    problem = CodeProblem.read({"tests": [{"input": [], "output": 1}], "function": "f"})
    assert judge(problem, Submission("cpp", "int f();"), executor).kind == "no program"


# -- checkers

ANY_ORDER = """
given = open("input.txt").read().split()
output = open("output.txt").read().split()
answer = open("answer.txt").read().split()
if sorted(output) != sorted(answer):
    print("wrong: another set of words")
"""


def checked(executor: Executor, source: str, checker: str) -> CodeVerdict:
    tests = [
        {"stdin": "b a", "stdout": "a b"},
        {"stdin": "d c", "stdout": "c d"},
        {"stdin": "x", "stdout": "x"},
    ]
    return judge(CodeProblem.read({"tests": tests, "checker": checker}), python(source), executor)


def test_a_checker_decides_in_place_of_a_comparison(executor: Executor) -> None:
    assert checked(executor, "print(input())", ANY_ORDER).kind == "accepted"
    wrong = checked(executor, "print(input().replace('d', 'e'))", ANY_ORDER)
    assert (wrong.kind, wrong.first_failing) == ("wrong answer", 1)
    assert checked(executor, "1 / 0", ANY_ORDER).kind == "runtime error"


@pytest.mark.parametrize("checker", ["pass", "print('ok')", "print('OK, well done')", "raise SystemExit(0)"])
def test_a_checker_accepts_with_exit_code_0_and_nothing_or_ok(executor: Executor, checker: str) -> None:
    assert checked(executor, "print(1)", checker).kind == "accepted"


@pytest.mark.parametrize(
    "checker", ["print('wrong')", "raise SystemExit(1)", "import sys\nsys.exit('off by one')", "print(0)"]
)
def test_a_checker_rejects_by_word_or_exit_code(executor: Executor, checker: str) -> None:
    assert checked(executor, "print(1)", checker).kind == "wrong answer"


@pytest.mark.parametrize(
    ("checker", "why"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("while True: pass", "time limit"),
        ("print('maybe')", "neither ok nor wrong"),
        ("raise SystemExit(3)", "ended with 3"),
        ("def", "checker failed"),
        ("x = bytearray(1 << 33)", "checker failed"),
    ],
)
def test_a_checker_that_fails_is_no_verdict(
    executor: Executor, checker: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from ahalab.grading.code import checker as room

    monkeypatch.setattr(room, "LIMITS", replace(room.LIMITS, cpu_seconds=1.0))
    with pytest.raises(GraderFailure, match=f"^checker failed: .*{why}" if why != "checker failed" else why):
        checked(executor, "print(1)", checker)


def test_a_checker_reads_the_values_of_functions_as_json(executor: Executor) -> None:
    checker = (
        "import json\noutput, answer = json.load(open('output.txt')), json.load(open('answer.txt'))\n"
        "print('ok' if sorted(output) == answer else 'wrong')"
    )
    assert called(executor, "def f(): return [2, 1]", [([], [1, 2])], checker=checker).kind == "accepted"
    assert called(executor, "def f(): return [2, 2]", [([], [1, 2])], checker=checker).kind == "wrong answer"


# -- whose time it was


def test_all_tests_together_may_run_out_of_time() -> None:
    played = Played(lambda _program, given: outcome(str(2 * int(given)), cpu=1.5))
    verdict = judge(CodeProblem.read({"tests": DOUBLES, "problem_seconds": 2.0}), python(RIGHT), played)
    assert (verdict.kind, verdict.first_failing) == ("time limit", 2)
    assert "together used more than 2 s" in verdict.detail


def test_a_slow_sandbox_is_a_failure_of_the_grading_and_no_verdict() -> None:
    now = [0.0]

    def play(_program: Program, given: str) -> Outcome:
        now[0] += 0.7 * WALL_SECONDS
        return outcome(str(2 * int(given)), cpu=0.1)

    with pytest.raises(GraderFailure, match=r"^wall time-out: .* used 0\.2 s of CPU time"):
        judge(CodeProblem.read({"tests": DOUBLES}), python(RIGHT), Played(play), clock=lambda: now[0])


def test_a_program_that_waits_until_it_is_ended_is_charged_for_waiting() -> None:
    played = Played(lambda _program, _given: outcome("", "time limit", cpu=0.0))
    extra = {"tests": DOUBLES * 10, "problem_seconds": 25.0, "partial": True}
    verdict = judge(CodeProblem.read(extra), python("import time\ntime.sleep(100)"), played)
    assert {case.kind for case in verdict.cases} == {"time limit"}
    assert (len(played.ran), len(verdict.cases), verdict.score) == (3, 30, 0.0)


def test_a_busy_machine_costs_no_program_its_verdict() -> None:
    def ended(cpu: float) -> Played:
        def play(_program: Program, _given: str) -> Outcome:
            return Outcome("time limit", "", "", None, cpu, 20.0, 10.0)

        return Played(play)

    problem = CodeProblem.read({"tests": DOUBLES, "cpu_seconds": 2.0})
    assert problem.limits().wall_seconds == 20.0
    assert judge(problem, python(RIGHT), ended(2.01)).kind == "time limit"
    assert judge(problem, python("import time\ntime.sleep(100)"), ended(0.05)).kind == "time limit"
    with pytest.raises(
        GraderFailure, match=r"^wall time-out: a program got 1\.3 of its 2 s of CPU time in 20 s"
    ):
        judge(problem, python(RIGHT), ended(1.3))


def test_too_few_outcomes_are_a_failure() -> None:
    class Short(Played):
        def run(self, program: Program, inputs: Any, limits: Any) -> Iterator[Outcome]:
            yield from super().run(program, inputs[:1], limits)

    with pytest.raises(GraderFailure, match="sandbox failure"):
        judge(
            CodeProblem.read({"tests": DOUBLES}),
            python(RIGHT),
            Short(lambda _p, given: outcome(str(2 * int(given)))),
        )


# -- the problem itself


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({}, "`tests` should be a list with at least one test"),
        ({"tests": []}, "at least one test"),
        ({"tests": [{"stdin": "1"}]}, r"`tests\[0\].stdout` should be text"),
        ({"tests": [{"input": [1], "output": 1}]}, r"`tests\[0\]` should be {'stdin'"),
        ({"tests": [{"stdin": "1", "stdout": "1"}], "function": "f"}, r"`tests\[0\]` should be {'input'"),
        ({"tests": DOUBLES, "compare": "fuzzy"}, "`compare` should be one of tokens, exact, float"),
        ({"tests": DOUBLES, "cpu_seconds": "2"}, "`cpu_seconds` should be a number"),
        ({"tests": DOUBLES, "cpu_seconds": 1e9}, "`cpu_seconds` should be from"),
        ({"tests": DOUBLES, "partial": 1}, "`partial` should be true or false"),
        ({"tests": DOUBLES, "tolerence": 1}, "unknown key 'tolerence'"),
        ({"tests": DOUBLES, "class": "Solution"}, "`class` is given without `function`"),
        ({"tests": [{"stdin": "\ud800", "stdout": ""}]}, "half a surrogate pair"),
        ({"tests": DOUBLES, "language": "rust"}, "`language` should be one of python, cpp"),
    ],
)
def test_a_problem_that_cannot_be_judged_says_why(extra: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        CodeProblem.read(extra)


# -- C++


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("long long n; std::cin >> n; std::cout << 2 * n;", "accepted"),
        ("std::cout << 3;", "wrong answer"),
        ("volatile bool on = true; while (on) {}", "time limit"),
        ("int* p = nullptr; *p = 1;", "runtime error"),
        ("std::cout << n", "compile error"),
    ],
)
def test_cpp_programs_have_the_same_verdicts(executor: Executor, body: str, kind: Kind) -> None:
    from ahalab.sandbox.open import why_no_compiler

    if (why := why_no_compiler()) is not None:
        pytest.skip(f"not run: {why}")
    source = f"#include <iostream>\nint main() {{ {body} }}\n"
    problem = CodeProblem.read({"tests": DOUBLES, "cpu_seconds": 1.0, "partial": True})
    verdict = judge(problem, Submission("cpp", source), executor)
    assert verdict.kind == kind
    if kind == "compile error":
        assert "error" in judge(problem, Submission("cpp", source), executor).detail
        assert len(verdict.cases) == 1
