"""Cells of code data sets: JSON inside text, tests in many forms, limits in words. What is wrong is a `BadRow`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ahalab.prompts.cells import BadRow, text
from ahalab.prompts.contest.problem import CPU_SECONDS, MEMORY_MEGABYTES, Solution
from ahalab.sandbox.records import ProgramLanguage

LEAST_MEGABYTES = 64
"""Our choice: less than this is about C or C++; a Python that imports its library takes 20 to 40 MB."""
MOST_SECONDS = 60.0
"""The verifier takes no longer ones; no known contest states more."""
MOST_MEGABYTES = 65_536

_SIZE = r"(\d+(?:\.\d+)?)\s*([a-z]*)"
_SIZES = re.compile(rf"{_SIZE}(?:\s*(?:-|–|to)\s*{_SIZE})?\.?")
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3}
_SECONDS |= {"millisecond": 1e-3, "milliseconds": 1e-3, "min": 60.0, "minute": 60.0, "minutes": 60.0}
_MEGABYTES = {"": 1.0, "m": 1.0, "mb": 1.0, "mib": 1.0, "megabyte": 1.0, "megabytes": 1.0, "mbytes": 1.0}
_MEGABYTES |= {"g": 1024.0, "gb": 1024.0, "gib": 1024.0, "gigabyte": 1024.0, "gigabytes": 1024.0}
_MEGABYTES |= {"k": 2**-10, "kb": 2**-10, "kib": 2**-10, "kilobyte": 2**-10, "kilobytes": 2**-10}
_MEGABYTES |= {"b": 2**-20, "byte": 2**-20, "bytes": 2**-20}

_LEVELS = {
    "introductory": 1,
    "interview": 2,
    "competition": 3,
    "easy": 1,
    "medium": 2,
    "medium_hard": 3,
    "hard": 4,
    "very_hard": 5,
}
"""Words for a difficulty in APPS, TACO and LiveCodeBench; other words are no level."""

_LANGUAGES: dict[str, ProgramLanguage] = {
    "python": "python",
    "python3": "python",
    "py": "python",
    "py3": "python",
    "cpp": "cpp",
    "c++": "cpp",
    "cc": "cpp",
    "c++17": "cpp",
    "cpp17": "cpp",
}


def parsed(value: Any, column: str) -> Any:
    """What the JSON in a text says; a value that is no text is taken as it is. Raises BadRow."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise BadRow("not UTF-8", column, "it has other bytes", "UTF-8 text") from None
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=_no_constant)
    except RecursionError:
        raise BadRow("not JSON", column, "it nests too deep", "JSON") from None
    except json.JSONDecodeError as error:
        ended = error.pos >= len(value.rstrip()) or error.msg.startswith("Unterminated")
        cut = " (the text ends there: was it cut off?)" if ended else ""
        found = f"it is not JSON: {error.msg} at character {error.pos + 1} of {len(value)}{cut}"
        raise BadRow("not JSON", column, found, "JSON") from None
    except ValueError as error:  # a number with thousands of digits, NaN
        raise BadRow("not JSON", column, f"it cannot be read: {error}", "JSON") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def optional_text(row: Mapping[str, Any], column: str) -> str | None:
    """A cell's text as it stands (code keeps its white space), None where it is blank or missing. Raises BadRow."""
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRow("wrong type", column, f"it is a {type(value).__name__}", "text, or nothing")
    encodable(value, column)
    return value if value.strip() else None


def texts(row: Mapping[str, Any], column: str, what: str) -> dict[str, str]:
    """A text, or one a language ({"en": …, "zh": …}): language ("" where it is not said) -> text. Raises BadRow."""
    value = row.get(column)
    if value is None:
        found = "it is null" if column in row else "the row has no such key"
        raise BadRow(f"no {what}", column, found, f"the {what}")
    if not isinstance(value, Mapping):
        return {"": text(value, column, what)}
    # Arrow gives every row all keys that any row has, those it lacks as null.
    found_texts = {
        str(key): text(one, f"{column}.{key}", what) for key, one in value.items() if one is not None
    }
    unknown = [key for key in found_texts if key not in ("en", "zh")]
    if unknown or not found_texts:
        found = f"it has the languages {', '.join(found_texts) or 'none'}"
        raise BadRow(f"no {what}", column, found, "a text, or texts for en, zh")
    return found_texts


def stdin_test(given: Any, wanted: Any, place: str) -> dict[str, Any]:
    """A test of a program. APPS writes lines as lists, others numbers. Raises BadRow."""
    return {"stdin": _lines(given, f"{place}.input"), "stdout": _lines(wanted, f"{place}.output")}


def call_test(given: Any, wanted: Any, place: str) -> dict[str, Any]:
    """A test of a function: its arguments, and what it returns. Raises BadRow."""
    if not isinstance(given, list | tuple):
        found = f"it is {repr(given)[:60]}"
        raise BadRow("wrong arguments", f"{place}.input", found, "a list with the function's arguments")
    _finite(given, f"{place}.input")
    _finite(wanted, f"{place}.output")
    return {"input": list(given), "output": wanted}


