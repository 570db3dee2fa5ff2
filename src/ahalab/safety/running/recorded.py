"""Replies that were recorded elsewhere, from a JSONL or CSV file; every mistake in it is named by file, row and key."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from ahalab.errors import UserError
from ahalab.runs.hashing import file_hash
from ahalab.runs.jsonl import JsonlReader
from ahalab.safety.protocols import OnReply
from ahalab.safety.records import Finish, SafetyItem, TargetReply
from ahalab.safety.running.parting import part_reply
from ahalab.safety.running.targets import RecordedTarget
from ahalab.validation import suggestion

ITEM_KEYS = ("item", "id", "item_id")
ANSWER_KEYS = ("answer", "reply", "response", "completion")
OTHER_KEYS = (
    "thinking",
    "finish",
    "control",
    "error",
    "tokens_in",
    "tokens_out",
    "seconds",
    "reviewer_calls",
)
IGNORED = ("target", "model", "prompt", "question", "language", "benchmark")
"""Known from elsewhere; they may stand in the file."""
NOT_RECORDED = "not recorded"
LARGEST_CELL = 16_000_000
"""Characters of one CSV cell: our choice, more than the longest reply."""


class Recorded:
    """See `ahalab.safety.running.targets.RunTarget`.

    Args:
        skip_bad_rows: rows of unknown items are passed over, and items without a row are counted as errors
            ("not recorded"), instead of being refused.
        whole: all items of the sets are asked; else rows of other items are natural and passed over.

    Raises:
        UserError: the file is missing, is not UTF-8, or a row has no item, no answer, a strange key or value, or an
            item that another row has.
    """

    endpoint = None

    def __init__(
        self, name: str, config: RecordedTarget, *, skip_bad_rows: bool = False, whole: bool = True
    ) -> None:
        self.name, self.control_of = name, config.control_of or ""
        self.path = Path(config.recorded).expanduser()
        self._config, self._skip, self._whole = config, skip_bad_rows, whole
        self._rows = read_recorded(self.path, name)

    def identity(self) -> dict[str, Any]:
        """See `Target`."""
        known: dict[str, Any] = {
            "kind": "recorded",
            "model": self._config.model or self.name,
            "sha256": file_hash(self.path),
        }
        if self._config.control:
            known["control"] = self._config.control
        return known

    def check(self, items: Sequence[SafetyItem]) -> str:
        """See `RunTarget`: every row has its item, every item its row."""
        asked = {item.id for item in items}
        unknown = [(number, one) for one, (number, _) in self._rows.items() if one not in asked]
        if unknown and self._whole and not self._skip:
            number, one = unknown[0]
            raise UserError(
                f"{self.path}, row {number}: item {one!r} is not asked here ({suggestion(one, sorted(asked))}); "
                f"{len(unknown)} rows are so. Mend the ids, name the sets that were asked, or count and pass over such "
                "rows with --skip-bad-rows."
            )
        missing = [item.id for item in items if item.id not in self._rows]
        if missing and not self._skip:
            raise UserError(
                f"{self.path}: {len(missing)} of {len(items)} items have no row, the first is {missing[0]}. Record "
                "them, ask fewer with --limit or --language, or count them as errors with --skip-bad-rows."
            )
        told = [f"{len(unknown)} rows of items that are not asked"] if unknown else []
        told += [f"{len(missing)} items without a row"] if missing else []
        return f"{self.path}: {' and '.join(told)}" if told else ""

    def kept(self, items: Sequence[SafetyItem]) -> int:  # noqa: ARG002 - nothing is paid for
        """See `RunTarget`."""
        return 0

    def prompt_bytes(self, item: SafetyItem) -> int:  # noqa: ARG002
        """See `RunTarget`."""
        return 0

    def replies(self, items: Sequence[SafetyItem], on_reply: OnReply) -> None:
        """See `Target`."""
        for item in items:
            found = self._rows.get(item.id)
            on_reply(found[1] if found else TargetReply(item.id, self.name, "", error=NOT_RECORDED))


def read_recorded(path: Path, target: str) -> dict[str, tuple[int, TargetReply]]:
    """Item → (row number, reply) of a file. Errors as `Recorded`."""
    rows = _csv_rows(path) if path.suffix == ".csv" else _jsonl_rows(path)
    found: dict[str, tuple[int, TargetReply]] = {}
    for number, row in rows:
        reply = _reply(row, target, f"{path}, row {number}")
        if reply.item in found:
            raise UserError(
                f"{path}, row {number}: item {reply.item!r} has a reply in row {found[reply.item][0]} already. Each "
                "item is answered once: remove one of the two."
            )
        found[reply.item] = number, reply
    if not found:
        raise UserError(f"{path} holds no reply")
    return found


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = JsonlReader(path)
    for row in reader:
        yield reader.row, row
    if reader.truncated:
        raise UserError(
            f"{path}, row {reader.row}: the last line is cut off. Record it again, or remove the line."
        )


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); a .csv file was expected") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8. Save the file as UTF-8; is it a mixture "
            "of encodings?"
        ) from error
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="\x00more", strict=True)
    try:
        for number, row in enumerate(reader, 2):
            if "\x00more" in row or None in row.values():
                raise UserError(f"{path}, row {number}: it has not as many cells as the head names columns")
            yield number, {key: value for key, value in row.items() if value or key in ANSWER_KEYS}
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: no CSV ({error})") from error


def _reply(row: Mapping[str, Any], target: str, where: str) -> TargetReply:
    known = [*ITEM_KEYS, *ANSWER_KEYS, *OTHER_KEYS, *IGNORED]
    for key in row:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}; {suggestion(key, known)}")
    item = _text(row, ITEM_KEYS, where, "the item's id, such as D03-07-zh")
    error = row.get("error") or ""
    answer = (
        ""
        if error and not any(key in row for key in ANSWER_KEYS)
        else _text(row, ANSWER_KEYS, where, "the reply")
    )
    if not item.strip():
        raise UserError(f"{where}: {_present(row, ITEM_KEYS)[0]} is empty; expected the item's id")
    thinking = row.get("thinking")
    if thinking is None:
        thinking, answer = part_reply(answer)
    finish: Finish = row.get("finish") or "stop"
    if finish not in get_args(Finish):
        raise UserError(f"{where}: finish is {finish!r}; expected {', '.join(get_args(Finish))}")
    control = row.get("control") or ("content_filter" if finish == "content_filter" else "")
    for key, value in (("thinking", thinking), ("control", control), ("error", error)):
        if not isinstance(value, str):
            raise UserError(f"{where}: {key} is {type(value).__name__}; expected text")
    made = TargetReply(item.strip(), target, answer, thinking, finish, control, error)
    return replace(
        made,
        tokens_in=_number(row, "tokens_in", where),
        tokens_out=_number(row, "tokens_out", where),
        reviewer_calls=_number(row, "reviewer_calls", where),
        seconds=_seconds(row, where),
    )


def _present(row: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [key for key in keys if key in row]


def _text(row: Mapping[str, Any], keys: Sequence[str], where: str, what: str) -> str:
    present = _present(row, keys)
    if len(present) != 1:
        problem = f"has {' and '.join(present)}" if present else "has no " + " or ".join(keys[:2])
        raise UserError(f"{where}: it {problem}; expected `{keys[0]}`, {what}")
    value = row[present[0]]
    if not isinstance(value, str):
        raise UserError(f"{where}: {present[0]} is {type(value).__name__}; expected text, {what}")
    return value


def _number(row: Mapping[str, Any], key: str, where: str) -> int:
    value = row.get(key, 0)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)  # CSV knows text only
    if type(value) is not int or value < 0:
        raise UserError(f"{where}: {key} is {value!r}; expected a whole number from 0")
    return value


def _seconds(row: Mapping[str, Any], where: str) -> float | None:
    value = row.get("seconds")
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = -1
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9
    ):
        raise UserError(f"{where}: seconds is {row['seconds']!r}; expected a number from 0")
    return None if value is None else float(value)
