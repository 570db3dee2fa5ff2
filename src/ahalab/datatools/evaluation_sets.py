"""Evaluation sets to keep out of training data: a file, a data set on the Hub, or a suite by its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ahalab.datatools.layouts import chosen_columns, head_of, layout_of, text_of
from ahalab.datatools.reading import GoodRows, Watch
from ahalab.datatools.stream import SUFFIXES
from ahalab.errors import UserError
from ahalab.evaluation.decontamination import EvaluationGrams
from ahalab.evaluation.suites import SUITES, choose, suite_items
from ahalab.prompts.cells import BadRow
from ahalab.prompts.lines import bad_row_error
from ahalab.prompts.table import HEAD_ROWS, RowTable
from ahalab.validation import suggestion

HUB = "hub:"
_HUB_KEYS = ("config", "split", "revision", "columns")


@dataclass(frozen=True)
class EvaluationSet:
    """The questions and worked solutions of one evaluation set, ready to be looked for."""

    name: str
    """As the person wrote it."""
    grams: EvaluationGrams

    @property
    def items(self) -> int:
        """How many questions it has."""
        return len(self.grams.names)

    @property
    def short(self) -> int:
        """Items of fewer than n words, which only the same text is."""
        return sum(size == 0 for size in self.grams.sizes)


@dataclass(frozen=True, slots=True)
class _Item:
    name: str
    text: str
    question: str


def open_set(given: str, n: int, *, skip_bad_rows: bool = False) -> EvaluationSet:
    """The evaluation set that `--against GIVEN` names.

    FILE or FILE?columns=a,b · hub:OWNER/NAME?split=test&config=main · SUITE (from the Hub) · SUITE=FILE

    Raises:
        UserError: nothing of the kind, columns that cannot be told, a bad row.
    """
    where = f"--against {given}"
    name, equals, file = given.partition("=")
    if equals and name in SUITES:
        return _suite(given, name, Path(file).expanduser(), n, skip_bad_rows)
    if given.startswith(HUB):
        return _set(given, _hub_items(given.removeprefix(HUB), where), n)
    path, _, tail = given.partition("?")
    if path.endswith(SUFFIXES) or Path(path).expanduser().exists():
        knobs = _knobs(tail, ("columns",), where)
        return _set(given, _file_items(Path(path).expanduser(), knobs, where, skip_bad_rows), n)
    if path.partition(":")[0] in SUITES:
        return _suite(given, given, None, n, skip_bad_rows)
    raise UserError(
        f"{where}: no such file, and no suite of that name; {suggestion(path, list(SUITES))}. Expected a file, "
        "hub:OWNER/NAME, or a suite"
    )


def _set(name: str, items: Iterable[_Item], n: int) -> EvaluationSet:
    texts: dict[str, str] = {}
    alone: dict[str, list[str]] = {}
    for item in items:
        key, again = item.name, 1
        while key in texts:
            again += 1
            key = f"{item.name}-{again}"
        texts[key] = item.text
        alone[key] = [item.question]
    if not texts:
        raise UserError(f"--against {name}: it has no questions")
    return EvaluationSet(name, EvaluationGrams(texts, n, alone))


def _suite(name: str, suite: str, file: Path | None, n: int, skip_bad_rows: bool) -> EvaluationSet:
    found = suite_items(choose(suite), None, file=file, skip_bad_rows=skip_bad_rows)
    alone = {key: [question] for key, question in found.questions.items()}
    return EvaluationSet(name, EvaluationGrams(found.texts, n, alone))


def _file_items(path: Path, knobs: Mapping[str, str], where: str, skip_bad_rows: bool) -> Iterator[_Item]:
    head = head_of(path)
    question, columns = _columns(knobs, head, path, where)
    for row in GoodRows(path, Watch(), where, skip_bad_rows=skip_bad_rows):
        yield _item(row.values, question, columns, f"{path.name}:{row.number}")


def _hub_items(text: str, where: str) -> Iterator[_Item]:
    from ahalab.prompts.hub import HubTable

    name, _, tail = text.partition("?")
    knobs = _knobs(tail, _HUB_KEYS, where)
    table: RowTable = HubTable(
        name, knobs.get("config"), knobs.get("split", "test"), knobs.get("revision"), where
    )
    head = [table.row(index) for index in range(min(HEAD_ROWS, len(table)))]
    question, columns = _columns(knobs, head, Path(table.label), where)
    for index in range(len(table)):
        try:
            row = table.row(index)
        except BadRow as bad:
            raise bad_row_error(table.label, table.number(index), bad) from None
        yield _item(row, question, columns, f"{name}:{table.number(index)}")


def _columns(
    knobs: Mapping[str, str], head: Sequence[Mapping[str, Any]], path: Path, where: str
) -> tuple[list[str], list[str]]:
    """(columns of the question, all columns that are looked for)."""
    if "columns" in knobs:
        named = chosen_columns([knobs["columns"]], head, path, where)
        return named[:1], named
    layout = layout_of(head, str(path))
    question = layout.question_columns()
    if not question:
        raise UserError(
            f"{where}: cannot tell which column is the question. Columns there: {', '.join(layout.columns)}. "
            f"Say so as {where.removeprefix('--against ').partition('?')[0]}?columns=QUESTION,SOLUTION"
        )
    spelled = {column.lower(): column for column in reversed(layout.columns)}
    solutions = [spelled[name] for name in ("solution", "explanation") if name in spelled]
    return question, list(dict.fromkeys([*question, *layout.answer_columns(), *solutions]))


def _item(row: Mapping[str, Any], question: Sequence[str], columns: Sequence[str], name: str) -> _Item:
    given = row.get("id")
    named = isinstance(given, str | int) and not isinstance(given, bool) and 0 < len(str(given)) <= 80
    return _Item(str(given) if named else name, text_of(row, columns), text_of(row, question))


def _knobs(tail: str, known: Sequence[str], where: str) -> dict[str, str]:
    knobs = dict(parse_qsl(tail, keep_blank_values=True))
    for key, value in knobs.items():
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}; {suggestion(key, list(known))}")
        if not value:
            raise UserError(f"{where}: {key} has no value")
    if tail and not knobs:
        raise UserError(f"{where}: expected key=value after the `?`, got {tail!r}")
    return knobs
