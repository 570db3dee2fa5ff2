"""Hugging Face data sets, through a module that stands in for `datasets`: nothing is fetched."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.prompts import build_source, validate_prompts
from ahalab.prompts.table import TableSource

ROWS = [{"question": f"{n}+1?", "answer": f"#### {n + 1}", "other": b"bytes"} for n in range(5)]


class FakeSplit:
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    @property
    def column_names(self) -> list[str]:
        return list(self.rows[0])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]

    def select_columns(self, columns: list[str]) -> FakeSplit:
        return FakeSplit([{column: row[column] for column in columns} for row in self.rows])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []

    def load_dataset(path: str, **settings: Any) -> FakeSplit:
        seen.append({"path": path, **settings})
        if path != "openai/gsm8k":
            raise FileNotFoundError(f"Dataset {path!r} doesn't exist on the Hub")
        return FakeSplit(ROWS)

    module = ModuleType("datasets")
    vars(module)["load_dataset"] = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return seen


def load(**settings: Any) -> TableSource:
    (entry,) = validate_prompts([settings], "r.yaml")
    source = build_source(entry, 0, where="r.yaml: prompts[0]")
    assert isinstance(source, TableSource)
    return source


def test_a_hub_set_is_loaded_as_named_and_recognised_like_a_file(calls: list[dict[str, Any]]) -> None:
    source = load(hub="openai/gsm8k", config="main", split="test", revision="abc")
    assert calls == [{"path": "openai/gsm8k", "name": "main", "split": "test", "revision": "abc"}]
    assert (source.name, source.size) == ("gsm8k", 5)
    assert [source.prompt(index).answer for index in range(5)] == ["1", "2", "3", "4", "5"]
    assert source.describe()["recognised"].startswith("GSM8K")


def test_a_bad_hub_row_names_the_set_and_the_row(
    calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROWS[3], "answer", None)
    with pytest.raises(UserError, match=r"openai/gsm8k split train, row 4, column 'answer'"):
        load(hub="openai/gsm8k")
    assert len(calls) == 1


@pytest.mark.usefixtures("calls")
def test_what_datasets_cannot_load_is_told_with_its_reason() -> None:
    with pytest.raises(
        UserError, match=r"prompts\[0\]: datasets could not load a/b split train: .*doesn't exist"
    ):
        load(hub="a/b")


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'ahalab\[hub\]'"):
        load(hub="openai/gsm8k")
