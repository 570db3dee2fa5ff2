"""The phrase rules as compiled expressions, and which of them a sentence meets."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ahalab.runs.hashing import file_hash

_HEADING = re.compile(r"\[([a-z_]+)\]( .*)?$")
RULES = Path(__file__).with_name("rules.txt")


class Rules:
    """One expression a kind. Kinds keep the file's order: the features are named after them."""

    def __init__(self, path: Path = RULES) -> None:
        data: dict[str, list[str]] = {}
        for line in path.read_text("utf-8").splitlines():
            if heading := _HEADING.match(line):
                data[heading[1]] = []
            elif line and not line.startswith("#"):
                data[next(reversed(data))].append(f"(?:{line})")
        self.sha256 = file_hash(path)
        self.kinds = tuple(data)
        self._expressions = [re.compile("|".join(data[kind]), re.IGNORECASE) for kind in self.kinds]

    def hits(self, sentences: list[str]) -> NDArray[np.bool_]:
        """[S, K]: whether sentence s meets kind k."""
        made = np.zeros((len(sentences), len(self.kinds)), dtype=bool)
        for row, sentence in enumerate(sentences):
            text = sentence[:600]  # no sentence needs more, and a line without an end would cost
            for column, expression in enumerate(self._expressions):
                made[row, column] = expression.search(text) is not None
        return made


@lru_cache(maxsize=1)
def bundled_rules() -> Rules:
    """The rules that come with the package."""
    return Rules()
