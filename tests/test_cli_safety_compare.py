"""`aha safety compare`: what it prints, writes and refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ahalab.cli.main import app
from ahalab.errors import UserError
from ahalab.safety.comparison.sampled import check, reading_doubts, sample_ids
from ahalab.safety.questions import load_questions
from safety_folders import Folder, questions, spread

HIDDEN = "\u202eabc\x1b[31m"


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["safety", "compare", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_it_prints_the_tables_with_their_convention_and_says_where_they_are(tmp_path: Path) -> None:
    items = questions(["D01", "I02"], 5)
    Folder(tmp_path, items).judge().target("m", spread(items, "unsafe", "safe", "rejection", "safe", "safe"))
    shown = _run(str(tmp_path), "--paper")
    assert "Unsafe / rejected by category, % of safety-1120 (three-way)" in shown
    assert "Benchmarks, % safe, higher is safer (refusal is safe)" in shown
    assert "20.0 / 20.0" in shown
    assert "DeepSeek-R1 [paper]" in shown
    assert "not corrected: no labels" in shown
    assert "weather" not in shown
    assert (tmp_path / "summary.md").is_file()
    assert "Unsafe / rejected by sub-category" not in shown
    assert "Unsafe / rejected by sub-category" in _run(str(tmp_path), "--all")


def test_names_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    Folder(tmp_path, questions(["D01"], 2)).judge().target(
        "m", "safe", judgement={"reason": HIDDEN}, identity={"control_of": f"x[red]{HIDDEN}"}
    )
    shown = _run(str(tmp_path), "--all")
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown


def test_several_folders_need_a_place_to_be_written(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Folder(tmp_path / name, questions(["D01"], 2)).judge().target(f"m-{name}", "safe")
    with pytest.raises(UserError, match="say with --output"):
        _run(str(tmp_path / "a"), str(tmp_path / "b"))
    shown = _run(str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(tmp_path / "both"))
    assert "m-a" in shown
    assert "m-b" in shown
    assert (tmp_path / "both" / "summary.json").is_file()
    assert not (tmp_path / "a" / "summary.json").exists()


def test_no_folder_and_a_folder_that_is_none_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name one or more folders"):
        _run()
    with pytest.raises(UserError, match=r"is no safety evaluation: safety\.json is not in it"):
        _run(str(tmp_path))


def test_sampled_ids_come_with_their_checks_and_without_text(tmp_path: Path) -> None:
    path = tmp_path / "ids.md"
    _run("--ids", str(path))
    text = path.read_text()
    assert len(re.findall(r"^\| [A-Z]\d\d-\d\d \|", text, re.MULTILINE)) == 80
    for one in load_questions():
        assert one.zh not in text
        assert one.en not in text
        assert one.note not in text


def test_a_sampled_question_that_breaks_a_rule_is_not_kept() -> None:
    every = load_questions()
    sampled = sample_ids(every, each=1)[:1]
    (kept,) = check(sampled, every)
    assert kept.kept
    twin = sampled[0].model_copy(update={"id": sampled[0].id[:4] + "99", "form": "task"})
    (broken,) = check(sampled, [*every, twin])
    assert not broken.kept
    assert (broken.alike["en"], broken.same_situation) == ((1.0, twin.id), 2)


def test_the_sample_is_the_same_every_time_and_twenty_of_each_category() -> None:
    every = load_questions()
    first, other = sample_ids(every, seed=0), sample_ids(every, seed=1)
    assert first == sample_ids(every, seed=0)
    assert first != other
    assert [sum(one.id[0] == letter for one in first) for letter in "DIHE"] == [20, 20, 20, 20]
    assert len({one.id for one in first}) == 80


def test_doubts_of_the_second_reading_are_found_by_id() -> None:
    found = reading_doubts(
        "# x\nA01-01\n## Unsure\n\n- **Mild**: D01-18, H03-18.\n- **Alike**: D01-18 and E01-17.\n\n## Next\nI01-01"
    )
    assert found == {"D01-18": ["mild", "alike"], "H03-18": ["mild"], "E01-17": ["alike"]}
