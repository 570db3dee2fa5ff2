"""Rows in the manner of open-r1/codeforces: a problem's parts in columns, tests as {input, output}, checkers in Python.

Interactive problems and those that read files are left out: there is no interactor here, and programs get stdin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ahalab.prompts.cells import BadRow, LeftOut, joined
from ahalab.prompts.contest import reading
from ahalab.prompts.contest.problem import Problem

ADAPTER = """\
import contextlib, io, sys

SOURCE = {source!r}


def accepts(output):
    sys.argv = ["checker.py", "input.txt", "answer.txt", output]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(SOURCE, "checker.py", "exec"), {{"__name__": "__main__"}})
    except SystemExit:
        pass
    words = printed.getvalue().split()
    try:
        return float(words[0]) in (1.0, 100.0)
    except (IndexError, ValueError):
        return False


try:
    accepted = accepts("output.txt")
except Exception:
    # A checker that cannot read the given output rejects it, unless it cannot read the right one either.
    accepted = False
    accepts("answer.txt")
print("ok" if accepted else "wrong")
"""
"""open-r1's checkers are called with input, right output and given output, and print 1 (some 100) for a right one.
Ours find the same as input.txt, answer.txt and output.txt, and say ok or wrong."""


def read(row: Mapping[str, Any]) -> Problem:
    """The problem in a row. Raises BadRow; LeftOut for interactive problems and those that cannot be run."""
    if reading.optional_text(row, "interaction_format") is not None:
        raise LeftOut("interactive problem")
    if str(row.get("input_mode") or "stdio") != "stdio":
        raise LeftOut("reads files instead of stdin")
    if row.get("executable") is False:
        raise LeftOut("marked as not executable")
    column = "official_tests" if row.get("official_tests") else "examples"
    if not row.get(column):
        raise BadRow(
            "no tests",
            "official_tests",
            "it has none",
            "at least one test: without tests nothing can be graded",
        )
    title = reading.optional_text(row, "title")
    checker = reading.optional_text(row, "generated_checker")
    rating = row.get("rating")
    return Problem(
        statements={"": _statement(row)},
        titles={"": title.strip()} if title else {},
        tests=_tests(row[column], column),
        id=reading.optional_text(row, "id"),
        checker=None if checker is None else ADAPTER.format(source=checker),
        cpu_seconds=reading.seconds(row.get("time_limit"), "time_limit"),
        memory_megabytes=reading.megabytes(row.get("memory_limit"), "memory_limit"),
        # Codeforces rates in hundreds, from 800 upwards.
        level=max(1, int(rating) // 100 - 7) if isinstance(rating, int | float) and rating > 0 else None,
        good=reading.solutions(row.get("solutions"), "solutions"),
    )


def _tests(value: Any, column: str) -> list[dict[str, Any]]:
    listed = reading.parsed(value, column)
    if not isinstance(listed, list | tuple):
        raise BadRow("wrong type", column, f"it is a {type(listed).__name__}", "a list of tests")
    tests = []
    for index, one in enumerate(listed):
        place = f"{column}[{index}]"
        if not isinstance(one, Mapping) or one.get("input") is None or one.get("output") is None:
            raise BadRow("mismatched tests", place, f"it is {repr(one)[:60]}", "a test with input and output")
        tests.append(reading.stdin_test(one["input"], one["output"], place))
    return reading.some(tests, column)


def _statement(row: Mapping[str, Any]) -> str:
    parts = [joined(row, "description", "question")]
    for heading, column in (("Input", "input_format"), ("Output", "output_format")):
        if (part := reading.optional_text(row, column)) is not None:
            parts.append(f"## {heading}\n\n{part.strip()}")
    examples = reading.parsed(row.get("examples") or [], "examples")
    for number, one in enumerate(examples if isinstance(examples, list | tuple) else [], start=1):
        if isinstance(one, Mapping) and one.get("input") is not None and one.get("output") is not None:
            shown = f"Input:\n{str(one['input']).strip()}\n\nOutput:\n{str(one['output']).strip()}"
            parts.append(f"## Example {number}\n\n{shown}")
    if (note := reading.optional_text(row, "note")) is not None:
        parts.append(f"## Note\n\n{note.strip()}")
    return "\n\n".join(parts)
