"""A row that shares a 10-gram with an evaluation set goes, whatever the set is given as, and is named with the gram."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.datatools import evaluation_sets
from ahalab.datatools.decontaminate import Decontaminated, decontaminate
from ahalab.datatools.evaluation_sets import open_set
from ahalab.datatools.reading import Watch
from ahalab.errors import UserError
from data_files import read_lines, write_lines
from synthetic_data import LEAK, write_synthetic

TEN = "one two three four five six seven eight nine ten"
ROWS = [
    {"question": "Nothing of the kind at all", "answer": "1"},
    {"question": f"Well: {TEN.upper()}, and so on", "answer": "2"},
    {"question": "q", "answer": f"the solution says {TEN}"},
    {"question": TEN.removesuffix(" ten"), "answer": "nine words only"},
    {"question": "从前，小明有三个苹果和五个梨子。", "answer": "8"},
    {"question": "What is 3 + 4?", "answer": "7"},
    {"question": "What is 3 - 4?", "answer": "-1"},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "train.jsonl", ROWS)


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    rows = [
        {"question": f"Start {TEN} eleven", "answer": "x", "type": "a label"},
        {"question": "小明有三个苹果和五个梨", "answer": "8", "type": "a label"},
        {"question": "what is  3 + 4?", "answer": "7", "type": "a label"},
    ]
    return write_lines(tmp_path / "test.jsonl", rows)


def run(
    path: Path, *against: Any, **options: Any
) -> tuple[Decontaminated, list[dict[str, Any]], list[dict[str, Any]]]:
    output = path.parent / "clean.jsonl"
    done = decontaminate(
        path, [str(one) for one in against], Watch(), output=output, overwrite=True, **options
    )
    return done, read_lines(output), read_lines(path.parent / "clean.dropped.jsonl")


def test_shared_grams_and_the_same_short_question_go_by_name(path: Path, held_out: Path) -> None:
    done, kept, dropped = run(path, held_out)
    assert kept == [ROWS[0], ROWS[3], ROWS[6]]
    assert [one["row"] for one in dropped] == [2, 3, 5, 6]
    assert dropped[0]["hits"] == [
        {"set": str(held_out), "item": "test.jsonl:1", "items": 1, "grams": 1, "same": False, "gram": TEN}
    ]
    assert dropped[3]["hits"][0] == {
        "set": str(held_out), "item": "test.jsonl:3", "items": 1, "grams": 0, "same": True, "gram": "the same text"
    }  # fmt: skip
    (report,) = done.sets
    assert (done.rows, done.dropped, report.rows, report.same, len(report.found), report.items) == (
        7,
        4,
        4,
        1,
        3,
        3,
    )
    assert report.commonest()[0] == (TEN, 2)
    assert json.loads(json.dumps(done.as_dict()))["sets"][0]["items_found"] == 3


def test_without_text_only_ids_are_written(path: Path, held_out: Path) -> None:
    done, _, dropped = run(path, held_out, no_text=True)
    assert TEN not in json.dumps(dropped)
    assert TEN not in json.dumps(done.as_dict(no_text=True))
    assert dropped[0]["hits"][0]["item"] == "test.jsonl:1"


def test_every_set_has_its_own_report(path: Path, held_out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("id,prompt\nx1,What is 3 - 4?\n", encoding="utf-8")
    done, kept, dropped = run(path, held_out, other)
    assert [(one.rows, len(one.found)) for one in done.sets] == [(4, 3), (1, 1)]
    assert len(kept) == 2
    assert dropped[-1]["hits"][0]["item"] == "x1"


def test_a_suite_from_a_file_has_its_questions_and_solutions(path: Path, tmp_path: Path) -> None:
    rows = [{"problem": "Short one", "answer": "8", "solution": f"We say {TEN} and are done"}]
    file = write_lines(tmp_path / "math.jsonl", rows)
    done, _, dropped = run(path, f"math500={file}")
    assert [one["row"] for one in dropped] == [2, 3]
    assert done.sets[0].name == f"math500={file}"


def test_the_tiny_worlds_own_problems_are_a_suite(path: Path) -> None:
    assert open_set("world:math", 10).items == 200
    done, kept, _ = run(path, "world:math")
    assert (done.dropped, len(kept)) == (0, 7)


def test_a_data_set_of_the_hub_is_read_row_by_row(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Table:
        label = "owner/name"

        def __init__(self, *arguments: Any) -> None:
            asked.extend(arguments[:4])

        def __len__(self) -> int:
            return 1

        def row(self, _index: int) -> dict[str, Any]:
            return {"question": TEN, "answer": "x"}

        def number(self, index: int) -> int:
            return index + 1

    monkeypatch.setattr("ahalab.prompts.hub.HubTable", Table)
    done, _, _ = run(path, "hub:owner/name?config=main&split=validation")
    assert asked == ["owner/name", "main", "validation", None]
    assert done.dropped == 2
    assert evaluation_sets.HUB == "hub:"


def test_columns_may_be_named_on_both_sides(path: Path, tmp_path: Path) -> None:
    rows = [{"foo": "nothing", "bar": TEN, "label": "safe"}]
    strange = write_lines(tmp_path / "strange.jsonl", rows)
    with pytest.raises(
        UserError, match=r"which column is the question. Columns there: foo, bar, label.*\?columns="
    ):
        run(path, strange)
    _, _, dropped = run(path, f"{strange}?columns=foo,bar")
    assert [one["row"] for one in dropped] == [2, 3]
    _, _, dropped = run(path, f"{strange}?columns=foo,bar", by=["question"])
    assert [one["row"] for one in dropped] == [2]
    with pytest.raises(UserError, match=r"no column 'baz'; did you mean `bar`"):
        run(path, f"{strange}?columns=foo,baz")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nowhere", "no such file, and no suite of that name"),
        ("nowhere.jsonl", "does not exist"),
        ("test.jsonl?column=a", "unknown key 'column'; did you mean `columns`"),
        ("test.jsonl?", None),
        ("hub:owner/name?colour=red", "unknown key 'colour'"),
    ],
)
def test_what_is_no_evaluation_set_is_refused_in_words(
    path: Path, held_out: Path, given: str, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(held_out.parent)
    if words is None:
        run(path, given)
        return
    with pytest.raises(UserError, match=words):
        run(path, given)


def test_a_set_given_twice_is_refused(path: Path, held_out: Path) -> None:
    with pytest.raises(UserError, match="given twice"):
        run(path, held_out, held_out)


def test_planted_leaks_are_found_in_a_big_file(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "big.jsonl", 4_000_000)
    held_out = write_lines(tmp_path / "test.jsonl", [{"question": f"{LEAK}?", "answer": "x"}])
    done, kept, _ = run(tmp_path / "big.jsonl", held_out)
    assert made.leaked > 0
    # Twins of leaked rows leak too.
    assert done.dropped >= made.leaked
    assert not any(LEAK in row["question"] for row in kept)
    assert done.dropped + len(kept) == made.rows
