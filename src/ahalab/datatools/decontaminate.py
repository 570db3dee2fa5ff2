"""`aha data decontaminate`: rows that share a 10-gram with an evaluation set are left out (paper D.1), by name."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.datatools.dedup import beside, copy, identity, schema_of
from ahalab.datatools.evaluation_sets import EvaluationSet, open_set
from ahalab.datatools.layouts import chosen_columns, head_of
from ahalab.datatools.reading import GoodRows, Watch
from ahalab.datatools.stream import Row, open_stream
from ahalab.datatools.writing import RowWriter, check_writable
from ahalab.errors import UserError
from ahalab.evaluation.decontamination import COMMONEST, GRAM, cut_text
from ahalab.prompts.cells import texts

MOST_GRAMS = 100_000
"""Different shared n-grams whose rows are counted; a bound for memory."""


@dataclass(slots=True)
class Hit:
    """What one row has in common with one evaluation set."""

    set: str
    item: str
    """The item that it shares the most with."""
    items: int
    """Items that it shares anything with."""
    gram: str
    """The first shared n-gram in alphabetical order; the item's text where the two are the same."""
    grams: int
    """n-grams that it shares with the item."""
    same: bool

    def as_dict(self, no_text: bool) -> dict[str, Any]:
        """For the side file."""
        told = {
            "set": self.set,
            "item": self.item,
            "items": self.items,
            "grams": self.grams,
            "same": self.same,
        }
        return told if no_text else {**told, "gram": self.gram}


@dataclass(slots=True)
class SetReport:
    """What was found of one evaluation set."""

    name: str
    items: int
    short: int
    rows: int = 0
    """Rows that share an n-gram with it, or are the same text as an item."""
    same: int = 0
    """Rows of which a text is an item's very text."""
    found: set[int] = field(default_factory=set)
    """Places of the items that were found."""
    common: Counter[str] = field(default_factory=Counter)
    """n-gram → rows that hold it."""

    def as_dict(self, no_text: bool = False) -> dict[str, Any]:
        """JSON-able."""
        told = {
            "set": self.name,
            "items": self.items,
            "short_items": self.short,
            "rows": self.rows,
            "same_text": self.same,
            "items_found": len(self.found),
        }
        if no_text:
            return told
        return {**told, "commonest": [{"gram": gram, "rows": rows} for gram, rows in self.commonest()]}

    def commonest(self) -> list[tuple[str, int]]:
        """The n-grams that most rows share: a phrase that everybody writes, more often than a leak."""
        return sorted(self.common.items(), key=lambda item: (-item[1], item[0]))[:COMMONEST]


@dataclass(slots=True)
class Decontaminated:
    """What was found and done."""

    path: Path
    n: int
    sets: list[SetReport]
    rows: int = 0
    dropped: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    size: int = 0
    output: Path | None = None
    dropped_file: Path | None = None

    def as_dict(self, no_text: bool = False) -> dict[str, Any]:
        """JSON-able."""
        return {
            "file": str(self.path),
            "n": self.n,
            "rows": self.rows,
            "dropped": self.dropped,
            "kept": self.rows - self.dropped,
            "skipped": self.skipped,
            "sets": [one.as_dict(no_text) for one in self.sets],
            "seconds": round(self.seconds, 3),
            "output": None if self.output is None else str(self.output),
            "dropped_file": None if self.dropped_file is None else str(self.dropped_file),
        }


def decontaminate(
    path: Path,
    against: Sequence[str],
    watch: Watch,
    *,
    n: int = GRAM,
    by: Sequence[str] = (),
    output: Path | None = None,
    dropped: Path | None = None,
    no_text: bool = False,
    skip_bad_rows: bool = False,
    overwrite: bool = False,
) -> Decontaminated:
    """Look for the n-grams of evaluation sets in the rows of a file; with `output` write the rows without any.

    All texts of a row are looked at, or those of the columns `by`. A row goes when it shares one n-gram with a question
    or a worked solution, or when one of its texts is a question (the same but for case, full width and layout): that is
    how short questions are found. A paraphrase is not found, as the paper admits.

    Raises:
        UserError: files that cannot be read or written, a bad row, an unknown set, suite or column.
        EnvironmentFailure: a full disk. Interrupted: Ctrl-C; nothing is left behind.
    """
    started = time.monotonic()
    open_stream(path).close()  # what is not there is said before evaluation sets are read
    dropped = dropped or (None if output is None else beside(output, "dropped"))
    for one in (output, dropped):
        if one is not None:
            check_writable(one, overwrite=overwrite, source=path)
    columns = chosen_columns(by, head_of(path), path, "--by") if by else None
    repeated = next((one for one, times in Counter(against).items() if times > 1), None)
    if repeated is not None:
        raise UserError(f"--against {repeated}: given twice")
    sets = []
    for given in against:
        watch.check()
        sets.append(open_set(given, n, skip_bad_rows=skip_bad_rows))
    done = Decontaminated(
        path, n, [SetReport(one.name, one.items, one.short) for one in sets], size=path.stat().st_size
    )
    done.output, done.dropped_file = output, dropped
    with ExitStack() as files:
        kept = gone = None
        if output is not None:
            kept = files.enter_context(RowWriter(output, overwrite=overwrite, schema=schema_of(path, output)))
        if dropped is not None:
            gone = files.enter_context(RowWriter(dropped, overwrite=overwrite))
        good = GoodRows(path, watch, "decontaminate", skip_bad_rows=skip_bad_rows)
        for row in good:
            hits = _hits(row, columns, n, sets, done.sets)
            if hits:
                done.dropped += 1
                if gone is not None:
                    gone.write({**identity(row), "hits": [hit.as_dict(no_text) for hit in hits]})
            elif kept is not None:
                copy(kept, row)
        watch.check()
    done.rows, done.skipped = good.rows, dict(good.skipped)
    done.seconds = time.monotonic() - started
    return done


def _hits(
    row: Row,
    columns: Sequence[str] | None,
    n: int,
    sets: Sequence[EvaluationSet],
    reports: Sequence[SetReport],
) -> list[Hit]:
    values = row.values if columns is None else {name: row.values.get(name) for name in columns}
    text = cut_text(list(texts(values)) or [""], n)
    hits = []
    for one, report in zip(sets, reports, strict=True):
        found = one.grams.find(text)
        if not found:
            continue
        report.rows += 1
        report.same += any(common.same for common in found.values())
        report.found.update(found)
        for gram in {gram for common in found.values() for gram in common.grams}:
            if gram in report.common or len(report.common) < MOST_GRAMS:
                report.common[gram] += 1
        most = min(found, key=lambda place: (not found[place].same, -len(found[place].grams), place))
        common = found[most]
        words = min(common.grams) if common.grams else "the same text"
        hits.append(Hit(one.name, one.grams.names[most], len(found), words, len(common.grams), common.same))
    return hits
