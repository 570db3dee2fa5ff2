"""Dialogues as prompts: what was asked becomes the question, never what the assistant then replied."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.prompts import build_source, validate_prompts
from ahalab.prompts.cells import BadRow
from ahalab.prompts.files import JsonlTable
from ahalab.prompts.table import TableSource
from ahalab.stages.foreign_rows import RowReader

HH = Path(__file__).parents[1] / "../shared/data/safety/hh_rlhf_harmless_test_first1200.jsonl.gz"
ONE = "\n\nHuman: Can I eat soap?\n\nAssistant:"
TWO = "\n\nHuman: Hello.\n\nAssistant: Hi!\n\nHuman: Can I eat\n\nred soap?\n\nAssistant:"
ROWS = [
    {"chosen": f"{ONE} SECRET no.", "rejected": f"{ONE} SECRET yes."},
    {"chosen": f"{TWO} SECRET no.\n\nReally.", "rejected": f"{TWO} SECRET yes."},
    {"chosen": ONE, "rejected": f"{ONE} SECRET yes."},
]
ASKED = [
    "Can I eat soap?",
    "User: Hello.\n\nAssistant: Hi!\n\nUser: Can I eat\n\nred soap?",
    "Can I eat soap?",
]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load(entry: dict[str, Any], folder: Path | None = None, skip: bool = False) -> TableSource:
    (checked,) = validate_prompts([entry], "r.yaml")
    source = build_source(checked, 0, folder=folder, where="r.yaml: prompts[0]", skip_bad_rows=skip)
    assert isinstance(source, TableSource)
    return source


def questions(source: TableSource) -> list[str]:
    return [source.prompt(index).question for index in range(source.size)]


@pytest.mark.parametrize(
    "settings", [{}, {"question": "chosen"}, {"question": "rejected", "verifier": "none"}]
)
def test_a_file_of_hh_rlhf_asks_what_the_person_asked(tmp_path: Path, settings: dict[str, Any]) -> None:
    write(tmp_path / "hh.jsonl", ROWS)
    source = load({"file": "hh.jsonl", "name": "harmless", **settings}, tmp_path)
    assert questions(source) == ASKED
    prompt = source.prompt(0)
    assert (prompt.source, prompt.domain, prompt.verifier, prompt.answer) == (
        "harmless",
        "general",
        "none",
        None,
    )
    assert source.describe()["dialogue"] is True


def test_a_data_set_of_the_hub_is_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    class Split(list[dict[str, Any]]):
        column_names = ("chosen", "rejected")

        def select_columns(self, columns: list[str]) -> Split:
            return Split({column: row[column] for column in columns} for row in self)

    module = ModuleType("datasets")
    vars(module)["load_dataset"] = lambda *_, **__: Split(ROWS)
    monkeypatch.setitem(sys.modules, "datasets", module)
    source = load({"hub": "Anthropic/hh-rlhf"})
    assert questions(source) == ASKED
    assert source.name == "hh-rlhf"


@pytest.mark.parametrize(
    ("role", "content", "user", "assistant"),
    [("role", "content", "user", "assistant"), ("from", "value", "human", "gpt")],
)
@pytest.mark.parametrize("column", ["messages", "conversations"])
def test_lists_of_messages_are_dialogues_too(
    tmp_path: Path, column: str, role: str, content: str, user: str, assistant: str
) -> None:
    said = [{role: user, content: "q1"}, {role: assistant, content: "a1"}, {role: user, content: "q2"}]
    rows = [{column: said[:2]}, {column: [*said, {role: assistant, content: "SECRET"}]}, {column: said}]
    source = load({"file": write(tmp_path / "chat.jsonl", rows).name}, tmp_path)
    whole = "User: q1\n\nAssistant: a1\n\nUser: q2"
    assert questions(source) == ["q1", whole, whole]


def test_the_reply_may_be_graded_where_an_answer_is_beside_it(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "1+1?"}], "gold": "2"}]
    entry = {"file": write(tmp_path / "a.jsonl", rows).name, "question": "messages", "answer": "gold"}
    prompt = load({**entry, "domain": "math"}, tmp_path).prompt(0)
    assert (prompt.question, prompt.answer, prompt.verifier) == ("1+1?", "2", "math")


@pytest.mark.parametrize(
    ("row", "expected", "reason"),
    [
        ({"chosen": "just text", "rejected": "x"}, "expected a dialogue", "no dialogue"),
        (
            {"chosen": "\n\nHuman: \n\nAssistant: hi", "rejected": "x"},
            "expected a user's turn",
            "no question",
        ),
        ({"chosen": None, "rejected": "x"}, "expected the question, but it is null", "no question"),
        (
            {"chosen": [{"role": "robot", "content": "x"}], "rejected": "x"},
            "expected the role user",
            "unknown role",
        ),
    ],
)
def test_a_row_that_asks_nothing_is_named_or_counted(
    tmp_path: Path, row: dict[str, Any], expected: str, reason: str
) -> None:
    write(tmp_path / "hh.jsonl", [*ROWS, row])
    with pytest.raises(UserError, match=rf"hh\.jsonl, row 4, column 'chosen': {expected}"):
        load({"file": "hh.jsonl"}, tmp_path)
    source = load({"file": "hh.jsonl"}, tmp_path, skip=True)
    assert (source.size, source.skipped) == (3, {reason: 1})


def test_a_question_that_begins_like_a_dialogue_stays_a_question(tmp_path: Path) -> None:
    rows = [{"question": text, "answer": "x"} for text in ("Human: what are you?", "Why?", f"{ONE} SECRET")]
    assert questions(load({"file": write(tmp_path / "q.jsonl", rows).name}, tmp_path)) == [
        row["question"].strip() for row in rows
    ]


@pytest.mark.skipif(not HH.is_file(), reason=f"{HH} is not there (the project works without it)")
def test_hh_rlhf_itself_asks_what_its_pairs_are_about() -> None:
    source, table = load({"file": str(HH)}), JsonlTable(HH)
    assert (source.size, source.skipped) == (1200, {})
    reader = RowReader("pairs", {}, table.columns(), label="hh", where="test")
    compared = 0
    for index in range(1200):
        try:
            asked, _, _ = reader.pair(table.row(index))
        except BadRow:
            continue
        assert source.prompt(index).question == asked
        compared += 1
    assert compared > 1100


CHAT = (
    ("system", "Be brief."),
    ("user", "Hello."),
    ("assistant", "Hi! What is it?"),
    ("user", "Can I eat soap?"),
)
PLAIN = "System: Be brief.\n\nUser: Hello.\n\nAssistant: Hi! What is it?\n\nUser: Can I eat soap?"
SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": role, "content": said} for role, said in CHAT]},
        {"messages": [{"role": role, "content": [{"type": "text", "text": said}]} for role, said in CHAT]},
        {"conversations": [{"from": SHAREGPT[role], "value": said} for role, said in CHAT]},
        {
            "conversation": [
                {"role": role, "content": said} for role, said in (*CHAT, ("assistant", "SECRET"))
            ]
        },
    ],
    ids=["OpenAI", "OpenAI in parts", "ShareGPT", "with a reply at the end"],
)
def test_the_turns_are_kept_as_turns_beside_the_plain_form(tmp_path: Path, row: dict[str, Any]) -> None:
    source = load({"file": write(tmp_path / "chat.jsonl", [row]).name}, tmp_path)
    prompt = source.prompt(0)
    assert (prompt.messages, prompt.question) == (CHAT, PLAIN)
    assert source.describe()["rounds"] == {"2": 1}


def test_lists_of_turns_and_transcripts_are_dialogues_of_user_and_assistant(tmp_path: Path) -> None:
    turns = ["Hello.", "Hi!", "Can I eat soap?"]
    wanted = (("user", "Hello."), ("assistant", "Hi!"), ("user", "Can I eat soap?"))
    rows: list[Any] = [
        {"id": "0", "data": turns},
        {"id": "1", "data": [*turns, "SECRET"]},
        {"id": "2", "data": turns[:1]},
    ]
    source = load({"file": write(tmp_path / "ultrachat.jsonl", rows).name}, tmp_path)
    assert [source.prompt(index).messages for index in range(3)] == [wanted, wanted, ()]
    assert source.prompt(2).question == "Hello."
    assert source.describe()["rounds"] == {"1": 1, "2": 2}
    assert source.describe()["noted"] == {"reply left off": 1}
    rows = [{"prompt": "\n\nHuman: Hello.\n\nAssistant: Hi!\n\nHuman: Can I eat soap?\n\nAssistant:"}]
    written = load(
        {"file": write(tmp_path / "hh.jsonl", rows).name, "question": "prompt", "verifier": "none"}, tmp_path
    )
    assert written.prompt(0).messages == wanted


def said(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def test_turns_of_one_speaker_are_joined_and_earlier_thinking_is_left_out(tmp_path: Path) -> None:
    row = said(
        ("user", "a"),
        ("user", "b"),
        ("assistant", "<think> SECRET </think> <answer> c </answer>"),
        ("assistant", "d"),
        ("user", "e"),
        ("assistant", "f"),
        ("assistant", "g"),
    )
    prompt = load({"file": write(tmp_path / "chat.jsonl", [row]).name}, tmp_path).prompt(0)
    assert prompt.messages == (("user", "a\n\nb"), ("assistant", "c\n\nd"), ("user", "e"))


@pytest.mark.parametrize(
    ("row", "told", "reason"),
    [
        (said(("user", "a"), ("assistant", " "), ("user", "b")), "expected the message", "no message"),
        (said(("assistant", "a"), ("user", "b")), "expected a user's turn before", "assistant first"),
        (
            said(("user", "a"), ("system", "s"), ("user", "b")),
            "expected system turns first",
            "system turn inside",
        ),
        (said(("user", "a"), ("tool", "s"), ("user", "b")), "a role is 'tool'", "unknown role"),
        ({"messages": [{"content": "x"}]}, "a message has ['content']", "unknown role"),
        ({"messages": [{"role": "user"}]}, "has no content", "no message"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "it is a list", "wrong type"),
        ({"messages": []}, "expected a list of messages", "no messages"),
        (said(("system", "a")), "expected a user's turn", "no question"),
        (said(("assistant", "a")), "expected a user's turn", "no question"),
    ],
)
def test_a_dialogue_that_cannot_be_asked_is_named_or_counted(
    tmp_path: Path, row: dict[str, Any], told: str, reason: str
) -> None:
    good = said(("user", "a"))
    write(tmp_path / "chat.jsonl", [good, good, row])
    with pytest.raises(UserError, match=r"chat\.jsonl, row 3, column 'messages'") as refused:
        load({"file": "chat.jsonl"}, tmp_path)
    assert told in str(refused.value)
    assert load({"file": "chat.jsonl"}, tmp_path, skip=True).skipped == {reason: 1}


def test_an_empty_turn_of_a_transcript_is_named(tmp_path: Path) -> None:
    rows = [*ROWS, {"chosen": "\n\nHuman: a\n\nAssistant:\n\nHuman: b\n\nAssistant: c", "rejected": "x"}]
    write(tmp_path / "hh.jsonl", rows)
    with pytest.raises(UserError, match=r"row 4, column 'chosen': expected words in every turn"):
        load({"file": "hh.jsonl"}, tmp_path)


def test_rows_to_learn_from_keep_their_turns_on_disk(tmp_path: Path) -> None:
    from ahalab.records import SupervisedRow
    from ahalab.stages.datasets import read_rows, write_rows

    plain = SupervisedRow("a", "1+1?", "", "2", "math", "en", "t")
    chat = SupervisedRow("b", PLAIN, "", "No.", "general", "en", "t", rounds=2, messages=CHAT)
    write_rows(tmp_path, [plain, chat])
    assert read_rows(tmp_path) == [plain, chat]
    first, second = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert "messages" not in first
    assert second["messages"] == [list(turn) for turn in CHAT]
    for wrong in ("x", [["user"]], [["robot", "x"]], [["assistant", "x"]], [["user", ""]]):
        (tmp_path / "rows.jsonl").write_text(json.dumps({**second, "messages": wrong}) + "\n")
        with pytest.raises(UserError, match=r"rows\.jsonl, row 1, key 'messages': expected the turns"):
            read_rows(tmp_path)


def test_foreign_rows_keep_their_turns_and_rounds() -> None:
    reader = RowReader("rows", {}, ["messages"], label="chat", where="test")
    reply = reader.reply(said(*CHAT, ("assistant", "<think> hm </think> <answer> No. </answer>")))
    assert (reply.question, reply.messages, reply.rounds) == (PLAIN, CHAT, 2)
    assert (reply.thinking, reply.answer) == ("hm", "No.")
