"""Programs that try to be accepted without solving anything: each gets the verdict it deserves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ahalab.grading.code.contest import judge, read_claims
from ahalab.grading.code.extraction import Submission
from ahalab.grading.code.problem import CodeProblem
from ahalab.grading.code.verdicts import CodeVerdict
from ahalab.sandbox.records import Executor
from code_tools import real_executor


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    opened = real_executor()
    yield opened
    opened.close()


def stream(executor: Executor, source: str, **extra: Any) -> CodeVerdict:
    tests = [{"stdin": f"{n}\n", "stdout": f"{n * n}\n"} for n in (2, 3, 4)]
    problem = CodeProblem.read({"tests": tests, "cpu_seconds": 1.0, **extra})
    return judge(problem, Submission("python", source), executor)


def call(executor: Executor, source: str, **extra: Any) -> CodeVerdict:
    tests = [{"input": [n], "output": n * n} for n in (2, 3, 4)]
    problem = CodeProblem.read({"tests": tests, "function": "f", "cpu_seconds": 1.0, **extra})
    return judge(problem, Submission("python", source), executor)


HOSTILE_STREAMS = {
    "prints the wanted output of the first test always": "print(4)",
    "ends with 0 before it prints": "import sys\nsys.exit(0)\nprint(int(input()) ** 2)",
    "looks for the wanted outputs in files": """
import glob, os
for root in (".", "/tmp", "/proc/self", os.path.dirname(os.getcwd())):
    for path in glob.glob(root + "/**/*", recursive=True)[:2000]:
        try:
            text = open(path).read(10000)
        except Exception:
            continue
        if "stdout" in text or "answer" in os.path.basename(path):
            print(text)
""",
    "prints everything": "for n in range(100): print(n)",
    "prints nothing and succeeds": "import os\nos._exit(0)",
}


@pytest.mark.parametrize("what", HOSTILE_STREAMS)
def test_a_program_on_stdin_that_solves_nothing_is_not_accepted(executor: Executor, what: str) -> None:
    verdict = stream(executor, HOSTILE_STREAMS[what])
    assert (verdict.kind, verdict.score) in {("wrong answer", 0.0), ("output limit", 0.0)}, what
    assert stream(executor, HOSTILE_STREAMS[what], partial=True).score <= 1 / 3


def test_a_checker_and_its_files_are_never_beside_the_submission(executor: Executor) -> None:
    secret = "wanted-8271"
    checker = f"print('ok' if open('output.txt').read().strip() == {secret!r} else 'wrong')"
    search = """
import glob
for root in ("/tmp", "/run", "/proc", "/dev/shm", "..", "."):
    for path in glob.glob(root + "/*") + glob.glob(root + "/*/*"):
        try:
            text = open(path).read(100000)
        except Exception:
            continue
        at = text.find("wanted" + "-8")
        if at >= 0:
            print(text[at:at + 11])
            raise SystemExit
"""
    for source in (search, f"print({secret!r})"):
        tests = [{"stdin": "", "stdout": secret}] * 2  # the checker has run once before the second
        problem = CodeProblem.read({"tests": tests, "checker": checker, "cpu_seconds": 5.0})
        verdict = judge(problem, Submission("python", source), executor)
        assert verdict.kind == ("accepted" if source != search else "wrong answer")


HOSTILE_CALLS = {
    "imitates the harness before it is called": """
import json, os
for fd in range(1, 64):
    for n in range(3):
        try:
            os.write(fd, (json.dumps({"test": n, "value": "accepted"}) + "\\n").encode())
        except OSError:
            pass
def f(x): return None
""",
    "imitates the harness and leaves": """
import json, os
def f(x):
    for fd in range(1, 64):
        try:
            os.write(fd, b'{"test": 0, "value": 1}\\n{"test": 1, "value": 1}\\n{"test": 2, "value": 1}\\n')
        except OSError:
            pass
    os._exit(0)
""",
    "equals everything": """
class Always:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __repr__(self): return "4"
    __str__ = __repr__
def f(x): return Always()
""",
    "is a number that equals everything": """
class Always(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
    def __repr__(self): return "4"
def f(x): return Always(5)
""",
    "is a list without an end": """
class Endless(list):
    def __iter__(self):
        while True: yield 1
    def __len__(self): return 10 ** 9
def f(x): return Endless()
""",
    "yields without an end": "def f(x):\n    while True: yield 4",
    "changes stdout": """
import sys, io
sys.stdout = io.StringIO()
print('{"test": 0, "value": 4}')
def f(x): return 5
""",
    "changes json": """
import json
json.dumps = lambda *a, **k: '{"test": 0, "value": true}'
def f(x): return 5
""",
    "calls itself for ever": "def f(x): return f(x + 1)",
    "says that it was accepted": "def f(x): return 'accepted'",
    "is not there": "f = 4",
    "exits well while it is imported": "import sys\nsys.exit(0)",
    "raises what no one catches": "class E(BaseException): pass\ndef f(x): raise E",
    "reads the caller's frames": """
import sys
def f(x):
    frame = sys._getframe(1)
    while frame:
        for value in list(frame.f_locals.values()):
            if isinstance(value, dict) and "output" in value:
                return value["output"]
        frame = frame.f_back
    return 0
""",
}


@pytest.mark.parametrize("what", HOSTILE_CALLS)
def test_a_function_that_solves_nothing_is_not_accepted(executor: Executor, what: str) -> None:
    verdict = call(executor, HOSTILE_CALLS[what])
    assert verdict.kind in ("wrong answer", "runtime error", "time limit", "memory limit"), what
    assert verdict.score == 0.0


def test_extra_lines_in_the_harness_name_do_no_harm_and_no_good(executor: Executor) -> None:
    noisy = 'import os\ndef f(x):\n    os.write(3, b\'{"test": 7, "value": 1}\\nnoise\\n\')\n    return x * x'
    assert call(executor, f"{noisy}".replace("os.write(3", "os.write(1")).kind == "accepted"


def test_what_a_function_prints_is_nobodys_answer(executor: Executor) -> None:
    source = "print('hello')\ndef f(x):\n    print('{\"test\": 0, \"value\": 99}')\n    return x * x"
    assert call(executor, source).kind == "accepted"


def test_threads_left_behind_are_not_waited_for(executor: Executor) -> None:
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ndef f(x): return x * x"
    assert call(executor, source).kind == "accepted"


def test_claims_are_read_whoever_wrote_them() -> None:
    lines = [
        "noise",
        '{"test": 1, "value": 5}',
        '{"test": 1, "value": 6}',
        '{"test": true, "value": 7}',
        '{"test": 9, "value": 8}',
        '{"test": "0", "value": 8}',
        '[{"test": 0, "value": 8}]',
        '{"test": 0, "error": "E"}',
        "[" * 10_000,
        '{"compile": "too late"}',
    ]
    claims = read_claims("\n".join(lines), 3)
    assert claims.compile_error is None
    assert {place: dict(said) for place, said in claims.by_call.items()} == {
        1: {"test": 1, "value": 5},
        0: {"test": 0, "error": "E"},
    }
