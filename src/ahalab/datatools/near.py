"""Near twins: sketches on disk, likely pairs from buckets on disk, decisions in the rows' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ahalab.datatools.buckets import Buckets, DiskLists, WorkFolder
from ahalab.datatools.layouts import text_of
from ahalab.datatools.sketches import BANDS, SKETCH, Shape, Sketcher, formula_key, jaccard
from ahalab.datatools.twins import BATCH_ROWS, Marked, Twin

BATCH_TEXT = 1 << 18
"""Characters of texts that are sketched together: their grams then fit into a processor's cache."""
PAIRS_HELD = 1 << 16
"""Pairs that wait in memory before they go to the disk."""
NOTE_ROWS = 100_000
"""Rows that a stopped process sketches again at most: some seconds."""
LONGEST_SKETCHED = 1 << 21
"""Characters of a text that are sketched; of a longer one the beginning. Exact twins are compared whole."""
CROWD, CROWD_LATER, CROWD_FROM = 16, 2, 1024
"""A member of a bucket is compared with its first `CROWD` members and the last `CROWD` before it, from the
`CROWD_FROM`th member on with `CROWD_LATER` of each. A bucket that large is a phrase of the data set's own, and real
twins meet in several buckets; what is left out is counted."""

_BAND = np.dtype([("key", "<u8"), ("row", "<u8")])
_PAIR = np.dtype([("key", "<u8"), ("earlier", "<u8")])


@dataclass(slots=True)
class Near:
    """What was found."""

    twins: int = 0
    short: int = 0
    """Rows too short for a gram: compared as a whole only."""
    compared: int = 0
    """Pairs whose sketches were compared."""
    left_out: int = 0
    """Comparisons left out in crowded buckets."""


def mark_near(marked: Marked, folder: WorkFolder, shape: Shape, *, any_numbers: bool = False) -> Near:
    """Mark the rows that are near twins of an earlier row that stays. Exact twins are marked already.

    A row goes when its first earlier likely twin that stays has at least `shape.near` of the grams in common. Unless
    `any_numbers`, both must have the same numbers and mathematical signs in the same order: else they are two problems.

    Raises:
        UserError: too little room on the disk.
        EnvironmentFailure: a full disk all the same.
    """
    left = marked.rows - marked.exact
    size = min(4 * SKETCH, marked.characters // max(1, marked.rows)) + 8 + BANDS * _BAND.itemsize
    notes = folder.notes
    if "sketched" not in notes:
        folder.need(left * size, f"finding near twins among {left:,} rows")
    found = Near(short=notes.get("sketched", {}).get("short", 0))
    sketches = DiskLists(folder.path, "sketches", notes.get("sketched", {}).get("offset", 0))
    try:
        bands = Buckets(folder.path / "bands", _BAND)
        pairs = Buckets(folder.path / "pairs", _PAIR)
        if "paired" not in notes:
            if notes.get("sketched", {}).get("place") != marked.rows:
                _sketch_all(marked, folder, Sketcher(shape), bands, sketches, found, any_numbers)
            pairs.cut({})
            _pair_up(marked, bands, pairs, found)
            folder.note(paired={"left_out": found.left_out, "files": pairs.sizes()})
            bands.remove()
        else:
            found.left_out = notes["paired"]["left_out"]
            pairs.cut(notes["paired"]["files"])
        _decide(marked, pairs, sketches, shape.near, found)
    finally:
        sketches.close()
    return found


def _sketch_all(
    marked: Marked,
    folder: WorkFolder,
    sketcher: Sketcher,
    bands: Buckets,
    sketches: DiskLists,
    found: Near,
    any_numbers: bool,
) -> None:
    """Sketches and bands of all rows that are no exact twins, from where a stopped process noted that it was."""
    known = folder.notes.get("sketched", {"place": 0, "files": {}})
    bands.cut(known["files"])
    begun = noted = known["place"]
    places: list[int] = []
    texts: list[str] = []
    size = 0

    def put() -> None:
        made = sketcher.sketch(texts, None if any_numbers else [formula_key(text) for text in texts])
        rows = np.array(places, dtype=np.int64)[made.places]
        sketches.append(rows, made.counts, made.numbers)
        records = np.empty(made.bands.size, dtype=_BAND)
        records["key"] = made.bands.ravel()
        records["row"] = np.repeat(rows, BANDS).astype(np.uint64)
        bands.add(records)
        found.short += len(texts) - len(rows)

    def note(place: int) -> None:
        folder.note(
            sketched={"place": place, "files": bands.sizes(), "offset": sketches.offset, "short": found.short}
        )

    for place, row, twin in marked.all_rows("near twins: sketch"):
        if twin is not None or place < begun:
            continue
        text = text_of(row.values, marked.by)[:LONGEST_SKETCHED]
        places.append(place)
        texts.append(text)
        size += len(text)
        if size >= BATCH_TEXT or len(texts) == BATCH_ROWS:
            put()
            places, texts, size = [], [], 0
            if place + 1 - noted >= NOTE_ROWS:
                noted = place + 1
                note(noted)
    if texts:
        put()
    note(marked.rows)


def _pair_up(marked: Marked, bands: Buckets, pairs: Buckets, found: Near) -> None:
    """Candidates: rows that share a bucket. Keyed by the later row, so that they come back in the rows' order."""
    shift = np.uint64(_shift(marked.rows))
    crowd = _Crowd(None)
    progress = marked.watch.progress
    progress.begin("near twins: pair up", max(1, bands.records), "record")
    done = 0
    try:
        for block in bands.blocks():
            marked.watch.check()
            edges = np.flatnonzero(block["key"][1:] != block["key"][:-1]) + 1
            starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(block)]])
            several = ends - starts > 1
            # Only the first run of a block can go on from the block before.
            several[0] |= int(block["key"][0]) == crowd.key
            later: list[int] = []
            earlier: list[int] = []
            for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True):
                key = int(block["key"][start])
                if key != crowd.key:
                    crowd = _Crowd(key)
                for row in block["row"][start:end].tolist():
                    partners = crowd.join(row)
                    later += [row] * len(partners)
                    earlier += partners
                    found.left_out += crowd.size - 1 - len(partners)
                if len(later) > PAIRS_HELD:
                    pairs.add(_records(later, earlier, shift))
                    later, earlier = [], []
            if not several[-1]:
                # A run that may go on in the next block.
                crowd = _Crowd(int(block["key"][-1]))
                crowd.join(int(block["row"][-1]))
            pairs.add(_records(later, earlier, shift))
            done += len(block)
            progress.advance(done, {"pairs": pairs.records})
    finally:
        progress.end()


