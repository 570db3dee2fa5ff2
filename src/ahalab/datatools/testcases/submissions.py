"""Running submissions on inputs, in the sandbox with the limits that grading has, and comparing their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ahalab.datatools.testcases.case import Case, Submission
from ahalab.datatools.testcases.inputs import last_line
from ahalab.grading.code.checker import checker_accepts
from ahalab.grading.code.comparison import texts_agree, values_agree
from ahalab.grading.code.contest import end, inside, read_claims
from ahalab.grading.code.problem import CodeProblem
from ahalab.grading.code.verdicts import CaseVerdict, bad_end
from ahalab.prompts.contest.problem import Problem
from ahalab.runs.hashing import canonical_json
from ahalab.sandbox.records import Executor, Outcome, Program, SandboxFailure

LARGEST_OUTPUT = 4_000_000
"""Bytes: what grading allows at most."""
_CHECKED_AT_ONCE = 8
"""With a checker: so many runs are made before the checker looks, for an executor runs one program at a time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a submission ended on one input, and what it answered."""

    kind: str
    """"ok", or the verdict of a run that ended badly (`ahalab.grading.code.verdicts`)."""
    output: Any = None
    """stdout, or the JSON value that the function returned."""
    detail: str = ""
    share_of_time: float = 0.0
    """CPU time used, as a part of the limit."""


class Runner:
    """The submissions of one problem at work."""

    def __init__(self, problem: Problem, executor: Executor, no_cpp: str | None = None) -> None:
        self._problem, self._executor, self._no_cpp = problem, executor, no_cpp
        graded = CodeProblem(cpu_seconds=problem.cpu_seconds, memory_megabytes=problem.memory_megabytes)
        # Grading's own bound on output comes from the wanted one, which does not exist yet.
        self._limits = replace(graded.limits(), output_bytes=LARGEST_OUTPUT)

    @property
    def checked(self) -> bool:
        """Whether a checker of the problem compares."""
        return self._problem.checker is not None

    def answers(self, submission: Submission, cases: Sequence[Case]) -> Iterator[Answer]:
        """An answer for each case, in order, each from a fresh process. What is not asked for is not run.

        Raises:
            SandboxFailure: the sandbox itself failed.
        """
        why_not = self._no_cpp
        if self._problem.function is not None:
            why_not = "functions are called in Python only"
        if submission.language == "cpp" and why_not:
            yield from [Answer("compile error", detail=why_not)] * len(cases)
            return
        if self._problem.function is None:
            program = Program(submission.language, submission.source)
        else:
            program = Program("python", inside("calls.py"), {"submission.py": submission.source})
        size = _CHECKED_AT_ONCE if self._problem.checker else max(1, len(cases))
        for start in range(0, len(cases), size):
            some = cases[start : start + size]
            outcomes = self._outcomes(program, [self._stdin(case) for case in some])
            try:
                # A checker runs in the same executor: then nothing may be under way while its answers are used.
                yield from map(self._answer, list(outcomes) if self._problem.checker else outcomes)
            finally:
                end(outcomes)

    def agree(self, case: Case, first: Answer, other: Answer) -> bool:
        """Whether `other` is right if `first` is, by the problem's comparison or its checker.

        Raises:
            GraderFailure: the checker failed.
            SandboxFailure: the sandbox itself failed.
        """
        problem = self._problem
        if problem.checker is not None:
            if case.stdin is not None:
                texts = [case.stdin, other.output, first.output]
            else:
                values = (list(case.arguments or ()), other.output, first.output)
                texts = [json.dumps(value, ensure_ascii=False) for value in values]
            given, output, answer = texts
            return checker_accepts(self._executor, problem.checker, given, output, answer)
        if case.stdin is not None:
            return texts_agree(other.output, first.output, problem.compare, problem.tolerance)
        return values_agree(other.output, first.output, problem.compare, problem.tolerance)

    @staticmethod
    def expected(case: Case) -> Answer:
        """The output that came with a given test, as if somebody had answered it."""
        assert case.given is not None
        return Answer("ok", case.given["stdout"] if case.stdin is not None else case.given["output"])

    @staticmethod
    def test(case: Case, answer: Answer) -> dict[str, Any]:
        """The case as a test of the problem; one that came with it stays as it is."""
        if case.given is not None:
            return dict(case.given)
        return {**case.row(), "output" if case.stdin is None else "stdout": answer.output}

    @staticmethod
    def shown(answer: Answer) -> str:
        """The output as text, for finding out whether two differ."""
        return answer.output if isinstance(answer.output, str) else canonical_json(answer.output)

    def _stdin(self, case: Case) -> str:
        if case.stdin is not None:
            return case.stdin
        problem = self._problem
        asked = {
            "function": problem.function,
            "class": problem.class_name,
            "calls": [list(case.arguments or ())],
        }
        return json.dumps(asked)

    def _outcomes(self, program: Program, inputs: Sequence[str]) -> Iterator[Outcome]:
        outcomes = self._executor.run(program, inputs, self._limits)
        count = 0
        try:
            for outcome in outcomes:
                count += 1
                yield outcome
        finally:
            end(outcomes)
        if count < len(inputs):
            raise SandboxFailure("it gave fewer outcomes than it was given inputs")

    def _answer(self, outcome: Outcome) -> Answer:
        share = outcome.cpu_seconds / self._problem.cpu_seconds
        claim: Mapping[str, Any] | None = None
        if self._problem.function is not None:
            claims = read_claims(outcome.stdout, 1)
            if claims.compile_error is not None:
                return Answer("compile error", detail=last_line(claims.compile_error))
            claim = claims.by_call.get(0)
            if claim is not None and "value" not in claim:
                return Answer("runtime error", detail=last_line(str(claim.get("error"))), share_of_time=share)
        if claim is None:
            ended = bad_end(outcome)
            if ended is None and self._problem.function is not None:
                ended = CaseVerdict("runtime error", detail="it ended before it returned")
            if ended is not None:
                return Answer(ended.kind, detail=last_line(ended.detail), share_of_time=share)
        output = outcome.stdout if claim is None else claim["value"]
        try:
            # What has no JSON form (NaN, a whole number of thousands of digits) could stand in no file of tests.
            canonical_json(output).encode()
        except (TypeError, ValueError, RecursionError):
            return Answer("runtime error", detail="its answer has no JSON form", share_of_time=share)
        return Answer("ok", output, share_of_time=share)
