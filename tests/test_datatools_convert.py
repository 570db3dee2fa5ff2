"""The same rows in another format and encoding, or as prompts: whole or not at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from ahalab.datatools.conversion import convert
from ahalab.datatools.layouts import mapping_of
from ahalab.datatools.reading import Watch
from ahalab.errors import Interrupted, UserError
from ahalab.prompts import build_source, content_hash, validate_prompts
from data_files import read_lines, write_lines

ROWS: list[dict[str, Any]] = [
    {"question": "1+1?", "answer": "One.\n#### 2", "n": 1},
    {"question": "小明？", "answer": "#### 1,450", "n": 2.5},
    {"question": "half?", "answer": "#### 0.5", "n": None},
]


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.name.endswith(".parquet"):
        found: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
        return found
    if path.name.endswith(".gz"):
        return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return read_lines(path)


@pytest.mark.parametrize("source", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
@pytest.mark.parametrize("target", ["b.jsonl", "b.jsonl.gz", "b.parquet"])
def test_any_format_becomes_any_other(tmp_path: Path, source: str, target: str) -> None:
    first = write_lines(tmp_path / "first.jsonl", ROWS)
    if source != "a.jsonl":
        convert(first, tmp_path / source, Watch())
        first = tmp_path / source
    done = convert(first, tmp_path / target, Watch())
    assert rows_of(tmp_path / target) == ROWS
    assert (done.rows, done.written, done.skipped) == (3, 3, {})


def test_lines_of_json_stay_as_they_are(tmp_path: Path) -> None:
    lines = ['{"a":1.10,  "b":"\\u5c0f"}', '{"a": 1e2}']
    convert(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "b.jsonl", Watch())
    assert (tmp_path / "b.jsonl").read_text().splitlines() == lines


def test_tables_of_cells_and_other_encodings_become_utf8(tmp_path: Path) -> None:
    cells = tmp_path / "a.tsv"
    cells.write_bytes("question\tanswer\n小明？\t3\n".encode("utf-16"))
    convert(cells, tmp_path / "b.jsonl", Watch(), encoding="utf-16")
    assert rows_of(tmp_path / "b.jsonl") == [{"question": "小明？", "answer": "3"}]


def test_prompts_are_those_that_a_recipe_makes(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "set.jsonl", ROWS)
    convert(path, tmp_path / "b.jsonl", Watch(), prompts=mapping_of([]))
    made = rows_of(tmp_path / "b.jsonl")
    (entry,) = validate_prompts([{"file": str(path)}], "recipe")
    source = build_source(entry, 0)
    for place, row in enumerate(made):
        prompt = source.prompt(place)
        assert row == {
            "id": prompt.id, "question": prompt.question, "answer": prompt.answer, "domain": "math", "source": "set",
            "verifier": "math", "language": prompt.language, "level": None, "extra": {},
        }  # fmt: skip
    assert made[0]["id"] == "set/" + content_hash("1+1?", "2", "math")
    convert(path, tmp_path / "b.parquet", Watch(), prompts=mapping_of([]))
    assert rows_of(tmp_path / "b.parquet")[1]["extra"] == "{}"


def test_a_dialogue_keeps_its_turns(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
        {"role": "user", "content": "and now?"},
    ]
    path = write_lines(tmp_path / "a.jsonl", [{"messages": chat}, {"messages": chat[:1]}])
    convert(path, tmp_path / "b.jsonl", Watch(), prompts=mapping_of([]))
    first, second = rows_of(tmp_path / "b.jsonl")
    assert (first["messages"], first["verifier"], "messages" in second) == (chat, "none", False)
    convert(path, tmp_path / "b.parquet", Watch(), prompts=mapping_of([]))
    assert json.loads(rows_of(tmp_path / "b.parquet")[0]["messages"]) == chat


def test_a_bad_row_is_named_or_counted(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [ROWS[0], "{", ROWS[1], '{"n": NaN}', '{"half": "\\ud83d"}'])
    with pytest.raises(UserError, match=r"a\.jsonl, row 2: expected one JSON object a line"):
        convert(path, tmp_path / "b.jsonl", Watch())
    assert not (tmp_path / "b.jsonl").exists()
    with pytest.raises(UserError, match=r"row 2, column 'answer': expected a gold answer after '####'"):
        convert(
            write_lines(tmp_path / "c.jsonl", [ROWS[0], {"question": "q", "answer": "none"}]),
            tmp_path / "b.jsonl",
            Watch(),
            prompts=mapping_of([]),
        )
    done = convert(path, tmp_path / "b.parquet", Watch(), skip_bad_rows=True)
    assert done.skipped["not JSON"] >= 1
    assert done.skipped["not Unicode"] == 1
    assert rows_of(tmp_path / "b.parquet")[0]["question"] == "1+1?"


def test_a_column_of_two_types_is_no_parquet_column_but_a_jsonl_one(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"score": 1}, {"score": "high"}])
    with pytest.raises(UserError, match="column 'score'"):
        convert(path, tmp_path / "b.parquet", Watch())
    assert not (tmp_path / "b.parquet").exists()
    convert(path, tmp_path / "b.jsonl.gz", Watch())
    assert len(rows_of(tmp_path / "b.jsonl.gz")) == 2


def test_what_is_there_stays_unless_it_may_go(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    (tmp_path / "b.jsonl").write_text("before")
    with pytest.raises(UserError, match="--overwrite"):
        convert(path, tmp_path / "b.jsonl", Watch())
    assert (tmp_path / "b.jsonl").read_text() == "before"
    with pytest.raises(UserError, match="is the file that is read"):
        convert(path, path, Watch(), overwrite=True)
    convert(path, tmp_path / "b.jsonl", Watch(), overwrite=True)
    assert rows_of(tmp_path / "b.jsonl") == ROWS


def test_stopped_work_leaves_nothing(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    watch = Watch()
    watch.interrupt.asked = True
    with pytest.raises(Interrupted):
        convert(path, tmp_path / "b.jsonl", watch)
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]


def test_columns_that_cannot_be_told_are_asked_for(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"foo": "x", "bar": "1"}])
    with pytest.raises(UserError, match="Say so with --map"):
        convert(path, tmp_path / "b.jsonl", Watch(), prompts=mapping_of([]))
    mapping = mapping_of(["question=foo", "answer=bar", "domain=logic", "verifier=exact"])
    convert(path, tmp_path / "b.jsonl", Watch(), prompts=mapping)
    assert rows_of(tmp_path / "b.jsonl")[0]["domain"] == "logic"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["question"], "expected KEY=VALUE"),
        (["qestion=foo"], "unknown key; did you mean `question`"),
        (["verifier=maths"], "nearest: 'math'"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_nearest(settings: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        mapping_of(settings)


def test_a_mapping_says_lists_and_names_inside() -> None:
    mapping = mapping_of(
        ["question=[a, b]", "extra.options=choices", "answer_after=####", "strip_thousands=true"]
    )
    assert mapping.question == ["a", "b"]
    assert mapping.extra == {"options": "choices"}
    assert (mapping.answer_after, mapping.strip_thousands) == ("####", True)
