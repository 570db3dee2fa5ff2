"""`aha data dedup`: find the rows that say the same again, keep the first, write the others down by name."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.datatools.buckets import DiskNumbers, WorkFolder
from ahalab.datatools.layouts import Layout, chosen_columns, head_of, layout_of, text_of
from ahalab.datatools.near import Near, mark_near
from ahalab.datatools.reading import Watch
from ahalab.datatools.sketches import Shape
from ahalab.datatools.stream import BYTE_ORDER_MARK, Row, suffix_of
from ahalab.datatools.twins import Marked, Twin, mark_exact
from ahalab.datatools.writing import WRITTEN, RowWriter, check_writable
from ahalab.errors import UserError
from ahalab.prompts.source import detect_language

FORMAT = 1
"""Raised when what is kept of stopped work could not be gone on with."""
LARGEST = 5
SHOWN_TEXT = 200
_WATCHED = 64


@dataclass(slots=True)
class Deduplicated:
    """What was found and done."""

    path: Path
    by: list[str]
    rows: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    exact: int = 0
    other_gold: int = 0
    near: Near | None = None
    groups: int = 0
    """Rows that stay and have a twin."""
    largest: list[tuple[int, int, str]] = field(default_factory=list)
    """(number of the row that stays, its twins, the beginning of the last twin's text), the most first."""
    languages: Counter[str] = field(default_factory=Counter)
    """Language → rows that go."""
    seconds: float = 0.0
    size: int = 0
    output: Path | None = None
    dropped_file: Path | None = None

    @property
    def dropped(self) -> int:
        """Rows that go."""
        return self.exact + (self.near.twins if self.near else 0)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "file": str(self.path),
            "by": self.by,
            "rows": self.rows,
            "skipped": self.skipped,
            "exact": self.exact,
            "other_answer": self.other_gold,
            "near": None if self.near is None else self.near.twins,
            "kept": self.rows - self.dropped,
            "groups": self.groups,
            "largest": [{"row": row, "twins": twins, "like": text} for row, twins, text in self.largest],
            "languages": dict(self.languages),
            "too_short_for_near": None if self.near is None else self.near.short,
            "compared": None if self.near is None else self.near.compared,
            "left_out": None if self.near is None else self.near.left_out,
            "seconds": round(self.seconds, 3),
            "output": None if self.output is None else str(self.output),
            "dropped": None if self.dropped_file is None else str(self.dropped_file),
        }


def dedup(
    path: Path,
    watch: Watch,
    *,
    by: Sequence[str] = (),
    shape: Shape | None = None,
    any_numbers: bool = False,
    output: Path | None = None,
    dropped: Path | None = None,
    no_text: bool = False,
    work: Path | None = None,
    skip_bad_rows: bool = False,
    overwrite: bool = False,
) -> Deduplicated:
    """Find twins; with `output` write the rows that stay, as they stand, and the others' names to `dropped`.

    Args:
        by: columns whose texts are compared; the question (of worked answers all their texts) when left out.
        shape: of near twins; None for exact ones only.
        work: folder for what does not fit into memory; beside the output, else the current folder, when left out.

    Raises:
        UserError: a file that cannot be read, a bad row, unknown columns, outputs that cannot be written.
        EnvironmentFailure: a full disk.
        Interrupted: Ctrl-C; what was done is kept, and the same call goes on from there.
    """
    started = time.monotonic()
    dropped = dropped or (None if output is None else beside(output, "dropped"))
    for one in (output, dropped):
        if one is not None:
            check_writable(one, overwrite=overwrite, source=path)
    head = head_of(path)
    columns, gold = compared(by, head, path)
    done = Deduplicated(path, columns, size=path.stat().st_size, output=output, dropped_file=dropped)
    place = work or (output.absolute().parent if output is not None else Path())
    if not place.is_dir():
        raise UserError(f"--work {place}: no such folder; make it first")
    identity = {
        "format": FORMAT,
        "file": [str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns],
        "columns": [columns, gold],
        "shape": None if shape is None else [shape.near, shape.n, shape.unit, any_numbers],
        "skip_bad_rows": skip_bad_rows,
    }
    folder = WorkFolder(place, "dedup", identity)
    watch.stopped = f"what was done is kept in {folder.path}; the same command goes on from there."
    with folder, ExitStack() as stack:
        marked = Marked.begin(path, columns, gold, folder, watch, skip_bad_rows)
        stack.callback(marked.close)
        done.skipped = mark_exact(marked, folder)
        done.rows, done.exact, done.other_gold = marked.rows, marked.exact, marked.other_gold
        if shape is not None and marked.rows - marked.exact > 1:
            done.near = mark_near(marked, folder, shape, any_numbers=any_numbers)
        _write(done, marked, folder, stack, overwrite, no_text)
        watch.check()
    done.seconds = time.monotonic() - started
    return done


