"""The file of problems: every row is checked before anything is spent, and read again when its turn comes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ahalab.datatools.testcases.inputs import Generator
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.contest.bundled import bundled_table
from ahalab.prompts.contest.layouts import LAYOUTS, Layout, recognise
from ahalab.prompts.contest.own import read_contest
from ahalab.prompts.contest.problem import Problem
from ahalab.prompts.files import open_table
from ahalab.runs.hashing import config_hash
from ahalab.runs.jsonl import JsonlReader

WHERE = "aha data tests"
BUILTIN = "builtin:contest"
_PROGRAM = '{"id": "the problem\'s id", "generators": ["source", …]}'


@dataclass(frozen=True, slots=True)
class Row:
    """One problem of the file."""

    name: str
    """Its id, or "row 7"."""
    problem: Problem
    whole: Mapping[str, Any] | None
    """The row as it came, where it is in our own layout."""

    def with_tests(self, tests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The row with other tests, in our own layout; whatever else a row in that layout holds stays."""
        if self.whole is not None:
            return {**self.whole, "tests": list(tests)}
        return replace(self.problem, id=self.name, tests=list(tests)).row()


class ProblemFile:
    """The problems of a file in one of the known layouts (docs/code-data.md), or the bundled ones. In our own layout
    `tests` may be missing or empty here.

    Raises:
        UserError: no such file, no row, a bad row (unless `skip_bad_rows`: then counted in `skipped`), an id that
            stands twice, or problems of another kind; names file, row and column.
    """

    def __init__(self, path: str, *, limit: int | None = None, skip_bad_rows: bool = False) -> None:
        self.path = path
        self.skipped: Counter[str] = Counter()
        self._table = (
            bundled_table("contest", "all", None, WHERE) if path == BUILTIN else open_table(Path(path), WHERE)
        )
        self._layout = self._known_layout()
        self._places: list[int] = []
        self.names: list[str] = []
        digest = hashlib.sha256()
        known: set[str] = set()
        for index in range(len(self._table)):
            if limit is not None and len(self._places) == limit:
                break
            try:
                row = self._read(index)
                if row.name in known:
                    raise BadRow(
                        "id twice", "id", f"an earlier row has {row.name[:60]!r} too", "an id of its own"
                    )
            except BadRow as bad:
                if not skip_bad_rows:
                    raise self._refusal(index, bad) from None
                self.skipped[bad.reason] += 1
                continue
            known.add(row.name)
            self._places.append(index)
            self.names.append(row.name)
            digest.update(config_hash([row.name, row.problem.row()]).encode())
        self.sha256 = digest.hexdigest()
        """Of the problems, in order."""
        if not self._places:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items())
            raise UserError(f"{path}: no problem is in it" + (f" (bad rows: {reasons})" if reasons else ""))

    def __len__(self) -> int:
        return len(self._places)

    def row(self, place: int) -> Row:
        """The problem number `place`, from 0. UserError where the file changed meanwhile."""
        try:
            found = self._read(self._places[place])
        except BadRow as bad:
            raise self._refusal(self._places[place], bad) from None
        if found.name != self.names[place]:
            raise UserError(
                f"{self.path}: it changed while the command ran; put it back and run the command again"
            )
        return found

    def _known_layout(self) -> Layout | None:
        """The layout of another data set, None for our own."""
        columns = self._table.columns()
        found = recognise(columns)
        if found is not None and found.name == "bug_fix":
            raise UserError(
                f"{self.path}: bug-fix tasks bring unit tests of their own; expected contest problems"
            )
        if found is None and not {"question", "solutions"} <= set(columns):
            known = ", ".join(layout.title for layout in LAYOUTS if layout.name not in ("bug_fix", "contest"))
            raise UserError(
                f"{self._table.label} has none of the known layouts of contest problems. Columns there: "
                f"{', '.join(columns)}. Expected our own layout (docs/code-data.md: `question`, `solutions`; `tests` "
                f"may be left out here), or that of {known}. "
                "`aha data check FILE --column question=… --column tests=… --column solutions=… --out NEW.jsonl` "
                "writes a table with tests in our own layout"
            )
        return None if found is None or found.name == "contest" else found

    def _read(self, index: int) -> Row:
        whole = self._table.row(index)
        if self._layout is None:
            problem = read_problem(whole)
        else:
            task = self._layout.read(whole)
            assert isinstance(task, Problem)
            problem = task
        name = problem.id or f"row {self._table.number(index)}"
        return Row(name, problem, whole if self._layout is None else None)

    def _refusal(self, index: int, bad: BadRow) -> UserError:
        column = f", column {bad.column!r}" if bad.column else ""
        return UserError(
            f"{self._table.label}, row {self._table.number(index)}{column}: expected {bad.expected}, but {bad.found}. "
            "Correct the row (docs/code-data.md has the layout), or leave such rows out with --skip-bad-rows"
        )


def read_problem(row: Mapping[str, Any]) -> Problem:
    """The problem in a row of our own layout, tests or not. Raises BadRow."""
    if row.get("tests"):
        return read_contest(row)
    # Prompts need tests; here they are still to be made.
    stand_in: dict[str, Any] = {"stdin": "", "stdout": ""}
    if row.get("function"):
        stand_in = {"input": [], "output": None}
    return replace(read_contest({**row, "tests": [stand_in]}), tests=())


def read_generators(paths: Sequence[Path]) -> tuple[list[Generator], dict[str, list[Generator]]]:
    """Programs for every problem (files ending in .py), and those of single problems (rows of .jsonl files).

    Raises:
        UserError: a file that is missing, of another kind or not UTF-8, or a row of another form.
    """
    common: list[Generator] = []
    single: dict[str, list[Generator]] = {}
    for path in paths:
        if path.suffix == ".py":
            common.append(Generator(_source(path), "file"))
        elif path.suffix == ".jsonl":
            for row in (reader := JsonlReader(path)):
                name, sources = _programs(row, f"{path}, row {reader.row}")
                single.setdefault(name, []).extend(Generator(one, "file") for one in sources)
        else:
            raise UserError(
                f"--generators {path}: expected a .py file (for every problem), or a .jsonl file of {_PROGRAM}"
            )
    return common, single


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--generators {path}: it cannot be read as UTF-8 text ({error})") from None


def _programs(row: Mapping[str, Any], where: str) -> tuple[str, list[str]]:
    name, sources = row.get("id"), row.get("generators", row.get("source"))
    if isinstance(sources, str):
        sources = [sources]
    whole = isinstance(sources, list) and all(isinstance(one, str) for one in sources)
    if not isinstance(name, str | int) or not isinstance(sources, list) or not whole:
        raise UserError(f"{where}: expected {_PROGRAM}")
    return str(name), sources
