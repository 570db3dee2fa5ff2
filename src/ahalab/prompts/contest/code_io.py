"""Logic questions made of contest problems: which output comes of this input, which input gives this output.

After CodeI/O (Li et al. 2025, arXiv 2502.07316), which R1's logic prompts use (paper B.3.1): a problem and its test
cases become a question that is answered by thinking a program through. The verifier is "code_io".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ahalab.prompts.cells import LeftOut
from ahalab.prompts.contest.options import CodeOptions
from ahalab.prompts.contest.problem import Problem, Solution
from ahalab.prompts.contest.wording import FENCE_TAGS, fenced, spoken

Kind = Literal["output", "input"]
"""What is asked for."""
Side = Literal["input", "output"]
"""Of a test."""

CASE_CHARACTERS = 1000
"""Longest input and longest output that a question is made of. CodeI/O keeps both below 1 KB."""
PROGRAM_CHARACTERS = 6000
"""Longest reference program that is shown. Our choice: about 2,000 tokens."""

_EVALUATES = re.compile(r"\b(?:eval|exec|compile|__import__)\b")
"""A program that reads its input with `eval` would run the model's answer, which could print whatever is wanted."""

_PROBLEM = {"en": "This is a programming problem:", "zh": "下面是一道编程题："}
_SOURCE = {"en": "This program solves it:", "zh": "下面的程序解决了这道题："}
_SOURCE_ALONE = {"en": "Read this program:", "zh": "请阅读下面的程序："}
_OUTPUT = {
    "en": (
        "The input is:",
        "What is the output? Work it out without running code. Give the output alone in one fenced code block.",
    ),
    "zh": ("输入为：", "输出是什么？请不要运行代码，自行推导。请在一个代码块中只给出输出。"),
}
_VALUE = {
    "en": (
        "`{function}` is called with these arguments, a JSON list:",
        "What does it return? Work it out without running code. Give the value alone, as JSON, in one fenced code "
        "block.",
    ),
    "zh": (
        "用下列参数（JSON 列表）调用 `{function}`：",
        "它返回什么？请不要运行代码，自行推导。请在一个代码块中以 JSON 形式只给出返回值。",
    ),
}
_INPUT = {
    "en": (
        "The output is:",
        "Find an input that gives exactly this output; any such input is right. Work it out without running code. Give "
        "the input alone in one fenced code block.",
    ),
    "zh": (
        "输出为：",
        "请找出一个恰好产生该输出的输入，任何满足条件的输入都算正确。请不要运行代码，自行推导。请在一个代码块中只给出输入。",
    ),
}
_ARGUMENTS = {
    "en": (
        "`{function}` returned this value, in JSON:",
        "Find arguments for which it returns exactly this; any such arguments are right. Work it out without running "
        "code. Give them alone, as a JSON list, in one fenced code block.",
    ),
    "zh": (
        "`{function}` 返回了下面的值（JSON）：",
        "请找出使它恰好返回该值的参数，任何满足条件的参数都算正确。请不要运行代码，自行推导。"
        "请在一个代码块中以 JSON 列表的形式只给出参数。",
    ),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One such question: its text, its known answer, and what the verifier needs."""

    text: str
    answer: str
    extra: Mapping[str, Any]


def questions(problem: Problem, statement: str, language: str, options: CodeOptions) -> list[Question]:
    """The questions that a problem makes: `cases` of each kind asked for, fewer where it has fewer small tests.

    Raises LeftOut: it has no reference program (needed to be shown, and to try inputs), too long a one, no small test.
    """
    kinds: list[Kind] = ["output", "input"] if options.io == "both" else [options.io or "output"]
    program = next((one for one in problem.good if not _EVALUATES.search(one.source)), None)
    if program is None and problem.good:
        raise LeftOut("reference solution evaluates text")
    shown = program if options.show != "statement" else None
    if program is None and ("input" in kinds or options.show != "statement"):
        raise LeftOut("no reference solution")
    if shown is not None and len(shown.source) > PROGRAM_CHARACTERS:
        raise LeftOut("reference solution too long")
    tests = list(_small(problem.tests))
    if not tests:
        raise LeftOut("no small test")
    if options.show != "program":
        tests = [test for test in tests if not _is_example(test, statement)]
        if not tests:
            raise LeftOut("every small test is an example in the statement")
    found: list[Question] = []
    for kind in kinds:
        if kind == "input" and problem.checker is not None:
            continue  # a checker tells which outputs are right for an input, not whether two outputs are the same
        for test in _different(tests, kind)[: options.cases]:
            found.append(_question(problem, statement, language, options, kind, test, shown, program))
    if not found:
        raise LeftOut("judged by a checker")
    return found


def _small(tests: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for test in tests:
        sizes = len(_shown(test, "input").strip()), len(_shown(test, "output").strip())
        if min(sizes) > 0 and max(sizes) <= CASE_CHARACTERS:
            yield test


def _is_example(test: Mapping[str, Any], statement: str) -> bool:
    """Whether the statement shows the test: the answer would stand in the question. In doubt, it does."""
    if "stdin" in test:
        words = f" {' '.join(statement.split())} "
        return all(f" {' '.join(test[side].split())} " in words for side in ("stdin", "stdout"))
    bare = "".join(statement.split())
    values = [*test["input"], test["output"]]
    written = ((json.dumps(value, ensure_ascii=False), repr(value)) for value in values)
    return all(any("".join(form.split()) in bare for form in forms) for forms in written)


def _different(tests: Sequence[Mapping[str, Any]], kind: Kind) -> list[Mapping[str, Any]]:
    """Tests whose given side differs: two with one output would be the same question for an input."""
    side: Side = "input" if kind == "output" else "output"
    return list({_shown(test, side).strip(): test for test in reversed(tests)}.values())[::-1]


def _shown(test: Mapping[str, Any], side: Side) -> str:
    if "stdin" in test:
        return str(test["stdin" if side == "input" else "stdout"])
    return json.dumps(test[side], ensure_ascii=False)


def _question(
    problem: Problem,
    statement: str,
    language: str,
    options: CodeOptions,
    kind: Kind,
    test: Mapping[str, Any],
    shown: Solution | None,
    program: Solution | None,
) -> Question:
    words = spoken(language)
    parts = []
    if options.show != "program":
        parts += [_PROBLEM[words], statement]
    if shown is not None:
        parts.append((_SOURCE if parts else _SOURCE_ALONE)[words])
        parts.append(fenced(shown.source.strip("\n"), FENCE_TAGS[shown.language]))
    asked = {
        ("output", False): _OUTPUT,
        ("output", True): _VALUE,
        ("input", False): _INPUT,
        ("input", True): _ARGUMENTS,
    }[kind, problem.function is not None]
    before, after = asked[words]
    given, wanted = _shown(test, "input"), _shown(test, "output")
    if kind == "input":
        given, wanted = wanted, given
    tag = "json" if problem.function else ""
    parts += [before.format(function=problem.function), fenced(given.rstrip(), tag), after]
    extra = {"kind": kind, **_grading(problem, kind, test, program)}
    return Question("\n\n".join(parts), fenced(wanted.rstrip(), tag), extra)


def _grading(
    problem: Problem, kind: Kind, test: Mapping[str, Any], program: Solution | None
) -> dict[str, Any]:
    """What the verifier "code_io" reads: a test, of which the side asked for is the known one, and the program."""
    stated: dict[str, Any] = {
        "test": dict(test),
        "compare": problem.compare,
        "tolerance": problem.tolerance,
    }
    if problem.function is not None:
        stated["function"] = problem.function
        if problem.class_name is not None:
            stated["class"] = problem.class_name
    if kind == "output":
        return stated if problem.checker is None else {**stated, "checker": problem.checker}
    assert program is not None
    return {
        **stated,
        "program": {"language": program.language, "source": program.source},
        "cpu_seconds": problem.cpu_seconds,
        "memory_megabytes": problem.memory_megabytes,
    }
