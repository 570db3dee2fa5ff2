"""Rows of LiveCodeBench (Jain et al. 2024), whose hidden tests are JSON, or JSON in a pickle, packed.

A pickle can run any code when it is loaded. This one is never loaded: what LiveCodeBench packs is a single string,
so its few operations are listed by `pickletools` and the string is taken; a pickle with any other operation is
refused.
"""

from __future__ import annotations

import base64
import binascii
import io
import pickletools
import zlib
from collections.abc import Mapping
from typing import Any

from ahalab.prompts.cells import BadRow, joined, present
from ahalab.prompts.contest import reading
from ahalab.prompts.contest.apps import class_of
from ahalab.prompts.contest.problem import Problem

UNPACKED_BYTES = 512 * 2**20
"""Hidden tests larger than this are refused. Our choice: the largest seen in public sets are tens of megabytes."""

_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_HARMLESS = frozenset({"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"})


def read(row: Mapping[str, Any]) -> Problem:
    """The problem in a row. Raises BadRow."""
    metadata = reading.parsed(row.get("metadata") or {}, "metadata")
    function = metadata.get("func_name") if isinstance(metadata, Mapping) else None
    if function is not None and not isinstance(function, str):
        raise BadRow(
            "wrong type", "metadata.func_name", f"it is a {type(function).__name__}", "a name, or nothing"
        )
    starter = reading.optional_text(row, "starter_code")
    tests = _tests(present(row, "public_test_cases", "tests"), "public_test_cases", function)
    hidden = row.get("private_test_cases")
    if isinstance(hidden, str) and hidden.strip() and hidden.lstrip()[:1] not in "[{":
        hidden = unpacked(hidden, "private_test_cases")
    if hidden not in (None, ""):
        tests += _tests(hidden, "private_test_cases", function)
    title = reading.optional_text(row, "question_title")
    return Problem(
        statements={"": joined(row, "question_content", "question")},
        titles={"": title.strip()} if title else {},
        tests=reading.some(tests, "private_test_cases"),
        id=reading.optional_text(row, "question_id"),
        function=function or None,
        class_name=class_of(starter, ()) if function else None,
        signature=starter if function else None,
        level={"easy": 1, "medium": 2, "hard": 3}.get(str(row.get("difficulty")).lower()),
    )


def _tests(value: Any, column: str, function: str | None) -> list[dict[str, Any]]:
    listed = reading.parsed(value, column) if value != "" else []
    if not isinstance(listed, list | tuple):
        raise BadRow("wrong type", column, f"it is a {type(listed).__name__}", "a list of tests")
    tests = []
    for index, one in enumerate(listed):
        place = f"{column}[{index}]"
        if not isinstance(one, Mapping) or "input" not in one or "output" not in one:
            raise BadRow("wrong test", place, f"it is {repr(one)[:60]}", "a test with input and output")
        if not function:
            tests.append(reading.stdin_test(one["input"], one["output"], place))
            continue
        # Every argument is JSON on a line of its own.
        lines = str(one["input"]).split("\n")
        arguments = [reading.parsed(line, f"{place}.input") for line in lines if line.strip()]
        tests.append(reading.call_test(arguments, reading.parsed(one["output"], f"{place}.output"), place))
    return tests


def unpacked(packed: str, column: str) -> str:
    """The JSON text in base64 of a zlib stream of a pickled string. Raises BadRow; runs nothing."""
    try:
        pressed = base64.b64decode(packed.strip(), validate=True)
        stream = zlib.decompressobj()
        pickled = stream.decompress(pressed, UNPACKED_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        found = f"it is neither JSON nor packed tests ({error})"
        raise BadRow("packing unreadable", column, found, "JSON, or base64 of a zlib stream") from None
    if len(pickled) >= UNPACKED_BYTES:
        found = f"it unpacks to more than {UNPACKED_BYTES} bytes"
        raise BadRow("packing unreadable", column, found, "tests of a smaller size")
    if not stream.eof:
        raise BadRow("packing unreadable", column, "it is cut off", "a whole zlib stream")
    return pickled_string(pickled, column)


def pickled_string(pickled: bytes, column: str) -> str:
    """The one string that a pickle holds, read without loading it. Raises BadRow for every other pickle."""
    strings: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(io.BytesIO(pickled)):
            if operation.name in _STRINGS and isinstance(argument, str):
                strings.append(argument)
            elif operation.name not in _HARMLESS:
                found = f"its pickle holds {operation.name}, not a string alone: it might run code, so it is not loaded"
                raise BadRow("unsafe pickle", column, found, "a pickled string")
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        raise BadRow(
            "packing unreadable", column, f"its pickle cannot be read: {error}", "a pickled string"
        ) from None
    if len(strings) != 1:
        raise BadRow(
            "unsafe pickle", column, f"its pickle holds {len(strings)} strings", "one pickled string"
        )
    return strings[0]