def compared(by: Sequence[str], head: Sequence[dict[str, Any]], path: Path) -> tuple[list[str], list[str]]:
    """(columns that are compared, columns of the answer where that is not among them).

    Raises:
        UserError: an unknown column, or nothing tells which column is the question.
    """
    layout = layout_of(head, str(path))
    if by:
        columns = chosen_columns(by, head, path, "--by")
    else:
        columns = _usual(layout)
        if not columns:
            raise UserError(
                f"{path}: cannot tell which column is the question. Columns there: {', '.join(layout.columns)}. "
                "Say so with --by COLUMN, or --by COLUMN,COLUMN"
            )
    return columns, [column for column in layout.answer_columns() if column not in columns]


def _usual(layout: Layout) -> list[str]:
    """The question; of worked answers, which may be several to a question, the thinking and the answer too."""
    spelled = {column.lower() for column in layout.columns}
    worked = bool(spelled & {"thinking", "reasoning", "reasoning_content", "rejected"})
    question = layout.question_columns()
    answers = [column for column in layout.answer_columns() if column not in question] if worked else []
    rejected = (
        [column for column in layout.columns if column.lower() in ("chosen", "rejected")] if worked else []
    )
    return list(dict.fromkeys([*question, *answers, *rejected]))


def beside(path: Path, what: str) -> Path:
    """The side file of an output: "clean.jsonl" → "clean.dropped.jsonl"."""
    return path.with_name(f"{path.name.removesuffix(suffix_of(path, WRITTEN))}.{what}.jsonl")


def _write(
    done: Deduplicated, marked: Marked, folder: WorkFolder, stack: ExitStack, overwrite: bool, no_text: bool
) -> None:
    """The last pass: what stays, what goes, and the groups."""
    (folder.path / "counts.bin").unlink(missing_ok=True)
    counts = DiskNumbers(folder.path / "counts.bin")
    stack.callback(counts.close)
    top: dict[int, tuple[int, str]] = {}
    with ExitStack() as files:
        kept = None if done.output is None else files.enter_context(_writer(done, overwrite))
        gone = (
            None
            if done.dropped_file is None
            else files.enter_context(RowWriter(done.dropped_file, overwrite=overwrite))
        )
        for _place, row, twin in marked.all_rows("write" if kept else "count"):
            if twin is None:
                if kept is not None:
                    copy(kept, row)
                continue
            text = text_of(row.values, marked.by)
            done.languages[detect_language(text)] += 1
            number = counts.get(twin.of) + 1
            counts.set(twin.of, number)
            done.groups += number == 1
            _remember(top, twin.of, number, "" if no_text else text[:SHOWN_TEXT])
            if gone is not None:
                gone.write(_named(row, twin, marked, "" if no_text else text[:SHOWN_TEXT]))
        # Both files or none.
        marked.watch.check()
    ordered = sorted(top.items(), key=lambda item: (-item[1][0], item[0]))[:LARGEST]
    done.largest = [(marked.numbers.get(place), twins, text) for place, (twins, text) in ordered]


def _writer(done: Deduplicated, overwrite: bool) -> RowWriter:
    assert done.output is not None
    return RowWriter(done.output, overwrite=overwrite, schema=schema_of(done.path, done.output))


def schema_of(source: Path, output: Path) -> Any:
    """The Parquet columns of an output that holds some of a source's rows; None for other outputs.

    Raises:
        UserError: Parquet of rows that come from another format: that is what convert is for.
    """
    if suffix_of(output, WRITTEN) != ".parquet":
        return None
    from ahalab.datatools.parquet import ParquetStream

    if suffix_of(source) != ".parquet":
        raise UserError(f"{output}: write .jsonl here, and make Parquet of it with `aha data convert`")
    stream = ParquetStream(source)
    stream.close()
    if not stream.plain:
        raise UserError(f"{output}: {source} has columns of dates, bytes or decimals; write .jsonl here")
    return stream.schema


def copy(writer: RowWriter, row: Row) -> None:
    """Write a row that stays: its own line where it has one."""
    if row.raw is not None:
        writer.write_line(row.raw.removeprefix(BYTE_ORDER_MARK))
    else:
        writer.write(row.values)


def identity(row: Row) -> dict[str, Any]:
    """How a side file names a row: its number, and its id where it has a short one."""
    given = row.values.get("id", row.values.get("prompt_id"))
    named = isinstance(given, str | int) and not isinstance(given, bool) and len(str(given)) <= SHOWN_TEXT
    return {"row": row.number, **({"id": given} if named else {})}


def _named(row: Row, twin: Twin, marked: Marked, text: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        **identity(row),
        "kept_row": marked.numbers.get(twin.of),
        "how": "exact" if twin.likeness is None else "near",
    }
    if twin.likeness is not None:
        told["likeness"] = twin.likeness
    if twin.other_gold:
        told["other_answer"] = True
    return {**told, "text": text} if text else told


def _remember(top: dict[int, tuple[int, str]], place: int, number: int, text: str) -> None:
    """Keep the largest groups so far. The last twin of a large one meets smaller ones, so it is not lost."""
    if place in top or len(top) < _WATCHED:
        top[place] = (number, text)
        return
    least = min(top, key=lambda one: top[one][0])
    if number > top[least][0]:
        del top[least]
        top[place] = (number, text)
