"""Judging a program as contests do: every test in the sandbox, compared outside of it.

The wanted results never enter the sandbox. Of a program that reads stdin each test is a process of its own. Of a
function all tests are first tried in one process, because starting a process costs more than most calls; whatever is
not right there is decided by a fresh process, so that nothing one test leaves behind costs another its verdict. What
such a process writes is the submission's claim: forging it helps only if the value is right.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ahalab.grading.code.budget import Budget, check_starved
from ahalab.grading.code.checker import checker_accepts
from ahalab.grading.code.comparison import read_value, texts_agree, values_agree
from ahalab.grading.code.extraction import Submission
from ahalab.grading.code.problem import CallTest, CodeProblem, StreamTest
from ahalab.grading.code.verdicts import CaseVerdict, CodeVerdict, bad_end, summed_up, without_cases
from ahalab.grading.failure import GraderFailure
from ahalab.sandbox.records import Executor, Outcome, Program

_CHECKED_AT_ONCE = (1, 2, 4, 8)
"""With a checker: so many outputs are made before the checker looks at them. An executor runs one program at a time,
and most wrong programs fail on the first test."""

Cases = Generator[CaseVerdict, None, None]


def judge(
    problem: CodeProblem,
    submission: Submission,
    executor: Executor,
    clock: Callable[[], float] = time.monotonic,
) -> CodeVerdict:
    """The verdict on a program. It ends with the first failing test, unless the problem says `partial`.

    Raises:
        GraderFailure: a checker failed, or the clock ran out though the program had time left.
        SandboxFailure: the sandbox failed.
    """
    if problem.calls and submission.language != "python":
        return without_cases("no program", "functions are called in Python only", problem.total)
    judging = _Judging(problem, submission, executor, Budget(problem.problem_seconds, clock))
    found = judging.of_calls() if problem.calls else judging.of_streams()
    cases: list[CaseVerdict] = []
    for case in found:
        cases.append(case)
        if case.kind != "accepted" and (not problem.partial or case.kind == "compile error"):
            found.close()
            break
    return summed_up(cases, problem.total, partial=problem.partial)


@dataclass(frozen=True, slots=True)
class Claims:
    """What `inside/calls.py` says, or whoever writes in its name."""

    by_call: Mapping[int, Mapping[str, Any]]
    """Number of the call → its line: `value` or `error`."""
    compile_error: str | None = None


class _Judging:
    """One program at work on the tests of one problem."""

    def __init__(
        self, problem: CodeProblem, submission: Submission, executor: Executor, budget: Budget
    ) -> None:
        self._problem, self._submission, self._executor, self._budget = problem, submission, executor, budget
        self._limits = problem.limits()

    def of_streams(self) -> Cases:
        """A verdict a test, in order."""
        program = Program(self._submission.language, self._submission.source)
        tests = self._problem.streams
        if self._problem.checker is None:
            with self._running(program, [test.stdin for test in tests]) as outcomes:
                for test in tests:
                    outcome = None if self._budget.spent else self._next(outcomes)
                    yield self._of_stream(test, outcome)
            return
        place, rounds = 0, 0
        while place < len(tests):
            chunk = tests[place : place + _CHECKED_AT_ONCE[min(rounds, len(_CHECKED_AT_ONCE) - 1)]]
            with self._running(program, [test.stdin for test in chunk]) as outcomes:
                ran = [None if self._budget.spent else self._next(outcomes) for _ in chunk]
            for test, outcome in zip(chunk, ran, strict=True):
                yield self._of_stream(test, outcome)
            place, rounds = place + len(chunk), rounds + 1

    def of_calls(self) -> Cases:
        """A verdict a test, in order."""
        tests = self._problem.calls
        place = 0
        while place < len(tests):
            if self._budget.spent:
                yield self._out_of_time()
                place += 1
                continue
            outcome, claims = self._call(tests[place:])
            if claims.compile_error is not None:
                yield CaseVerdict("compile error", outcome.cpu_seconds, claims.compile_error)
                return
            # The first test found a fresh process: whatever it came to is its verdict.
            share = outcome.cpu_seconds / max(1, len(claims.by_call))
            yield self._of_call(tests[place], outcome, claims.by_call.get(0), share)
            offset = 1
            while (claim := claims.by_call.get(offset)) is not None:
                test = tests[place + offset]
                case = self._of_call(test, outcome, claim, share)
                yield case if case.kind == "accepted" else self._alone(test)
                offset += 1
            place += offset  # the process came no further: the next one begins there

    def _alone(self, test: CallTest) -> CaseVerdict:
        if self._budget.spent:
            return self._out_of_time()
        outcome, claims = self._call([test])
        return self._of_call(test, outcome, claims.by_call.get(0), outcome.cpu_seconds)

    def _call(self, tests: Sequence[CallTest]) -> tuple[Outcome, Claims]:
        """One process for all of `tests`, and what it claims of them."""
        asked = {
            "function": self._problem.function,
            "class": self._problem.class_name,
            "calls": [list(test.arguments) for test in tests],
        }
        program = Program("python", inside("calls.py"), {"submission.py": self._submission.source})
        with self._running(program, [json.dumps(asked)]) as outcomes:
            outcome = self._next(outcomes)
        return outcome, read_claims(outcome.stdout, len(tests))

    def _of_call(
        self, test: CallTest, outcome: Outcome, claim: Mapping[str, Any] | None, seconds: float
    ) -> CaseVerdict:
        if claim is None:
            ended = bad_end(outcome)
            return ended or CaseVerdict("runtime error", seconds, "it ended before it returned")
        if "value" not in claim:
            return CaseVerdict("runtime error", seconds, str(claim.get("error"))[:300])
        right = self._value_right(test, claim["value"])
        return CaseVerdict("accepted" if right else "wrong answer", seconds)

    def _value_right(self, test: CallTest, value: Any) -> bool:
        problem = self._problem
        if problem.checker is None:
            return values_agree(value, test.output, problem.compare, problem.tolerance)
        try:
            output = json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            return False
        given, answer = json.dumps(list(test.arguments)), json.dumps(test.output)
        return checker_accepts(self._executor, problem.checker, given, output, answer)

    def _of_stream(self, test: StreamTest, outcome: Outcome | None) -> CaseVerdict:
        if outcome is None:
            return self._out_of_time()
        ended = bad_end(outcome)
        if ended is not None:
            return ended
        problem = self._problem
        if problem.checker is None:
            right = texts_agree(outcome.stdout, test.stdout, problem.compare, problem.tolerance)
        else:
            right = checker_accepts(self._executor, problem.checker, test.stdin, outcome.stdout, test.stdout)
        return CaseVerdict("accepted" if right else "wrong answer", outcome.cpu_seconds)

    def _out_of_time(self) -> CaseVerdict:
        return CaseVerdict(
            "time limit", 0.0, f"its tests together used more than {self._problem.problem_seconds:g} s"
        )

    @contextmanager
    def _running(self, program: Program, inputs: Sequence[str]) -> Iterator[Iterator[Outcome]]:
        """The outcomes of a program; what was not asked for is not run, and nothing runs on afterwards."""
        self._budget.check_clock()
        outcomes = self._executor.run(program, inputs, self._limits)
        try:
            yield outcomes
        finally:
            end(outcomes)

    def _next(self, outcomes: Iterator[Outcome]) -> Outcome:
        self._budget.check_clock()
        outcome = next(outcomes, None)
        if outcome is None:
            raise GraderFailure("sandbox failure: it gave fewer outcomes than it was given inputs")
        self._budget.charge(outcome)
        check_starved(outcome, self._limits)
        return outcome


def read_claims(stdout: str, calls: int) -> Claims:
    """Of each call the first line that can be read; everything else is left out.

    To write more lines, or in another's name, gains nothing: only right values count.
    """
    found: dict[int, Mapping[str, Any]] = {}
    for line in stdout.splitlines():
        try:
            said = read_value(line)
        except ValueError:
            continue
        if not isinstance(said, Mapping):
            continue
        number = said.get("test")
        if type(number) is int and 0 <= number < calls:
            found.setdefault(number, said)
        elif "compile" in said and not found:
            return Claims({}, str(said["compile"])[:300])
    return Claims(found)


def end(outcomes: Iterator[Outcome]) -> None:
    """Let go of a program that is not asked for more outcomes."""
    close = getattr(outcomes, "close", None)
    if close is not None:
        close()


def inside(name: str) -> str:
    """The source of one of our programs for the sandbox."""
    return resources.files("ahalab.grading.code").joinpath("inside", name).read_text(encoding="utf-8")
