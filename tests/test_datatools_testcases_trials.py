"""From generators to tests: what is dropped and why, and what the correct and the wrong submissions decide."""

from __future__ import annotations

from typing import Any

import pytest

from ahalab.datatools.testcases.inputs import Generator, MakingLimits
from ahalab.datatools.testcases.making import Making, make_tests
from ahalab.datatools.testcases.problems import read_problem
from testcase_tools import Behaviour, PretendExecutor, generator, outcome, problem

SMALL, BIG, EDGE = generator("small random"), generator("big"), generator("boundary")


def double(stdin: str) -> str:
    return f"{2 * int(stdin)}\n"


def made(
    row: dict[str, Any], programs: dict[str, Behaviour], *, making: Making | None = None, inputs: int = 6
) -> dict[str, Any]:
    """The unit of a problem whose generators are those of `programs` that are one."""
    sources = [source for source in programs if source.startswith("# ")]
    generators = [Generator(source, "file") for source in sources]
    making = making or Making(MakingLimits(inputs=inputs))
    unit = make_tests(read_problem(row), generators, PretendExecutor(programs), making)
    unit["dropped"] = {reason: told["count"] for reason, told in unit["report"].get("dropped", {}).items()}
    return unit


def test_the_smallest_set_that_exposes_every_wrong_submission_is_kept() -> None:
    programs: dict[str, Behaviour] = {
        SMALL: lambda seed: f"{int(seed) + 1}\n",
        BIG: lambda seed: f"{10**6 + int(seed)}\n",
        EDGE: lambda _: "0\n",
        "good": double,
        "squares": lambda stdin: f"{int(stdin) ** 2}\n",  # right for 0 and 2
        "adds two": lambda stdin: f"{int(stdin) + 2}\n",  # right for 2
        "slow": lambda stdin: double(stdin) if int(stdin) < 1000 else outcome(status="time limit"),
    }
    unit = made(problem(bad=["squares", "adds two", "slow"]), programs)
    # One big number exposes all three.
    assert unit["tests"] == [{"stdin": "1000000\n", "stdout": "2000000\n"}]
    report = unit["report"]
    assert report["cover"] == {"method": "exact", "cases": 1, "at_least": 1}
    assert (report["wrong"], report["exposed"], report["not_exposed"]) == (3, 3, [])
    assert report["kept"][0]["exposes"] == ["bad[0]", "bad[1]", "bad[2]"]
    assert report["kept"][0]["from"] == "generator 1 (big), seed 0"
    assert unit["dropped"] == {"duplicate input": 1, "not needed": 4}


def test_wrong_submissions_that_no_case_exposes_are_named() -> None:
    programs: dict[str, Behaviour] = {
        SMALL: lambda seed: f"{int(seed) + 1}",
        "good": double,
        "wrong at 77": lambda stdin: "0" if int(stdin) == 77 else double(stdin),
        "wrong": lambda _: "x",
    }
    report = made(problem(bad=["wrong at 77", "wrong"]), programs)["report"]
    assert report["not_exposed"] == ["bad[0]"]
    assert report["exposed"] == 1


def test_cases_on_which_correct_submissions_disagree_crash_or_run_out_of_time_are_dropped() -> None:
    def second(stdin: str) -> Any:
        match int(stdin):
            case 1:
                return "3"
            case 2:
                return outcome(status="runtime error", stderr="Traceback\nValueError: negative")
            case 3:
                return outcome(status="time limit")
            case 4:
                return outcome(double(stdin), cpu_seconds=1.5)
            case _:
                return double(stdin)

    programs: dict[str, Behaviour] = {SMALL: lambda seed: seed, "good": double, "second": second}
    unit = made(problem(good=["good", "second"]), programs)
    assert unit["dropped"] == {
        "correct submissions disagree": 1,
        "correct submission: crashed": 1,
        "correct submission: time limit": 1,
        "correct submission: close to the time limit": 1,
    }
    first = unit["report"]["dropped"]["correct submission: crashed"]["first"]
    assert first == ["generator 0 (small random), seed 2: good[1]: runtime error: ValueError: negative"]
    assert [test["stdin"] for test in unit["tests"]] == ["0", "5"]


def test_a_correct_submission_that_fails_on_every_input_is_at_fault_itself() -> None:
    programs: dict[str, Behaviour] = {
        SMALL: lambda seed: seed,
        "broken": lambda _: outcome(status="runtime error", stderr="NameError: n"),
        "good": double,
    }
    unit = made(problem(good=["broken", "good"]), programs)
    assert unit["report"]["submissions_left_out"] == [
        "good[0]: fails on every input: runtime error: NameError: n"
    ]
    assert unit["report"]["valid"] == 6


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (lambda _: "", "generator: printed nothing"),
        (lambda _: " \n", "generator: printed nothing"),
        (lambda _: "1" * 2000, "generator: printed too much"),
        (lambda _: "\ufffd", "generator: output not UTF-8"),
        (lambda _: outcome(status="time limit"), "generator: time limit"),
        (lambda _: outcome(status="memory limit"), "generator: memory limit"),
        (lambda _: outcome(status="runtime error", stderr="SyntaxError: x"), "generator: crashed"),
        (lambda _: outcome(status="process limit"), "generator: process limit"),
    ],
)
def test_a_bad_generator_costs_its_inputs_and_is_told(behaviour: Behaviour, reason: str) -> None:
    programs: dict[str, Behaviour] = {EDGE: lambda seed: seed, SMALL: behaviour, "good": double}
    unit = made(problem(), programs, making=Making(MakingLimits(inputs=6, largest_input=1000)))
    assert unit["dropped"] == {reason: 1, "generator: failed under an earlier seed": 2}
    assert len(unit["tests"]) == 3


