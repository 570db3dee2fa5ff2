"""`aha data` as a person meets it: reports in words, mistakes with exit code 2, hostile text made visible."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import Aha
from data_files import read_lines, write_lines
from synthetic_data import write_synthetic

ROWS = [
    {"question": "What is 1 + 1?", "answer": "2"},
    {"question": "What is 1 + 2?", "answer": "3"},
    {"question": "what is 1 + 1?", "answer": "2"},
]
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202etxet [bold]markup[/bold]"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "a.jsonl", ROWS)


def test_inspect_shows_columns_layout_and_the_fragment(aha: Aha, path: Path) -> None:
    done = aha("data", "inspect", path)
    assert done.code == 0, done.err
    assert "3 rows" in done.out
    assert "recognised as prompts: plain questions and answers" in done.out
    assert f"- file: {path}" in done.out
    assert "What is 1 + 1?" in done.out
    quiet = aha("data", "inspect", path, "--no-text")
    assert (quiet.code, "What is" in quiet.out, "question" in quiet.out) == (0, False, True)
    found = json.loads(aha("data", "inspect", path, "--json").out)
    assert (found["rows"], found["columns"][0]["name"]) == (3, "question")


def test_hostile_text_is_made_visible_everywhere(aha: Aha, tmp_path: Path) -> None:
    rows = [{"question": HOSTILE, "answer": HOSTILE, HOSTILE: HOSTILE, "domain": HOSTILE}] * 3
    path = write_lines(tmp_path / "a.jsonl", rows)
    held_out = write_lines(tmp_path / "test.jsonl", [{"question": HOSTILE, "answer": HOSTILE, "id": HOSTILE}])
    for words in (
        ("inspect", path),
        ("inspect", path, "--json"),
        ("dedup", path),
        ("decontaminate", path, "--against", held_out, "--gram", 2),
        ("stats", path),
        ("convert", path, tmp_path / "b.jsonl"),
    ):
        done = aha("data", *words)
        assert done.code == 0, done.err
        assert "\x1b]0" not in done.out + done.err, words
        assert "\u202e" not in done.out, words
        if words[0] in ("inspect", "dedup"):
            assert "[bold]markup[/bold]" in done.out


def test_convert_dedup_and_decontaminate_write_and_say_so(aha: Aha, path: Path, tmp_path: Path) -> None:
    done = aha("data", "convert", path, tmp_path / "b.jsonl.gz")
    assert (done.code, f"written: {tmp_path / 'b.jsonl.gz'}" in done.out) == (0, True)
    done = aha("data", "dedup", path, "--output", tmp_path / "c.jsonl")
    assert "twins: 1 exact, 0 near (at least 0.8 of the 5-grams in common); 2 rows stay" in done.out
    assert read_lines(tmp_path / "c.jsonl") == ROWS[:2]
    assert read_lines(tmp_path / "c.dropped.jsonl")[0]["kept_row"] == 1
    held_out = write_lines(tmp_path / "test.jsonl", [ROWS[1]])
    words = ("data", "decontaminate", path, "--against", held_out, "--output", tmp_path / "d.jsonl")
    done = aha(*words)
    assert "3 rows, 1 share a 10-gram with an evaluation set, 2 stay" in done.out
    assert read_lines(tmp_path / "d.dropped.jsonl")[0]["hits"][0]["same"] is True
    again = aha(*words)
    assert (again.code, "say --overwrite" in again.err) == (2, True)
    assert json.loads(aha(*words, "--overwrite", "--json").out)["dropped"] == 1


def test_stats_are_markdown_or_json_and_may_go_to_a_file(aha: Aha, path: Path, tmp_path: Path) -> None:
    done = aha("data", "stats", path, "--output", tmp_path / "t.md")
    assert "| type | prompts | question type | output type | avg tokens |" in done.out
    assert (tmp_path / "t.md").read_text().startswith(f"`{path}`: 3 rows")
    assert json.loads(aha("data", "stats", path, "--json").out)["prompts"][0]["prompts"] == 3
    assert aha("data", "stats", path, "--output", tmp_path / "t.txt").code == 2
    assert "say --overwrite" in aha("data", "stats", path, "--output", tmp_path / "t.md").err
    assert aha("data", "stats", path, "--output", tmp_path / "t.md", "--overwrite").code == 0
    done = aha("data", "stats", path, "--model", "builtin:tiny")
    assert "Tokens are those of the tokenizer of builtin:tiny" in done.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("inspect", "nothing.jsonl"), "does not exist"),
        (("inspect", "."), "is a folder"),
        (("inspect", "empty.jsonl"), "is empty"),
        (("convert", "a.jsonl", "b.txt"), "expected one ending in"),
        (("convert", "a.jsonl", "a.jsonl"), "is the file that is read"),
        (("convert", "a.jsonl", "b.jsonl", "--map", "question=q"), "needs --layout prompts"),
        (("convert", "a.jsonl", "nowhere/b.jsonl"), "make it first"),
        (("convert", "a.jsonl", "b.jsonl", "--encoding", "klingon"), "no such encoding"),
        (("dedup", "a.jsonl", "--near", "0.1"), "expected 0.3 to 1"),
        (("dedup", "a.jsonl", "--unit", "lines"), "expected words or characters"),
        (("dedup", "a.jsonl", "--by", "qestion"), "did you mean `question`"),
        (("dedup", "a.jsonl", "--dropped", "b.jsonl"), "give that too"),
        (("dedup", "a.jsonl", "--work", "nowhere"), "no such folder"),
        (("decontaminate", "a.jsonl"), "--against SET is needed"),
        (("decontaminate", "a.jsonl", "--against", "gsm9k"), "did you mean `gsm8k`"),
        (("stats", "a.jsonl", "--unit", "tokens"), "expected one of words, characters"),
        (("stats", "a.jsonl", "--model", "builtin:nothing"), "no such bundled base"),
        (("rate", "a.jsonl"), "say whose pass rate"),
        (("rate", "a.jsonl", "--model", "builtin:tiny", "--keep", "1"), "expected LOW:HIGH"),
        (
            ("stats", "cut.jsonl"),
            "row 2: expected a whole JSON object, but the file ends in the middle of it",
        ),
        (("dedup", "wide.jsonl"), "is UTF-16 text; expected UTF-8. Convert it first"),
    ],
)
def test_a_mistake_is_exit_code_2_and_says_what_to_do(
    aha: Aha, path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(path.parent)
    Path("empty.jsonl").touch()
    Path("cut.jsonl").write_text('{"question": "q", "answer": "1"}\n{"question": "q", "ans')
    Path("wide.jsonl").write_bytes('{"question": "q", "answer": "1"}\n'.encode("utf-16"))
    before = sorted(one.name for one in path.parent.iterdir())
    done = aha("data", *words)
    assert done.code == 2, done.err
    assert told in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert sorted(one.name for one in path.parent.iterdir()) == before


def test_a_row_of_a_hundred_megabytes_is_named_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"question": "q", "answer": "1"}\n{"question": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'", "answer": "2"}\n{"question": "r", "answer": "1"}\n')
    command = [sys.executable, "-m", "ahalab.cli", "data", "convert", str(path), str(tmp_path / "b.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "row 2: expected a row that fits into memory, but it is longer than 64 MB" in " ".join(
        done.stderr.split()
    )
    done = subprocess.run([*command, "--skip-bad-rows"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "1 too long" in done.stdout
    assert [row["question"] for row in read_lines(tmp_path / "b.jsonl")] == ["q", "r"]


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "a.jsonl", 30_000_000)
    command = [sys.executable, "-m", "ahalab.cli", "data", "dedup", str(tmp_path / "a.jsonl")]
    command += ["--output", str(tmp_path / "b.jsonl")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".aha-dedup-*/notes.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on from there" in " ".join(err.split())
    assert not (tmp_path / "b.jsonl").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "exact twins: " not in done.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.jsonl", "b.dropped.jsonl", "b.jsonl"]


def test_a_stopped_conversion_leaves_nothing(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "a.jsonl", 60_000_000)
    command = [sys.executable, "-m", "ahalab.cli", "data", "convert", str(tmp_path / "a.jsonl")]
    process = subprocess.Popen(
        [*command, str(tmp_path / "b.jsonl.gz")], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".tmp-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "nothing was written; the same command begins anew" in " ".join(err.split())
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]
