"""Rows survive: appended, cut anywhere by a kill, cut back to an offset, on a full disk."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.runs import jsonl
from ahalab.runs.jsonl import JsonlWriter, cut_to, encode_row, read_jsonl

TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('等我检查一下\n\r\u2028\u0085"\\🤔')
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
ROWS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=6)
QUICK = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module", autouse=True)
def _without_waiting_for_the_disk() -> Iterator[None]:
    # Only a power cut needs the sync, and no test here cuts the power.
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", lambda _: None)
        yield


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with JsonlWriter(path) as writer:
        for row in rows:
            writer.append(row)


@QUICK
@given(ROWS)
def test_rows_read_back_as_they_were_appended(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        with JsonlWriter(path) as writer:
            for row in rows:
                writer.append(row)
                # No flush: what append returned from has left the process.
                assert path.stat().st_size == writer.offset
        reader = read_jsonl(path)
        assert list(reader) == rows
        assert (reader.truncated, reader.row) == (0, len(rows))
        assert path.read_bytes() == b"".join(encode_row(row) for row in rows)


def test_bytes_are_canonical(tmp_path: Path) -> None:
    write(tmp_path / "a", [{"step": 1, "reward/accuracy": 0.1, "text": "等等 🤔\n", "none": None}])
    expected = '{"step": 1, "reward/accuracy": 0.1, "text": "等等 🤔\\n", "none": null}\n'
    assert (tmp_path / "a").read_text(encoding="utf-8") == expected


def test_a_lone_surrogate_does_not_stop_a_run_and_reads_back(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "cut \ud83d emoji"}, {"\udc00": ["\udfff"]}]
    write(tmp_path / "a", rows)
    assert list(read_jsonl(tmp_path / "a")) == rows


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_json_cannot_say_is_refused_by_its_key(tmp_path: Path, value: float) -> None:
    path = tmp_path / "metrics.jsonl"
    with JsonlWriter(path) as writer:
        writer.append({"step": 1})
        with pytest.raises(ValueError, match=r"words\.wait\[1\]: -?(nan|inf)"):
            writer.append({"step": 2, "words": {"so": 1.0, "wait": [0.5, value]}})
        with pytest.raises(TypeError, match="path: a PosixPath is not JSON"):
            writer.append({"step": 2, "path": path})
        writer.append({"step": 3})
    assert list(read_jsonl(path)) == [{"step": 1}, {"step": 3}]


@QUICK
@given(ROWS.filter(bool), st.data())
def test_a_file_cut_at_any_byte_keeps_every_full_row(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samples.jsonl"
        write(path, rows)
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])

        ends = [len(b"".join(encode_row(row) for row in rows[: number + 1])) for number in range(len(rows))]
        # A row is whole once its closing brace is there; its newline adds nothing.
        whole = sum(end - 1 <= cut for end in ends)
        half = cut not in {0, *ends, *(end - 1 for end in ends)}
        reader = read_jsonl(path)
        assert list(reader) == rows[:whole]
        assert reader.truncated == half

        with JsonlWriter(path) as writer:
            assert (writer.dropped_bytes > 0) == half
            assert writer.offset == ([0, *ends])[whole]
            for row in rows[whole:]:
                writer.append(row)
        assert path.read_bytes() == content


@QUICK
@given(ROWS, ROWS, st.integers(0, 30), st.data())
def test_cutting_keeps_exactly_the_rows_before_the_offset_and_moves_the_rest(
    rows: list[dict[str, Any]], later: list[dict[str, Any]], torn: int, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path, attempts = Path(folder) / "metrics.jsonl", Path(folder) / "attempts"
        write(path, rows)
        full = path.read_bytes()
        half = encode_row({"text": "等等，我检查一下" * 3})[:torn]
        path.write_bytes(full + half)
        offset = data.draw(st.integers(0, len(full)))

        encoded = [encode_row(row) for row in rows]
        kept = sum(len(b"".join(encoded[: number + 1])) <= offset for number in range(len(rows)))
        assert cut_to(path, offset, attempts) == len(rows) - kept
        assert path.read_bytes() == b"".join(encoded[:kept])
        moved = b"".join(encoded[kept:]) + half
        found = attempts / "metrics.jsonl.1"
        assert (found.read_bytes() if found.exists() else b"") == moved

        # The next attempt goes beside the first, never over it.
        with JsonlWriter(path) as writer:
            boundary = writer.offset
            for row in later:
                writer.append(row)
        assert cut_to(path, boundary, attempts) == len(later)
        everything = b"".join(part.read_bytes() for part in sorted(attempts.glob("*")))
        assert everything == moved + b"".join(map(encode_row, later))


def test_cutting_a_long_file_finds_the_boundary_across_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "_CHUNK", 7)
    rows = [{"text": "x" * length} for length in (50, 0, 33, 90)]
    write(tmp_path / "a", rows)
    before_last = len(b"".join(map(encode_row, rows[:3])))
    assert cut_to(tmp_path / "a", before_last + 40, tmp_path / "attempts") == 1
    assert list(read_jsonl(tmp_path / "a")) == rows[:3]
    assert list(read_jsonl(tmp_path / "attempts" / "a.1")) == rows[3:]


def test_a_file_shorter_than_its_checkpoint_says_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "a", [{"step": 1}])
    with pytest.raises(EnvironmentFailure, match="has 12 bytes, its checkpoint says 13"):
        cut_to(tmp_path / "a", 13, tmp_path / "attempts")
    with pytest.raises(EnvironmentFailure, match="has 0 bytes, its checkpoint says 1"):
        cut_to(tmp_path / "gone", 1, tmp_path / "attempts")
    assert cut_to(tmp_path / "gone", 0, tmp_path / "attempts") == 0
    assert not (tmp_path / "attempts").exists()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"step": 2', "delimiter"),
        (b"[1, 2]", "a JSON object was expected, found list"),
        (b'{"x": NaN}', "NaN is not JSON"),
        (b'{"x": "\xe7\xad"}', "utf-8"),
        (b"[" * 100_000, ""),
    ],
)
def test_a_bad_row_is_named_and_the_rows_before_it_are_given(
    tmp_path: Path, line: bytes, problem: str
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n\n' + line + b'\n{"step": 3}\n')
    reader = read_jsonl(path)
    assert next(reader) == {"step": 1}
    with pytest.raises(UserError, match=rf"metrics\.jsonl, row 3: .*{problem}"):
        next(reader)
    with pytest.raises(StopIteration):
        next(reader)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.jsonl is missing"):
        read_jsonl(tmp_path / "gone.jsonl")
    with pytest.raises(UserError, match="is a folder"):
        read_jsonl(tmp_path)


class SmallDisk:
    """Takes `room` bytes, then says that it is full; as on a real one the last write is cut short first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        taken = min(len(data), self.room)
        if taken == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= taken
        return self._write(descriptor, bytes(data[:taken]))


