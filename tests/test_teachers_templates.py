"""The prompt files: every bundled one is whole, and a user's own is checked before anything is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.teachers.templates import BUNDLED, DATA_SLOTS, PLAIN_SLOTS, hashes, load_instructions

VALUES = {
    slot: f"<<{slot}>>"
    for slots in (*DATA_SLOTS.values(), *PLAIN_SLOTS.values(), ("nonce",))
    for slot in slots
}


def test_every_bundled_file_is_known_and_can_be_filled() -> None:
    assert {path.stem for path in BUNDLED.glob("*.txt")} == set(DATA_SLOTS)
    for name, instruction in load_instructions(tuple(DATA_SLOTS), None).items():
        text = instruction.fill(VALUES)
        assert all(text.count(f"<<{slot}>>") == 1 for slot in DATA_SLOTS[name]), name


def test_what_stands_in_the_data_is_never_a_slot() -> None:
    (one,) = load_instructions(("general_response",), None).values()
    assert "a $question of ${nonce} $$" in one.fill({**VALUES, "question": "a $question of ${nonce} $$"})


def test_a_users_file_takes_the_place_of_one_and_shows_in_the_hash(tmp_path: Path) -> None:
    (tmp_path / "summary.txt").write_text("$question $thought_process $final_answer $nonce costs $$5")
    (tmp_path / "README.md").write_text("mine")
    names = ("summary", "arena")
    ours, theirs = load_instructions(names, None), load_instructions(names, tmp_path)
    assert theirs["summary"].fill(VALUES).endswith("costs $5")
    assert hashes(ours)["arena"] == hashes(theirs)["arena"]
    assert hashes(ours)["summary"] != hashes(theirs)["summary"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("summary.txt", "$question $nonce", r"summary\.txt: the slot \$thought_process is missing"),
        ("arena.txt", "$question $answer_a $answer_b", r"the slot \$nonce is missing"),
        (
            "arena.txt",
            "$question $answer_a $answer_c $nonce",
            r"unknown slot \$answer_c; did you mean `answer_",
        ),
        ("arena.txt", "$question $answer_a $answer_b $nonce $5", "a lone \\$"),
        ("aren.txt", "x", "no prompt file has this name; did you mean `arena`"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        load_instructions(("summary", "arena"), tmp_path)


def test_a_missing_folder_and_a_file_in_another_encoding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        load_instructions(("arena",), tmp_path / "nowhere")
    (tmp_path / "arena.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        load_instructions(("arena",), tmp_path)
