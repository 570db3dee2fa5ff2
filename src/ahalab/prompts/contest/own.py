"""Rows of our own layouts (docs/code-data.md), and of tables whose columns a recipe names for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, cast, get_args

from ahalab.prompts.cells import BadRow
from ahalab.prompts.contest import reading
from ahalab.prompts.contest.apps import class_of
from ahalab.prompts.contest.problem import (
    BUG_FIX_CPU_SECONDS,
    BUG_FIX_MEMORY_MEGABYTES,
    BugFix,
    Comparison,
    Fix,
    Problem,
)

_INPUTS = ("stdin", "input", "inputs")
_OUTPUTS = ("stdout", "output", "expected_output", "outputs")


def read_contest(row: Mapping[str, Any]) -> Problem:
    """The contest problem in a row. Raises BadRow."""
    pairs, column, named = _pairs(row)
    function = (reading.optional_text(row, "function") or named or "").strip() or None
    make = reading.call_test if function else reading.stdin_test
    tests = [make(given, wanted, f"{column}[{index}]") for index, (given, wanted) in enumerate(pairs)]
    given_good, given_bad = _solutions(row)
    good, bad = reading.solutions(given_good, "solutions.good"), reading.solutions(given_bad, "solutions.bad")
    signature = reading.optional_text(row, "signature")
    class_name = reading.optional_text(row, "class")
    return Problem(
        statements=reading.texts(row, "question", "question"),
        tests=reading.some(tests, column),
        id=_id(row),
        titles=_titles(row),
        function=function,
        class_name=(class_name or class_of(signature, good)) if function else None,
        signature=signature if function else None,
        compare=_comparison(row),
        tolerance=_tolerance(row),
        checker=reading.optional_text(row, "checker"),
        cpu_seconds=reading.seconds(*_limit(row, "cpu_seconds", "time_limit")),
        memory_megabytes=reading.megabytes(*_limit(row, "memory_megabytes", "memory_limit")),
        level=_level(row),
        tags=_tags(row),
        good=good,
        bad=bad,
        generator=reading.optional_text(row, "generator"),
    )


def read_bug_fix(row: Mapping[str, Any]) -> BugFix:
    """The bug to fix in a row. Raises BadRow."""
    files = _files(row.get("files"), "files")
    if not files:
        raise BadRow("no files", "files", "it has none", "the buggy source: {path: text}")
    tests = _files(row.get("tests"), "tests")
    if not tests:
        raise BadRow("no tests", "tests", "it has none", "at least one file of unit tests: {path: text}")
    if both := sorted(files.keys() & tests.keys()):
        raise BadRow(
            "wrong files", f"tests.{both[0]}", "it is in `files` too", "what may be changed and tests apart"
        )
    good, _ = _solutions(row)
    seconds, memory = (
        _limit(row, "cpu_seconds", "time_limit"),
        _limit(row, "memory_megabytes", "memory_limit"),
    )
    return BugFix(
        statements=reading.texts(row, "issue", "issue"),
        files=files,
        tests=tests,
        id=_id(row),
        titles=_titles(row),
        cpu_seconds=BUG_FIX_CPU_SECONDS if seconds[0] is None else reading.seconds(*seconds),
        memory_megabytes=BUG_FIX_MEMORY_MEGABYTES if memory[0] is None else reading.megabytes(*memory),
        level=_level(row),
        tags=_tags(row),
        good=_fixes(good, "solutions.good"),
    )


def _pairs(row: Mapping[str, Any]) -> tuple[list[tuple[Any, Any]], str, str | None]:
    """(input, output) of every test, the column they are in, and the function's name where the tests give it."""
    if row.get("tests") is None and row.get("inputs") is not None:
        inputs = reading.parsed(row["inputs"], "inputs")
        return reading.paired(inputs, reading.parsed(row.get("outputs"), "outputs"), "inputs"), "inputs", None
    held = reading.parsed(row.get("tests"), "tests")
    if isinstance(held, Mapping):
        # {"inputs": […], "outputs": […]}, as in APPS and in CodeContests.
        inputs, outputs = _first(held, _INPUTS), _first(held, _OUTPUTS)
        name = held.get("fn_name")
        return reading.paired(inputs, outputs, "tests"), "tests", name if isinstance(name, str) else None
    if not isinstance(held, list | tuple) or not held:
        found = "it is null" if held is None else f"it is {repr(held)[:60]}"
        raise BadRow("no tests", "tests", found, "at least one test: without tests nothing can be graded")
    pairs = []
    for index, one in enumerate(held):
        given = _first(one, _INPUTS) if isinstance(one, Mapping) else None
        wanted = _first(one, _OUTPUTS) if isinstance(one, Mapping) else None
        null = (
            isinstance(one, Mapping) and "output" in one and one["output"] is None
        )  # a function may return it
        if given is None or (wanted is None and not null):
            found = f"it is {repr(one)[:60]}"
            expected = '{"stdin": …, "stdout": …}, or {"input": […], "output": …} of a function'
            raise BadRow("mismatched tests", f"tests[{index}]", found, expected)
        pairs.append((given, wanted))
    return pairs, "tests", None


