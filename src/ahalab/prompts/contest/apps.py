"""Rows of APPS (Hendrycks et al. 2021) and TACO (Li et al. 2023): one JSON text holds all inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ahalab.prompts.cells import BadRow, joined, present
from ahalab.prompts.contest import reading
from ahalab.prompts.contest.problem import Problem, Solution

TESTS = "input_output"
_CLASS = re.compile(r"^class\s+(\w+)", re.MULTILINE)


def read(row: Mapping[str, Any]) -> Problem:
    """The problem in a row. Raises BadRow."""
    given = present(row, TESTS, "tests")
    if isinstance(given, str) and not given.strip():
        raise BadRow(
            "no tests", TESTS, "it is empty", "inputs and outputs: without tests nothing can be graded"
        )
    held = reading.parsed(given, TESTS)
    if not isinstance(held, Mapping) or "inputs" not in held or "outputs" not in held:
        found = f"it is {repr(held)[:60]}"
        raise BadRow("no tests", TESTS, found, 'an object {"inputs": […], "outputs": […]}')
    pairs = reading.paired(held["inputs"], held["outputs"], TESTS)
    function = held.get("fn_name") or None
    if function is not None and not isinstance(function, str):
        raise BadRow(
            "wrong type", f"{TESTS}.fn_name", f"it is a {type(function).__name__}", "a name, or nothing"
        )
    tests = _calls(pairs) if function else _programs(pairs)
    starter = reading.optional_text(row, "starter_code")
    good = reading.solutions(row.get("solutions"), "solutions")
    return Problem(
        statements={"": joined(row, "question", "question")},
        tests=reading.some(tests, TESTS),
        id=_name(row),
        function=function,
        class_name=class_of(starter, good) if function else None,
        signature=starter if function else None,
        cpu_seconds=reading.seconds(row.get("time_limit"), "time_limit"),
        memory_megabytes=reading.megabytes(row.get("memory_limit"), "memory_limit"),
        level=reading.level_word(row.get("difficulty")),
        good=good,
    )


def class_of(starter: str | None, good: Sequence[Solution]) -> str | None:
    """The class whose method is asked for: that of the starter code, else the one in every solution."""
    if starter:
        found = _CLASS.search(starter)
        return found[1] if found else None
    if good and all("class Solution" in one.source for one in good):
        return "Solution"
    return None


def _programs(pairs: Sequence[tuple[Any, Any]]) -> list[dict[str, Any]]:
    return [
        reading.stdin_test(given, wanted, f"{TESTS}[{index}]") for index, (given, wanted) in enumerate(pairs)
    ]


def _calls(pairs: Sequence[tuple[Any, Any]]) -> list[dict[str, Any]]:
    """Many problems wrap every output in a list, others none; APPS' own test program accepts both.

    We take the outputs of a problem out of their lists where all of them are lists of one.
    """
    wrapped = all(isinstance(wanted, list) and len(wanted) == 1 for _, wanted in pairs)
    return [
        reading.call_test(given, wanted[0] if wrapped else wanted, f"{TESTS}[{index}]")
        for index, (given, wanted) in enumerate(pairs)
    ]


def _name(row: Mapping[str, Any]) -> str | None:
    for column in ("problem_id", "name", "url"):
        value = row.get(column)
        if isinstance(value, str | int) and str(value).strip():
            return str(value).strip()
    return None
