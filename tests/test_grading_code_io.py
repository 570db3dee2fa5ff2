"""Inputs and outputs of programs: an output is compared, an input is tried; the answer is data and never code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahalab.grading import code_io
from ahalab.grading.code_io import code_io_verifier, given_text
from ahalab.grading.failure import GraderFailure
from ahalab.grading.verifiers import VERIFIERS
from ahalab.sandbox.records import Executor, Limits, Outcome, Program
from contest_rows import OWN, OWN_CALL, load, write

OUTPUT: dict[str, Any] = {"kind": "output", "test": {"stdin": "1 2", "stdout": "3 4\n5\n"}}
VALUE: dict[str, Any] = {
    "kind": "output",
    "function": "f",
    "test": {"input": [1], "output": [True, None, "a", 2]},
}
SUM = {"language": "python", "source": "print(sum(map(int, input().split())))"}
INPUT: dict[str, Any] = {"kind": "input", "program": SUM, "test": {"stdin": "1 2", "stdout": "3\n"}}
CALL: dict[str, Any] = {
    "kind": "input",
    "function": "total",
    "program": {"language": "python", "source": "def total(xs):\n    return sum(xs)"},
    "test": {"input": [[1, 2]], "output": 3},
}


class PlainExecutor:
    """Runs our own harmless programs of these tests as plain processes: isolation is the sandbox's own matter."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ran = folder, 0

    def run(self, program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Outcome]:  # noqa: ARG002
        for text in inputs:
            self.ran += 1
            for name, source in {"main.py": program.source, **program.files}.items():
                (self.folder / name).write_text(source, encoding="utf-8")
            command = [sys.executable, "main.py", *program.arguments]
            done = subprocess.run(
                command, input=text, capture_output=True, text=True, cwd=self.folder, check=False
            )
            status = "ok" if done.returncode == 0 else "runtime error"
            yield Outcome(status, done.stdout, done.stderr, done.returncode, 0.1, 0.1, None)  # type: ignore[arg-type]

    def close(self) -> None: ...


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlainExecutor:
    made = PlainExecutor(tmp_path)

    @contextmanager
    def sandbox() -> Iterator[Executor]:
        yield made

    monkeypatch.setattr(code_io, "sandbox", sandbox)
    return made


@pytest.mark.parametrize(
    "answer",
    [
        "```\n3 4\n5\n```",
        "It prints:\n\n```text\n3  4\n5\n```\nThat is all.",
        "First I thought\n```\n9\n```\nbut no:\n```\n3 4 5\n```",
        "3 4\n5",
        "The answer is \\boxed{3 4 5}",
    ],
)
def test_every_form_of_the_right_output_passes(answer: str) -> None:
    assert code_io_verifier(answer, None, OUTPUT) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "```\n3 4\n```",
        "```\n3 4\n5\n6\n```",
        "```\n3 4\n5\n```\n```\n3\n```",
        "3 4 6",
        "",
        "``` ```",
        "print(3)",
    ],
)
def test_a_wrong_output_scores_zero(answer: str) -> None:
    assert code_io_verifier(answer, None, OUTPUT) == 0.0


def test_the_problem_s_own_comparison_decides() -> None:
    test = {"stdin": "", "stdout": "0.5 a"}
    assert code_io_verifier("0.50001 a", None, {**OUTPUT, "test": test}) == 0.0
    assert (
        code_io_verifier("0.50001 a", None, {**OUTPUT, "test": test, "compare": "float", "tolerance": 1e-3})
        == 1.0
    )
    assert code_io_verifier("0.5  a", None, {**OUTPUT, "test": test, "compare": "exact"}) == 0.0


@pytest.mark.parametrize(
    "answer", ['```json\n[true, null, "a", 2]\n```', "[True, None, 'a', 2]", "(True, None, 'a', 2.0)"]
)
def test_a_value_may_be_json_or_a_python_literal(answer: str) -> None:
    assert code_io_verifier(answer, None, VALUE) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "[true, null, 'b', 2]",
        "[1, null, 'a', 2]",
        "[True, None, 'a', 1 + 1]",  # the value is to be worked out, not written as a sum
        "[True, None, 'a', __import__('os').getpid()]",
        "f(1)",
        "[" * 5000,
        "[True, None, 'a', " + "9" * 9000 + "]",
    ],
)
def test_other_values_and_code_score_zero(answer: str) -> None:
    assert code_io_verifier(answer, None, VALUE) == 0.0


