"""Rows that say the same again: which row goes, and why. Everything that grows with the file is on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ahalab.datatools.buckets import Buckets, DiskNumbers, WorkFolder
from ahalab.datatools.layouts import text_of
from ahalab.datatools.reading import GoodRows, Watch
from ahalab.datatools.sketches import exact_key
from ahalab.datatools.stream import Row

BATCH_ROWS = 4096
_EXACT = np.dtype([("key", "<u8"), ("more", "<u8"), ("row", "<u8"), ("gold", "<u8")])

_ROW_BITS = 44
_LIKENESS_BITS = 14
_WHOLE = (1 << _LIKENESS_BITS) - 1
"""Likeness of exact twins; near ones have ten-thousandths."""
_OTHER_GOLD = 1 << 63


@dataclass(frozen=True, slots=True)
class Twin:
    """Why a row goes."""

    of: int
    """Place of the row that stays, from 0 among the good rows."""
    likeness: float | None = None
    """Share of common grams; None for an exact twin."""
    other_gold: bool = False
    """The two texts are the same and the answers are not: worth a look."""

    def packed(self) -> int:
        """As one 64-bit number, never 0."""
        likeness = _WHOLE if self.likeness is None else round(10_000 * self.likeness)
        return (_OTHER_GOLD if self.other_gold else 0) | likeness << _ROW_BITS | (self.of + 1)

    @classmethod
    def read(cls, number: int) -> Twin | None:
        """What `packed` made; None for 0."""
        if not number:
            return None
        likeness = (number >> _ROW_BITS) & _WHOLE
        of = (number & ((1 << _ROW_BITS) - 1)) - 1
        return cls(of, None if likeness == _WHOLE else likeness / 10_000, bool(number & _OTHER_GOLD))


@dataclass(slots=True)
class Marked:
    """The rows of one file, and which of them go."""

    path: Path
    by: Sequence[str]
    """The columns whose texts are compared."""
    gold: Sequence[str]
    """The columns of the answer, where that is not compared."""
    watch: Watch
    skip_bad_rows: bool
    twins: DiskNumbers
    """Of each row that goes, by its place: `Twin.packed`."""
    numbers: DiskNumbers
    """Of each row, by its place: the number that an editor shows."""
    rows: int = 0
    characters: int = 0
    """Of the compared texts."""
    exact: int = 0
    other_gold: int = 0
    seconds: float = 0.0

    @classmethod
    def begin(
        cls, path: Path, by: Sequence[str], gold: Sequence[str], folder: WorkFolder, watch: Watch, skip: bool
    ) -> Marked:
        """Nothing goes yet."""
        twins, numbers = DiskNumbers(folder.path / "twins.bin"), DiskNumbers(folder.path / "numbers.bin")
        return cls(path, by, gold, watch, skip, twins, numbers)

    def all_rows(self, what: str) -> Iterator[tuple[int, Row, Twin | None]]:
        """(place, row, why it goes or None) of every good row: a pass over the file."""
        good = GoodRows(self.path, self.watch, what, skip_bad_rows=self.skip_bad_rows)
        block: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        for place, row in enumerate(good):
            if place % BATCH_ROWS == 0:
                block = self.twins.some(place, BATCH_ROWS)
            twin = Twin.read(int(block[place % BATCH_ROWS]))
            yield place, row, None if twin is None else self._of_one_that_stays(twin)
        self.seconds += good.seconds

    def _of_one_that_stays(self, twin: Twin) -> Twin:
        """The first of some exact twins may go itself, as a near twin: its own is meant then."""
        first = Twin.read(self.twins.get(twin.of))
        return twin if first is None else Twin(first.of, twin.likeness, twin.other_gold)

    def close(self) -> None:
        """Close what is open on disk."""
        self.twins.close()
        self.numbers.close()


def mark_exact(marked: Marked, folder: WorkFolder) -> dict[str, int]:
    """Mark the rows whose text an earlier row has, but for case, full width and white space; one pass over the file.

    Returns the rows left out as bad, by reason. It is not done again where the folder notes that it is done.
    Raises as `GoodRows`; EnvironmentFailure on a full disk.
    """
    if "exact" in folder.notes:
        known = folder.notes["exact"]
        marked.rows, marked.characters = known["rows"], known["characters"]
        marked.exact, marked.other_gold = known["exact"], known["other_gold"]
        return dict(known["skipped"])
    buckets = Buckets(folder.path / "exact", _EXACT)
    buckets.cut({})
    good = GoodRows(marked.path, marked.watch, "exact twins", skip_bad_rows=marked.skip_bad_rows)
    held: list[tuple[int, int, int, int]] = []
    numbers: list[int] = []

    def put() -> None:
        buckets.add(np.array(held, dtype=_EXACT))
        places = np.arange(marked.rows - len(numbers), marked.rows)
        marked.numbers.set_many(places, np.array(numbers, dtype=np.uint64))
        held.clear()
        numbers.clear()

    for place, row in enumerate(good):
        text = text_of(row.values, marked.by)
        key = exact_key(text)
        gold = exact_key(text_of(row.values, marked.gold)) if marked.gold else bytes(8)
        held.append((_number(key[:8]), _number(key[8:]), place, _number(gold[:8])))
        numbers.append(row.number)
        marked.rows += 1
        marked.characters += len(text)
        if len(held) == BATCH_ROWS:
            put()
    put()
    marked.seconds += good.seconds
    leaders = _Leaders()
    for block in buckets.blocks():
        marked.watch.check()
        rows, of, other = leaders.twins(block)
        packed = (of + np.uint64(1)) | np.uint64(_WHOLE << _ROW_BITS)
        packed[other] |= np.uint64(_OTHER_GOLD)
        marked.twins.set_many(rows.astype(np.int64), packed)
        marked.exact += len(rows)
        marked.other_gold += int(other.sum())
    buckets.remove()
    folder.note(
        exact={
            "rows": marked.rows,
            "characters": marked.characters,
            "exact": marked.exact,
            "other_gold": marked.other_gold,
            "skipped": dict(good.skipped),
        }
    )
    return dict(good.skipped)


class _Leaders:
    """Of each text the first row. Blocks come sorted by key; a text that is there a million times spans several."""

    def __init__(self) -> None:
        self._key: int | None = None
        self._known: dict[int, tuple[int, int]] = {}
        """Rest of the hash → (first row, its answer), of the last key of the block before."""

    def twins(
        self, block: NDArray[np.void]
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]:
        """(rows that go, the rows that stay for them, whether the answers differ)."""
        block = block[np.lexsort((block["row"], block["more"], block["key"]))]
        new = np.ones(len(block), dtype=bool)
        new[1:] = (block["key"][1:] != block["key"][:-1]) | (block["more"][1:] != block["more"][:-1])
        group, starts = np.cumsum(new) - 1, np.flatnonzero(new)
        of, gold = block["row"][starts].copy(), block["gold"][starts].copy()
        goes = ~new
        for number, start in enumerate(starts):
            if int(block["key"][start]) != self._key:
                break
            known = self._known.get(int(block["more"][start]))
            if known is not None:
                of[number], gold[number] = known
                goes[start] = True
        last = int(block["key"][-1])
        if last != self._key:
            self._key, self._known = last, {}
        for number in range(len(starts) - 1, -1, -1):
            if int(block["key"][starts[number]]) != last:
                break
            self._known.setdefault(int(block["more"][starts[number]]), (int(of[number]), int(gold[number])))
        return block["row"][goes], of[group][goes], block["gold"][goes] != gold[group][goes]


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
