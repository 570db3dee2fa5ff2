"""Test cases made with real programs. They are ours and harmless, so a machine without isolation runs them too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ahalab.datatools.testcases.inputs import Generator, MakingLimits
from ahalab.datatools.testcases.making import Making, make_tests
from ahalab.datatools.testcases.problems import read_problem
from ahalab.sandbox.open import open_executor
from ahalab.sandbox.records import Executor
from ahalab.sandbox.settings import SandboxSettings
from endpoint_server import EndpointServer, endpoint_alone, say  # noqa: F401  a fixture for all
from testcase_tools import problem, read_rows, write_rows


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    one = open_executor(SandboxSettings(unsafe_no_isolation=True))
    yield one
    one.close()


def made(executor: Executor, row: dict[str, Any], *generators: str, inputs: int = 4) -> dict[str, Any]:
    limits = MakingLimits(inputs=inputs, cpu_seconds=0.5, largest_input=10_000)
    unit = make_tests(
        read_problem(row), [Generator(source, "file") for source in generators], executor, Making(limits)
    )
    unit["dropped"] = {reason: told["count"] for reason, told in unit["report"].get("dropped", {}).items()}
    return unit


GOOD = "n = int(input())\nprint(n * (n + 1) // 2)"
LOOP = "n = int(input())\ntotal = 0\nfor i in range(n + 1):\n    total += i\nprint(total)"
ZERO = "n = int(input())\nprint(n * (n + 1) // 2 if n else 1)"
SEEDED = [
    "# by random\nimport random\nprint(random.randint(1, 10**6))",
    "# by argument\nimport sys\nprint(1000 + int(sys.argv[1]))",
    "# by stdin\nprint(2000 + int(input()))",
    "# by bytes\nimport sys\nprint(3000 + int(sys.stdin.buffer.read()))",
]


def test_a_slow_submission_is_exposed_by_a_big_case_and_a_wrong_one_at_the_boundary(
    executor: Executor,
) -> None:
    row = problem(good=[GOOD], bad=[ZERO, LOOP], cpu_seconds=0.5)
    unit = made(executor, row, "# boundary\nprint(0)", "# big\nprint(10**9)", SEEDED[0])
    assert [test["stdin"].strip() for test in unit["tests"]] == ["0", "1000000000"]
    assert unit["tests"][1]["stdout"] == "500000000500000000\n"
    assert unit["report"]["not_exposed"] == []


def test_a_program_finds_its_seed_wherever_it_looks_and_prints_the_same_again(executor: Executor) -> None:
    row = problem(good=[GOOD])
    first = made(executor, row, *SEEDED, inputs=8)
    assert first["report"]["inputs"] == 8
    assert {one["from"].partition(" (")[0] for one in first["report"]["kept"]} >= {
        "generator 0",
        "generator 1",
    }
    assert made(executor, row, *SEEDED, inputs=8) == first


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import sys; sys.stdout.buffer.write(bytes([0xFF, 0xFE]))", "generator: output not UTF-8"),
        ("while True: pass", "generator: time limit"),
        ("print('x' * 20_000)", "generator: printed too much"),
        ("pass", "generator: printed nothing"),
        ("print(1", "generator: crashed"),
        ("import sys; sys.exit(3)", "generator: crashed"),
    ],
)
def test_a_bad_program_costs_its_inputs_only(executor: Executor, source: str, reason: str) -> None:
    unit = made(executor, problem(good=[GOOD]), source, "print(7)")
    assert unit["dropped"][reason] == 1
    assert [test["stdin"] for test in unit["tests"]] == ["7\n"]


ADD = "def add(a, b):\n    return a + b"
FIRST = "def add(a, b):\n    return a"
PAIRS = "import json, random\nprint(json.dumps([random.randint(0, 9), random.randint(1, 9)]))"


def test_the_arguments_of_a_function_are_printed_as_json(executor: Executor) -> None:
    row = problem(
        good=[ADD, "def add(a, b):\n    return b + a"],
        bad=[FIRST],
        function="add",
        signature="def add(a, b):",
    )
    unit = made(executor, row, PAIRS, "print('no JSON')", "print('{}')")
    (test,) = unit["tests"]
    assert test["output"] == sum(test["input"])
    assert unit["report"]["exposed"] == 1
    assert unit["dropped"]["generator: no JSON"] == 1
    assert unit["dropped"]["generator: no list of arguments"] == 1


CHECKER = """
n = int(open("input.txt").read())
a, b = map(int, open("output.txt").read().split())
print("ok" if a + b == n else "wrong")
"""


def test_with_a_checker_correct_submissions_need_not_agree_word_for_word(executor: Executor) -> None:
    row = problem(
        good=["n = int(input())\nprint(n, 0)", "n = int(input())\nprint(n - 1, 1)"],
        bad=["n = int(input())\nprint(n, 1)"],
        checker=CHECKER,
    )
    unit = made(executor, row, SEEDED[0])
    assert unit["report"]["valid"] == 4
    assert unit["report"]["exposed"] == 1


def test_a_checker_that_fails_drops_the_input_and_is_told(executor: Executor) -> None:
    unit = made(executor, problem(good=[GOOD], checker="raise SystemError('no')"), SEEDED[0])
    assert unit["dropped"] == {"checker: failed": 4}
    assert unit["report"]["left_out"] == "no valid input (checker: failed)"


def test_the_command_asks_a_model_runs_its_programs_and_prints_the_report(
    aha: Callable[..., Any], tmp_path: Path
) -> None:
    row = problem(good=[GOOD], bad=[ZERO, LOOP], cpu_seconds=0.5)
    source = write_rows(tmp_path / "problems.jsonl", [row, problem("unsolved", good=[])])
    programs = ["# boundary\nprint(0)", "# big\nprint(10**9)", "# \x1b[31mbroken\nprint(n)"]
    reply = "\n".join(f"```python\n{one}\n```" for one in programs)
    out = tmp_path / "out.jsonl"
    command = [
        "data",
        "tests",
        source,
        "--out",
        out,
        "--inputs",
        3,
        "--unsafe-no-isolation",
        "--model",
        "fake",
    ]
    with EndpointServer([say(reply)]) as server:
        ended = aha(*command, "--endpoint", server.url)
        assert ended.code == 0, ended.err
        assert len(server.prompts) == 1
        again = aha(*command, "--endpoint", server.url)
        assert len(server.prompts) == 1
    assert again.out == ended.out
    assert [test["stdin"] for test in read_rows(out)[0]["tests"]] == ["0\n", "1000000000\n"]
    told = (
        "double",
        "2/2",
        "left out: no correct submission",
        "generator: crashed",
        "proven for 1 of 1 problems",
    )
    for words in told:
        assert words in ended.out
    assert "\x1b[31m" not in ended.out
    report = json.loads((tmp_path / "out.report.json").read_text())
    assert report["totals"]["kept"] == 2
