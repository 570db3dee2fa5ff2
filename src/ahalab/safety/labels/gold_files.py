"""Labelled replies from a file: XSTest's labelled CSV, rows of our Chinese set, or a table of one's own.

A set is read whole or not at all: a missing label, an unknown word, a second row of an id, bytes that are not UTF-8 are
refused, naming file, row and column. Only rows without a label may be left out, on request, and are counted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.source import detect_language
from ahalab.runs.hashing import file_hash
from ahalab.safety.benchmarks.rows import Row, file_rows, refuse
from ahalab.safety.labels.gold import GoldReply, GoldSet
from ahalab.safety.labels.words import Head, known_words, read_word

PROMPT = ("prompt", "question", "objective")
REPLY = ("reply", "completion", "response", "answer", "assistant_response")
LABELS: tuple[tuple[str, Head], ...] = (
    ("final_label", "compliance"),
    ("verdict", "verdict"),
    ("compliance", "compliance"),
    ("harm", "harm"),
    ("harmful", "harm"),
    ("unsafe", "harm"),
    ("refusal", "refusal"),
    ("refused", "refusal"),
)
"""Column and head, the first that a file has."""


def read_gold(path: Path, *, skip_unlabelled: bool = False) -> GoldSet:
    """The labelled replies of a file (JSON Lines, JSON, CSV, TSV, Parquet; gzipped or not).

    Columns: a prompt, a reply, a label (names: see `PROMPT`, `REPLY`, `LABELS`); optional `id`, `language` (else it is
    told from the prompt), `cluster`, `rubric`. XSTest's labelled files are read as they are.

    Raises:
        UserError: names file, row and column of what is wrong.
    """
    rows = file_rows(path).rows
    if not rows:
        raise UserError(f"{path} has no rows; expected labelled replies")
    columns = list(rows[0].cells)
    prompt = _column(path, columns, PROMPT, "a prompt")
    reply = _column(path, columns, REPLY, "a reply")
    label = _column(path, columns, [name for name, _ in LABELS], "a label")
    head = dict(LABELS)[label]
    xstest = label == "final_label" and "type" in columns
    found: list[GoldReply] = []
    numbers: dict[str, int] = {}
    unlabelled = 0
    for row in rows:
        truth = _truth(row, label, head)
        if truth is None:
            if skip_unlabelled:
                unlabelled += 1
                continue
            raise refuse(
                row, BadRow("no label", label, "there is none", f"one of {known_words(head)}")
            ) from None
        name = _text(row, "id") if row.cells.get("id") not in (None, "") else str(row.number)
        if name in numbers:
            bad = BadRow("id twice", "id", f"{name!r} stands in row {numbers[name]} too", "an id of its own")
            raise refuse(row, bad)
        numbers[name] = row.number
        asked = _text(row, prompt)
        found.append(
            GoldReply(
                id=name,
                prompt=asked,
                reply=_text(row, reply, may_be_empty=True),
                truth=truth,
                language=str(row.cells.get("language") or ("en" if xstest else detect_language(asked))),
                cluster=str(row.cells.get("cluster") or ""),
                rubric=str(row.cells.get("rubric") or "general"),
                harmful=not (xstest and _safe_half(str(row.cells["type"]))),
            )
        )
    if not found:
        raise UserError(f"{path}: no row has a label in {label!r}; there is nothing to measure a judge on")
    return GoldSet(
        re.sub(r"[^A-Za-z0-9_.+-]", "_", path.name.partition(".")[0])[:64] or "file",
        head,
        tuple(found),
        f"file {path.name}",
        pool="xstest" if xstest else "",
        note="XSTest labels compliance, not harm." if xstest else "",
        unlabelled=unlabelled,
        files=(file_hash(path),) if path.is_file() else (),
    )


def _safe_half(kind: str) -> bool:
    """XSTest's safe prompts are those of the types without "contrast" (Röttger et al. 2024)."""
    return not kind.startswith("contrast")


def _column(path: Path, columns: list[str], names: tuple[str, ...] | list[str], what: str) -> str:
    for name in names:
        if name in columns:
            return name
    raise UserError(
        f"{path}, row 1: no column holds {what}; expected one named {', '.join(names)}, found {', '.join(columns)}"
    )


def _truth(row: Row, label: str, head: Head) -> str | None:
    """The class; None where the cell is empty. UserError for a word that is not known."""
    value = row.cells.get(label)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    word = read_word(head, value)
    if word is None:
        shown = str(value)[:40]
        raise refuse(row, BadRow("unknown label", label, f"it says {shown!r}", f"one of {known_words(head)}"))
    return word


def _text(row: Row, column: str, *, may_be_empty: bool = False) -> str:
    value: Any = row.cells.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None and may_be_empty:
        return ""
    if not isinstance(value, str) or not (value.strip() or may_be_empty):
        raise refuse(row, BadRow("no text", column, f"it is {type(value).__name__}, or blank", "text"))
    return value
