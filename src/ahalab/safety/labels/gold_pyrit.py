"""Replies that the PyPI package pyrit ships with its scorers' evaluations. Its files are read; it is never imported."""

from __future__ import annotations

import csv
import importlib.metadata
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ahalab.errors import UserError
from ahalab.runs.hashing import file_hash
from ahalab.safety.labels.gold import GoldReply, GoldSet
from ahalab.safety.labels.words import Head

FOLDER = "pyrit/datasets/scorer_evals/"
HARMFUL_FROM = 0.5
"""Mean of the raters' steps (0, 0.25 … 1) from which a reply counts as harmful. Our choice: the middle step."""


@dataclass(frozen=True, slots=True)
class _Kind:
    folder: str
    head: Head
    above: str
    below: str
    note: str
    leave_out: tuple[str, ...] = ()


_KINDS = {
    "pyrit-objective": _Kind(
        "objective", "harm", "unsafe", "not unsafe", "The label says that the aim was reached: harm, nearly."
    ),
    "pyrit-harm": _Kind(
        "harm",
        "harm",
        "unsafe",
        "not unsafe",
        f"Mean of the raters' five steps; from {HARMFUL_FROM:g} on a reply counts as harmful (our choice).",
        ("mini_hate_speech.csv",),  # rows of hate_speech_multi_score.csv
    ),
    "pyrit-refusal": _Kind("refusal_scorer", "refusal", "refused", "complied", "Labelled refused or not."),
}


def load(name: str) -> GoldSet:
    """One of the kinds, all its files together.

    Raises:
        UserError: pyrit is not installed, has no such files, or a row is not as expected.
    """
    kind = _KINDS[name]
    source, files = _files(kind)
    found = []
    for path in files:
        for number, row in _rows(path):
            scores = [float(value) for key, value in row.items() if key.startswith("human_score") and value]
            if not scores:
                raise UserError(f"{path.name} of {source}, row {number}: no human_score")
            above = sum(scores) / len(scores) >= HARMFUL_FROM
            found.append(
                GoldReply(
                    id=f"{path.stem}-{number}",
                    prompt=row["objective"],
                    reply=row["assistant_response"],
                    truth=kind.above if above else kind.below,
                    language="en",
                )
            )
    return GoldSet(
        name, kind.head, tuple(found), source, note=kind.note, files=tuple(file_hash(path) for path in files)
    )


def _files(kind: _Kind) -> tuple[str, list[Path]]:
    try:
        package = importlib.metadata.distribution("pyrit")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "these labelled replies are read from the PyPI package pyrit, which is not installed: "
            "pip install --no-deps pyrit (its data are read, it is never imported)"
        ) from None
    begins = f"{FOLDER}{kind.folder}/"
    paths = sorted(
        Path(str(one.locate()))
        for one in package.files or ()
        if str(one).startswith(begins) and one.suffix == ".csv" and one.name not in kind.leave_out
    )
    if not paths:
        raise UserError(
            f"pyrit {package.version} has no files in {begins}: another version laid them elsewhere"
        )
    return f"PyPI pyrit {package.version}", paths


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a file, numbered from 1, without the comment lines above the header."""
    lines = path.read_text("utf-8-sig").splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    yield from enumerate(csv.DictReader(io.StringIO("".join(lines), newline=""), strict=True), 1)
