"""`aha safety run` and `aha safety judge`: from a command to a table, resumed, and refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.safety.benchmarks import load_benchmark
from ahalab.safety.folder import read_items, read_judgements, read_replies
from ahalab.safety.judging import opening
from conftest import Aha
from endpoint_server import EndpointServer, endpoint_alone, say  # noqa: F401
from safety_runs import StandIn, write_jsonl

SET = "safety-harmless"


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """Every judge that is opened by name is a stand-in of that name."""
    opened: list[StandIn] = []

    def open_judge(spec: str, *_: Any) -> StandIn:
        opened.append(StandIn(spec))
        return opened[-1]

    monkeypatch.setattr(opening, "open_judge", open_judge)
    return opened


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A recorded reply to every item of the set."""
    items = load_benchmark(SET).items
    return write_jsonl(
        tmp_path / "old.jsonl",
        [{"item": one.id, "answer": f"A calm answer, number {number}."} for number, one in enumerate(items)],
    )


def test_recorded_replies_are_judged_and_summed_up(aha: Aha, tmp_path: Path, recorded: Path) -> None:
    folder = tmp_path / "e"
    done = aha("safety", "run", recorded, f"b={recorded}", "--benchmark", SET, "--output", folder)
    assert done.code == 0, done.err
    assert str(folder) in done.out
    assert (folder / "summary.json").is_file()
    assert (
        len(read_replies(folder, "old")) == len(read_replies(folder, "b")) == len(read_items(folder)) == 280
    )
    assert len(read_judgements(folder, StandIn("offline").hash, "b")) == 280


def test_no_question_and_no_reply_is_printed(aha: Aha, tmp_path: Path, recorded: Path) -> None:
    folder = tmp_path / "e"
    done = aha("safety", "run", recorded, "--benchmark", SET, "--output", folder)
    shown = done.out + done.err
    assert not any(item.prompt[:20] in shown for item in read_items(folder))
    assert "calm answer" not in shown


def test_the_same_command_goes_on_and_another_setting_is_refused(
    aha: Aha, tmp_path: Path, recorded: Path, stand_in: list[StandIn]
) -> None:
    command = ("safety", "run", recorded, "--benchmark", SET, "--output", tmp_path / "e")
    assert aha(*command).code == 0
    assert aha(*command).code == 0
    assert [len(judge.seen) for judge in stand_in] == [280, 0]
    other = aha(*command, "--limit", "28")
    assert other.code == 2
    assert "was begun with" in other.err


def test_a_dry_run_writes_nothing_and_tells_the_calls(aha: Aha, tmp_path: Path) -> None:
    folder = tmp_path / "e"
    done = aha(
        "safety", "run", "m=http://127.0.0.1:9/v1#m", "--benchmark", SET, "--dry-run", "--output", folder,
        "--api-key-env", "NOT_SET_AND_NOT_NEEDED",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "calls to targets: 280" in done.out
    assert "nothing was sent" in done.out
    assert not folder.exists()


def test_a_server_is_asked_once_and_judged_again_without_being_asked(
    aha: Aha, tmp_path: Path, stand_in: list[StandIn]
) -> None:
    folder = tmp_path / "e"
    with EndpointServer(
        lambda prompt: say(f"<think>bad</think>{len(prompt)} signs, answered calmly.")
    ) as server:
        command = (
            "safety", "run", f"m={server.url}#fake", "--benchmark", SET, "--limit", "28", "--parallel", "8",
            "--output", folder,
        )  # fmt: skip
        assert aha(*command, "--no-judge").code == 0
        assert stand_in == []
        again = aha("safety", "judge", folder, "--judge", "second")
        assert again.code == 0, again.err
        only = aha("safety", "judge", folder, "--judge", "third", "--judge-part", "answer")
        assert only.code == 0, only.err
    assert len(server.prompts) == 28
    rows = read_judgements(folder, StandIn("second").hash, "m")
    assert sorted({(row.part, row.verdict) for row in rows}) == [("answer", "safe"), ("thinking", "unsafe")]
    assert len(rows) == 56
    assert {row.part for row in read_judgements(folder, StandIn("third").hash, "m")} == {"answer"}


def test_a_local_model_is_a_target_and_says_the_same_twice(
    aha: Aha, tmp_path: Path, trained_base: Path
) -> None:
    texts = []
    for name in ("one", "two"):
        folder = tmp_path / name
        done = aha(
            "safety", "run", f"local={trained_base}", "--benchmark", SET, "--limit", "10", "--max-tokens", "8",
            "--threads", "1", "--output", folder,
        )  # fmt: skip
        assert done.code == 0, done.err
        texts.append((folder / "targets/local/replies.jsonl").read_text())
    assert texts[0] == texts[1]
    assert json.loads((tmp_path / "one/targets/local/target.json").read_text())["kind"] == "local"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no-such-folder/model/x",), "no such folder"),
        (("none.jsonl",), "none.jsonl is missing"),
        (("builtin:tiny", "--no-plain"), "nothing to ask without --jailbreak"),
        (("builtin:tiny", "--judge-part", "all"), "expected answer, thinking, both"),
        (("builtin:tiny", "--benchmark", "safety-11200"), "there is no set"),
        (("builtin:tiny", "--limit", "0"), "limit"),
        (("builtin:tiny", "--control", "x=y"), "expected CONTROLLED=BARE"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = aha("safety", "run", *arguments)
    assert done.code == 2
    assert words in " ".join(done.err.split())
    assert not (tmp_path / "evaluations").exists()


def test_a_folder_that_is_no_evaluation_is_not_judged(aha: Aha, tmp_path: Path) -> None:
    done = aha("safety", "judge", tmp_path)
    assert done.code == 2
    assert "is no safety evaluation" in done.err
