"""Data sets as stages leave and read them: a folder `data/` of JSON Lines, its statistics, and what was dropped.

`rows.jsonl` (`SupervisedRow`) | `pairs.jsonl` (`PreferencePair`) | `labelled.jsonl` (`LabelledResponse`), one object
a line with the record's fields as keys, in their order; `statistics.json`, `dropped.json` ({reason: count}).
Configs name data sets by `ahalab.stages.data_entries.DataEntry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.records import LabelledResponse, PreferencePair, SupervisedRow
from ahalab.runs.atomic import TEMPORARY_PREFIX, read_json, sync_folder, write_json
from ahalab.runs.jsonl import JsonlWriter, read_jsonl
from ahalab.stages.record_decoder import Record, as_values, decoder

ROWS_NAME = "rows.jsonl"
PAIRS_NAME = "pairs.jsonl"
LABELLED_NAME = "labelled.jsonl"
STATISTICS_NAME = "statistics.json"
DROPPED_NAME = "dropped.json"
FOLDER_NAME = "data"
"""A stage's data set lies in this folder of the stage's own."""

CONTENTS = {
    ROWS_NAME: "worked answers (from a `sample` stage)",
    PAIRS_NAME: "preference pairs (from a `preferences` stage)",
    LABELLED_NAME: "labelled responses (from a `labels` stage)",
}


def write_rows(folder: Path, rows: Iterable[SupervisedRow]) -> int:
    """Replace `folder/rows.jsonl`, whole or not at all; the folder is made. Returns the number of rows.

    Raises EnvironmentFailure on a full disk, UserError where writing is not allowed.
    """
    return _write(folder, ROWS_NAME, rows)


def write_pairs(folder: Path, pairs: Iterable[PreferencePair]) -> int:
    """Replace `folder/pairs.jsonl`; as `write_rows`."""
    return _write(folder, PAIRS_NAME, pairs)


def write_labelled(folder: Path, labelled: Iterable[LabelledResponse]) -> int:
    """Replace `folder/labelled.jsonl`; as `write_rows`."""
    return _write(folder, LABELLED_NAME, labelled)


def read_rows(folder: Path) -> list[SupervisedRow]:
    """The rows of `folder/rows.jsonl`, in their order.

    Raises UserError naming file, row and key for a missing file, a line that is no JSON object, an unknown or
    missing key, a value of another type, a blank question or answer, and an id that occurred before.
    """
    return _read(folder, ROWS_NAME, SupervisedRow)


def read_pairs(folder: Path) -> list[PreferencePair]:
    """The pairs of `folder/pairs.jsonl`; as `read_rows`."""
    return _read(folder, PAIRS_NAME, PreferencePair)


def read_labelled(folder: Path) -> list[LabelledResponse]:
    """The responses of `folder/labelled.jsonl`; as `read_rows`."""
    return _read(folder, LABELLED_NAME, LabelledResponse)


def write_dropped(folder: Path, dropped: Mapping[str, int]) -> None:
    """Write `dropped.json`: how many candidates each reason took, most first; the folder is made."""
    folder.mkdir(exist_ok=True)
    ordered = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    write_json(folder / DROPPED_NAME, {reason: count for reason, count in ordered if count})


def read_dropped(folder: Path) -> dict[str, int]:
    """What `write_dropped` wrote; empty when the data set does not say."""
    path = folder / DROPPED_NAME
    return dict(read_json(path)) if path.is_file() else {}


def describe_dropped(dropped: Mapping[str, int]) -> str:
    """`{reason: count}` in words, most first: "812 not correct, 40 repetition"."""
    return ", ".join(
        f"{count} {reason}" for reason, count in sorted(dropped.items(), key=lambda i: (-i[1], i[0]))
    )


class DomainTally:
    """The table that the paper gives of its SFT set (appendix B.3.3), filled row by row."""

    def __init__(self) -> None:
        self._found: dict[str, list[int]] = {}
        """Domain → [samples, rounds, tokens]."""

    def add(self, domain: str, rounds: int, tokens: int) -> None:
        """Count one sample: turns of its dialogue, tokens of its thinking and answer together."""
        sums = self._found.setdefault(domain, [0, 0, 0])
        for place, one in enumerate((1, rounds, tokens)):
            sums[place] += one

    def table(self) -> list[dict[str, Any]]:
        """One row a domain and a last one "total".

        Keys: `domain`, `samples`, `rounds` (mean turns), `tokens` (mean tokens of thinking and answer together: our
        reading, the paper does not say what it counts). Domains in alphabetical order; without rows only the total.
        """
        total = [sum(sums[place] for sums in self._found.values()) for place in range(3)]
        return [
            {
                "domain": domain,
                "samples": samples,
                "rounds": round(rounds / max(1, samples), 3),
                "tokens": round(tokens / max(1, samples), 3),
            }
            for domain, (samples, rounds, tokens) in [*sorted(self._found.items()), ("total", total)]
        ]


def statistics(rows: Sequence[SupervisedRow], count_tokens: Callable[[str], int]) -> list[dict[str, Any]]:
    """The table of a data set; see `DomainTally`."""
    tally = DomainTally()
    for row in rows:
        tally.add(row.domain, row.rounds, count_tokens(row.thinking) + count_tokens(row.answer))
    return tally.table()


def write_statistics(folder: Path, table: Sequence[Mapping[str, Any]]) -> None:
    """Write `statistics.json`; the folder is made."""
    folder.mkdir(exist_ok=True)
    write_json(folder / STATISTICS_NAME, list(table))


def _write(folder: Path, name: str, records: Iterable[Record]) -> int:
    folder.mkdir(exist_ok=True)
    temporary = folder / f"{TEMPORARY_PREFIX}{name}"
    temporary.unlink(missing_ok=True)
    count = 0
    with JsonlWriter(temporary) as writer:
        for record in records:
            writer.append(as_values(record))
            count += 1
    temporary.replace(folder / name)
    sync_folder(folder)
    return count


def _read(folder: Path, name: str, kind: type[Record]) -> list[Record]:
    path = Path(folder) / name
    if not path.is_file():
        there = [other for other in CONTENTS if (Path(folder) / other).is_file()]
        holds = f"; it holds {' and '.join(CONTENTS[other] for other in there)}" if there else ""
        raise UserError(f"{path} is missing: {CONTENTS[name]} were expected there{holds}.")
    reader = read_jsonl(path)
    decode = decoder(kind)
    records: list[Record] = []
    seen: dict[str, int] = {}
    for values in reader:
        record = decode(values, f"{path}, row {reader.row}")
        before = seen.setdefault(record.id, reader.row)
        if before != reader.row:
            raise UserError(
                f"{path}, row {reader.row}: the id {record.id!r} is that of row {before} too; give each row its own."
            )
        records.append(record)
    if reader.truncated:
        raise UserError(f"{path}: its last row is cut off. Put the file back as it was, or mend that row.")
    return records
