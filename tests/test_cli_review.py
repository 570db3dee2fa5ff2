"""`aha review`: each decision is on disk before the next row is shown, and hostile text stays plain text."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ahalab.records import SupervisedRow
from ahalab.stages.datasets import write_dropped, write_rows
from ahalab.stages.review import ReviewFile, export_rows, read_review
from conftest import Aha, Outcome
from small_runs import write_recipe

Answer = Callable[..., Outcome]


def row(number: int, **changes: Any) -> SupervisedRow:
    parts: dict[str, Any] = {
        "id": f"q/{number}#0",
        "question": f"What is {number}+1?",
        "thinking": f"I add 1 to {number}.",
        "answer": str(number + 1),
        "domain": "math",
        "language": "en",
        "source": "data: base",
        "prompt_id": f"q/{number}",
    }
    return SupervisedRow(**{**parts, **changes})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A review file of four rows."""
    write_rows(tmp_path / "data", [row(number) for number in range(4)])
    export_rows(tmp_path, tmp_path / "review.jsonl")
    return tmp_path / "review.jsonl"


@pytest.fixture
def answer(aha: Aha, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """`answer(keys, "review", …)`: the command with these lines on its standard input."""

    def call(keys: str, *arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(keys))
        return aha("review", *arguments)

    return call


def decisions(path: Path) -> list[tuple[str, str]]:
    return [(one.status, one.note) for one in read_review(path).rows]


def test_keep_drop_skip_and_quit(answer: Answer, file: Path) -> None:
    done = answer("k\nd too dull\ns\nq\n", file)
    assert done.code == 0, done.err
    assert decisions(file) == [("keep", ""), ("drop", "too dull"), ("", ""), ("", "")]
    assert "1 kept, 1 dropped, 2 open" in done.out
    assert "What is 0+1?" in done.out
    assert "I add 1 to 3." in done.out


def test_it_goes_on_where_it_was_left_and_ends_by_itself(answer: Answer, file: Path) -> None:
    answer("k\nq\n", file)
    done = answer("d\nwrong style\nk\nk\n", file)
    assert "What is 0+1?" not in done.out
    assert decisions(file) == [("keep", ""), ("drop", "wrong style"), ("keep", ""), ("keep", "")]
    done = answer("", file)
    assert "3 kept, 1 dropped, 0 open" in done.out


def test_back_shows_the_last_row_with_its_decision_and_all_shows_every_row(
    answer: Answer, file: Path
) -> None:
    done = answer("d dull\nb\nk\nq\n", file)
    assert "drop: dull" in done.out
    assert decisions(file)[0] == ("keep", "dull")
    answer("s\nd no\nq\n", file, "--all")
    assert decisions(file)[:2] == [("keep", "dull"), ("drop", "no")]
    answer("b\nb\nq\n", file)


def test_the_end_of_input_and_an_unknown_key_lose_nothing(answer: Answer, file: Path) -> None:
    done = answer("x\n[bold]y\nk\n", file)
    assert done.code == 0
    assert "unknown key 'x'" in done.out
    assert "unknown key '[bold]y'" in done.out
    assert decisions(file)[0] == ("keep", "")


def test_a_decision_is_written_at_once_and_never_in_half(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = ReviewFile(file)
    opened.mark(0, "keep")
    assert decisions(file)[0][0] == "keep"
    before = file.read_bytes()

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            opened.mark(1, "drop")
    assert file.read_bytes() == before
    assert opened.rows[1].status == ""


def editor(tmp_path: Path, code: str) -> str:
    """An editor that runs Python code on the text `t` of the file."""
    script = tmp_path / "editor.py"
    script.write_text(
        "import sys, pathlib\np = pathlib.Path(sys.argv[1])\nt = p.read_text(encoding='utf-8')\n"
        f"{code}\np.write_text(t, encoding='utf-8')\n"
    )
    return f"{sys.executable} {script}"


def test_an_edited_row_is_kept_and_known_as_edited(
    answer: Answer, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor(tmp_path, "t = t.replace('I add', 'Carefully I add')"))
    done = answer("e\nk\nq\n", file)
    assert done.code == 0, done.err
    first, second, *_ = read_review(file).rows
    assert first.row.thinking == "Carefully I add 1 to 0."
    assert (first.row.answer, first.status, first.edited) == ("1", "keep", True)
    assert not second.edited


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit(3)", "the editor ended with code 3: nothing was changed"),
        ("t = 'all gone'", "the two lines that begin with #### must stay"),
        ("t = t[:t.rindex('1')]", "the answer is blank"),
        ("t += '</answer>'", "it contains </answer>"),
    ],
)
def test_an_edit_that_cannot_be_used_changes_nothing(
    answer: Answer, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setenv("VISUAL", editor(tmp_path, code))
    before = file.read_bytes()
    done = answer("e\nq\n", file)
    assert said in done.out
    assert file.read_bytes() == before


def test_without_an_editor_it_says_what_to_set(
    answer: Answer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    assert "set the variable EDITOR" in answer("e\nq\n", file).out
    monkeypatch.setenv("EDITOR", "/nowhere/editor")
    assert "'/nowhere/editor' cannot be started" in answer("e\nq\n", file).out


def test_hostile_text_reaches_the_terminal_as_plain_text(answer: Answer, tmp_path: Path) -> None:
    hostile = "\x1b[31mred\x1b[0m \u202egnp.exe [bold]loud[/bold] \x07"
    write_rows(tmp_path / "data", [row(0, thinking=hostile, question=f"What? {hostile}")])
    export_rows(tmp_path, tmp_path / "review.jsonl")
    done = answer("k\n", tmp_path / "review.jsonl")
    assert not {"\x1b", "\u202e", "\x07"} & set(done.out)
    assert "\\u{001B}[31mred" in done.out
    assert "[bold]loud[/bold]" in done.out
    assert read_review(tmp_path / "review.jsonl").rows[0].row.thinking == hostile


def test_any_editor_may_mark_the_rows(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert json.loads(text.splitlines()[0])["status"] == ""
    assert text.startswith('{"status": "", "note": "", "id": "q/0#0"'), "what a person writes stands first"
    file.write_text(text.replace('"status": ""', '"status": "drop"', 1), encoding="utf-8")
    assert [one.dropped for one in read_review(file).rows] == [True, False, False, False]


def without(file: Path, *numbers: int) -> None:
    """Remove lines, counted from 1."""
    kept = [
        line
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(True), 1)
        if number not in numbers
    ]
    file.write_text("".join(kept), encoding="utf-8")


def test_what_was_exported_is_known_whatever_is_removed_marked_or_edited(
    answer: Answer, tmp_path: Path
) -> None:
    file = tmp_path / "review.jsonl"
    write_rows(tmp_path / "data", [row(number) for number in range(4)])
    write_dropped(tmp_path / "data", {"not correct": 7, "truncated": 2})
    export_rows(tmp_path, file)
    without(file, 2, 4)
    assert "1 kept, 0 dropped, 1 open, 2 removed" in answer("k\nq\n", file).out
    ReviewFile(file).edit(1, "I count.", "3")
    review = read_review(file)
    assert review.removed == ["q/1#0", "q/3#0"]
    assert review.exported.dropped == {"not correct": 7, "truncated": 2}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: without(file, 5), 'its last line, which begins with {"exported":, is missing'),
        (
            lambda file: file.write_text(file.read_text() + '{"exported": {"ids": []}}\n'),
            "row 6: a second line",
        ),
        (
            lambda file: file.write_text(file.read_text().replace('"dropped": {', '"droped": {')),
            "row 5: this line",
        ),
        (
            lambda file: file.write_text(file.read_text().replace('"dropped": {', '"dropped": {"a": "b"')),
            "row 5: this line says what was exported and is no longer as it was",
        ),
        (
            lambda file: file.write_text(file.read_text().replace('"id": "q/2#0"', '"id": "q/9#0"')),
            "row 3: the id 'q/9#0' was not exported: rows may be edited or removed, not added",
        ),
    ],
)
def test_a_file_that_no_longer_says_what_was_exported_is_refused(
    answer: Answer, file: Path, damage: Callable[[Path], Any], said: str
) -> None:
    damage(file)
    before = file.read_bytes()
    done = answer("k\n", file)
    assert done.code == 2
    assert said in done.err
    assert file.read_bytes() == before