@QUICK
@given(ROWS.filter(bool), st.data())
def test_a_full_disk_leaves_full_rows_only_and_the_writer_goes_on_once_there_is_room(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    encoded = [encode_row(row) for row in rows]
    room = data.draw(st.integers(0, sum(map(len, encoded)) - 1))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        path = Path(folder) / "metrics.jsonl"
        writer = JsonlWriter(path)
        disk = SmallDisk(monkeypatch, room)
        ends = [sum(map(len, encoded[: number + 1])) for number in range(len(rows))]
        number = sum(end <= room for end in ends)
        for row in rows[:number]:
            writer.append(row)
        with pytest.raises(EnvironmentFailure, match=r"disk full while writing .*Free at least 1 MB"):
            writer.append(rows[number])
        assert path.read_bytes() == b"".join(encoded[:number])
        assert writer.offset == path.stat().st_size

        disk.room = 1 << 30
        for row in rows[number:]:
            writer.append(row)
        writer.close()
        assert path.read_bytes() == b"".join(encoded)


def test_a_disk_that_is_full_only_at_the_sync_is_reported_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JsonlWriter(tmp_path / "a")
    writer.append({"step": 1})

    def fail(_: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(EnvironmentFailure, match="disk full"):
        writer.flush()
    with suppress(EnvironmentFailure):
        writer.close()
    assert list(read_jsonl(tmp_path / "a")) == [{"step": 1}]


def test_a_full_disk_while_cutting_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"step": step} for step in range(4)]
    write(tmp_path / "a", rows)

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(EnvironmentFailure, match="disk full"):
        cut_to(tmp_path / "a", 12, tmp_path / "attempts")
    assert list(read_jsonl(tmp_path / "a")) == rows
    assert list((tmp_path / "attempts").iterdir()) == []


def test_an_interrupt_in_the_middle_of_a_row_leaves_no_half_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JsonlWriter(tmp_path / "a")
    writer.append({"text": "a long first row"})
    write_bytes = os.write

    def interrupt(descriptor: int, data: bytes) -> int:
        write_bytes(descriptor, bytes(data[:9]))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.append({"text": "a long second row"})
    monkeypatch.undo()
    writer.append({"x": 1})
    writer.close()
    assert list(read_jsonl(tmp_path / "a")) == [{"text": "a long first row"}, {"x": 1}]


def test_a_closed_writer_says_so_and_closes_again(tmp_path: Path) -> None:
    writer = JsonlWriter(tmp_path / "samples" / "a")
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.append({})
    with pytest.raises(EnvironmentFailure, match="is gone"):
        JsonlWriter(tmp_path / "no" / "such" / "folder")
    assert json.loads("[]") == list(read_jsonl(tmp_path / "samples" / "a"))
