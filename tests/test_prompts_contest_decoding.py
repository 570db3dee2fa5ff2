"""Packed tests are read without loading a pickle; whatever the bytes, the outcome is the text or a named bad row."""

from __future__ import annotations

import base64
import json
import os
import pickle
import pickletools
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.prompts.cells import BadRow
from ahalab.prompts.contest import livecodebench, reading
from ahalab.prompts.contest.livecodebench import pickled_string, unpacked
from contest_rows import packed


def reason(read: Callable[[], Any]) -> str | None:
    """Why a row is bad; None where something was read. Any other exception is a failure."""
    try:
        read()
    except BadRow as bad:
        return bad.reason
    return None


TEXT = st.text(st.characters(codec="utf-8"), max_size=300)


@given(TEXT, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_every_packed_string_comes_back_in_every_protocol(text: str, protocol: int) -> None:
    assert unpacked(packed(text, protocol), "c") == text


def test_a_string_larger_than_a_pickle_s_frame_comes_back() -> None:
    text = "0123456789" * 100_000
    assert unpacked(packed(text), "c") == text
    assert unpacked(packed(text[:200_000], 0), "c") == text[:200_000]


class _Attack:
    """Unpickling this would make a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.open, (self.path, os.O_CREAT)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    path = str(tmp_path / "made")
    for value in (_Attack(path), [_Attack(path)], ("[]", _Attack(path))):
        with pytest.raises(BadRow, match="unsafe pickle") as bad:
            unpacked(packed(value, protocol), "c")
        assert bad.value.column == "c"
    assert not Path(path).exists()


@pytest.mark.parametrize("value", [b"[]", 3, None, ["[]"], {"a": "[]"}, ("a", "b")])
def test_a_pickle_of_anything_but_one_string_is_refused(value: Any) -> None:
    with pytest.raises(BadRow):
        unpacked(packed(value), "c")


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_a_string_or_a_bad_row(data: bytes) -> None:
    for read in (
        lambda: pickled_string(data, "c"),
        lambda: unpacked(base64.b64encode(zlib.compress(data)).decode(), "c"),
        lambda: unpacked(base64.b64encode(data).decode(), "c"),
        lambda: unpacked(data.decode("latin-1"), "c"),
    ):
        assert reason(read) in (None, "packing unreadable", "unsafe pickle")


@given(st.data())
def test_a_packed_text_cut_anywhere_is_a_bad_row(data: st.DataObject) -> None:
    whole = base64.b64decode(packed(json.dumps([{"input": "1", "output": "2"}] * 5)))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BadRow, match="packing unreadable"):
        unpacked(base64.b64encode(whole[:cut]).decode(), "c")


def test_a_bomb_is_refused_before_it_unfolds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livecodebench, "UNPACKED_BYTES", 1_000_000)
    with pytest.raises(BadRow, match="packing unreadable") as bad:
        unpacked(packed("0" * 5_000_000), "c")
    assert "more than 1000000 bytes" in bad.value.found


def test_only_operations_that_build_a_string_are_allowed() -> None:
    allowed = livecodebench._STRINGS | livecodebench._HARMLESS
    known = {operation.name for operation in pickletools.opcodes}
    assert allowed <= known
    assert not allowed & {
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
        "INST",
        "OBJ",
        "NEWOBJ",
        "NEWOBJ_EX",
        "PERSID",
    }
    assert not allowed & {"BINPERSID", "EXT1", "EXT2", "EXT4", "GET", "BINGET", "LONG_BINGET"}


@given(st.recursive(st.none() | st.booleans() | st.integers() | TEXT, st.lists, max_leaves=5))
def test_json_in_a_text_is_read_as_json_reads_it(value: Any) -> None:
    assert reading.parsed(json.dumps(value), "c") == value


@given(st.text(max_size=60))
def test_any_text_is_json_or_a_bad_row(text: str) -> None:
    assert reason(lambda: reading.parsed(text, "c")) in (None, "not JSON")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 2.0),
        ("", 2.0),
        ("None", 2.0),
        (1, 1.0),
        (0.5, 0.5),
        ("2", 2.0),
        ("2.0 seconds", 2.0),
        ("1 second", 1.0),
        ("1 - 2 sec", 2.0),
        ("1.5s", 1.5),
        ("500 ms", 0.5),
        ("  3 Seconds ", 3.0),
    ],
)
def test_a_time_limit_is_read_in_every_way_that_data_sets_write_it(text: Any, seconds: float) -> None:
    assert reading.seconds(text, "c") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["soon", "-1", "0", 0, True, "2 hours", [2], "1e9", "61", "1 s or 2 apples"])
def test_any_other_time_limit_is_a_bad_row(text: Any) -> None:
    with pytest.raises(BadRow, match="wrong limit"):
        reading.seconds(text, "c")


@pytest.mark.parametrize(
    ("text", "megabytes"),
    [
        (None, 256),
        ("256.0 megabytes", 256),
        ("512 MB", 512),
        (1024.0, 1024),
        ("1 GB", 1024),
        ("65536 KB", 64),
        ("16 megabytes", 64),
        ("100.5 MB", 101),
    ],
)
def test_a_memory_limit_is_read_and_never_below_what_python_needs(text: Any, megabytes: int) -> None:
    assert reading.megabytes(text, "c") == megabytes


@given(st.text(max_size=30))
def test_any_text_is_a_limit_or_a_bad_row(text: str) -> None:
    for read in (reading.seconds, reading.megabytes):
        assert reason(partial(read, text, "c")) in (None, "wrong limit")
