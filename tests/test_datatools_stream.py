"""Any format gives the same rows; what cannot be read is a row with its number and its reason."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from ahalab.datatools import stream as stream_module
from ahalab.datatools.reading import GoodRows, Watch
from ahalab.datatools.stream import open_stream, sniff_encoding
from ahalab.errors import Interrupted, UserError
from data_files import write_lines

ROWS: list[dict[str, Any]] = [
    {"question": "1+1?", "answer": "2"},
    {"question": "小明有几个？", "answer": '三, "3"\n个'},
    {"question": "half?", "answer": ""},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.name.endswith(".parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".jsonl":
        path.write_text(text, encoding="utf-8")
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        cells = [list(rows[0]), *(list(row.values()) for row in rows)]
        quoted = [mark.join('"' + cell.replace('"', '""') + '"' for cell in line) for line in cells]
        path.write_text("\r\n".join(quoted) + "\r\n", encoding="utf-8", newline="")
    return path


def values(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [row.values for row in open_stream(path, **options) if row.bad is None]


def bad(path: Path) -> list[tuple[int, str]]:
    return [(row.number, row.bad.reason) for row in open_stream(path) if row.bad is not None]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.tsv", "a.parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    assert values(write(tmp_path / name, ROWS)) == ROWS


def test_bad_lines_are_rows_with_a_number_and_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [
        b'{"question": "q"}',
        b"",
        b'{"question": "\xff"}',
        b'{"question": "q"',
        b"[1]",
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": "x\x00y"}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a": "last',
    ]
    path.write_bytes(b"\n".join(lines))
    assert bad(path) == [
        (3, "not UTF-8"), (4, "not JSON"), (5, "not an object"), (6, "duplicate key"), (7, "duplicate key"),
        (8, "NUL bytes"), (9, "not JSON"), (10, "not JSON"), (11, "cut off"),
    ]  # fmt: skip


def test_a_last_row_without_its_line_end_is_a_row_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n{"a": 2}')
    assert values(path) == [{"a": 1}, {"a": 2}]


def test_a_row_beyond_the_limit_is_named_and_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "LONGEST_ROW", 1000)
    monkeypatch.setattr(stream_module, "BLOCK", 64)
    path = write_lines(tmp_path / "a.jsonl", [{"a": 1}, {"a": "x" * 5000}, {"a": 3}])
    assert bad(path) == [(2, "too long")]
    assert values(path) == [{"a": 1}, {"a": 3}]


def test_cells_that_do_not_fit_the_header_are_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\n1,2\n\n"two\nlines",3\n1\n1,2,3\n\xff,1\nx\x00,1\n')
    assert values(path) == [{"a": "1", "b": "2"}, {"a": "two\nlines", "b": "3"}]
    assert bad(path) == [
        (6, "wrong number of cells"), (7, "wrong number of cells"), (8, "not UTF-8"), (9, "NUL bytes")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,,b\n1,2,3\n", "column 2 has no name"),
        ("a,b,a\n1,2,3\n", "'a' is named twice"),
        ("\n\n", "has no rows"),
        ('a,b\n1,"never closed\n2,3\n', "row 2: it cannot be read as CSV"),
    ],
)
def test_a_broken_table_of_cells_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        values(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_text_is_refused_with_the_command_that_converts_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps({"question": "Say a digit", "answer": "3"}).encode(encoding))
    sniffed = sniff_encoding(path)
    assert sniffed is not None
    with pytest.raises(UserError, match=f"aha data convert .* --encoding {sniffed}"):
        open_stream(path)
    assert values(path, encoding=sniffed) == [{"question": "Say a digit", "answer": "3"}]


def test_other_encodings_are_read_when_they_are_named(tmp_path: Path) -> None:
    lines, cells = tmp_path / "a.jsonl", tmp_path / "a.csv"
    lines.write_bytes(json.dumps({"q": "小明有几个"}, ensure_ascii=False).encode("gb18030") + b"\n")
    cells.write_bytes("q\ncafé\n".encode("latin-1"))
    assert bad(lines) == [(1, "not UTF-8")]
    assert values(lines, encoding="gb18030") == [{"q": "小明有几个"}]
    assert values(cells, encoding="latin-1") == [{"q": "café"}]
    with pytest.raises(UserError, match="no such encoding"):
        open_stream(lines, "klingon")
    with pytest.raises(UserError, match="no encoding of text"):
        open_stream(lines, "base64")
    with pytest.raises(UserError, match="cannot be read as ascii"):
        values(lines, encoding="ascii")


def test_what_is_no_file_to_read_is_refused_in_words(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", ROWS)
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name, words in (
        ("trian.jsonl", "nearest file there is train.jsonl"),
        ("empty.jsonl", "is empty"),
        ("folder.jsonl", "is a folder"),
        ("pipe.jsonl", "device or a pipe"),
        ("a.txt", "no file of a known kind"),
        (".", "is a folder"),
    ):
        with pytest.raises(UserError, match=words):
            open_stream(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused_in_words(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    path.chmod(0)
    with pytest.raises(UserError, match="may not be read"):
        open_stream(path)


def test_a_broken_archive_and_a_broken_parquet_file_are_refused(tmp_path: Path) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"a": 1}\n' * 10_000)[:-20])
    with pytest.raises(UserError, match="not a whole gzip file"):
        values(packed)
    packed.write_bytes(b'{"a": 1}\n')
    with pytest.raises(UserError, match="not a whole gzip file"):
        values(packed)
    parquet = tmp_path / "a.parquet"
    parquet.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        open_stream(parquet)


def test_dates_and_bytes_of_parquet_come_as_text(tmp_path: Path) -> None:
    import datetime

    rows = [{"when": datetime.date(2026, 1, 2), "raw": b"text", "n": 1}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet") == [{"when": "2026-01-02", "raw": "text", "n": 1}]


def test_bad_rows_are_refused_by_name_or_counted(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [ROWS[0], "{", "[]", ROWS[1]])
    with pytest.raises(UserError, match=r"a\.jsonl, row 2: expected one JSON object a line.*--skip-bad-rows"):
        list(GoodRows(path, Watch(), "read"))
    good = GoodRows(path, Watch(), "read", skip_bad_rows=True)
    assert [row.number for row in good] == [1, 4]
    assert (good.rows, dict(good.skipped)) == (2, {"not JSON": 1, "not an object": 1})
    none = write_lines(tmp_path / "b.jsonl", ["{", "{"])
    with pytest.raises(UserError, match=r"has no good rows \(2 not JSON\)"):
        list(GoodRows(none, Watch(), "read", skip_bad_rows=True))


def test_ctrl_c_ends_the_reading_and_says_what_is_there(tmp_path: Path) -> None:
    watch = Watch()
    rows = iter(GoodRows(write_lines(tmp_path / "a.jsonl", [{"a": 1}] * 2000), watch, "read"))
    assert next(rows).values == {"a": 1}
    watch.interrupt.asked = True
    with pytest.raises(Interrupted, match="nothing was written"):
        list(rows)
