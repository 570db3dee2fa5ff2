"""Prompts from Hugging Face data sets, through the `datasets` library (an optional extra)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.table import HEAD_ROWS


class HubTable:
    """One split of a Hugging Face data set, kept by `datasets` as memory-mapped Arrow files in its own cache.

    Raises UserError when the library is missing, or cannot load what was asked for (its reason is passed on).
    """

    def __init__(self, path: str, config: str | None, split: str, revision: str | None, where: str) -> None:
        try:
            import datasets
        except ImportError:
            raise UserError(
                f"{where}: Hugging Face data sets need an extra: pip install 'ahalab[hub]'"
            ) from None
        named = " ".join(filter(None, (path, config and f"config {config}", f"split {split}")))
        self.label = named + (f" at {revision}" if revision else "")
        try:
            self._data: Any = datasets.load_dataset(path, name=config, split=split, revision=revision)
        except Exception as error:
            # The library raises a dozen types, from several packages, for what is a wrong name or no network.
            raise UserError(
                f"{where}: datasets could not load {self.label}: {type(error).__name__}: {error}. "
                "Check the name, config, split, revision and network, or save it as a file and name that"
            ) from error

    def __len__(self) -> int:
        return len(self._data)

    def columns(self) -> list[str]:
        return list(self._data.column_names)

    def head(self) -> list[dict[str, Any]]:
        return [self.row(index) for index in range(min(HEAD_ROWS, len(self)))]

    def select(self, columns: Sequence[str]) -> None:
        self._data = self._data.select_columns(list(columns))

    def row(self, index: int) -> dict[str, Any]:
        return dict(self._data[index])

    def number(self, index: int) -> int:
        return index + 1
