"""The human check: a blind, stratified sample of the labels for two annotators, as CSV files out and in.

Each annotator gets the same responses in an order of their own, without the judge's label. Strata are label × source ×
language, drawn evenly, so that rare classes are seen; figures for the whole data set are weighted back.
"""

from __future__ import annotations

import csv
import heapq
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ahalab.counter import make_key, permutation, uniform
from ahalab.errors import UserError
from ahalab.runs.atomic import read_json, write_json, write_text
from ahalab.runs.hashing import file_hash
from ahalab.safety.labels.kappa import Agreement, agreement
from ahalab.safety.labels.pairs import Pair
from ahalab.safety.rewarding.assembling import APPLIED_NAME, labelled_rows
from ahalab.safety.rewarding.reading import stream_rows
from ahalab.validation import nearest

CHECK_FOLDER, KEY_NAME, REPORT_NAME = "check", "sample.json", "agreement.json"
ANNOTATORS = ("a", "b")
COLUMNS = ("id", "request", "thinking", "answer", "label", "note")
CLASSES = ("unsafe", "safe")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings that a spreadsheet would take for a formula (OWASP, CSV injection)."""

Stratum = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check came to."""

    sample: int
    both: int
    """Responses that both annotators labelled."""
    missing: dict[str, int]
    """Annotator → responses left without a label: counted, in no figure."""
    between: Agreement | None
    """The annotators, one against the other; κ with an interval clustered by prompt."""
    judge: Agreement | None
    """The judge against the labels that both annotators gave, weighted to the whole data set."""
    agreed_otherwise: list[str]
    """Ids that both label otherwise than the judge."""
    applied: int
    """Labels that were replaced by the annotators' (with `apply`)."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def draw(folder: Path, n: int, seed: int, *, overwrite: bool = False) -> dict[str, int]:
    """Write `check/a.csv`, `check/b.csv` and `check/sample.json`; stratum → how many were drawn.

    Rows are read twice, one by one; in memory are at most n of each stratum.

    Raises:
        UserError: no rows, or a sample that is there already (labels may stand in it).
    """
    if not (folder / "summary.json").is_file():
        raise UserError(f"{folder} has no finished labels; `aha safety rewards make` makes them.")
    check = folder / CHECK_FOLDER
    if (check / KEY_NAME).is_file() and not overwrite:
        raise UserError(
            f"{check} holds a sample already, perhaps with labels in it; --overwrite draws a new one."
        )
    sizes = Counter(_stratum(row) for row in labelled_rows(folder))
    if not sizes:
        raise UserError(f"{folder} has no labelled response to check.")
    shares = _shares(sizes, n)
    heaps: dict[Stratum, list[tuple[float, str, dict[str, Any]]]] = {stratum: [] for stratum in sizes}
    for row in labelled_rows(folder):
        stratum = _stratum(row)
        # The smallest numbers stay: a heap of the negated ones drops the largest.
        entry = (-uniform(make_key(seed, "human check", row["id"]), 0), row["id"], row)
        heap = heaps[stratum]
        if len(heap) < shares[stratum]:
            heapq.heappush(heap, entry)
        elif heap and entry > heap[0]:
            heapq.heapreplace(heap, entry)
    chosen = [row for heap in heaps.values() for _, _, row in heap]
    check.mkdir(exist_ok=True)
    for annotator in ANNOTATORS:
        order = permutation(make_key(seed, "order", annotator), len(chosen))
        write_text(check / f"{annotator}.csv", _sheet([chosen[place] for place in order]))
    drawn = Counter(_stratum(row) for row in chosen)
    write_json(
        check / KEY_NAME,
        {
            "data": file_hash(folder / "data" / "labelled.jsonl"),
            "rows": [
                {
                    "id": row["id"],
                    "label": _word(row["safe"]),
                    "cluster": f"{make_key(row['question']):016x}",
                    "weight": sizes[_stratum(row)] / drawn[_stratum(row)],
                }
                for row in chosen
            ],
        },
    )
    return {" · ".join(stratum): count for stratum, count in sorted(drawn.items())}


def compare(folder: Path, *, apply: bool = False) -> Checked:
    """Read the two files back; writes `check/agreement.json`, and with `apply` `check/applied.json`.

    Raises:
        UserError: a file that is missing or was cut, an id that is not of the sample or stands twice, an unknown label.
    """
    check = folder / CHECK_FOLDER
    if not (check / KEY_NAME).is_file():
        raise UserError(f"{check} holds no sample; `aha safety rewards sample` draws one.")
    sample = {row["id"]: row for row in read_json(check / KEY_NAME)["rows"]}
    labels = {annotator: _labels(check / f"{annotator}.csv", sample) for annotator in ANNOTATORS}
    first, second = (labels[annotator] for annotator in ANNOTATORS)
    both = [name for name in sample if name in first and name in second]
    between = [Pair(first[name], second[name], sample[name]["cluster"]) for name in both]
    agreed = [name for name in both if first[name] == second[name]]
    judged = [
        Pair(first[name], sample[name]["label"], sample[name]["cluster"], weight=sample[name]["weight"])
        for name in agreed
    ]
    otherwise = [name for name in agreed if first[name] != sample[name]["label"]]
    if apply:
        write_json(check / APPLIED_NAME, {name: first[name] == "safe" for name in otherwise})
    result = Checked(
        len(sample),
        len(both),
        {name: len(sample) - len(given) for name, given in labels.items()},
        agreement(between, CLASSES),
        agreement(judged, CLASSES),
        otherwise,
        len(otherwise) if apply else 0,
    )
    write_json(check / REPORT_NAME, result.as_dict())
    return result


def _stratum(row: Mapping[str, Any]) -> Stratum:
    return _word(row["safe"]), row["source"], row["language"]


def _word(safe: bool) -> str:
    return "safe" if safe else "unsafe"


def _shares(sizes: Mapping[Stratum, int], n: int) -> dict[Stratum, int]:
    """Even shares; what a small stratum cannot give goes to the others. The larger ones get the odd ones."""
    shares = dict.fromkeys(sizes, 0)
    left = min(n, sum(sizes.values()))
    while left:
        open_strata = [
            one for one in sorted(sizes, key=lambda one: (-sizes[one], one)) if shares[one] < sizes[one]
        ]
        each = max(1, left // len(open_strata))
        for stratum in open_strata:
            more = min(each, sizes[stratum] - shares[stratum], left)
            shares[stratum] += more
            left -= more
    return shares


def _sheet(rows: list[dict[str, Any]]) -> str:
    sheet = io.StringIO()
    sheet.write("\ufeff")  # else a spreadsheet takes Chinese for something else
    writer = csv.writer(sheet, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = (row["id"], row["question"], row["thinking"], row["answer"], "", "")
        writer.writerow(
            [f"'{cell}" if cell.startswith(_FORMULA) else cell.replace("\0", "�") for cell in cells]
        )
    return sheet.getvalue()


def _labels(path: Path, sample: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: set[str] = set()
    for number, row in stream_rows(path, "human check"):
        if not isinstance(row, dict):
            raise UserError(f"{path}, row {number}: {row.found}; expected {row.expected}. Correct the row.")
        if not {"id", "label"} <= set(row):
            raise UserError(f"{path}: the columns `id` and `label` are needed; it has {', '.join(row)}.")
        name = str(row["id"])
        if name not in sample:
            near = nearest(name, list(sample))
            raise UserError(
                f"{path}, row {number}: {name!r} is no id of the sample; the nearest is {near!r}."
            )
        if name in seen:
            raise UserError(f"{path}, row {number}: {name!r} stands twice.")
        seen.add(name)
        label = str(row["label"] or "").strip().casefold()
        if label and label not in CLASSES:
            raise UserError(
                f"{path}, row {number}: the label {label[:40]!r} is unknown; expected safe or unsafe, or nothing "
                f"where you cannot tell (nearest: {nearest(label, CLASSES)!r})."
            )
        if label:
            found[name] = label
    if len(seen) < len(sample):
        missing = next(name for name in sample if name not in seen)
        raise UserError(
            f"{path}: {len(sample) - len(seen)} rows of the sample are missing, such as {missing!r}. Put them back; "
            "a response that you cannot label keeps its row with an empty label."
        )
    return found
