"""From a row of a code data set to prompts: what `RowMapping` is to questions and answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.prompts.contest import wording
from ahalab.prompts.contest.code_io import questions
from ahalab.prompts.contest.layouts import Layout, choose, recognise
from ahalab.prompts.contest.options import CodeOptions
from ahalab.prompts.contest.problem import BugFix, Problem, Task
from ahalab.prompts.contest.reading import MOST_SECONDS
from ahalab.prompts.mapping import CODE_VERIFIERS, ColumnMapping, RowFields, Verifier, level_of
from ahalab.prompts.source import content_hash, detect_language
from ahalab.validation import suggestion


@dataclass(frozen=True)
class CodeMapping:
    """The layout of a table of code problems, and what is made of its rows."""

    layout: Layout
    options: CodeOptions
    names: Mapping[str, str]
    """Name in the layout -> the table's own column."""
    domain: str
    verifier: Verifier
    language: str | None
    level_column: str | None

    @property
    def columns(self) -> dict[str, str]:
        """Recipe key -> column, for every column that is read."""
        level = {} if self.level_column is None else {"level_column": self.level_column}
        return {**{f"code.columns.{name}": column for name, column in self.names.items()}, **level}

    def prompts(self, row: Mapping[str, Any]) -> list[RowFields]:
        """The prompts that `row` makes: one, or several questions about inputs and outputs.

        Raises BadRow; LeftOut for a row that this source makes nothing of.
        """
        task = self.task(row)
        language, statement = self._statement(task)
        level = task.level if self.level_column is None else level_of(row, self.level_column)
        if isinstance(task, BugFix):
            return [self._bug(task, language, statement, level)]
        if self.options.io is not None:
            timed = replace(task, cpu_seconds=_lengthened(task.cpu_seconds, self.options))
            made = questions(timed, statement, language, self.options)
            return [
                RowFields(
                    question=one.text,
                    answer=one.answer,
                    language=language,
                    level=level,
                    extra=one.extra,
                    graded_by=_digest(one.extra),
                )
                for one in made
            ]
        return [self._contest(task, language, statement, level)]

    def task(self, row: Mapping[str, Any]) -> Task:
        """The problem or the bug in a row, with all its tests. Raises BadRow, LeftOut."""
        try:
            return self.layout.read(
                {name: row[column] for name, column in self.names.items() if column in row}
            )
        except BadRow as bad:
            # The person knows the columns by the table's own names.
            head, dot, inside = (bad.column or "").partition(".")
            head, bracket, index = head.partition("[")
            place = f"{self.names.get(head, head)}{bracket}{index}{dot}{inside}"
            raise BadRow(bad.reason, place or None, bad.found, bad.expected) from None

    def describe(self) -> dict[str, Any]:
        """The mapping as the resolved recipe states it."""
        stated: dict[str, Any] = {
            "recognised": self.layout.title if not self.options.columns else None,
            "columns": dict(self.names),
            "domain": self.domain,
            "verifier": self.verifier,
            "language": self.language or "detected",
            "level_column": self.level_column,
            "code": self.options.model_dump(mode="json", exclude_none=True),
        }
        return {name: value for name, value in stated.items() if value is not None}

    def _statement(self, task: Task) -> tuple[str, str]:
        """(language, statement under its title). Raises BadRow where the row has none in the language asked for."""
        column = self.names.get("issue" if isinstance(task, BugFix) else "question")
        texts = task.statements
        if "" in texts:
            language = self.language or detect_language(texts[""])
        elif self.language is not None:
            language = self.language
        else:
            # A problem that is told in several languages keeps to one: its own content decides.
            ordered = sorted(texts)
            language = ordered[int(content_hash(texts[ordered[0]], None, "language"), 16) % len(ordered)]
        statement = wording.text_in(texts, language)
        if statement is None:
            found = f"it has {', '.join(texts)}"
            raise BadRow("no question", column, found, f"a text in the language {language}")
        return language, wording.headed(wording.text_in(task.titles, language), statement)

    def _contest(self, problem: Problem, language: str, statement: str, level: int | None) -> RowFields:
        options = self.options
        extra = self.grading(problem)
        timed = replace(problem, cpu_seconds=extra["cpu_seconds"])
        reference = next((one for one in problem.good if options.language in ("any", one.language)), None)
        return RowFields(
            question=wording.contest_question(timed, statement, language, options.language),
            answer=None if reference is None else wording.solution_answer(reference),
            language=language,
            level=level,
            extra=extra,
            graded_by=_digest(extra),
        )

    def _bug(self, bug: BugFix, language: str, statement: str, level: int | None) -> RowFields:
        extra = self.grading(bug)
        return RowFields(
            question=wording.bug_question(bug, statement, language, self.options.show_tests),
            answer=wording.fix_answer(bug.good[0]) if bug.good else None,
            language=language,
            level=level,
            extra=extra,
            graded_by=_digest(extra),
        )

    def grading(self, task: Task) -> dict[str, Any]:
        """What the verifier "code" or "patch" reads of a task. Raises LeftOut: nothing of it can be tested."""
        options = self.options
        if isinstance(task, BugFix):
            return {
                "files": dict(task.files),
                "tests": dict(task.tests),
                "cpu_seconds": _lengthened(task.cpu_seconds, options),
                "memory_megabytes": task.memory_megabytes,
            }
        if task.function is not None and options.language == "cpp":
            raise LeftOut("functions are tested in Python only")
        stated: dict[str, Any] = {
            "tests": [dict(test) for test in kept_tests(task, options)],
            "function": task.function,
            "class": task.class_name,
            "compare": task.compare,
            "tolerance": task.tolerance,
            "checker": task.checker,
            "language": None if options.language == "any" else options.language,
            "cpu_seconds": _lengthened(task.cpu_seconds, options),
            "memory_megabytes": task.memory_megabytes,
            "partial": options.partial,
        }
        return {name: value for name, value in stated.items() if value is not None}


