"""A person goes through the rows of a data set: exported as JSONL with a status and a note, marked, imported again.

Any editor will do, and `aha review FILE` in a terminal. `status` is "" (not looked at: counts as kept), "keep" or
"drop"; `note` is free text, for a drop its reason; `original` is a hash by which an edited row is known. The last line
says which rows were exported and what had been dropped before: what is gone from the file is counted by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, get_args

from ahalab.errors import UserError
from ahalab.records import SupervisedRow
from ahalab.runs.jsonl import read_jsonl
from ahalab.stages.datasets import FOLDER_NAME, ROWS_NAME, read_dropped, read_rows
from ahalab.stages.record_decoder import as_values, supervised_row
from ahalab.stages.shards import write_whole
from ahalab.text.template import TAGS
from ahalab.validation import nearest

Status = Literal["", "keep", "drop"]
STATUSES: tuple[Status, ...] = get_args(Status)

_ROW_KEYS = tuple(field.name for field in fields(SupervisedRow))
_REVIEW_KEYS = ("status", "note", "original")
_EXPORTED = "exported"
"""The only key of the last line."""
_BEGINS = f'{{"{_EXPORTED}":'


@dataclass(frozen=True, slots=True)
class ReviewedRow:
    """One row of a review file."""

    number: int
    """Of its line, from 1."""
    row: SupervisedRow
    status: Status = ""
    note: str = ""
    original: str = ""
    """Hash of thinking and answer as they were exported."""

    @property
    def dropped(self) -> bool:
        """Marked as no training data."""
        return self.status == "drop"

    @property
    def edited(self) -> bool:
        """Thinking or answer are not those that were exported."""
        return self.original != content_hash(self.row)


@dataclass(frozen=True, slots=True)
class Exported:
    """What a review file held when it was written."""

    ids: tuple[str, ...]
    """Of its rows, in their order."""
    dropped: Mapping[str, int]
    """Reason → how many samples the stage had dropped before the rows were exported."""


@dataclass(frozen=True, slots=True)
class Review:
    """A review file as a person left it."""

    rows: list[ReviewedRow]
    exported: Exported

    @property
    def removed(self) -> list[str]:
        """The ids of rows that were exported and are gone from the file."""
        there = {one.row.id for one in self.rows}
        return [one for one in self.exported.ids if one not in there]


def content_hash(row: SupervisedRow) -> str:
    """16 hex digits of thinking and answer."""
    text = f"{len(row.thinking)}\x1f{row.thinking}{row.answer}"
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def export_rows(stage_folder: Path, file: Path) -> int:
    """Write the rows of a finished `sample` stage as a review file; the number of rows.

    Raises:
        UserError: the folder holds no rows, or `file` exists already (it may hold somebody's work).
    """
    rows = read_rows(stage_folder / FOLDER_NAME)
    if file.exists():
        raise UserError(
            f"{file} exists already and may hold a person's decisions: name another file, or remove it."
        )
    if not file.parent.is_dir():
        raise UserError(f"{file}: the folder {file.parent} does not exist; make it first.")
    exported = Exported(tuple(row.id for row in rows), read_dropped(stage_folder / FOLDER_NAME))
    _write(file, Review([ReviewedRow(0, row, original=content_hash(row)) for row in rows], exported))
    return len(rows)


def read_review(file: Path) -> Review:
    """A review file.

    Raises:
        UserError: naming file, row and key for what is not as it was exported: a missing or unknown key, a value of
            another type, an unknown status, a blank answer, a tag of the response format inside a part, an id that
            occurs twice or was not exported; or the last line is missing.
    """
    reader = read_jsonl(file)
    found: list[ReviewedRow] = []
    exported: Exported | None = None
    seen: dict[str, int] = {}
    for values in reader:
        where = f"{file}, row {reader.row}"
        if _EXPORTED in values:
            if exported is not None:
                raise UserError(f"{where}: a second line begins with {_BEGINS}: a file holds one export.")
            exported = _parse_exported(values, where)
            continue
        one = _parse(values, where, reader.row)
        before = seen.setdefault(one.row.id, reader.row)
        if before != reader.row:
            raise UserError(
                f"{where}: the id {one.row.id!r} is that of row {before} too; remove one of them."
            )
        found.append(one)
    if reader.truncated:
        raise UserError(f"{file}: its last row is cut off. Mend or remove it.")
    if not found:
        raise UserError(f"{file} has no rows. Export them with `aha review --export RUN STAGE FILE`.")
    if exported is None:
        raise UserError(
            f"{file}: its last line, which begins with {_BEGINS}, is missing: without it what was removed cannot be "
            "counted. Export the stage once more to another file and copy the last line of that one."
        )
    known = set(exported.ids)
    for one in found:
        if one.row.id not in known:
            raise UserError(
                f"{file}, row {one.number}: the id {one.row.id!r} was not exported: rows may be edited or removed, "
                "not added."
            )
    return Review(found, exported)


class ReviewFile:
    """A review file being gone through. Every decision is on disk before the next row is shown.

    Raises:
        UserError: as `read_review`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        review = read_review(path)
        self.rows, self.exported = review.rows, review.exported

    def first_open(self) -> int | None:
        """The first row without a status; None when every row has one."""
        return next((place for place, one in enumerate(self.rows) if one.status == ""), None)

    def counts(self) -> dict[str, int]:
        """How many rows have which status; "open" has none, "removed" are gone from the file."""
        counts = Counter(one.status or "open" for one in self.rows)
        removed = len(Review(self.rows, self.exported).removed)
        return {name: counts[name] for name in ("keep", "drop", "open")} | {"removed": removed}

    def mark(self, place: int, status: Status, note: str | None = None) -> None:
        """Set the status of a row, and its note unless that is None; written at once."""
        one = self.rows[place]
        self._put(place, replace(one, status=status, note=one.note if note is None else note))

    def edit(self, place: int, thinking: str, answer: str) -> None:
        """Replace a row's thinking and answer, and mark it as kept; written at once.

        Raises:
            UserError: a blank answer, or a tag of the response format inside a part.
        """
        one = self.rows[place]
        row = replace(one.row, thinking=thinking.strip(), answer=answer.strip())
        _check_parts(row, f"{self.path}, row {one.number}")
        self._put(place, replace(one, row=row, status="keep"))

    def _put(self, place: int, row: ReviewedRow) -> None:
        changed = [*self.rows]
        changed[place] = row
        _write(self.path, Review(changed, self.exported))
        self.rows = changed


def rows_folder(run: Path, stage: str) -> Path:
    """The folder of a finished `sample` stage of a run.

    Raises:
        UserError: no such stage, not finished, or one that leaves no rows.
    """
    from ahalab.runs.folder import RunFolder
    from ahalab.runs.readers import list_stages

    entries = {entry.name: entry for entry in list_stages(RunFolder.open(run))}
    if stage not in entries:
        raise UserError(f"{run} has no stage {stage!r}; it has {', '.join(entries) or 'none'}.")
    entry = entries[stage]
    if not entry.finished:
        raise UserError(f"{run}: {stage} is not finished yet; run its recipe on and export then.")
    if not (entry.path / FOLDER_NAME / ROWS_NAME).is_file():
        raise UserError(f"{run}: {stage} leaves no rows to review; name a `sample` stage.")
    return entry.path


def _write(path: Path, review: Review) -> None:
    last = {_EXPORTED: {"ids": list(review.exported.ids), "dropped": dict(review.exported.dropped)}}
    write_whole(path, [*map(_line, review.rows), last])


def _line(one: ReviewedRow) -> dict[str, Any]:
    # What a person writes stands first.
    return {"status": one.status, "note": one.note, **as_values(one.row), "original": one.original}


def _parse_exported(values: Mapping[str, Any], where: str) -> Exported:
    inside = values[_EXPORTED]
    if len(values) == 1 and isinstance(inside, dict) and inside.keys() == {"ids", "dropped"}:
        ids, dropped = inside["ids"], inside["dropped"]
        listed = isinstance(ids, list) and all(isinstance(one, str) for one in ids)
        counted = isinstance(dropped, dict) and all(
            type(count) is int and count >= 0 for count in dropped.values()
        )
        if listed and counted:
            return Exported(tuple(dict.fromkeys(ids)), dropped)
    raise UserError(
        f"{where}: this line says what was exported and is no longer as it was. Export the stage once more to another "
        "file and copy the last line of that one."
    )


def _parse(values: Mapping[str, Any], where: str, number: int) -> ReviewedRow:
    for key in values:
        if key not in (*_ROW_KEYS, *_REVIEW_KEYS):
            raise UserError(f"{where}: unknown key {key!r}; did you mean {nearest(key, _known())!r}?")
    missing = [key for key in ("id", "question", "thinking", "answer", "status") if key not in values]
    if missing:
        raise UserError(
            f"{where}: the key {missing[0]!r} is missing. A review file comes from `aha review --export`."
        )
    for key, value in values.items():
        if key == "messages":
            continue
        text = (
            not isinstance(value, bool) and isinstance(value, int)
            if key == "rounds"
            else _is_text(key, value)
        )
        if not text:
            raise UserError(f"{where}, key {key!r}: expected {_wanted(key)}, got {repr(value)[:60]}.")
    if values["status"] not in STATUSES:
        raise UserError(f'{where}: status {values["status"]!r}: expected "", "keep" or "drop".')
    blank = {"domain": "", "language": "", "source": ""}
    row = supervised_row({**blank, **{key: values[key] for key in _ROW_KEYS if key in values}}, where)
    one = ReviewedRow(
        number, row, values["status"], values.get("note", "") or "", values.get("original", "") or ""
    )
    if not one.dropped:
        _check_parts(row, where)
    return one


def _known() -> Iterable[str]:
    return (*_ROW_KEYS, *_REVIEW_KEYS)


def _is_text(key: str, value: object) -> bool:
    return isinstance(value, str) or (value is None and key in ("prompt_id", "note", "original"))


def _wanted(key: str) -> str:
    return "a whole number" if key == "rounds" else "text"


def _check_parts(row: SupervisedRow, where: str) -> None:
    if not row.answer.strip():
        raise UserError(f"{where}: the answer is blank. Write one, or set the row's status to drop.")
    for name in ("thinking", "answer"):
        inside = [tag for tag in TAGS if tag in getattr(row, name)]
        if inside:
            raise UserError(
                f"{where}, key {name!r}: it contains {inside[0]}, which the response format uses itself. Remove it."
            )
