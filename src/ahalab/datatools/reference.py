"""`aha data check`: the reference solutions of code problems through the verifier that will grade answers to them.

A problem none of whose reference solutions passes its own tests teaches that right answers are wrong: it is named with
the verdict and left out. What was found goes to the report, a line a problem; the same command takes it up again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ahalab.datatools.reading import Watch
from ahalab.datatools.stream import Row, open_stream
from ahalab.datatools.writing import RowWriter
from ahalab.errors import UserError
from ahalab.grading.pool import GraderPool
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.prompts.config import FileEntry
from ahalab.prompts.contest import wording
from ahalab.prompts.contest.mapping import CodeMapping, resolve_code
from ahalab.prompts.contest.options import CodeOptions
from ahalab.prompts.contest.problem import BugFix, Solution, Task
from ahalab.prompts.lines import bad_row_error
from ahalab.prompts.table import HEAD_ROWS
from ahalab.records import GradeRequest, Verdict
from ahalab.runs.jsonl import JsonlWriter, read_jsonl
from ahalab.validation import validate

ACCEPTED = "accepted"
NO_REFERENCE = "no reference solution"
NOT_JUDGED = "not judged"
"""The grading itself failed: says nothing of the problem, and is tried again next time."""

BATCH_PROBLEMS = 32
BATCH_CHARACTERS = 16_000_000
"""Problems that are graded side by side, so that memory has a bound. Our choice."""


def every_test(**options: Any) -> CodeOptions:
    """Options that keep all tests of a problem, whatever language its solutions are in."""
    return CodeOptions(language="any", max_tests=1_000_000, max_test_megabytes=1024.0, **options)


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """How strictly problems are looked at."""

    options: CodeOptions = field(default_factory=every_test)
    verifier: str | None = None
    solutions: int = 3
    """Reference solutions tried of a problem at most, in their order."""
    strict: bool = False
    """All that are tried must pass; otherwise one is enough, and those that fail are dropped."""
    keep_unchecked: bool = False
    """Write problems without a reference solution too."""
    skip_bad_rows: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one problem: a line of the report."""

    row: int
    id: str | None
    title: str | None
    verdict: str
    solutions: tuple[str, ...]
    """A verdict for each reference solution tried."""
    total: int
    """Reference solutions that the problem has."""
    key: str
    """Digest of the problem and the settings: with another one it is checked anew."""
    detail: str = ""

    def good(self, settings: CheckSettings) -> bool:
        """Whether the problem is written."""
        return self.verdict == ACCEPTED or (self.verdict == NO_REFERENCE and settings.keep_unchecked)

    def line(self) -> dict[str, Any]:
        """As the report has it."""
        return {name: getattr(self, name) for name in self.__slots__} | {"solutions": list(self.solutions)}

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> Checked:
        """What `line` wrote. Raises TypeError or KeyError for a line of something else."""
        return cls(**{**line, "solutions": tuple(line["solutions"])})


@dataclass
class Summary:
    """What the whole check found."""

    layout: str
    checked: list[Checked] = field(default_factory=list)
    """Problems that are not good, in order of their rows."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """Problems by verdict."""
    solutions: Counter[str] = field(default_factory=Counter)
    """Reference solutions tried, by verdict."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows of a kind that cannot be graded, by reason."""
    bad_rows: Counter[str] = field(default_factory=Counter)
    reused: int = 0
    """Problems taken over from an earlier report."""
    written: int = 0
    seconds: float = 0.0

    @property
    def problems(self) -> int:
        return self.verdicts.total()


