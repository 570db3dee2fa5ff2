"""Runs the set's own trusted programs inside one child process: the builder's half that executes code.

It is started by `build` only, with programs that were written for this project and reviewed. It is no sandbox: model
output never comes here (that is `ahalab.sandbox`).
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def run_program(source: str, arguments: Sequence[str], stdin: str) -> str:
    """What a program prints, run in a namespace of its own."""
    kept = sys.stdin, sys.stdout, sys.argv
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    sys.stdout = printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    sys.argv = ["program", *arguments]
    try:
        exec(compile(source, "<program>", "exec"), {"__name__": "__main__"})
        printed.flush()
        buffer = printed.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode()
    finally:
        sys.stdin, sys.stdout, sys.argv = kept


def call_function(source: str, function: str, class_name: str | None, arguments: Sequence[Any]) -> Any:
    """What a function, or the method of a class, returns."""
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, "<program>", "exec"), namespace)
    holder = namespace[class_name]() if class_name else None
    return (getattr(holder, function) if holder is not None else namespace[function])(*arguments)


def tests_of(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The hidden tests of a job {reference, generator, function, class, inputs, seeds}."""
    inputs = list(job["inputs"])
    for arguments in job["seeds"]:
        printed = run_program(job["generator"], arguments, "")
        inputs.append(json.loads(printed) if job["function"] else printed)
    tests: list[dict[str, Any]] = []
    for given in inputs:
        if job["function"]:
            copy = json.loads(json.dumps(given))
            output = call_function(job["reference"], job["function"], job["class"], copy)
            test = {"input": given, "output": json.loads(json.dumps(output, allow_nan=False))}
        else:
            text = given if given.endswith("\n") else given + "\n"
            test = {"stdin": text, "stdout": run_program(job["reference"], [], text)}
        if test not in tests:
            tests.append(test)
    return tests


if __name__ == "__main__":
    job = json.load(sys.stdin)
    result = json.dumps(tests_of(job), ensure_ascii=True)
    sys.stdout.write(result)
