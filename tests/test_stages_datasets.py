"""Data sets: what is written is read back, a bad row is named, and what others publish is understood."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.records import LabelledResponse, PreferencePair, SupervisedRow
from ahalab.runs.progress import SilentProgress
from ahalab.stages.context import StageContext
from ahalab.stages.data_entries import DataEntries, check_data, load_labelled, load_pairs, load_rows
from ahalab.stages.datasets import (
    read_dropped,
    read_labelled,
    read_pairs,
    read_rows,
    statistics,
    write_dropped,
    write_labelled,
    write_pairs,
    write_rows,
    write_statistics,
)
from ahalab.validation import StrictModel, validate

ROW = SupervisedRow("a", "1+1?", "let me see… 🤔\n一", "2", "math", "en", "test", 1, "world/1")
PAIR = PreferencePair("p", "hello", "hi!", "go away", "instructions", "en", "test", 1.5)
LABELLED = LabelledResponse("l", "how?", "hm", "like so", False, "safety", "zh", "test")


class Config(StrictModel):
    data: DataEntries


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def entries(*given: Any) -> Any:
    return validate(Config, {"data": list(given)}, "test").data


def context(folder: Path, inputs: Mapping[str, str] | None = None, **more: Any) -> StageContext:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return StageContext("rm", work, inputs or {}, 0, data_folder=folder, progress=Notes(), **more)


def write_jsonl(path: Path, *rows: Any) -> dict[str, str]:
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return {"file": path.name}


def test_what_is_written_is_read_back_with_its_keys_in_the_records_order(tmp_path: Path) -> None:
    assert write_rows(tmp_path / "data", [ROW]) == 1
    assert write_pairs(tmp_path / "data", [PAIR]) == 1
    assert write_labelled(tmp_path / "data", [LABELLED]) == 1
    assert read_rows(tmp_path / "data") == [ROW]
    assert read_pairs(tmp_path / "data") == [PAIR]
    assert read_labelled(tmp_path / "data") == [LABELLED]
    written = list(json.loads((tmp_path / "data" / "rows.jsonl").read_text()))
    assert written == [name for name in SupervisedRow.__slots__ if name != "messages"]  # it has a single turn
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "labelled.jsonl",
        "pairs.jsonl",
        "rows.jsonl",
    ]


def test_writing_again_replaces_all_and_an_empty_data_set_is_one(tmp_path: Path) -> None:
    write_rows(tmp_path / "data", [ROW])
    (tmp_path / "data" / ".tmp-rows.jsonl").write_text("left by a killed writer\n")
    assert write_rows(tmp_path / "data", []) == 0
    assert read_rows(tmp_path / "data") == []


GOOD = {
    "id": "a",
    "question": "q",
    "thinking": "",
    "answer": "b",
    "domain": "math",
    "language": "en",
    "source": "s",
}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**GOOD, "anwser": "b"}, r"row 2: unknown key 'anwser' \(nearest: 'answer'\)"),
        ({k: v for k, v in GOOD.items() if k != "answer"}, "row 2: the key 'answer' is missing"),
        ({**GOOD, "answer": 3}, r"row 2, key 'answer': expected text, got 3"),
        ({**GOOD, "answer": None}, r"row 2, key 'answer': expected text, got None"),
        ({**GOOD, "answer": " \n"}, "row 2, key 'answer': it is blank"),
        ({**GOOD, "answer": "\ud800"}, "row 2, key 'answer': it holds half"),
        ({**GOOD, "rounds": True}, "row 2, key 'rounds': expected a whole number, got True"),
        ({**GOOD, "prompt_id": 3}, "row 2, key 'prompt_id': expected text or null"),
        ({**GOOD, "id": "first"}, "row 2: the id 'first' is that of row 1 too"),
        ("[]", "row 2: a JSON object was expected"),
        ("{", "row 2: "),
    ],
)
def test_a_bad_row_is_named_with_file_row_and_key(tmp_path: Path, row: Any, message: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_jsonl(data / "rows.jsonl", {**GOOD, "id": "first"}, row)
    with pytest.raises(UserError, match=message) as caught:
        read_rows(data)
    assert str(data / "rows.jsonl") in str(caught.value)


def test_a_whole_number_is_a_margin_and_a_truth_value_is_none(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_pairs(data, [PAIR])
    row = json.loads((data / "pairs.jsonl").read_text())
    write_jsonl(data / "pairs.jsonl", {**row, "margin": 2})
    assert read_pairs(data)[0].margin == 2
    write_jsonl(data / "pairs.jsonl", {**row, "margin": True})
    with pytest.raises(UserError, match="'margin': expected a number, got True"):
        read_pairs(data)


def test_a_cut_off_last_row_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "data", [ROW])
    path = tmp_path / "data" / "rows.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "b", "quest')
    with pytest.raises(UserError, match="last row is cut off"):
        read_rows(tmp_path / "data")


def test_a_data_set_of_another_kind_is_said_to_be_one(tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", [PAIR])
    with pytest.raises(UserError, match=r"rows\.jsonl is missing: worked answers.*it holds preference pairs"):
        read_rows(tmp_path / "data")


def test_dropped_counts_come_most_first_and_zeros_are_left_out(tmp_path: Path) -> None:
    write_dropped(tmp_path / "data", {"b": 2, "a": 2, "none": 0, "most": 9})
    assert list(read_dropped(tmp_path / "data").items()) == [("most", 9), ("a", 2), ("b", 2)]
    assert read_dropped(tmp_path) == {}


def test_statistics_have_the_papers_shape(tmp_path: Path) -> None:
    def row(domain: str, thinking: str, answer: str, rounds: int = 1) -> SupervisedRow:
        return SupervisedRow("x", "q", thinking, answer, domain, "en", "s", rounds)

    found = [row("math", "abcd", "ab"), row("general", "", "a", 2), row("math", "", "ab")]
    table = statistics(found, len)
    assert table == [
        {"domain": "general", "samples": 1, "rounds": 2.0, "tokens": 1.0},
        {"domain": "math", "samples": 2, "rounds": 1.0, "tokens": 4.0},
        {"domain": "total", "samples": 3, "rounds": 1.333, "tokens": 3.0},
    ]
    assert statistics([], len) == [{"domain": "total", "samples": 0, "rounds": 0.0, "tokens": 0.0}]
    write_statistics(tmp_path / "data", table)
    assert json.loads((tmp_path / "data" / "statistics.json").read_text()) == table


def test_entries_are_read_in_their_order_from_stages_and_files(tmp_path: Path) -> None:
    write_rows(tmp_path / "data", [ROW])
    mine = write_jsonl(tmp_path / "mine.jsonl.gz", {"prompt": "你好", "response": "<think>嗯</think>你好！"})
    where = context(tmp_path, {"data[1]": str(tmp_path / "data")})
    first, second = load_rows(entries({**mine, "domain": "chat"}, "zero"), where)
    assert second == ROW
    assert (first.question, first.thinking, first.answer) == ("你好", "嗯", "你好！")
    assert (first.domain, first.language, first.source) == ("chat", "zh", "mine.jsonl.gz")
    stated = json.loads((tmp_path / "work" / "data.json").read_text())
    assert [one["rows"] for one in stated] == [1, 1]


def test_chats_are_understood_and_turns_counted(tmp_path: Path) -> None:
    def chat(*turns: str, key: str = "content", role: str = "role") -> dict[str, Any]:
        return {
            "messages": [{role: who, key: text} for who, text in zip(turns[::2], turns[1::2], strict=True)]
        }

    file = write_jsonl(
        tmp_path / "chat.jsonl",
        chat("user", "hi", "assistant", "hello"),
        chat("human", "hi", "gpt", "hello", "human", "how?", "gpt", "fine", key="value", role="from"),
        chat("system", "be short", "user", "hi", "assistant", "ho"),
        chat("user", "hi"),
    )
    where = context(tmp_path)
    one, two, three = load_rows(entries(file), where)
    assert (one.question, one.answer, one.rounds) == ("hi", "hello", 1)
    assert (two.question, two.rounds) == ("User: hi\n\nAssistant: hello\n\nUser: how?", 2)
    assert (three.question, three.rounds) == ("System: be short\n\nUser: hi", 1)
    assert any("left out 1 rows (1 no reply)" in note for note in where.progress.notes)  # type: ignore[attr-defined]


def test_dialogues_of_hh_rlhf_become_pairs(tmp_path: Path) -> None:
    begin = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: a joke?\n\nAssistant:"
    file = write_jsonl(
        tmp_path / "hh.jsonl",
        {"chosen": f"{begin} no.", "rejected": f"{begin} never!"},
        {"chosen": "\n\nHuman: hi\n\nAssistant: a", "rejected": "\n\nHuman: hi\n\nAssistant: b"},
        {"chosen": f"{begin} same", "rejected": f"{begin} same"},
        {"chosen": f"{begin} a", "rejected": "\n\nHuman: ho\n\nAssistant: b"},
        {"chosen": f"{begin} a", "rejected": begin},
    )
    where = context(tmp_path)
    one, two = load_pairs(entries(file), where)
    assert one.question == "User: hi\n\nAssistant: hello\n\nUser: a joke?"
    assert (one.chosen, one.rejected, one.margin) == ("no.", "never!", 0.0)
    assert (two.question, two.chosen, two.rejected) == ("hi", "a", "b")
    assert json.loads((tmp_path / "work" / "data.json").read_text())[0]["left_out"] == {
        "different questions": 1,
        "equal answers": 1,
        "no reply": 1,
    }


def test_pairs_with_a_question_column_or_message_lists_are_understood(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "q2"}, {"role": "assistant", "content": "<think>x</think> good"}]
    refused = [said[0], {"role": "assistant", "content": "bad"}]
    file = write_jsonl(
        tmp_path / "p.jsonl",
        {"prompt": "q1", "chosen": "good", "rejected": "bad"},
        {"prompt": "q2", "chosen": said, "rejected": refused},
    )
    assert [(p.question, p.chosen, p.rejected) for p in load_pairs(entries(file), context(tmp_path))] == [
        ("q1", "good", "bad"),
        ("q2", "good", "bad"),
    ]


def test_labels_are_read_and_never_guessed(tmp_path: Path) -> None:
    row = {"prompt": "q", "response": "a"}
    file = write_jsonl(
        tmp_path / "l.jsonl", *({**row, "label": label} for label in ("safe", "Unsafe", True, False))
    )
    assert [one.safe for one in load_labelled(entries(file), context(tmp_path))] == [True, False, True, False]
    numbers = write_jsonl(tmp_path / "n.jsonl", {**row, "label": 1}, {**row, "label": 0})
    (tmp_path / "work" / "data.json").unlink()
    with pytest.raises(UserError, match=r"row 1, column 'label'.*safe_when"):
        load_labelled(entries(numbers), context(tmp_path))
    found = load_labelled(entries({**numbers, "safe_when": "0"}), context(tmp_path))
    assert [one.safe for one in found] == [False, True]


def test_a_question_of_several_columns_loses_none_of_them(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Translate.", "input": "Guten Tag", "output": "Hello"},
        {"instruction": "Say hello.", "input": "", "output": "Hello"},
    ]
    file = write_jsonl(tmp_path / "m.jsonl", *rows)
    several = {**file, "columns": {"question": ["instruction", "input"]}}
    found = load_rows(entries(several), context(tmp_path))
    assert [(row.question, row.answer) for row in found] == [
        ("Translate.\n\nGuten Tag", "Hello"),
        ("Say hello.", "Hello"),
    ]
    with pytest.raises(UserError, match=r"columns\.question: .* no column 'inptu'; did you mean `input`"):
        check_data(
            entries({**file, "columns": {"question": ["instruction", "inptu"]}}), context(tmp_path), "rows"
        )
    with pytest.raises(UserError, match="only a question is made of several"):
        check_data(
            entries({**file, "columns": {"answer": ["instruction", "input"]}}), context(tmp_path), "rows"
        )


def test_the_same_row_twice_gets_two_ids(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "m.jsonl", *[{"question": "q", "answer": "a"}] * 3)
    ids = [row.id for row in load_rows(entries(file), context(tmp_path))]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


def test_so_many_first_rows_may_be_asked_for(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "m.jsonl", *({"question": f"q{n}", "answer": "a"} for n in range(9)))
    assert [row.question for row in load_rows(entries({**file, "rows": 2}), context(tmp_path))] == [
        "q0",
        "q1",
    ]


def test_bad_rows_of_a_file_are_errors_or_left_out_and_counted(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "m.jsonl", {"question": "q", "answer": "a"}, {"question": "q"}, "nonsense")
    with pytest.raises(
        UserError, match=r"m\.jsonl, row 2, column 'answer': expected the answer.*--skip-bad-rows"
    ):
        load_rows(entries(file), context(tmp_path))
    where = context(tmp_path, skip_bad_rows=True)
    assert len(load_rows(entries(file), where)) == 1
    assert "left out 2 rows (1 no answer, 1 not JSON)" in where.progress.notes[0]  # type: ignore[attr-defined]
    bad = write_jsonl(tmp_path / "bad.jsonl", {"question": "q", "answer": ""})
    (tmp_path / "work" / "data.json").unlink()
    with pytest.raises(UserError, match=r"bad\.jsonl has no rows.*1 candidates it lost 1 no answer"):
        load_rows(entries(bad), context(tmp_path, skip_bad_rows=True))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file": "nowhere.jsonl"}, r"data\[0\]\.file: .*nowhere\.jsonl does not exist"),
        ({"file": "m.jsonl", "columns": {"answr": "b"}}, r"unknown name 'answr'; did you mean `answer`"),
        ({"file": "m.jsonl", "columns": {"answer": "bb"}}, r"columns\.answer: .* has no column 'bb'; .*`b`"),
        ({"file": "m.jsonl"}, r"cannot tell which columns of .*m\.jsonl hold a question and an answer.*a, b"),
    ],
)
def test_a_wrong_entry_is_said_before_anything_is_spent(tmp_path: Path, entry: Any, message: str) -> None:
    write_jsonl(tmp_path / "m.jsonl", {"a": "q", "b": "a"})
    where = context(tmp_path)
    with pytest.raises(UserError, match=message):
        check_data(entries("a_stage_to_come", entry)[1:], where, "rows")
    check_data(entries({"file": "m.jsonl", "columns": {"question": "a", "answer": "b"}}), where, "rows")
    assert not (tmp_path / "work" / "data.json").exists()


def test_a_stage_that_has_not_run_is_not_looked_into_beforehand(tmp_path: Path) -> None:
    check_data(entries("to_come"), context(tmp_path), "pairs")


def test_parquet_is_read_too(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    table = pyarrow.table({"instruction": ["q"], "output": ["a"], "more": [1]})
    parquet.write_table(table, tmp_path / "m.parquet")
    (row,) = load_rows(entries({"file": "m.parquet"}), context(tmp_path))
    assert (row.question, row.answer, row.thinking) == ("q", "a", "")


def test_message_lists_survive_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    parquet.write_table(pyarrow.table({"messages": [chat]}), tmp_path / "m.parquet")
    (row,) = load_rows(entries({"file": "m.parquet"}), context(tmp_path))
    assert (row.question, row.answer) == ("q", "a")
