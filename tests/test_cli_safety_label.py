"""`aha safety label`: blind, resumable, the same sample for two annotators, and only disagreements are adjudicated."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.safety.folder import read_labels
from ahalab.safety.labels.pairs import labelled_pairs
from ahalab.safety.labels.plan import read_plan
from ahalab.safety.labels.reading import settled_labels
from conftest import Aha, Outcome
from safety_folders import JUDGE, Folder, questions

Answer = Callable[..., Outcome]
GO = "y\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten replies of one target, half of them called unsafe."""
    made = Folder(tmp_path, questions(["D01", "I02"], 5, ("zh",))).judge()
    made.target("secret-model", {one.id: "unsafe" if one.group == "D01" else "safe" for one in made.items})
    return tmp_path


@pytest.fixture
def answer(aha: Aha, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """`answer(keys, …)`: the command with these lines on its standard input."""

    def call(keys: str, *arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(keys))
        return aha("safety", "label", *arguments)

    return call


def given(folder: Path, annotator: str) -> list[str]:
    return [one.verdict for one in read_labels(folder, annotator)]


def test_labels_are_kept_one_by_one_and_the_same_command_goes_on(answer: Answer, folder: Path) -> None:
    done = answer(f"{GO}u\ns\nq\n", folder, "--sample", 4, "--annotator", "ann")
    assert done.code == 0, done.err
    assert given(folder, "ann") == ["unsafe", "safe"]
    assert "2 of 4 replies labelled" in done.out
    done = answer(f"{GO}r\nr\n", folder, "--annotator", "ann")
    assert given(folder, "ann") == ["unsafe", "safe", "rejection", "rejection"]
    assert "4 of 4 replies labelled" in done.out
    assert "go on?" not in answer("", folder, "--annotator", "ann").out
    plan = read_plan(folder)
    assert plan is not None
    assert [one.item for one in read_labels(folder, "ann")] == [one.item for one in plan.drawn]


def test_neither_target_nor_verdict_is_shown(answer: Answer, folder: Path) -> None:
    replies = folder / "targets/secret-model/replies.jsonl"
    replies.write_text(replies.read_text().replace("a reply of secret-model", "a reply"), encoding="utf-8")
    done = answer(GO + "s\n" * 10, folder, "--sample", 10, "--annotator", "ann")
    assert "a reply to D01-01-zh" in done.out
    assert "What is the weather like, D01-01-zh?" in done.out
    assert "secret-model" not in done.out
    for line in done.out.splitlines():
        words = line.replace("u unsafe · s safe · r rejection", "")
        assert "unsafe" not in words or words.lstrip().startswith("unsafe: goes along")


def test_nothing_is_shown_before_the_warning_is_answered(answer: Answer, folder: Path) -> None:
    done = answer("n\n", folder, "--sample", 4, "--annotator", "ann")
    assert "may be harmful" in done.out
    assert "a reply of" not in done.out
    assert not (folder / "labels/ann.jsonl").exists()


def test_back_lets_the_last_label_be_changed(answer: Answer, folder: Path) -> None:
    answer(f"{GO}u\nb\ns\nq\n", folder, "--sample", 4, "--annotator", "ann")
    assert given(folder, "ann") == ["unsafe", "safe"]
    assert [one.verdict for one in settled_labels(folder)] == ["safe"]


def test_hostile_text_reaches_no_terminal(answer: Answer, folder: Path) -> None:
    replies = folder / "targets/secret-model/replies.jsonl"
    rows = [json.loads(line) for line in replies.read_text().splitlines()]
    replies.write_text(
        "".join(json.dumps({**row, "answer": "\x1b[2J[bold]gone[/] \u202eback"}) + "\n" for row in rows),
        "utf-8",
    )
    done = answer(f"{GO}q\n", folder, "--sample", 4, "--annotator", "ann")
    assert "\x1b[2J" not in done.out
    assert "\u202e" not in done.out
    assert "[bold]gone[/]" in done.out


def test_an_unknown_key_labels_nothing(answer: Answer, folder: Path) -> None:
    done = answer(f"{GO}x\nu\nq\n", folder, "--sample", 4, "--annotator", "ann")
    assert "unknown key 'x'" in done.out
    assert given(folder, "ann") == ["unsafe"]


def test_compliance_is_asked_for_on_request(answer: Answer, folder: Path) -> None:
    answer(f"{GO}s\n9\n2\nq\n", folder, "--sample", 4, "--annotator", "ann", "--compliance")
    assert [one.compliance for one in read_labels(folder, "ann")] == ["partial refusal"]


def test_two_annotators_label_the_same_and_what_they_differ_on_is_settled(
    answer: Answer, folder: Path
) -> None:
    answer(f"{GO}u\nu\ns\ns\n", folder, "--sample", 4, "--annotator", "ann")
    done = answer(f"{GO}u\nr\ns\ns\n", folder, "--annotator", "bob")
    assert "ann and bob: 4 replies, same verdict on 75.0%, κ 0.60" in done.out
    keys = [(one.item, one.target) for one in read_labels(folder, "ann")]
    assert [(one.item, one.target) for one in read_labels(folder, "bob")] == keys
    assert len(labelled_pairs(folder, JUDGE)) == 3
    done = answer(f"{GO}r\n", folder, "--adjudicate")
    assert "ann says unsafe" in done.out
    assert "bob says rejection" in done.out
    assert "1 of 1 disagreements settled" in done.out
    assert given(folder, "adjudicated") == ["rejection"]
    pairs = {(one.item): one for one in labelled_pairs(folder, JUDGE)}
    assert pairs[keys[1][0]].truth == "rejection"
    assert sum(one.weight for one in pairs.values()) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--sample", 4], "who labels?"),
        (["--sample", 4, "--annotator", "adjudicated"], "use --adjudicate"),
        (["--sample", 4, "--annotator", "../x"], "annotator '../x'"),
        (["--sample", 4, "--adjudicate"], "nobody has labelled"),
        (["--annotator", "ann"], "--sample N"),
    ],
)
def test_what_is_missing_is_told(answer: Answer, folder: Path, arguments: list[object], told: str) -> None:
    done = answer(GO, folder, *arguments)
    assert done.code == 2
    assert told in done.err


def test_one_person_alone_cannot_adjudicate(answer: Answer, folder: Path) -> None:
    answer(f"{GO}u\nq\n", folder, "--sample", 4, "--annotator", "ann")
    assert "only ann has labelled" in answer("", folder, "--adjudicate").err


def test_end_of_input_loses_nothing(answer: Answer, folder: Path) -> None:
    done = answer(f"{GO}u\n", folder, "--sample", 4, "--annotator", "ann")
    assert done.code == 0
    assert given(folder, "ann") == ["unsafe"]


def test_a_label_that_is_no_verdict_is_told_by_file_row_and_key(answer: Answer, folder: Path) -> None:
    answer(f"{GO}u\ns\nq\n", folder, "--sample", 4, "--annotator", "ann")
    path = folder / "labels/ann.jsonl"
    path.write_text(path.read_text().replace('"safe"', '"fine"'), encoding="utf-8")
    done = answer(GO, folder, "--annotator", "bob")
    assert done.code == 2
    assert "ann.jsonl, row 2, key 'verdict'" in done.err
    with pytest.raises(UserError, match="'fine'"):
        labelled_pairs(folder, JUDGE)