def test_inputs_that_differ_in_white_space_alone_are_one() -> None:
    programs: dict[str, Behaviour] = {SMALL: lambda seed: "7" + " " * int(seed) + "\n", "good": double}
    assert made(problem(), programs)["dropped"] == {"duplicate input": 5}


def test_without_a_wrong_submission_the_cases_that_differ_most_are_kept() -> None:
    programs: dict[str, Behaviour] = {
        SMALL: lambda seed: seed,
        BIG: lambda seed: f"9{seed}" * 3,
        "good": double,
    }
    making = Making(MakingLimits(inputs=8), without_wrong=3)
    unit = made(problem(), programs, making=making)
    assert len(unit["tests"]) == 3
    assert unit["report"]["cover"]["method"] == "none"
    assert {one["from"].partition(" (")[0] for one in unit["report"]["kept"]} == {
        "generator 0",
        "generator 1",
    }


def test_without_a_correct_submission_or_a_generator_nothing_is_run() -> None:
    executor = PretendExecutor({})
    for row, reason in (
        (problem(good=[], tests=[{"stdin": "1", "stdout": "2"}]), "no correct submission"),
        (problem(), "no generator"),
    ):
        unit = make_tests(read_problem(row), [], executor, Making())
        assert unit == {"tests": [], "report": {"left_out": reason}}
    assert not executor.runs


def test_a_problem_on_which_no_input_is_valid_says_why() -> None:
    programs: dict[str, Behaviour] = {SMALL: lambda seed: seed, "good": double, "other": lambda _: "0.5"}
    unit = made(problem(good=["good", "other"]), programs)
    assert unit["tests"] == []
    assert unit["report"]["left_out"] == "no valid input (correct submissions disagree)"


def test_given_tests_are_candidates_kept_or_ignored_and_a_wrong_output_is_found() -> None:
    tests = [{"stdin": "5", "stdout": "10"}, {"stdin": "6", "stdout": "13"}]
    row = problem(tests=tests, bad=["wrong"])
    programs: dict[str, Behaviour] = {
        SMALL: lambda seed: f"1{seed}",
        "good": double,
        "wrong": lambda stdin: double(stdin) if stdin == "5" else "x",
    }
    limits = MakingLimits(inputs=1)
    candidates = made(row, programs, making=Making(limits))
    assert [test["stdin"] for test in candidates["tests"]] == ["10"]
    assert candidates["dropped"] == {
        "given output: a correct submission answers otherwise": 1,
        "not needed": 1,
    }
    kept = made(row, programs, making=Making(limits, given="keep"))
    assert [test["stdin"] for test in kept["tests"]] == ["5", "10"]
    assert made(row, programs, making=Making(limits, given="ignore"))["report"]["inputs"] == 1


def test_an_endless_wrong_submission_is_not_run_on_everything() -> None:
    programs: dict[str, Behaviour] = {
        SMALL: lambda seed: seed,
        "good": double,
        "endless": lambda _: outcome(status="time limit"),
    }
    making = Making(MakingLimits(inputs=20), most_timeouts=8)
    report = made(problem(bad=["endless"]), programs, making=making)["report"]
    assert (report["runs_not_made"], report["exposed"]) == (12, 1)
    making = Making(MakingLimits(inputs=20), most_timeouts=0)
    assert made(problem(bad=["endless"]), programs, making=making)["report"]["runs_not_made"] == 0


def test_a_submission_that_does_not_compile_says_nothing_about_inputs() -> None:
    broken = outcome(status="compile error", stderr="error: expected ';'")
    programs: dict[str, Behaviour] = {
        SMALL: lambda seed: seed,
        "good": double,
        "no C++": lambda _: broken,
        "wrong": lambda _: "x",
    }
    report = made(problem(good=["no C++", "good"], bad=["no C++", "wrong"]), programs)["report"]
    assert report["submissions_left_out"] == [
        "good[0]: does not compile: error: expected ';'",
        "bad[0]: does not compile: error: expected ';'",
    ]
    assert (report["wrong"], report["exposed"]) == (1, 1)


def test_outputs_are_compared_as_the_problem_says() -> None:
    programs: dict[str, Behaviour] = {
        SMALL: lambda seed: seed,
        "good": lambda stdin: f"{int(stdin) / 3:.6f}",
        "second": lambda stdin: f"{int(stdin) / 3:.9f}  \n",
        "rounded": lambda stdin: f"{int(stdin) / 3:.1f}",
    }
    row = problem(good=["good", "second"], bad=["rounded"])
    by_float = made({**row, "compare": "float", "tolerance": 1e-4}, programs)
    assert by_float["report"]["valid"] == 6
    assert by_float["report"]["exposed"] == 1
    assert made({**row, "compare": "tokens"}, programs)["report"]["left_out"].startswith("no valid input")