def test_export_takes_the_rows_of_a_finished_stage_and_overwrites_nothing(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    sampling = {"max_new_tokens": 24, "grader_workers": 1, "prompts": [{"file": str(questions)}], "n": 12}
    keep = ["well_formed", "not_truncated", "correct"]
    recipe: dict[str, Any] = {
        "name": "small",
        "base": str(trained_base),
        "threads": 1,
        "stages": {"cold": {"sample": {"from": "base", "keep": keep, **sampling}}},
    }
    path = write_recipe(tmp_path / "small.yaml", recipe)
    assert aha("run", path, "--runs", tmp_path).code == 0
    run, target = tmp_path / "small", tmp_path / "review.jsonl"
    done = aha("review", "--export", run, "cold", target)
    assert done.code == 0, done.err
    assert f"rows of cold written to {target}" in done.out
    assert len(read_review(target).rows) > 0
    again = aha("review", "--export", run, "cold", target)
    assert again.code == 2
    assert "exists already and may hold a person's decisions" in again.err
    assert "has no stage 'warm'; it has cold" in aha("review", "--export", run, "warm", tmp_path / "x").err

    # What a person dropped is gone from the data, and counted.
    opened = ReviewFile(target)
    opened.mark(0, "drop", "dull")
    recipe["stages"]["cold"]["sample"]["reviewed"] = "review.jsonl"
    recipe["name"] = "second"
    done = aha("run", write_recipe(path, recipe), "--runs", tmp_path)
    assert done.code == 0, done.err
    data = tmp_path / "second" / "stages" / "cold" / "data"
    before = json.loads((run / "stages" / "cold" / "data" / "dropped.json").read_text())
    assert before["not correct"] > 0
    assert json.loads((data / "dropped.json").read_text()) == {**before, "dropped in review": 1}
    assert len((data / "rows.jsonl").read_text().splitlines()) == len(opened.rows) - 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl is missing"),
        (["a", "b"], "expected FILE, got a b"),
        (["--export", "a"], "expected --export RUN STAGE FILE, got a"),
    ],
)
def test_what_cannot_be_meant_is_refused(aha: Aha, arguments: list[str], said: str) -> None:
    done = aha("review", *arguments)
    assert done.code == 2
    assert said in done.err