def resolve_code(given: ColumnMapping, columns: Sequence[str], table: str, where: str) -> CodeMapping | None:
    """The mapping of a table of code problems; None where nothing says that it is one.

    Raises UserError: an unknown layout (it shows the mapping to write), columns that are not there, keys that
    contradict each other.
    """
    if given.code is None and given.verifier not in CODE_VERIFIERS:
        plain: list[object] = [
            given.verifier,
            given.question,
            given.answer,
            given.language_column,
            given.extra or None,
        ]
        plain += [given.choice, given.countdown]
        if any(one is not None for one in plain) or recognise(columns) is None:
            return None
    _refuse_contradictions(given, where)
    options = given.code or CodeOptions()
    if given.verifier == "code_io" and options.io is None:
        options = options.model_copy(update={"io": "both"})
    entry = next((f"{key}: {getattr(given, key)}" for key in ("file", "hub") if hasattr(given, key)), table)
    layout = choose(options, given.verifier, columns, table, entry, where)
    verifier: Verifier = "patch" if layout.name == "bug_fix" else "code" if options.io is None else "code_io"
    if given.verifier not in (None, verifier) or (verifier == "patch" and options.io is not None):
        what = "bugs to fix" if verifier == "patch" else "contest problems"
        allowed = "patch, without code.io" if verifier == "patch" else "code; code_io with code.io"
        raise UserError(
            f"{where}.verifier: the rows of {table} are {what} ({layout.title}); expected {allowed}"
        )
    if given.level_column is not None and given.level_column not in columns:
        raise UserError(
            f"{where}.level_column: {table} has no column {given.level_column!r}; "
            f"{suggestion(given.level_column, columns)}"
        )
    return CodeMapping(
        layout=layout,
        options=options,
        names={name: name for name in (*layout.needs, *layout.reads) if name in columns} | options.columns,
        domain=given.domain or ("logic" if verifier == "code_io" else "code"),
        verifier=verifier,
        language=given.language,
        level_column=given.level_column,
    )


def _refuse_contradictions(given: ColumnMapping, where: str) -> None:
    if given.verifier not in (None, *CODE_VERIFIERS):
        known = ", ".join(CODE_VERIFIERS)
        raise UserError(
            f"{where}.verifier: `code` goes with {known}, not with {given.verifier!r}; leave one of them out"
        )
    for key in ("question", "answer", "answer_after", "strip_thousands", "language_column", "extra"):
        if getattr(given, key):
            raise UserError(
                f"{where}.{key}: it does not go with code problems; say which column is what under `code.columns`"
            )


def kept_tests(problem: Problem, options: CodeOptions) -> list[Mapping[str, Any]]:
    """The tests that the recipe asks for.

    Tests are mostly ordered from easy to hard: those kept are spread over all of them. Where they are too large
    together, the largest go first.

    Raises LeftOut: every test alone is larger than `max_test_megabytes`.
    """
    total, most = len(problem.tests), options.max_tests
    places = range(total) if total <= most else [at * (total - 1) // max(1, most - 1) for at in range(most)]
    sizes = {place: _size(problem.tests[place]) for place in places}
    left, limit = sum(sizes.values()), int(options.max_test_megabytes * 1_000_000)
    for place in sorted(sizes, key=lambda place: (-sizes[place], place)):
        if left <= limit:
            break
        left -= sizes.pop(place)
    if not sizes:
        raise LeftOut("tests too large")
    return [problem.tests[place] for place in sorted(sizes)]


def _lengthened(seconds: float, options: CodeOptions) -> float:
    return min(MOST_SECONDS, seconds * options.time_factor)


def _size(test: Mapping[str, Any]) -> int:
    """Characters, near enough to bytes."""
    if "stdin" in test:
        return len(test["stdin"]) + len(test["stdout"])
    return len(json.dumps(test, ensure_ascii=False))


def _digest(extra: Mapping[str, Any]) -> str:
    """Stands for the tests in a prompt's identity: with other tests it is another prompt."""
    return hashlib.blake2b(json.dumps(extra, sort_keys=True).encode(), digest_size=16).hexdigest()
