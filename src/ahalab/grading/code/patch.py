"""The verifier "patch": an answer's change to buggy files, by the unit tests of its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ahalab.grading.code.diff import PatchFault
from ahalab.grading.code.executor import sandbox
from ahalab.grading.code.patched import BugProblem, patched_files
from ahalab.grading.code.unit_tests import run_unit_tests
from ahalab.grading.code.verdicts import CodeVerdict, without_cases
from ahalab.grading.failure import GraderFailure
from ahalab.grading.noted import Noted
from ahalab.sandbox.records import Executor


def judge_patch(problem: BugProblem, answer: str, executor: Executor) -> CodeVerdict:
    """The verdict on an answer: its change made, every unit test passes.

    Raises:
        GraderFailure: the problem's tests are of a kind that is not run here.
        SandboxFailure: the sandbox failed.
    """
    try:
        files = patched_files(answer, problem)
    except PatchFault as fault:
        return without_cases(fault.kind, str(fault))
    return run_unit_tests(problem, files, executor)


def patch_verifier(answer: str, gold: str | None, extra: Mapping[str, Any]) -> Noted:  # noqa: ARG001 - tests decide
    """1.0 when all unit tests pass after the answer's change, else 0.0, and why.

    `extra` is described in docs/code.md.

    Raises:
        GraderFailure: `extra` is not of that form, or the sandbox cannot be had or failed.
    """
    try:
        problem = BugProblem.read(extra)
    except ValueError as error:
        raise GraderFailure(f"verifier error: patch: {error}") from error
    with sandbox() as executor:
        verdict = judge_patch(problem, answer, executor)
    return Noted(verdict.score, verdict.kind)