def paired(inputs: Any, outputs: Any, column: str) -> list[tuple[Any, Any]]:
    """Inputs beside outputs. Raises BadRow where they are no lists, or of different lengths."""
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(value, list | tuple):
            raise BadRow("wrong type", column, f"its {name} are a {type(value).__name__}", "a list of them")
    if len(inputs) != len(outputs):
        found = f"it has {len(inputs)} inputs and {len(outputs)} outputs"
        raise BadRow("mismatched tests", column, found, "one output for every input")
    return list(zip(inputs, outputs, strict=True))


def some(tests: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    """The tests, of which there must be one. Raises BadRow."""
    if not tests:
        raise BadRow(
            "no tests", column, "it has none", "at least one test: without tests nothing can be graded"
        )
    return tests


def solution(value: Any, column: str) -> Solution:
    """A solution: its source, or an object with source and language. Raises BadRow."""
    if isinstance(value, str):
        value = {"source": value}
    if not isinstance(value, Mapping):
        raise BadRow(
            "wrong solution", column, f"it is a {type(value).__name__}", "source text, or an object with it"
        )
    source = next((value[key] for key in ("source", "code", "solution") if value.get(key) is not None), None)
    if not isinstance(source, str) or not source.strip():
        raise BadRow("wrong solution", f"{column}.source", "it has none", "the solution's source text")
    encodable(source, f"{column}.source")
    stated = str(value.get("language") or "python")
    language = _LANGUAGES.get(stated.strip().lower())
    if language is None:
        raise BadRow("unknown language", f"{column}.language", f"it is {stated[:40]!r}", "python or cpp")
    verdict = value.get("verdict")
    return Solution(language, source, None if verdict is None else str(verdict))


def solutions(value: Any, column: str) -> tuple[Solution, ...]:
    """Solutions in a list or as JSON of one; none where the cell is blank. Raises BadRow."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str) and (value.lstrip()[:1] not in ("[", "{", '"') or value.lstrip()[:3] == '"""'):
        return (solution(value, column),)
    found = parsed(value, column)
    listed: Sequence[Any] = found if isinstance(found, list | tuple) else [found]
    return tuple(solution(one, f"{column}[{index}]") for index, one in enumerate(listed))


def seconds(value: Any, column: str) -> float:
    """A time limit: a number, "2.0 seconds", "1 - 2 sec" (the larger); 2 s where none is stated. Raises BadRow."""
    return _limit(value, column, _SECONDS, CPU_SECONDS, MOST_SECONDS, "a time such as 2 seconds")


def megabytes(value: Any, column: str) -> int:
    """A memory limit: a number, "256.0 megabytes"; 256 MB where none is stated, 64 at least. Raises BadRow."""
    expected = "a size such as 256 megabytes"
    found = _limit(value, column, _MEGABYTES, float(MEMORY_MEGABYTES), float(MOST_MEGABYTES), expected)
    return max(LEAST_MEGABYTES, math.ceil(found))


def level_word(value: Any) -> int | None:
    """The level that a data set's own word or number for a difficulty stands for; None for other words."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 1 else None
    written = str(value or "").strip().lower()
    return _LEVELS.get(written) or (int(written) if re.fullmatch(r"[1-9]\d{0,3}", written) else None)


def _limit(
    value: Any, column: str, units: Mapping[str, float], default: float, most: float, expected: str
) -> float:
    written = str(value).strip().lower()
    if value is None or written in ("", "none", "null", "nan"):
        return default
    known = isinstance(value, str | int | float) and not isinstance(value, bool)
    found = _SIZES.fullmatch(written) if known else None
    sizes = []
    if found is not None:
        first, unit, second, last = found.groups()
        # "1 - 2 sec": the first number has the unit of the second.
        both = [(first, unit or last or ""), (second, last)] if second is not None else [(first, unit)]
        sizes = [float(number) * units[name] for number, name in both if name in units]
    if not sizes or not 0 < max(sizes) <= most:
        raise BadRow("wrong limit", column, f"it is {written[:40]!r}", f"{expected}, at most {most:g}")
    return max(sizes)


def _lines(value: Any, place: str) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(_lines(one, place) for one in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRow("wrong type", place, f"it is a {type(value).__name__}", "text, or a list of lines")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRow("wrong type", place, f"it is {value}", "text, or a finite number")
    written = str(value)
    encodable(written, place)
    return written


def encodable(value: str, place: str) -> None:
    """Raises BadRow for half a surrogate pair, which no file and no tokenizer can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRow(
            "not Unicode", place, "it holds half of a surrogate pair", "valid Unicode text"
        ) from None


def _finite(value: Any, place: str) -> None:
    """JSON has no NaN; a test with one could be neither logged nor compared."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRow("wrong type", place, f"it holds {value}", "JSON values")
    if isinstance(value, str):
        encodable(value, place)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            encodable(str(key), place)
            _finite(one, place)
    elif isinstance(value, list | tuple):
        for one in value:
            _finite(one, place)
