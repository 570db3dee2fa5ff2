"""The verifier "code": an answer's program against the hidden tests of its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ahalab.grading.code.contest import judge
from ahalab.grading.code.executor import runs_cpp, sandbox
from ahalab.grading.code.extraction import find_program
from ahalab.grading.code.problem import CodeProblem
from ahalab.grading.failure import GraderFailure
from ahalab.grading.noted import Noted
from ahalab.sandbox.settings import SandboxSettings


def code_verifier(answer: str, gold: str | None, extra: Mapping[str, Any]) -> Noted:  # noqa: ARG001 - tests decide
    """1.0 when the answer's program passes every test, else 0.0 (or the share it passed), and the contest's verdict.

    `extra` is described in docs/code.md.

    Raises:
        GraderFailure: `extra` is not of that form, the sandbox cannot be had or failed, or a checker failed.
    """
    try:
        problem = CodeProblem.read(extra)
    except ValueError as error:
        raise GraderFailure(f"verifier error: code: {error}") from error
    submission = find_program(answer, problem.language, function=problem.function)
    if submission is None:
        return Noted(0.0, "no program")
    unasked = submission.language == "cpp" and problem.language != "cpp"
    if unasked and not runs_cpp(SandboxSettings.from_environment()):
        # Nobody asked for C++: what this machine lacks is no excuse.
        return Noted(0.0, "no program")
    with sandbox() as executor:
        verdict = judge(problem, submission, executor)
    return Noted(verdict.score, verdict.kind)
