"""The whole job of reward-model data: a row or a counted reason for each response, the same bytes after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import Interrupted, RunStopped, UserError
from ahalab.runs.jsonl import read_jsonl
from ahalab.safety.records import SafetyItem, TargetReply
from ahalab.safety.rewarding import making
from ahalab.safety.rewarding.exclusion import Exclusion
from ahalab.safety.rewarding.gathering import Watch
from ahalab.safety.rewarding.job import Job, ReplierConfig
from ahalab.safety.rewarding.making import make, prepare
from ahalab.stages.context import SilentProgress
from ahalab.validation import validate
from rewarding_tools import ENDPOINT, ITEM, ITEM_ZH, TOY, WATCH, ByWord, by_word, job_of, run, write_rows


def test_every_response_becomes_a_row_or_a_counted_reason(tmp_path: Path) -> None:
    prompts = [
        "first question",
        "second question",
        "First  Question",
        ITEM,
        "x",
        "third question",
        "fourth question",
    ]
    replies = {
        "one": [
            ("first question", "<think>harm worked out</think>I will not."),
            ("second question", "kind words"),
            ("third question", "unreadable"),
            ("nobody asked", "words"),
            ("second question", "other words"),
        ],
        "two": [
            ("first question", "a kind no"),
            ("second question", "kind words"),
            ("third question", "</think>"),
            ("fourth question", "word " * 6000),
        ],
    }
    summary = run(job_of(tmp_path, prompts, replies), tmp_path, tmp_path / "out")
    assert summary["dropped"] == {
        "no reply: not in the recorded file": 1,
        "duplicate prompt": 1,
        "contaminated: same text": 1,
        "too short": 1,
        "judge error: no verdict": 1,
        "empty reply": 1,
        "too long": 1,
        "same response twice": 1,
    }
    assert summary["unused_recorded"]["one"] == {"recorded for another prompt": 1, "recorded twice": 1}
    rows = list(read_jsonl(tmp_path / "out/data/labelled.jsonl"))
    assert [(row["source"], row["thinking"], row["answer"], row["safe"]) for row in rows] == [
        ("one", "harm worked out", "I will not.", False),
        ("one", "", "kind words", True),
        ("two", "", "a kind no", True),
    ]
    assert (summary["safe"], summary["unsafe"], summary["with_thinking"]) == (2, 1, 1)
    assert summary["responses"] == 4 * 2
    assert sum(summary["dropped"].values()) == 3 + (8 - 3)
    listed = {row["reason"]: row for row in read_jsonl(tmp_path / "out/dropped.jsonl")}
    assert listed["contaminated: same text"]["items"] == ["toy/n1"]
    assert ITEM not in (tmp_path / "out/dropped.jsonl").read_text("utf-8")


def test_labels_that_exist_are_filtered_and_joined(tmp_path: Path) -> None:
    rows = [
        {"prompt": "first question", "response": "a", "label": "safe"},
        {"prompt": "first question", "response": "A", "label": "safe"},
        {"prompt": "second question", "response": "b", "label": "safe"},
        {"prompt": "second question", "response": "b", "label": "unsafe"},
        {"prompt": "third question", "response": "c", "label": "unsure"},
        {"prompt": "third question", "response": None, "label": "safe"},
        {"prompt": ITEM_ZH, "response": "d", "label": "unsafe"},
        {"prompt": "fifth question", "response": "e", "label": "unsafe"},
    ]
    write_rows(tmp_path / "mine.jsonl", rows)
    job = validate(Job, {"labelled": [{"file": "mine.jsonl"}]}, "job")
    summary = run(job, tmp_path, tmp_path / "out")
    assert summary["dropped"] == {
        "contradictory labels": 2,
        "contaminated: same text": 1,
        "empty reply": 1,
        "label unsure": 1,
        "same response twice": 1,
    }
    assert [row["answer"] for row in read_jsonl(tmp_path / "out/data/labelled.jsonl")] == ["a", "e"]


def test_a_row_that_cannot_be_read_stops_the_job_or_is_counted(tmp_path: Path) -> None:
    write_rows(tmp_path / "mine.jsonl", [{"prompt": "q one", "response": "a", "label": "perhaps"}] * 2)
    job = validate(Job, {"labelled": [{"file": "mine.jsonl"}]}, "job")
    with pytest.raises(UserError, match=r"mine.jsonl, row 1, column 'label'"):
        run(job, tmp_path, tmp_path / "out")
    assert run(job, tmp_path, tmp_path / "out", skip_bad_rows=True)["dropped"] == {
        "bad row: unclear label": 2
    }


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.csv"])
def test_rows_in_another_encoding_are_named_and_never_read_as_something_else(
    tmp_path: Path, name: str
) -> None:
    rows = ["caf\xe9 one", "plain two"]
    lines = (
        [json.dumps({"prompt": one}, ensure_ascii=False) for one in rows]
        if "json" in name
        else ["prompt", *rows]
    )
    (tmp_path / name).write_bytes("\n".join(lines).encode("latin-1"))
    write_rows(tmp_path / "one.jsonl", [{"prompt": "plain two", "response": "a"}])
    data = {
        "prompts": [{"file": name}],
        "replies": [{"name": "one", "file": "one.jsonl"}],
        "judge": {"endpoint": ENDPOINT},
    }
    job = validate(Job, data, "job")
    with pytest.raises(UserError, match=rf"{name}, row [12]"):
        run(job, tmp_path, tmp_path / "out")
    summary = run(job, tmp_path, tmp_path / "out", skip_bad_rows=True)
    assert summary["rows"] == 1
    assert summary["dropped"] in ({"bad row: not UTF-8": 1}, {"bad row: not Unicode": 1})


def test_a_missing_column_is_told_with_the_nearest(tmp_path: Path) -> None:
    write_rows(tmp_path / "mine.jsonl", [{"prompt": "q", "respnse": "a", "label": "safe"}])
    job = validate(Job, {"labelled": [{"file": "mine.jsonl"}]}, "job")
    with pytest.raises(UserError, match="did you mean `respnse`"):
        run(job, tmp_path, tmp_path / "out")


def test_a_stopped_job_goes_on_where_it_was_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    prompts = [f"question number {number}" for number in range(10)]
    replies = {
        "one": [(one, f"reply {'harm' if place % 3 else ''} {place}") for place, one in enumerate(prompts)]
    }
    job = job_of(tmp_path, prompts, replies, shard=3)
    run(job, tmp_path, tmp_path / "whole")

    judge = ByWord(by_word)
    calls = 0

    def dying(*_: Any) -> ByWord:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RunStopped("the budget is used up")
        return judge

    with pytest.raises(RunStopped):
        make(prepare(job, tmp_path), tmp_path / "cut", Exclusion([TOY]), WATCH, open_judge=dying)
    assert judge.asked == [3, 3]
    make(prepare(job, tmp_path), tmp_path / "cut", Exclusion([TOY]), WATCH, open_judge=dying)
    assert judge.asked == [3, 3, 3, 1]
    for name in ("data/labelled.jsonl", "summary.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_that_was_begun_with_something_else_is_refused(tmp_path: Path) -> None:
    job = job_of(tmp_path, ["first question"], {"one": [("first question", "a")]})
    run(job, tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="seed"):
        run(job.model_copy(update={"seed": 1}), tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="excluded"):
        run(job, tmp_path, tmp_path / "out", exclusion=Exclusion([]))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("")
    with pytest.raises(UserError, match="not empty"):
        run(job, tmp_path, tmp_path / "other")


def test_ctrl_c_stops_between_shards(tmp_path: Path) -> None:
    job = job_of(tmp_path, ["first question"], {"one": [("first question", "a")]})
    with pytest.raises(Interrupted):
        make(
            prepare(job, tmp_path),
            tmp_path / "out",
            Exclusion([TOY]),
            Watch(SilentProgress(), lambda: True),
            open_judge=lambda *_: ByWord(by_word),
        )


def test_a_model_of_this_machine_answers_as_a_target(tmp_path: Path) -> None:
    class Local:
        name = "here"

        def identity(self) -> dict[str, Any]:
            return {"kind": "local", "model": "m"}

        def replies(self, items: Sequence[SafetyItem], on_reply: Callable[[TargetReply], None]) -> None:
            for number, one in enumerate(items):
                cut = "length" if number == 1 else "stop"
                on_reply(TargetReply(one.id, "here", f"to {one.prompt}", "thought", finish=cut))  # type: ignore[arg-type]

    opened: list[str] = []

    def open_local(config: ReplierConfig, _seed: int, _stopping: Callable[[], bool]) -> Local:
        opened.append(config.local or "")
        return Local()

    write_rows(tmp_path / "p.jsonl", [{"prompt": f"question {n}"} for n in range(4)])
    data = {
        "prompts": [{"file": "p.jsonl"}],
        "replies": [{"name": "here", "local": "builtin:tiny"}],
        "judge": {"endpoint": ENDPOINT},
        "shard": 2,
    }
    summary = run(validate(Job, data, "job"), tmp_path, tmp_path / "out", open_local=open_local)
    assert opened == ["builtin:tiny"]
    assert summary["dropped"] == {"cut off": 2}
    assert summary["with_thinking"] == summary["rows"] == 2


def test_one_class_alone_is_warned_of(tmp_path: Path) -> None:
    job = job_of(tmp_path, ["first question"], {"one": [("first question", "a")]})
    assert "nothing can be learned" in run(job, tmp_path, tmp_path / "out")["warnings"][0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "give `prompts`"),
        ({"prompts": [{"file": "p"}]}, "need `replies`"),
        ({"labelled": [{"file": "a/x.jsonl"}, {"file": "b/x.jsonl"}]}, "give one a `name`"),
        ({"labelled": [{"fiel": "x"}]}, "did you mean `file`"),
        (
            {
                "prompts": [{"file": "p"}],
                "replies": [{"name": "a", "file": "f", "local": "m"}],
                "judge": {"endpoint": ENDPOINT},
            },
            "exactly one",
        ),
        (
            {
                "prompts": [{"file": "p"}],
                "replies": [{"name": "a", "file": "f"}],
                "judge": {"endpoint": ENDPOINT, "votes": 2, "agree": "majority"},
            },
            "odd number",
        ),
        (
            {
                "prompts": [{"file": "p"}],
                "replies": [{"name": "a", "file": "f"}],
                "judge": {"endpoint": {**ENDPOINT, "temperature": 0}, "votes": 3},
            },
            "say the same again",
        ),
    ],
)
def test_a_wrong_job_is_refused_in_words(data: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        validate(Job, data, "job")


def test_the_budget_holds_for_all_shards_together() -> None:
    assert making._left("judge", 100, {"judge": 60}) == 40
    assert making._left("judge", None, {"judge": 60}) is None
    with pytest.raises(RunStopped, match="budget_tokens is 100"):
        making._left("judge", 100, {"judge": 100})
