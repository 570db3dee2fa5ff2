"""What a file holds, what is wrong with it and what to write into a recipe; hostile text and odd files included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ahalab.datatools import census as census_module
from ahalab.datatools import layouts
from ahalab.datatools.census import Census
from ahalab.datatools.inspection import Inspection, guess_encoding
from ahalab.datatools.inspection import inspect as look
from ahalab.datatools.reading import Watch
from ahalab.prompts import build_source, validate_prompts
from data_files import write_lines

GSM8K = [{"question": f"How many {n}?", "answer": f"so\n#### {n}"} for n in range(5)]


def inspect(path: Path, **options: Any) -> Inspection:
    found = look(path, Watch(), **options)
    assert json.loads(json.dumps(found.as_dict()))["rows"] == found.rows
    return found


def column(found: Inspection, name: str) -> dict[str, Any]:
    return next(one for one in found.as_dict()["columns"] if one["name"] == name)


def test_types_gaps_lengths_examples_and_values(tmp_path: Path) -> None:
    rows = [
        {"q": "one", "n": 1, "kind": "a"},
        {"q": "", "n": 2.5, "kind": "a"},
        {"q": None, "kind": "b", "list": [1, 2]},
        {"q": "three", "n": True, "kind": "a", "list": []},
    ]
    found = inspect(write_lines(tmp_path / "a.jsonl", rows))
    q = column(found, "q")
    assert (q["types"], q["null"], q["blank"], q["missing"]) == ({"text": 3, "null": 1}, 1, 1, 0)
    assert q["empty_share"] == 0.5
    assert q["length"] == {"shortest": 0, "mean": pytest.approx(8 / 3), "longest": 5}
    assert q["examples"] == ["one", "three"]
    assert column(found, "n")["types"] == {"whole number": 1, "number": 1, "true/false": 1}
    assert column(found, "n")["missing"] == 1
    assert column(found, "kind")["values"] == {"a": 3, "b": 1}
    assert column(found, "list")["blank"] == 1


def test_a_recognised_set_needs_its_path_alone(tmp_path: Path) -> None:
    found = inspect(write_lines(tmp_path / "a.jsonl", GSM8K))
    assert found.layout.recognised is not None
    assert found.layout.recognised.startswith("GSM8K")
    assert (found.prompts, found.unfit) == (5, {})
    assert yaml.safe_load(found.fragments()[0]) == {"prompts": [{"file": str(tmp_path / "a.jsonl")}]}


def test_the_fragment_is_one_that_a_recipe_takes(tmp_path: Path) -> None:
    rows = [{"query": "What is it?", "target": "3", "response": "three"}] * 3
    found = inspect(write_lines(tmp_path / "a.jsonl", rows))
    entry = yaml.safe_load(found.fragments()[0])["prompts"][0]
    assert entry["question"] == "query"
    (made,) = validate_prompts([entry], "recipe")
    assert build_source(made, 0).size == 3
    assert any("correct the columns" in one for one in found.advice)


def test_an_unknown_layout_shows_the_mapping_to_write(tmp_path: Path) -> None:
    found = inspect(write_lines(tmp_path / "a.jsonl", [{"foo": "x", "bar": "y"}]))
    assert found.layout.prompts is None
    assert yaml.safe_load(found.fragments()[0])["prompts"][0]["question"] == "COLUMN OF THE QUESTION"
    assert any("correct the columns" in one for one in found.advice)


def test_bad_rows_and_rows_that_make_no_prompt_are_named_apart(tmp_path: Path) -> None:
    rows = [
        *GSM8K,
        "{",
        {"question": "q", "answer": "no marker"},
        '{"question": 1, "question": 2}',
        '{"quest',
    ]
    path = write_lines(tmp_path / "a.jsonl", rows)
    path.write_bytes(path.read_bytes().rstrip())
    found = inspect(path)
    assert found.bad == {"not JSON": 1, "duplicate key": 1, "cut off": 1}
    assert [row for row, _ in found.bad_rows] == [6, 8, 9]
    assert found.unfit == {"marker missing": 1}
    assert found.unfit_rows[0][0] == 7
    assert any("cut off" in one for one in found.advice)


def test_problems_of_texts_are_counted_by_column(tmp_path: Path) -> None:
    rows = [
        '{"q": "nul \\u0000"}',
        {"q": "hidden \u202e text"},
        '{"q": "half \\ud83d"}',
        {"q": "cafÃ© dÃ©jÃ "},
        {"q": "\ufffd"},
        {"q": "fine 小"},
    ]
    problems = column(inspect(write_lines(tmp_path / "a.jsonl", rows)), "q")["problems"]
    assert sorted(problems.values()) == [1, 1, 1, 1, 1]
    assert any("NUL" in one for one in problems)
    assert any("Latin-1" in one for one in problems)


def test_a_wide_text_is_read_and_told_how_to_convert(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes("".join(json.dumps(row) + "\n" for row in GSM8K).encode("utf-16"))
    found = inspect(path)
    assert (found.rows, found.encoding) == (5, "utf-16")
    assert any("aha data convert" in one and "--encoding utf-16" in one for one in found.advice)


def test_rows_in_another_encoding_get_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        json.dumps({"question": "小明有几个苹果？", "answer": "3"}, ensure_ascii=False).encode("gb18030")
        + b"\n"
    )
    found = inspect(path)
    assert (found.rows, found.bad) == (0, {"not UTF-8": 1})
    assert any("--encoding gb18030" in one for one in found.advice)
    path.write_bytes("question,answer\ncafé “quoted”,3\n".encode("cp1252"))
    assert guess_encoding(path) == "cp1252"


def test_a_file_with_a_new_key_in_every_row_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census_module, "MOST_COLUMNS", 3)
    census = Census()
    for number in range(10):
        census.add({f"k{number}": number})
    assert (len(census.columns), census.other_keys, census.rows) == (3, 7, 10)


def test_long_cells_are_cut_before_they_are_kept() -> None:
    census = Census()
    census.add({"text": "x" * 1_000_000, "deep": [[[[[["y" * 1_000_000]]]]]], "list": ["z" * 1000] * 1000})
    assert all(len(example) < 5000 for one in census.columns.values() for example in one.examples)


def test_only_the_first_rows_on_demand(tmp_path: Path) -> None:
    assert inspect(write_lines(tmp_path / "a.jsonl", GSM8K), most_rows=2).rows == 2


def test_data_for_later_stages_are_recognised_too(tmp_path: Path) -> None:
    pairs = [{"prompt": "q", "chosen": "good", "rejected": "bad"}] * 2
    found = inspect(write_lines(tmp_path / "a.jsonl", pairs))
    assert "pairs" in found.layout.kinds
    assert any(
        yaml.safe_load(one).get("data") == [{"file": str(tmp_path / "a.jsonl")}] for one in found.fragments()
    )


def test_of_large_rows_fewer_are_kept_to_tell_the_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layouts, "HEAD_BYTES", 1000)
    path = write_lines(tmp_path / "a.jsonl", [{"question": "q" * 400, "answer": "1"}] * 20)
    assert len(layouts.head_of(path)) == 3
    assert inspect(path).prompts == 20
