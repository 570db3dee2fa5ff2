"""What is kept on disk comes back whole: by key in order, however skewed; by place in any order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ahalab.datatools import buckets as buckets_module
from ahalab.datatools.buckets import Buckets, DiskLists, DiskNumbers, WorkFolder
from ahalab.errors import UserError

RECORD = np.dtype([("key", "<u8"), ("row", "<u8")])


def records(keys: list[int]) -> np.ndarray:
    made = np.empty(len(keys), dtype=RECORD)
    made["key"], made["row"] = np.array(keys, dtype=np.uint64), np.arange(len(keys))
    return made


@pytest.mark.parametrize("load", [160, 16 * 1000])
def test_records_come_back_sorted_by_key_and_then_as_they_were_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: int
) -> None:
    monkeypatch.setattr(buckets_module, "LOAD_BYTES", load)
    chosen = np.random.default_rng(0)
    # Skewed keys: many of one value, many that share their first bits, some anywhere.
    keys = (
        [7] * 200
        + [int(key) for key in chosen.integers(0, 1 << 20, 300)]
        + [int(key) for key in chosen.integers(0, 1 << 63, 300)]
    )
    order = chosen.permutation(len(keys)).tolist()
    keys = [keys[place] for place in order]
    buckets = Buckets(tmp_path / "b", RECORD)
    for start in range(0, len(keys), 90):
        part = records(keys)[start : start + 90]
        buckets.add(part)
    blocks = list(buckets.blocks())
    found = [(int(one["key"]), int(one["row"])) for block in blocks for one in block]
    assert found == sorted((key, row) for row, key in enumerate(keys))
    assert buckets.records == len(keys)
    for block in blocks:
        assert block.nbytes <= load
    # A key's records lie in one block, or in several that hold nothing else.
    for before, after in pairwise(blocks):
        if before["key"][-1] == after["key"][0]:
            assert len(np.unique(before["key"])) == 1
    buckets.remove()
    assert not (tmp_path / "b").exists()


def test_what_was_added_since_is_cut_off(tmp_path: Path) -> None:
    buckets = Buckets(tmp_path / "b", RECORD)
    buckets.add(records([1, 1 << 63, 3]))
    sizes = buckets.sizes()
    buckets.add(records([4, 5 << 60]))
    buckets.flush()
    again = Buckets(tmp_path / "b", RECORD)
    again.cut(sizes)
    assert again.records == 3
    assert [int(key) for block in again.blocks() for key in block["key"]] == [1, 3, 1 << 63]


def test_records_that_wait_are_written_before_they_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets_module, "HELD_BYTES", 64)
    buckets = Buckets(tmp_path / "b", RECORD)
    buckets.add(records([1, 2, 3, 4, 5]))
    assert sum(path.stat().st_size for path in (tmp_path / "b").iterdir()) == 5 * RECORD.itemsize


def test_nothing_comes_back_as_nothing(tmp_path: Path) -> None:
    buckets = Buckets(tmp_path / "b", RECORD)
    buckets.add(records([]))
    assert list(buckets.blocks()) == []


def test_numbers_by_place(tmp_path: Path) -> None:
    numbers = DiskNumbers(tmp_path / "n")
    numbers.set(1000, 2**64 - 1)
    numbers.set_many(np.array([5, 3, 4, 90]), np.array([50, 30, 40, 900], dtype=np.uint64))
    numbers.set_many(np.array([], dtype=np.int64), np.array([], dtype=np.uint64))
    assert [numbers.get(place) for place in (0, 3, 4, 5, 90, 1000, 5000)] == [
        0,
        30,
        40,
        50,
        900,
        2**64 - 1,
        0,
    ]
    assert numbers.some(3, 4).tolist() == [30, 40, 50, 0]
    assert numbers.some(1000, 3).tolist() == [2**64 - 1, 0, 0]
    numbers.close()


def test_lists_by_place(tmp_path: Path) -> None:
    lists = DiskLists(tmp_path, "l")
    lists.append(np.array([0, 2]), np.array([2, 1]), np.array([7, 8, 9], dtype=np.uint32))
    lists.append(np.array([5]), np.array([3]), np.array([1, 2, 3], dtype=np.uint32))
    assert [lists.get(place).tolist() for place in (0, 1, 2, 5, 9)] == [[7, 8], [], [9], [1, 2, 3], []]
    lists.close()


def test_a_work_folder_goes_with_the_work_and_stays_when_it_is_stopped(tmp_path: Path) -> None:
    identity = {"file": "a", "n": 5}

    def stopped() -> None:
        with WorkFolder(tmp_path, "work", identity) as folder:
            folder.note(first=[1, 2])
            folder.note(second="x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    (left,) = tmp_path.iterdir()
    with WorkFolder(tmp_path, "work", identity) as again:
        assert again.path == left
        assert again.notes == {"first": [1, 2], "second": "x"}
        with WorkFolder(tmp_path, "work", {**identity, "n": 6}) as other:
            assert (other.path != again.path, other.notes) == (True, {})
        with pytest.raises(UserError, match="in use by process"), WorkFolder(tmp_path, "work", identity):
            pass
        assert again.path.is_dir()
    with pytest.raises(ValueError, match="a bug"), WorkFolder(tmp_path, "work", identity):
        raise ValueError("a bug")
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_said_before_the_work(tmp_path: Path) -> None:
    with WorkFolder(tmp_path, "work", {}) as folder, pytest.raises(UserError, match="by --work"):
        folder.need(1 << 60, "the work")