class _Crowd:
    """The members of one bucket, as far as later ones are compared with them."""

    def __init__(self, key: int | None) -> None:
        self.key, self.size = key, 0
        self._first: list[int] = []
        self._last: deque[int] = deque(maxlen=CROWD)

    def join(self, row: int) -> list[int]:
        """Take a member in; the earlier members it is compared with."""
        few = CROWD if self.size < CROWD_FROM else CROWD_LATER
        first = self._first[:few]
        recent = list(self._last)[-few:]
        partners = list(dict.fromkeys([*first, *recent]))
        if len(self._first) < CROWD:
            self._first.append(row)
        self._last.append(row)
        self.size += 1
        return partners


def _records(later: list[int], earlier: list[int], shift: np.uint64) -> NDArray[np.void]:
    records = np.empty(len(later), dtype=_PAIR)
    records["key"] = np.array(later, dtype=np.uint64) << shift
    records["earlier"] = np.array(earlier, dtype=np.uint64)
    return records


def _decide(marked: Marked, pairs: Buckets, sketches: DiskLists, near: float, found: Near) -> None:
    shift = _shift(marked.rows)
    progress = marked.watch.progress
    progress.begin("near twins: decide", max(1, pairs.records), "pair")
    done = 0
    try:
        for row, candidates in _candidates(pairs):
            done += len(candidates)
            place = row >> shift
            targets = {_stays(marked, one) for one in set(candidates)}
            mine = sketches.get(place)
            for target in sorted(targets):
                found.compared += 1
                alike = jaccard(mine, sketches.get(target))
                if alike >= near:
                    marked.twins.set(place, Twin(target, alike).packed())
                    found.twins += 1
                    break
            if found.compared % 4096 < len(targets):
                marked.watch.check()
                progress.advance(min(done, pairs.records), {"twins": found.twins})
    finally:
        progress.end()


def _candidates(pairs: Buckets) -> Iterator[tuple[int, list[int]]]:
    """(key of a row, its earlier candidates), row after row."""
    for block in pairs.blocks():
        edges = np.flatnonzero(block["key"][1:] != block["key"][:-1]) + 1
        for part in np.split(block, edges):
            yield int(part["key"][0]), part["earlier"].tolist()


def _stays(marked: Marked, row: int) -> int:
    """The row itself, or the one that stays for it."""
    twin = Twin.read(marked.twins.get(row))
    return row if twin is None else twin.of


def _shift(rows: int) -> int:
    """Rows as keys: spread over all 64 bits, in their order."""
    return 64 - max(1, (rows - 1).bit_length())
