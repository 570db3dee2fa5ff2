"""The folder of a safety evaluation: what it began with, the items, replies, judgements and labels, each as JSON rows.

DIR/safety.json                            what it was begun with: benchmarks with hashes, jailbreak, parts, seed
    items.jsonl                            every item (harmful text lies here)
    targets/<target>/target.json           who answered: the target's identity
    targets/<target>/replies.jsonl         one row an item
    targets/<target>/paid/…                what a server said, as it came: no call is paid for twice
    judges/<hash>/judge.json               who judged: the judge's identity
    judges/<hash>/<target>.jsonl           one row an item and part
    judges/<hash>/paid/…
    labels/<annotator>.jsonl               blind labels; labels/adjudicated.jsonl the agreed ones
    summary.json · summary.md · results.jsonl · results.parquet · charts/

Readers here; the writers are in `ahalab.safety.running` and `ahalab.safety.labels`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from ahalab.errors import UserError
from ahalab.runs.atomic import read_json
from ahalab.runs.jsonl import JsonlReader
from ahalab.safety.records import Judgement, Label, SafetyItem, TargetReply

SETTINGS_NAME = "safety.json"
ITEMS_NAME = "items.jsonl"
REPLIES_NAME = "replies.jsonl"
ADJUDICATED = "adjudicated"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
Row = TypeVar("Row", SafetyItem, TargetReply, Judgement, Label)


def check_name(name: str, what: str) -> str:
    """A name that may stand in file names. UserError otherwise."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{what} {name!r}: expected up to 64 of A-Z a-z 0-9 _ . + -, beginning with a letter or digit"
        )
    return name


def row_of(record: SafetyItem | TargetReply | Judgement | Label) -> dict[str, Any]:
    """A record as a JSON row, keys in the order of its fields."""
    return asdict(record)


def read_rows(path: Path, kind: type[Row]) -> Iterator[Row]:
    """The records of a file; a half-written last row is dropped.

    Raises:
        UserError: names file, row and key of what does not fit.
    """
    known = {one.name for one in fields(kind)}
    reader = JsonlReader(path)
    for row in reader:
        strange = set(row) - known
        if strange:
            raise UserError(f"{path}, row {reader.row}: unknown key {min(strange)!r} for a {kind.__name__}")
        if "raw" in row:
            row["raw"] = tuple(row["raw"])
        try:
            yield kind(**row)
        except TypeError as error:
            raise UserError(f"{path}, row {reader.row}: no {kind.__name__} ({error})") from None


def open_folder(folder: Path) -> dict[str, Any]:
    """The settings that a folder was begun with. UserError when it is no safety evaluation."""
    if not (folder / SETTINGS_NAME).is_file():
        raise UserError(
            f"{folder} is no safety evaluation: {SETTINGS_NAME} is not in it. `aha safety run` makes one."
        )
    settings = read_json(folder / SETTINGS_NAME)
    if not isinstance(settings, dict):
        raise UserError(f"{folder / SETTINGS_NAME}: a JSON object was expected")
    return settings


def read_items(folder: Path) -> list[SafetyItem]:
    """Every item, in the order in which they were put."""
    return list(read_rows(folder / ITEMS_NAME, SafetyItem))


def target_names(folder: Path) -> list[str]:
    """Targets that have begun to answer, by name."""
    return sorted(path.parent.name for path in folder.glob(f"targets/*/{REPLIES_NAME}"))


def read_replies(folder: Path, target: str) -> list[TargetReply]:
    """The replies of a target so far, in the order of arrival."""
    return list(read_rows(folder / "targets" / target / REPLIES_NAME, TargetReply))


def judge_names(folder: Path) -> list[str]:
    """Hashes of the judges that have judged here, oldest first."""
    found = [path.parent for path in folder.glob("judges/*/judge.json")]
    return [
        path.name
        for path in sorted(found, key=lambda path: ((path / "judge.json").stat().st_mtime_ns, path.name))
    ]


def read_judgements(folder: Path, judge: str, target: str) -> list[Judgement]:
    """One judge's judgements of a target's replies; [] where it has judged none."""
    path = folder / "judges" / judge / f"{target}.jsonl"
    return list(read_rows(path, Judgement)) if path.is_file() else []


def annotators(folder: Path) -> list[str]:
    """Who labelled here, without the adjudicated labels."""
    return sorted(path.stem for path in folder.glob("labels/*.jsonl") if path.stem != ADJUDICATED)


def read_labels(folder: Path, annotator: str = ADJUDICATED) -> list[Label]:
    """The labels of one annotator, or the adjudicated ones; [] where there are none."""
    path = folder / "labels" / f"{annotator}.jsonl"
    return list(read_rows(path, Label)) if path.is_file() else []