class ReferenceCheck:
    """One check of one file. `run` may be interrupted, and taken up again by the same command."""

    def __init__(
        self,
        file: Path,
        report: Path,
        pool: GraderPool,
        settings: CheckSettings | None = None,
        *,
        out: Path | None = None,
        overwrite: bool = False,
        watch: Watch | None = None,
    ) -> None:
        self._file, self.report, self._pool, self._out = file, report, pool, out
        self._settings = settings or CheckSettings()
        self._overwrite, self._watch = overwrite, watch or Watch()
        for one in (report, out):
            if one is not None and one.absolute() == file.absolute():
                raise UserError(f"{one} is the file that is checked; choose another name")
        if out is not None and out.exists() and not overwrite:
            raise UserError(f"{out} is there already; choose another name, or replace it with --overwrite")
        self._mapping = self._resolve()
        self._summary = Summary(self._mapping.layout.title)
        self._done: dict[int, Checked] = {}

    def run(self) -> Summary:
        """Check every problem, then write the good ones.

        Raises:
            UserError: a bad row (unless they may be skipped), no problem at all, no sandbox.
            Interrupted: Ctrl-C; what was checked is in the report.
        """
        started = time.monotonic()
        before = self._before()
        with JsonlWriter(self.report) as report:
            pending: list[tuple[Row, Task, str]] = []
            size = 0
            for row, task in self._tasks():
                key = self._key(task)
                known = before.get(row.number)
                if known is not None and known.key == key and known.verdict != NOT_JUDGED:
                    self._note(known)
                    self._summary.reused += 1
                    continue
                pending.append((row, task, key))
                size += len(row.raw) if row.raw is not None else 100_000
                if len(pending) >= BATCH_PROBLEMS or size >= BATCH_CHARACTERS:
                    self._check(pending, report)
                    pending, size = [], 0
            self._check(pending, report)
        if not self._summary.problems:
            reasons = self._summary.left_out + self._summary.bad_rows
            told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
            raise UserError(f"{self._file} has no problem to check" + (f" ({told})" if told else ""))
        if self._out is not None:
            self._write(self._out)
        self._summary.checked.sort(key=lambda one: one.row)
        self._summary.seconds = time.monotonic() - started
        return self._summary

    def _resolve(self) -> CodeMapping:
        stream = open_stream(self._file)
        try:
            head = [row.values for row in islice(stream, HEAD_ROWS) if row.bad is None]
        finally:
            stream.close()
        columns = list(dict.fromkeys(column for values in head for column in values))
        entry = {"file": str(self._file), "verifier": self._settings.verifier, "code": self._settings.options}
        given = validate(
            FileEntry, {key: value for key, value in entry.items() if value is not None}, "aha data check"
        )
        mapping = resolve_code(given, columns, str(self._file), "aha data check")
        assert mapping is not None  # `code` is given
        return mapping

    def _tasks(self) -> Iterator[tuple[Row, Task]]:
        """Every row that holds a problem. Bad ones are refused or counted, others left out and counted."""
        stream = open_stream(self._file)
        # Whole megabytes (of a small file kilobytes), so that the last one is reached.
        unit, scale = ("MB", 10**6) if stream.total >= 20 * 10**6 else ("kB", 10**3)
        if stream.format == "Parquet":
            unit, scale = "row", 1
        self._watch.progress.begin("checking", max(1, stream.total // scale), unit)
        try:
            for row in stream:
                self._watch.check()
                try:
                    if row.bad is not None:
                        raise row.bad
                    task = self._mapping.task(row.values)
                except LeftOut as left:
                    self._summary.left_out[left.reason] += 1
                except BadRow as bad:
                    if not self._settings.skip_bad_rows:
                        raise bad_row_error(str(self._file), row.number, bad) from None
                    self._summary.bad_rows[bad.reason] += 1
                else:
                    yield row, task
                    self._watch.progress.advance(min(stream.done, stream.total) // scale, self._figures())
            self._watch.progress.advance(max(1, stream.total // scale), self._figures())
        finally:
            stream.close()
            self._watch.progress.end()

    def _figures(self) -> dict[str, int]:
        verdicts = self._summary.verdicts
        return {
            "problems": self._summary.problems,
            "accepted": verdicts[ACCEPTED],
            "unchecked": verdicts[NO_REFERENCE],
        }

    def _check(self, pending: Sequence[tuple[Row, Task, str]], report: JsonlWriter) -> None:
        """Grade the solutions of some problems side by side, and write down what came of them."""
        self._watch.check()
        requests: list[GradeRequest] = []
        spans: list[tuple[int, int]] = []
        for _, task, _ in pending:
            first = len(requests)
            requests += self._requests(task)
            spans.append((first, len(requests)))
        verdicts = self._pool.grade_all(requests)
        for (row, task, key), (first, end) in zip(pending, spans, strict=True):
            found = self._found(row, task, key, verdicts[first:end])
            report.append(found.line())
            self._note(found)

    def _requests(self, task: Task) -> list[GradeRequest]:
        good = task.good[: self._settings.solutions]
        if not good:
            return []
        verifier = self._mapping.verifier
        extra = self._mapping.grading(task)
        answers = [
            wording.solution_answer(one) if isinstance(one, Solution) else wording.fix_answer(one)
            for one in good
        ]
        # The answer is its own gold: no length is too long for it.
        return [GradeRequest(verifier, answer, answer, extra) for answer in answers]

    def _found(self, row: Row, task: Task, key: str, verdicts: Sequence[Verdict]) -> Checked:
        names = tuple(_name(one) for one in verdicts)
        failed = [name for name in names if name not in (ACCEPTED, NOT_JUDGED)]
        if not names:
            verdict = NO_REFERENCE
        elif ACCEPTED in names and not (self._settings.strict and (failed or NOT_JUDGED in names)):
            verdict = ACCEPTED
        else:
            verdict = failed[0] if failed else NOT_JUDGED
        errors = [one.error for one in verdicts if one.error is not None]
        if errors and errors[0].startswith("sandbox unavailable"):
            raise UserError(errors[0])
        return Checked(
            row=row.number,
            id=task.id,
            title=wording.text_in(task.titles, "en") or next(iter(task.titles.values()), None),
            verdict=verdict,
            solutions=names,
            total=len(task.good),
            key=key,
            detail=errors[0] if errors and verdict == NOT_JUDGED else "",
        )

    def _note(self, found: Checked) -> None:
        self._summary.verdicts[found.verdict] += 1
        self._summary.solutions.update(found.solutions)
        if found.verdict != ACCEPTED:
            self._summary.checked.append(found)
        self._done[found.row] = found

    def _before(self) -> dict[int, Checked]:
        """Row -> what an earlier check wrote of it."""
        if not self.report.exists():
            return {}
        found: dict[int, Checked] = {}
        reader = read_jsonl(self.report)
        for line in reader:
            try:
                one = Checked.read(line)
            except (TypeError, KeyError):
                raise UserError(
                    f"{self.report}, row {reader.row}: no report of `aha data check`; choose another --report, or "
                    "remove the file"
                ) from None
            found[one.row] = one
        return found

    def _key(self, task: Task) -> str:
        settings = {"solutions": self._settings.solutions, "strict": self._settings.strict}
        options = self._mapping.options.model_dump(mode="json", exclude={"columns", "layout"})
        stated = json.dumps([task.row(), options, settings], sort_keys=True)
        return hashlib.blake2b(stated.encode(), digest_size=12).hexdigest()

    def _write(self, out: Path) -> None:
        """The good problems in our own layout, with the solutions that passed."""
        with RowWriter(out, overwrite=self._overwrite) as writer:
            for row, task in self._again():
                found = self._done.get(row.number)
                if found is None or found.key != self._key(task):
                    raise UserError(
                        f"{self._file}, row {row.number}: the file changed while it was checked; check it again"
                    )
                if found.good(self._settings):
                    writer.write(self._row(task, found))
                    self._summary.written += 1

    def _again(self) -> Iterator[tuple[Row, Task]]:
        stream = open_stream(self._file)
        try:
            for row in stream:
                self._watch.check()
                if row.bad is None:
                    try:
                        task = self._mapping.task(row.values)
                    except (LeftOut, BadRow):
                        continue
                    yield row, task
        finally:
            stream.close()

    @staticmethod
    def _row(task: Task, found: Checked) -> dict[str, Any]:
        passed = [number for number, verdict in enumerate(found.solutions) if verdict == ACCEPTED]
        if isinstance(task, BugFix):
            return task.row([task.good[number] for number in passed])
        return task.row([task.good[number] for number in passed])


def _name(verdict: Verdict) -> str:
    """What a contest would say."""
    if verdict.error is not None or verdict.score is None:
        return NOT_JUDGED
    return verdict.note or (ACCEPTED if verdict.score == 1.0 else "failed")
