"""Questions about inputs and outputs: made of small tests, with a program where needed, in the row's language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.records import Prompt
from contest_rows import APPS, APPS_CALL, BUG_FIX, LIVECODEBENCH, OWN, OWN_CALL, SUM, load, write


def made(tmp_path: Path, *rows: Any, **settings: Any) -> list[Prompt]:
    source = load(write(tmp_path / "data.jsonl", *rows), **settings)
    assert source.size is not None
    return [source.prompt(index) for index in range(source.size)]


def test_an_output_is_asked_for_with_its_input_its_problem_and_a_program(tmp_path: Path) -> None:
    (prompt,) = made(tmp_path, APPS, code={"io": "output"})
    assert (prompt.domain, prompt.verifier, prompt.answer) == ("logic", "code_io", "```\n3\n```")
    assert "Two numbers are given. Print their sum." in prompt.question
    assert f"```python\n{SUM}\n```" in prompt.question
    assert "The input is:\n\n```\n1 2\n```" in prompt.question
    assert "```\n3\n```" not in prompt.question
    assert prompt.extra == {
        "kind": "output",
        "test": {"stdin": "1 2\n", "stdout": "3\n"},
        "compare": "tokens",
        "tolerance": 1e-6,
    }


def test_an_input_is_asked_for_with_the_program_that_will_try_it(tmp_path: Path) -> None:
    (prompt,) = made(tmp_path, APPS, code={"io": "input", "show": "statement", "time_factor": 3.0})
    assert "The output is:\n\n```\n3\n```" in prompt.question
    assert SUM not in prompt.question
    assert prompt.answer == "```\n1 2\n```"
    assert prompt.extra["program"] == {"language": "python", "source": SUM}
    assert (prompt.extra["cpu_seconds"], prompt.extra["memory_megabytes"]) == (6.0, 256)


def test_functions_are_asked_about_in_json(tmp_path: Path) -> None:
    output, given = made(tmp_path, OWN_CALL, code={"io": "both"})
    assert "`total` is called with these arguments, a JSON list:\n\n```json\n[[1, 2]]\n```" in output.question
    assert output.answer == "```json\n3\n```"
    assert "`total` returned this value, in JSON:\n\n```json\n3\n```" in given.question
    assert given.answer == "```json\n[[1, 2]]\n```"
    assert given.extra["function"] == "total"
    (method,) = made(tmp_path, APPS_CALL, code={"io": "output"})
    assert method.extra["class"] == "Solution"


def test_the_words_follow_the_language_of_the_row(tmp_path: Path) -> None:
    output, given = made(tmp_path, OWN, verifier="code_io", language="zh")
    assert "输入为：" in output.question
    assert "请找出一个恰好产生该输出的输入" in given.question
    assert "# Sum of two\n\n输出 a 与 b 的和。" in output.question


def test_cases_are_different_questions(tmp_path: Path) -> None:
    tests = [{"stdin": f"{n} 0\n", "stdout": f"{n % 2}\n"} for n in range(6)]
    prompts = made(tmp_path, {**OWN, "tests": tests}, language="en", code={"io": "both", "cases": 4})
    kinds = [prompt.extra["kind"] for prompt in prompts]
    assert kinds == ["output"] * 4 + ["input"] * 2  # there are two different outputs only
    assert len({prompt.question for prompt in prompts}) == len({prompt.id for prompt in prompts}) == 6


def test_prompts_of_a_row_are_drawn_as_they_were_counted(tmp_path: Path) -> None:
    settings = {"language": "en", "code": {"io": "both", "cases": 2}}
    prompts = made(tmp_path, OWN, OWN_CALL, OWN, **settings)
    again = made(tmp_path, OWN, OWN_CALL, OWN, **settings)
    assert [prompt.id for prompt in prompts] == [prompt.id for prompt in again]
    assert len({prompt.id for prompt in prompts}) == len(prompts) == 12
    assert sum(prompt.id.endswith("-2") for prompt in prompts) == 4


@pytest.mark.parametrize(
    ("row", "options", "reason"),
    [
        (LIVECODEBENCH, {"io": "input"}, "no reference solution"),
        (LIVECODEBENCH, {"io": "output"}, "no reference solution"),
        ({**OWN, "tests": [{"stdin": "1" * 1001, "stdout": "1"}]}, {"io": "output"}, "no small test"),
        ({**OWN, "tests": [{"stdin": "", "stdout": "1"}]}, {"io": "output"}, "no small test"),
        ({**OWN, "checker": "print('ok')"}, {"io": "input"}, "judged by a checker"),
        (
            {**OWN, "solutions": {"good": [{"language": "python", "source": "print(eval(input()))"}]}},
            {"io": "input"},
            "reference solution evaluates text",
        ),
        (
            {**OWN, "solutions": {"good": [{"language": "python", "source": "#" * 7000}]}},
            {"io": "output"},
            "reference solution too long",
        ),
    ],
)
def test_what_makes_no_question_is_left_out_and_counted(
    tmp_path: Path, row: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=f"1 {reason}"):
        made(tmp_path, row, code=options)


@pytest.mark.parametrize(
    ("row", "statement", "left"),
    [
        (OWN, "Print a + b.\n\nExample\nInput:\n1  2\nOutput:\n3\n", "-5 5"),
        (OWN, "Print a + b (1 <= a, b <= 3). 12 or 1 and 2 are numbers.", "1 2"),
        (OWN_CALL, "The sum.\n\nExample:\ntotal([1,2]) == 3", "[[]]"),
        (APPS_CALL, "The sum. a = 1, b = 2 gives 3.", "[0, 0]"),
    ],
)
def test_an_example_of_the_statement_is_not_asked_for(
    tmp_path: Path, row: dict[str, Any], statement: str, left: str
) -> None:
    (prompt,) = made(tmp_path, {**row, "question": statement}, code={"io": "output"})
    assert f"\n{left}\n```" in prompt.question
    (prompt,) = made(tmp_path, {**row, "question": statement}, code={"io": "output", "show": "program"})
    assert (
        f"\n{'1 2' if row is OWN else '[1, 2]' if row is APPS_CALL else '[[1, 2]]'}\n```" in prompt.question
    )


def test_an_output_alone_needs_no_program(tmp_path: Path) -> None:
    (prompt,) = made(tmp_path, LIVECODEBENCH, code={"io": "output", "show": "statement"})
    assert "```python" not in prompt.question


def test_bugs_make_no_such_questions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bugs to fix"):
        made(tmp_path, BUG_FIX, code={"io": "output"})
