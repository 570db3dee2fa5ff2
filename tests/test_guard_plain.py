"""Files of an operator that are broken, too large or not what they seem: refused with words, never half taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.guard.plain import LARGEST, read_plain
from ahalab.guard.policy import read_policy
from ahalab.guard.review.opening import open_reviewer
from ahalab.guard.term import read_term_file
from guard_control import make_policy

TERMS = "category: made-up\nen: [zorbom]\n"
POLICY = "name: mine\nstandards:\n  - {id: 2, title: Made up, text: Whatever the tests call so.}\n"

BROKEN = {
    "twice.yaml": (TERMS + "en: [gnarf]\n", "the key 'en' is there twice"),
    "inside.yaml": ("a: {b: 1, b: 2}\n", "the key 'b' is there twice"),
    "twice.json": ('{"en": ["zorbom"], "en": ["gnarf"]}', "the key 'en' is there twice"),
    "deep.yaml": ("[" * 3_000 + "]" * 3_000, "nests too deeply"),
    "deep.json": ("[" * 100_000 + "]" * 100_000, "nests too deeply"),
    "half.yaml": ('category: made-up\nen: ["zor\\ud800bom"]\n', "half a surrogate"),
    "half.json": ('{"en\\udfff": []}', "half a surrogate"),
    "nul.yaml": ("category: made-up\0\n", "neither YAML nor JSON"),
    "date.yaml": ("when: 2020-13-45\n", "neither YAML nor JSON"),
    "object.yaml": ("!!python/object/apply:os.getcwd []\n", "neither YAML nor JSON"),
    "large.yaml": ("# " + "x" * LARGEST, "too much"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_its_name(name: str, tmp_path: Path) -> None:
    text, words = BROKEN[name]
    path = tmp_path / name
    path.write_text(text, "utf-8")
    with pytest.raises(UserError, match=words) as told:
        read_plain(path)
    assert str(path) in str(told.value)


def test_a_folder_a_pipe_and_a_file_in_another_encoding_are_refused(tmp_path: Path) -> None:
    folder, pipe, other = tmp_path / "folder.yaml", tmp_path / "pipe.yaml", tmp_path / "other.yaml"
    folder.mkdir()
    os.mkfifo(pipe)  # reading it would wait for ever
    other.write_text(TERMS, "utf-16")
    for path, words in ((folder, "is no file"), (pipe, "is no file"), (other, "not UTF-8")):
        with pytest.raises(UserError, match=words):
            read_plain(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_plain(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("name", ["one.yaml", "one.json"])
def test_a_byte_order_mark_and_line_ends_of_windows_change_nothing(name: str, tmp_path: Path) -> None:
    text = TERMS if name.endswith("yaml") else '{"category":\n"made-up", "en": ["zorbom"]}'
    (tmp_path / "plain").mkdir()
    plain, windows = tmp_path / "plain" / name, tmp_path / name
    plain.write_text(text, "utf-8")
    windows.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_plain(windows) == read_plain(plain)


def test_yaml_that_holds_itself_or_repeats_itself_is_read_in_no_time(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("en: &a [*a]\n")
    itself = read_plain(path)["en"]
    assert itself[0] is itself
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 40))
    path.write_text("l0: &l0 [x]\n" + levels)
    assert len(read_plain(path)) == 40
    with pytest.raises(UserError):
        read_term_file(path)


def test_merged_keys_are_no_doubles(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert read_plain(path)["b"] == {"x": 1, "y": 3}


def test_policies_terms_and_reviewers_are_read_through_the_same_door(tmp_path: Path) -> None:
    for text, read in (
        (POLICY + "on_error: allow\non_error: retract\n", read_policy),
        (TERMS + "en: [gnarf]\n", read_term_file),
        (
            "url: http://127.0.0.1:1/v1\nmodel: a\nmodel: b\n",
            lambda path: open_reviewer(str(path), make_policy()),
        ),
    ):
        path = tmp_path / "one.yaml"
        path.write_text(text)
        with pytest.raises(UserError, match="is there twice"):
            read(path)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            "scope: {query: false, history: false, forged: false, reply: false, thinking: false}",
            "nothing is matched",
        ),
        ("retraction: {violence: {en: ' '}}", "is empty"),
        ("retraction: {violence: {zh-CN: x}}", "no language"),
        ("retraction: {violence: {EN: x}}", "no language"),
        ("retraction: {violence: {en: {x: y}}}", "expected text"),
        ("standards:\n  - {id: 2, title: '  ', text: Whatever the tests call so.}", "only spaces"),
        ("standards:\n  - {id: 2, title: Made up, text: '            '}", "only spaces"),
    ],
)
def test_a_policy_that_would_say_or_do_nothing_is_refused(more: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(POLICY.split("standards" if more.startswith("standards") else "\0")[0] + more + "\n")
    with pytest.raises(UserError, match=words):
        read_policy(path)
