"""Problems, programs and an executor for the tests of test-case generation. Programs here are ordinary functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.sandbox.records import Limits, Outcome, Program, SandboxFailure, Status

Behaviour = Callable[[str], "str | Outcome"]


def outcome(stdout: str = "", status: Status = "ok", stderr: str = "", cpu_seconds: float = 0.01) -> Outcome:
    """What one run did."""
    return Outcome(status, stdout, stderr, 0 if status == "ok" else None, cpu_seconds, cpu_seconds, None)


class PretendExecutor:
    """Runs `programs`: source → what it does with a stdin text. A generator gets its seed, as text."""

    def __init__(self, programs: Mapping[str, Behaviour], fail_first: int = 0) -> None:
        self.programs = programs
        self.runs: list[tuple[str, str]] = []
        self.closed = 0
        self._failures = fail_first

    def run(self, program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Outcome]:
        source = program.files.get("generator.py", program.source)
        behaviour = self.programs[source]
        for stdin in inputs:
            if self._failures:
                self._failures -= 1
                raise SandboxFailure("no more processes")
            self.runs.append((source, stdin))
            done = behaviour(stdin.strip() if source in _GENERATORS else stdin)
            if isinstance(done, str):
                over = len(done.encode("utf-8", "surrogatepass")) > limits.output_bytes
                done = outcome(done, "output limit" if over else "ok")
            yield done

    def close(self) -> None:
        self.closed += 1


_GENERATORS: set[str] = set()


def generator(name: str) -> str:
    """A source whose behaviour is asked with the bare seed."""
    source = f"# {name}\n"
    _GENERATORS.add(source)
    return source


def problem(
    name: str = "double",
    good: Sequence[str] = ("good",),
    bad: Sequence[str] = (),
    tests: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """A row in our own layout."""
    return {
        "id": name,
        "question": {"en": f"Problem {name}: print twice the number.", "zh": "输出这个数的两倍。"},
        "tests": list(tests),
        "solutions": {
            "good": [{"language": "python", "source": one} for one in good],
            "bad": [{"language": "python", "source": one} for one in bad],
        },
        **more,
    }


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A JSONL file."""
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
