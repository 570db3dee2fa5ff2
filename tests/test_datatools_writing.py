"""A file is there when it is whole, or not at all; what was there before stays unless it may go."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from ahalab.datatools.parquet import SchemaFinder
from ahalab.datatools.writing import RowWriter, check_writable
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from data_files import read_lines

ROWS: list[dict[str, Any]] = [{"q": "one", "n": 1}, {"q": "小明", "n": None}]


def test_rows_are_written_in_the_format_of_the_ending(tmp_path: Path) -> None:
    finder = SchemaFinder("rows")
    for row in ROWS:
        finder.add(row, 10)
    for name in ("a.jsonl", "a.jsonl.gz", "a.parquet"):
        with RowWriter(
            tmp_path / name, schema=finder.schema() if name.endswith("parquet") else None
        ) as writer:
            for row in ROWS:
                writer.write(row)
        assert writer.rows == 2
    assert read_lines(tmp_path / "a.jsonl") == ROWS
    assert [
        json.loads(line) for line in gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).splitlines()
    ] == ROWS
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist() == ROWS


def test_the_same_rows_give_the_same_packed_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        with RowWriter(tmp_path / name) as writer:
            writer.write(ROWS[0])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("before")

    def stopped() -> None:
        with RowWriter(tmp_path / name, overwrite=True) as writer:
            writer.write(ROWS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (tmp_path / name).read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_row_that_the_format_cannot_hold_is_a_bad_row_by_its_column(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "a.jsonl") as writer:
        with pytest.raises(BadRow) as refused:
            writer.write({"a": 1, "score": float("nan")})
        assert refused.value.column == "score"
        writer.write({"half": "\ud83d"})
    assert read_lines(tmp_path / "a.jsonl") == [{"half": "\ud83d"}]


def test_what_cannot_be_written_is_refused_beforehand(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text("{}\n")
    (tmp_path / "link.jsonl").symlink_to(source)
    for path, words in (
        (source, "is the file that is read"),
        (tmp_path / "link.jsonl", "is the file that is read"),
        (tmp_path / "nowhere" / "b.jsonl", "does not exist; make it first"),
        (tmp_path / "b.csv", r"expected one ending in \.jsonl, \.jsonl\.gz, \.parquet"),
    ):
        with pytest.raises(UserError, match=words):
            check_writable(path, overwrite=True, source=source)
    (tmp_path / "c.jsonl").touch()
    with pytest.raises(UserError, match="there already; choose another name, or say --overwrite"):
        check_writable(tmp_path / "c.jsonl", overwrite=False)


def test_two_processes_do_not_write_the_same_file(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "a.jsonl") as writer:
        with pytest.raises(UserError, match="another process"), RowWriter(tmp_path / "a.jsonl"):
            pass
        writer.write(ROWS[0])
    assert read_lines(tmp_path / "a.jsonl") == ROWS[:1]


def test_a_column_of_two_types_is_refused_by_its_name() -> None:
    finder = SchemaFinder("mine.jsonl")
    finder.add({"score": 1}, 10)
    finder.add({"score": "high"}, 10)
    with pytest.raises(
        UserError, match=r"mine\.jsonl, column 'score': its values cannot be one Parquet column"
    ):
        finder.schema()


def test_types_are_found_over_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from ahalab.datatools import parquet

    monkeypatch.setattr(parquet, "BATCH_ROWS", 1)
    finder = SchemaFinder("rows")
    for row in ({"a": None}, {"a": 1, "b": "x"}, {"a": 1.5}, {"c": {"d": 1}}, {"c": {"e": "y"}}):
        finder.add(row, 10)
    found = {field.name: str(field.type) for field in finder.schema()}
    assert found == {"a": "double", "b": "string", "c": "struct<d: int64, e: string>"}
    finder = SchemaFinder("rows")
    finder.add({"a": 1}, 10)
    with pytest.raises(UserError, match=r"column 'a': .*among rows 2 to 2"):
        finder.add({"a": "x"}, 10)


def test_empty_objects_have_no_parquet_column() -> None:
    finder = SchemaFinder("rows")
    finder.add({"extra": {}}, 10)
    with pytest.raises(UserError, match=r"column 'extra': it holds empty objects only"):
        finder.schema()


FULL = """
import sys
from pathlib import Path
from ahalab.datatools.writing import RowWriter
from ahalab.errors import EnvironmentFailure
root = Path(sys.argv[1])
(root / "a.jsonl").write_text("before")
try:
    with RowWriter(root / "a.jsonl", overwrite=True) as writer:
        for _ in range(100_000):
            writer.write({"text": "x" * 100})
except EnvironmentFailure as error:
    assert "disk full while writing" in str(error), error
    assert "unfinished file is removed" in str(error), error
else:
    raise AssertionError("the disk was not full")
assert (root / "a.jsonl").read_text() == "before"
assert [path.name for path in root.iterdir()] == ["a.jsonl"], list(root.iterdir())
print("refused in words")
"""


def test_a_real_full_disk_is_one_message_and_leaves_what_was_there(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no `unshare`: a small disk of our own cannot be made")
    namespace = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
    script = 'mount -t tmpfs -o size=2m none "$0" || exit 99; "$1" -c "$2" "$0"'
    mount = tmp_path / "mount"
    mount.mkdir()
    done = subprocess.run(
        [*namespace, "sh", "-c", script, mount, sys.executable, FULL],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"a tmpfs cannot be mounted here ({done.stderr.strip()})")
    assert "refused in words" in done.stdout, done.stdout + done.stderr