def _first(held: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((held[key] for key in keys if held.get(key) is not None), None)


def _solutions(row: Mapping[str, Any]) -> tuple[Any, Any]:
    """What stands for good and for bad solutions."""
    value = row.get("solutions")
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        value = reading.parsed(value, "solutions")
    if isinstance(value, Mapping) and ("good" in value or "bad" in value):
        return value.get("good"), value.get("bad")
    return value, None


def _fixes(value: Any, column: str) -> tuple[Fix, ...]:
    if value is None:
        return ()
    found = []
    for index, one in enumerate(value if isinstance(value, list | tuple) else [value]):
        place = f"{column}[{index}]"
        if isinstance(one, str):
            one = {"patch": one}
        if not isinstance(one, Mapping) or not (one.get("files") or one.get("patch")):
            raise BadRow("wrong solution", place, f"it is {repr(one)[:60]}", '{"files": …} or {"patch": …}')
        patch = reading.optional_text(one, "patch")
        found.append(Fix(patch=patch) if patch else Fix(files=_files(one.get("files"), f"{place}.files")))
    return tuple(found)


def _files(value: Any, column: str) -> dict[str, str]:
    held = reading.parsed(value, column)
    if held is None:
        return {}
    if not isinstance(held, Mapping):
        raise BadRow("wrong type", column, f"it is a {type(held).__name__}", "an object {path: text}")
    files = {}
    for path, source in held.items():
        if source is None:  # Arrow gives every row all paths that any row has
            continue
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or str(pure) != path or path in ("", "."):
            raise BadRow(
                "unsafe path", column, f"it has {path[:80]!r}", "relative paths such as package/module.py"
            )
        if not isinstance(source, str):
            raise BadRow(
                "wrong type", f"{column}.{path}", f"it is a {type(source).__name__}", "the file's text"
            )
        reading.encodable(source, f"{column}.{path}")
        files[path] = source
    return files


def _titles(row: Mapping[str, Any]) -> dict[str, str]:
    value = row.get("title")
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    return reading.texts(row, "title", "title")


def _id(row: Mapping[str, Any]) -> str | None:
    value = row.get("id")
    return str(value) if isinstance(value, str | int) and str(value).strip() else None


def _comparison(row: Mapping[str, Any]) -> Comparison:
    value = row.get("compare")
    if value is None:
        return "tokens"
    if value not in get_args(Comparison):
        known = ", ".join(get_args(Comparison))
        raise BadRow("unknown comparison", "compare", f"it is {repr(value)[:40]}", f"one of {known}")
    return cast("Comparison", value)


def _tolerance(row: Mapping[str, Any]) -> float:
    value = row.get("tolerance")
    if value is None:
        return 1e-6
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise BadRow(
            "wrong tolerance", "tolerance", f"it is {repr(value)[:40]}", "a number from 0 to below 1"
        )
    return float(value)


def _limit(row: Mapping[str, Any], ours: str, named: str) -> tuple[Any, str]:
    return (
        (row[named], named) if row.get(ours) is None and row.get(named) is not None else (row.get(ours), ours)
    )


def _level(row: Mapping[str, Any]) -> int | None:
    value = row.get("level")
    found = reading.level_word(value)
    if found is None and isinstance(value, int | float):
        raise BadRow("wrong level", "level", f"it is {value}", "a whole number, 1 or more")
    return found


def _tags(row: Mapping[str, Any]) -> tuple[str, ...]:
    value = row.get("tags")
    return tuple(str(one) for one in value) if isinstance(value, list | tuple) else ()
