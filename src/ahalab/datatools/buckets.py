"""Records on disk that are read back key by key, and numbers on disk that are read back place by place.

Both hold whatever a data set of any size needs while memory stays where it is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ahalab.errors import EnvironmentFailure, Interrupted, UserError
from ahalab.runs.atomic import (
    explaining_disk_errors,
    format_size,
    read_json,
    remove_tree,
    write_all,
    write_json,
)
from ahalab.runs.hashing import config_hash
from ahalab.runs.lock import RunLock

FILES_BITS = 8
"""Files of a level: 2^8. With `LOAD_BYTES` that is 4 GB before any is split again."""
LOAD_BYTES = 16 << 20
"""Bytes of one file that are sorted in memory at a time."""
HELD_BYTES = 16 << 20
"""Bytes of records that wait in memory before they are written."""

Records = NDArray[np.void]

_NOTES = "notes.json"


class Buckets:
    """Records with a 64-bit `key`, spread over files by the key's first bits.

    Args:
        folder: made here; everything in it is this object's.
        dtype: of a record; its field "key" is uint64.
    """

    def __init__(self, folder: Path, dtype: np.dtype[np.void], *, depth: int = 0) -> None:
        self.folder, self._dtype, self._depth = folder, dtype, depth
        with explaining_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._held: dict[int, list[Records]] = {}
        self._held_bytes = 0
        self.records = 0

    def add(self, records: Records) -> None:
        """Add records; those of one key come back in the order in which they were added."""
        if not len(records):
            return
        self.records += len(records)
        shift = np.uint64(64 - FILES_BITS * (self._depth + 1))
        files = ((records["key"] >> shift) & np.uint64((1 << FILES_BITS) - 1)).astype(np.int64)
        order = np.argsort(files, kind="stable")
        ordered, files = records[order], files[order]
        edges = np.flatnonzero(np.diff(files)) + 1
        for part, file in zip(np.split(ordered, edges), files[np.concatenate([[0], edges])], strict=True):
            self._held.setdefault(int(file), []).append(part)
        self._held_bytes += records.nbytes
        if self._held_bytes >= HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits in memory. EnvironmentFailure on a full disk."""
        for file, parts in self._held.items():
            path = self._path(file)
            data = np.concatenate(parts).tobytes()
            with explaining_disk_errors(path, len(data)), path.open("ab") as out:
                out.write(data)
        self._held, self._held_bytes = {}, 0

    def blocks(self) -> Iterator[Records]:
        """All records, sorted by key, in blocks of bounded size; they stay on disk.

        A key's records lie in one block, or, where they are too many, in several that hold nothing else.
        """
        self.flush()
        for file in range(1 << FILES_BITS):
            path = self._path(file)
            if path.exists() and path.stat().st_size:
                yield from self._blocks_of(path, file)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, everything being written: what `cut` takes."""
        self.flush()
        return {path.name: path.stat().st_size for path in sorted(self.folder.glob("*.bin"))}

    def cut(self, sizes: Mapping[str, int]) -> None:
        """Back to the files of `sizes`: what a stopped process added since is gone."""
        for path in self.folder.glob("*.bin"):
            with explaining_disk_errors(path):
                os.truncate(path, sizes.get(path.name, 0))
        self.records = sum(sizes.values()) // self._dtype.itemsize

    def remove(self) -> None:
        """Give the room back."""
        self._held = {}
        remove_tree(self.folder)

    def _blocks_of(self, path: Path, file: int) -> Iterator[Records]:
        if path.stat().st_size <= LOAD_BYTES:
            found = np.fromfile(path, dtype=self._dtype)
            yield found[np.argsort(found["key"], kind="stable")]
        elif self._is_one_key(path):
            yield from self._slices(path)
        else:
            below = Buckets(self.folder / f"{file:03d}", self._dtype, depth=self._depth + 1)
            below.cut({})
            for part in self._slices(path):
                below.add(part)
            yield from below.blocks()
            below.remove()

    def _is_one_key(self, path: Path) -> bool:
        first: Any = None
        for part in self._slices(path):
            first = part["key"][0] if first is None else first
            if (part["key"] != first).any():
                return False
        return True

    def _slices(self, path: Path) -> Iterator[Records]:
        count = max(1, LOAD_BYTES // self._dtype.itemsize)
        with path.open("rb") as file:
            while data := file.read(count * self._dtype.itemsize):
                yield np.frombuffer(data, dtype=self._dtype)

    def _path(self, file: int) -> Path:
        return self.folder / f"{file:03d}.bin"


class DiskNumbers:
    """64-bit numbers by place, 0 where none was set; a sparse file that is gone on with where it is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with explaining_disk_errors(path):
            self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def set(self, place: int, number: int) -> None:
        """Set one. EnvironmentFailure on a full disk."""
        assert self._descriptor is not None
        with explaining_disk_errors(self._path, 8):
            os.pwrite(self._descriptor, number.to_bytes(8, "little"), 8 * place)

    def set_many(self, places: NDArray[np.int64], numbers: NDArray[np.uint64]) -> None:
        """Set several; neighbours go to the disk together."""
        assert self._descriptor is not None
        if not len(places):
            return
        order = np.argsort(places, kind="stable")
        places, numbers = places[order], numbers[order]
        edges = np.flatnonzero(np.diff(places) != 1) + 1
        with explaining_disk_errors(self._path, numbers.nbytes):
            for part, start in zip(
                np.split(numbers, edges), places[np.concatenate([[0], edges])], strict=True
            ):
                os.pwrite(self._descriptor, part.astype("<u8").tobytes(), 8 * int(start))

    def get(self, place: int) -> int:
        """One number."""
        assert self._descriptor is not None
        return int.from_bytes(os.pread(self._descriptor, 8, 8 * place), "little")

    def some(self, start: int, count: int) -> NDArray[np.uint64]:
        """`count` numbers from `start` on."""
        assert self._descriptor is not None
        data = os.pread(self._descriptor, 8 * count, 8 * start)
        return np.frombuffer(data.ljust(8 * count, b"\0"), dtype="<u8")

    def close(self) -> None:
        """Close the file; it stays where it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class DiskLists:
    """Short lists of 32-bit numbers by place, written in order of place, read in any."""

    _COUNT_BITS = 16

    def __init__(self, folder: Path, name: str, offset: int = 0) -> None:
        self._path = folder / f"{name}.bin"
        self._index = DiskNumbers(folder / f"{name}.index")
        with explaining_disk_errors(self._path):
            self._descriptor: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.offset = offset
        """Numbers written; given to a new object, it goes on from there."""

    def append(
        self, places: NDArray[np.int64], counts: NDArray[np.int64], numbers: NDArray[np.uint32]
    ) -> None:
        """Lists for some places, one after the other in `numbers`; a list has fewer than 2^16 numbers."""
        assert self._descriptor is not None
        offsets = self.offset + np.cumsum(counts) - counts
        # A count of 0 with an offset of 0 would look like a place that was never set, which is the same.
        self._index.set_many(places, (offsets.astype(np.uint64) << np.uint64(16)) | counts.astype(np.uint64))
        data = numbers.astype("<u4").tobytes()
        with explaining_disk_errors(self._path, len(data)):
            os.lseek(self._descriptor, 4 * self.offset, os.SEEK_SET)
            write_all(self._descriptor, data)
        self.offset += len(numbers)

    def get(self, place: int) -> NDArray[np.uint32]:
        """The list of one place, empty where there is none."""
        assert self._descriptor is not None
        entry = self._index.get(place)
        count, offset = entry & 0xFFFF, entry >> self._COUNT_BITS
        return np.frombuffer(os.pread(self._descriptor, 4 * count, 4 * offset), dtype="<u4")

    def close(self) -> None:
        """Close the files."""
        self._index.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class WorkFolder:
    """A folder for what does not fit into memory. It goes with the work, and stays when the work is stopped (Ctrl-C, a
    kill, a full disk): the same work finds it again, with what it noted down.

    Args:
        beside: it is made in this folder.
        name: of the tool.
        identity: what decides the result, JSON-able; other work has another folder.
    """

    def __init__(self, beside: Path, name: str, identity: Mapping[str, Any]) -> None:
        self.path = beside / f".aha-{name}-{config_hash(dict(identity))[:12]}"
        self._lock = RunLock(self.path)
        self.notes: dict[str, Any] = {}
        """What was noted so far, by this process or a stopped one."""

    def __enter__(self) -> Self:
        self._lock.__enter__()
        if (self.path / _NOTES).is_file():
            self.notes = read_json(self.path / _NOTES)
        return self

    def note(self, **changes: Any) -> None:
        """Note down how far the work is. EnvironmentFailure on a full disk."""
        self.notes |= changes
        write_json(self.path / _NOTES, self.notes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)
        stopped = error is not None and (
            not isinstance(error, Exception) or isinstance(error, Interrupted | EnvironmentFailure)
        )
        if not stopped:
            remove_tree(self.path)

    def need(self, size: int, what: str) -> None:
        """UserError when fewer than `size` bytes are free there."""
        free = shutil.disk_usage(self.path).free
        if size > free:
            raise UserError(
                f"{what} needs about {format_size(size)} for a while, and {self.path.parent} has {format_size(free)} "
                "free; name a folder with more by --work"
            )
