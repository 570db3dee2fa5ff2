"""The labelled sets by name, and files of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ahalab.errors import UserError
from ahalab.safety.labels import gold_bundled, gold_pyrit
from ahalab.safety.labels.gold import GoldSet
from ahalab.safety.labels.gold_files import read_gold
from ahalab.validation import suggestion

BUNDLED_SETS: dict[str, str] = {
    "chinese-replies": "our Chinese replies, the test part (three verdicts)",
    "chinese-replies-all": "the same, with the part that the offline judge learned from",
    "pyrit-objective": "PyPI pyrit, objective scorer: was the aim reached? (harm)",
    "pyrit-harm": "PyPI pyrit, harm scorers: five steps, from 0.5 on counted as harmful (harm)",
    "pyrit-refusal": "PyPI pyrit, refusal scorer (refused or not)",
}


def load_named(name: str) -> list[GoldSet]:
    """The sets of a name.

    Raises:
        UserError: no such name, or the package is not installed.
    """
    match name:
        case "chinese-replies":
            return [gold_bundled.chinese_replies(("test",))]
        case "chinese-replies-all":
            return [gold_bundled.chinese_replies(("train", "test"))]
        case "pyrit-objective" | "pyrit-harm" | "pyrit-refusal":
            return [gold_pyrit.load(name)]
    raise UserError(
        f"--set {name!r} is not known: {suggestion(name, list(BUNDLED_SETS))}. A file of your own: --file"
    )


def load_files(paths: Sequence[Path], *, skip_unlabelled: bool = False) -> list[GoldSet]:
    """One set a file. UserError as `gold_files.read_gold`, and where two files would have the same name."""
    found: list[GoldSet] = []
    for path in paths:
        one = read_gold(path, skip_unlabelled=skip_unlabelled)
        if any(one.name == other.name for other in found):
            raise UserError(f"{path}: a file named {one.name} was given already. Rename one of the two")
        found.append(one)
    return found
