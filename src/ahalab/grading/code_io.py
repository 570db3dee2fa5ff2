"""Questions about a program's inputs and outputs (CodeI/O, Li et al. 2025; R1's logic prompts, paper B.3.1).

`extra["kind"]` "output": the answer is compared with the known output. "input": the reference program runs on the
answer, in the sandbox, and must give the known output; any input that does is right. The answer is data only.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ahalab.grading.code.checker import checker_accepts
from ahalab.grading.code.comparison import read_value, texts_agree, values_agree
from ahalab.grading.code.contest import judge
from ahalab.grading.code.executor import sandbox
from ahalab.grading.code.extraction import Submission, fenced_blocks
from ahalab.grading.code.problem import CallTest, CodeProblem, StreamTest
from ahalab.grading.failure import GraderFailure
from ahalab.grading.normal import final_answer

INPUT_CHARACTERS = 10_000
"""Longest input that a program is run on. Our choice: ten times the longest that a question shows."""

_KINDS = ("output", "input")


class _NoValue(Exception):
    """The answer holds no JSON value."""


def code_io_verifier(answer: str, gold: str | None, extra: Mapping[str, Any]) -> float:  # noqa: ARG001
    """1.0 where the answer's last code block (or boxed part, or all of it) is the output or an input, else 0.0.

    `extra` is `{"kind": "output" or "input", "test": …}` with the keys that describe a code problem (`function`,
    `compare`, …) and, for an input, `program`.

    Raises:
        GraderFailure: `extra` is not of that form, a checker failed, or something has to run and there is no sandbox.
    """
    program, problem = _read(extra)
    given = given_text(answer)
    if len(given) > INPUT_CHARACTERS or not given.strip():
        return 0.0
    try:
        right = _is_output(given, problem) if program is None else _is_input(given, program, problem)
    except _NoValue:
        return 0.0
    return float(right)


def given_text(answer: str) -> str:
    """What an answer gives: its last whole code block, else its last boxed part, else all of it."""
    blocks = [block for block in fenced_blocks(answer.replace("\r\n", "\n")) if block.complete]
    return blocks[-1].text if blocks else final_answer(answer)


def _read(extra: Mapping[str, Any]) -> tuple[Submission | None, CodeProblem]:
    """The program to run, where an input is asked for; the problem, whose one test holds what is known."""
    kind, program = extra.get("kind"), extra.get("program")
    if kind not in _KINDS:
        raise GraderFailure(f"verifier error: code_io needs extra['kind'], one of {', '.join(_KINDS)}")
    rest = {key: value for key, value in extra.items() if key not in ("kind", "test", "program")}
    try:
        problem = CodeProblem.read({**rest, "tests": [extra.get("test")]})
    except ValueError as error:
        raise GraderFailure(f"verifier error: code_io: {error}") from None
    if kind == "output":
        return None, problem
    source = program.get("source") if isinstance(program, Mapping) else None
    language = program.get("language") if isinstance(program, Mapping) else None
    if not isinstance(source, str) or language not in ("python", "cpp"):
        raise GraderFailure(
            "verifier error: code_io needs extra['program'] = {'language': 'python' or 'cpp', 'source': text}"
        )
    return Submission(language, source), problem


def _is_output(given: str, problem: CodeProblem) -> bool:
    if problem.checker is not None:
        return _checked(given, problem, problem.checker)
    if problem.calls:
        return values_agree(_value(given), problem.calls[0].output, problem.compare, problem.tolerance)
    return texts_agree(given, problem.streams[0].stdout, problem.compare, problem.tolerance)


def _checked(given: str, problem: CodeProblem, checker: str) -> bool:
    """What the problem's own checker says; it reads a function's values as JSON."""
    if problem.calls:
        call = problem.calls[0]
        texts = (json.dumps(list(call.arguments)), _json(given), json.dumps(call.output))
    else:
        stream = problem.streams[0]
        texts = (stream.stdin, _text(given), stream.stdout)
    with sandbox() as executor:
        return checker_accepts(executor, checker, *texts)


def _is_input(given: str, program: Submission, problem: CodeProblem) -> bool:
    """Judges the reference program on one test: the answer as its input, the known output as the wanted one."""
    if problem.calls:
        tried = replace(problem, calls=(CallTest(_arguments(given), problem.calls[0].output),))
    else:
        tried = replace(problem, streams=(StreamTest(_text(given), problem.streams[0].stdout),))
    with sandbox() as executor:
        return judge(tried, program, executor).kind == "accepted"


def _text(given: str) -> str:
    """Half a surrogate pair is no text that a program could be given."""
    return given.encode("utf-8", "replace").decode()


def _arguments(text: str) -> tuple[Any, ...]:
    """A list of JSON values. Raises _NoValue."""
    found = json.loads(_json(text))
    if not isinstance(found, list):
        raise _NoValue
    return tuple(found)


def _json(text: str) -> str:
    """The value in a text as JSON. Raises _NoValue."""
    try:
        return json.dumps(_value(text))
    except (TypeError, ValueError, RecursionError):
        raise _NoValue from None


def _value(text: str) -> Any:
    """A JSON value, or a Python literal: models write True and tuples. Sums are not worked out. Raises _NoValue."""
    try:
        return read_value(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _NoValue from None