def test_any_input_that_gives_the_output_is_right(executor: PlainExecutor) -> None:
    for answer in ("```\n1 2\n```", "```\n-4 7\n```", "3"):
        assert code_io_verifier(answer, None, INPUT) == 1.0
    for answer in ("```\n1 3\n```", "```\nthree\n```", "", "```python\nprint(3)\n```"):
        assert code_io_verifier(answer, None, INPUT) == 0.0
    assert executor.ran == 6  # nothing is run for an empty answer


def test_an_input_beyond_the_bound_is_not_run(executor: PlainExecutor) -> None:
    assert code_io_verifier("```\n" + "1 " * code_io.INPUT_CHARACTERS + "\n```", None, INPUT) == 0.0
    assert executor.ran == 0


def test_arguments_are_a_json_list_and_never_code(executor: PlainExecutor, tmp_path: Path) -> None:
    for answer in ("```json\n[[1, 2]]\n```", "[[3]]", "[(1, 1, 1)]"):
        assert code_io_verifier(answer, None, CALL) == 1.0
    ran = executor.ran
    for answer in ("[[1]]", "[]", "[1]", '[["a"]]'):
        assert code_io_verifier(answer, None, CALL) == 0.0
    assert executor.ran > ran
    ran = executor.ran
    code = f"[open({str(tmp_path / 'made')!r}, 'w')]"
    for answer in ("3", '{"xs": [1, 2]}', code, "[{1, 2}]", "[" + "9" * 9000 + "]", "[[1, 2]"):
        assert code_io_verifier(answer, None, CALL) == 0.0
    assert executor.ran == ran
    assert not (tmp_path / "made").exists()


def test_half_a_surrogate_pair_is_wrong_not_a_failure(executor: PlainExecutor) -> None:  # noqa: ARG001
    assert code_io_verifier("```\n\ud800\n```", None, INPUT) == 0.0
    assert code_io_verifier("\ud800", None, OUTPUT) == 0.0


def test_a_checker_judges_an_output(executor: PlainExecutor) -> None:
    checker = "print('ok' if sorted(open('output.txt').read().split()) == ['3', '4'] else 'wrong')"
    extra = {**OUTPUT, "test": {"stdin": "7", "stdout": "3 4"}, "checker": checker}
    assert code_io_verifier("```\n4 3\n```", None, extra) == 1.0
    assert code_io_verifier("```\n4 4\n```", None, extra) == 0.0
    assert executor.ran == 2
    first = "json.load(open('{}.txt'))[0]"
    larger = f"{first.format('output')} > {first.format('input')}"
    of_call = f"import json\nprint('ok' if {larger} else 'wrong')"
    extra = {**VALUE, "test": {"input": [4], "output": [5]}, "checker": of_call}
    assert code_io_verifier("[9]", None, extra) == 1.0
    assert code_io_verifier("[3]", None, extra) == 0.0


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"kind": "both"},
        {"kind": "output"},
        {"kind": "output", "test": {"stdin": "1"}},
        {"kind": "output", "test": {"stdin": "1", "stdout": "1"}, "compare": "fuzzy"},
        {"kind": "input", "test": {"stdin": "1", "stdout": "1"}},
        {
            "kind": "input",
            "test": {"stdin": "1", "stdout": "1"},
            "program": {"language": "perl", "source": "1"},
        },
        {"kind": "input", "test": {"stdin": "1", "stdout": "1"}, "program": {"language": "python"}},
    ],
)
def test_a_question_that_is_none_is_a_grader_failure(extra: dict[str, Any]) -> None:
    with pytest.raises(GraderFailure, match="code_io"):
        code_io_verifier("1", None, extra)


@given(st.text(max_size=200))
def test_any_answer_is_scored(answer: str) -> None:
    assert code_io_verifier(answer, None, VALUE) in (0.0, 1.0)
    assert isinstance(given_text(answer), str)


def test_the_gold_answers_of_the_prompts_score_full_marks(tmp_path: Path, executor: PlainExecutor) -> None:  # noqa: ARG001
    rows = [OWN, OWN_CALL, {**OWN, "language": "x"}]
    source = load(write(tmp_path / "data.jsonl", *rows), code={"io": "both", "cases": 2})
    assert source.size is not None
    for index in range(source.size):
        prompt = source.prompt(index)
        extra = json.loads(json.dumps(prompt.extra))
        assert VERIFIERS[prompt.verifier](str(prompt.answer), "", extra) == 1.0, prompt.question
