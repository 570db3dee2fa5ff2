"""The bundled sets as tables: rows in memory, in our own layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ahalab.errors import UserError
from ahalab.prompts.table import HEAD_ROWS
from ahalab.world.contest import BugProblem, ContestProblem, load_bugs, load_contest

BuiltinSet = Literal["contest", "bugs"]


class MemoryTable:
    """Rows in memory, as a `RowTable`."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], label: str) -> None:
        self.label = label
        self._rows = [dict(row) for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def columns(self) -> list[str]:
        return list(dict.fromkeys(column for row in self._rows for column in row))

    def head(self) -> list[dict[str, Any]]:
        return self._rows[:HEAD_ROWS]

    def select(self, columns: Sequence[str]) -> None:
        """Nothing to do: the rows are there."""

    def row(self, index: int) -> dict[str, Any]:
        return self._rows[index]

    def number(self, index: int) -> int:
        return index + 1


def bundled_table(name: BuiltinSet, split: str, levels: Sequence[int] | None, where: str) -> MemoryTable:
    """The rows of a bundled set: of a split ("all", "train", "held_out"), of some levels.

    Raises UserError: it has no problem of these levels.
    """
    problems = load_contest() if name == "contest" else load_bugs()
    chosen = [
        one for one in problems if split in ("all", one.split) and (levels is None or one.level in levels)
    ]
    if not chosen:
        there = sorted({one.level for one in problems})
        raise UserError(
            f"{where}.levels: builtin:{name} has no problem of the levels {list(levels or ())} in its split {split}; "
            f"its levels are {there}"
        )
    return MemoryTable(map(_row, chosen), f"builtin:{name}")


def _row(problem: ContestProblem | BugProblem) -> dict[str, Any]:
    """In our own layout."""
    stated: dict[str, Any] = {
        "id": problem.id,
        "level": problem.level,
        "cpu_seconds": problem.cpu_seconds,
    }
    if isinstance(problem, BugProblem):
        return stated | {
            "issue": dict(problem.question),
            "files": dict(problem.files),
            "tests": dict(problem.tests),
            "solutions": {"good": [{"files": dict(problem.fix)}]},
        }
    return stated | {
        "title": problem.title,
        "question": dict(problem.question),
        "function": problem.function,
        "class": problem.class_name,
        "signature": problem.signature,
        "tests": [dict(test) for test in problem.tests],
        "compare": problem.compare,
        "tolerance": problem.tolerance,
        "checker": problem.checker,
        "memory_megabytes": problem.memory_megabytes,
        "tags": list(problem.tags),
        "generator": problem.generator,
        "solutions": {
            "good": [{"language": one.language, "source": one.source} for one in problem.good],
            "bad": [
                {"language": one.language, "source": one.source, "verdict": one.verdict}
                for one in problem.bad
            ],
        },
    }
