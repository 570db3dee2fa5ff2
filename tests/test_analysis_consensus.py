"""Merging annotators' lists: votes, agreement by hand, and a file that is read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ahalab.analysis.consensus import agreement, fleiss_kappa, merge_lists
from ahalab.cli.main import app
from ahalab.errors import UserError
from ahalab.text.reflection import load_reflective_words


def write(folder: Path, **lists: str) -> list[Path]:
    paths = []
    for name, text in lists.items():
        paths.append(folder / f"{name}.txt")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def three(folder: Path) -> list[Path]:
    return write(
        folder,
        anna="[en]\nWait\nbut\n[zh]\n等等\n",
        ben="[en]\nwait\ncheck\n[zh]\n等等\n检查\n",
        carl="[en]\nbut\nwait\n[zh]\n等等\n检查\n",
    )


def test_agreement_by_hand() -> None:
    """wait 3 of 3, but 2, check 1: agreement on words (1 + 1/3 + 1/3) / 3 = 5/9; 6 of 9 marks are yes, so by chance
    (2/3)² + (1/3)² = 5/9 too, and kappa is 0. Jaccard: 1/3, 1, 1/3."""
    found = agreement({"a": ["wait", "but"], "b": ["wait", "check"], "c": ["wait", "but"]})
    assert found.kappa == pytest.approx(0, abs=1e-12)
    assert found.jaccard == pytest.approx(5 / 9)
    assert found.proposed == {"wait": ("a", "b", "c"), "but": ("a", "c"), "check": ("b",)}


def test_kappa_by_hand() -> None:
    """Two raters, votes 2, 2, 0, 1: agreement 3/4; 5 of 8 are yes, by chance 25/64 + 9/64 = 34/64."""
    assert fleiss_kappa([2, 2, 0, 1], 2) == pytest.approx((3 / 4 - 34 / 64) / (1 - 34 / 64))
    # Four raters, votes 4, 2, 1: (12 + 0, 2 + 2, 0 + 6) / 12 = 1, 1/3, 1/2; 7 of 12 are yes.
    assert fleiss_kappa([4, 2, 1], 4) == pytest.approx((11 / 18 - 74 / 144) / (1 - 74 / 144))
    assert fleiss_kappa([], 3) is None
    assert fleiss_kappa([3, 3], 3) is None, "everybody proposed every word: chance explains it all"


def test_a_word_is_kept_by_more_than_half_or_as_many_as_are_asked_for(tmp_path: Path) -> None:
    paths = three(tmp_path)
    found = merge_lists(paths)
    assert found.at_least == 2
    assert found.kept("en") == ["wait", "but"]
    assert found.kept("zh") == ["等等", "检查"]
    assert merge_lists(paths, 3).kept("en") == ["wait"]
    assert merge_lists(paths, 1).kept("en") == ["wait", "but", "check"]


def test_the_merged_file_is_a_word_list(tmp_path: Path) -> None:
    merged = tmp_path / "merged.txt"
    ran = CliRunner().invoke(app, ["words", "merge", *map(str, three(tmp_path)), "--output", str(merged)])
    assert ran.exit_code == 0, ran.output
    words = load_reflective_words(merged)
    assert (words.english, words.chinese) == (("wait", "but"), ("等等", "检查"))
    assert "check" not in words.english
    assert "wait  # 3 of 3: anna, ben, carl" in merged.read_text(encoding="utf-8")
    assert "kappa over the union 0.00" in ran.output
    assert "Jaccard 0.56" in ran.output


def test_what_cannot_be_merged_is_refused(tmp_path: Path) -> None:
    paths = three(tmp_path)
    with pytest.raises(UserError, match="at least two annotators"):
        merge_lists(paths[:1])
    with pytest.raises(UserError, match="named twice"):
        merge_lists([paths[0], paths[0]])
    with pytest.raises(UserError, match="between 1 and 3"):
        merge_lists(paths, 4)


def test_files_of_the_same_name_are_told_apart_and_hidden_characters_shown(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "li\u202est.txt").write_text("\ufeff[en]\nwait\n", encoding="utf-8")
    found = merge_lists(sorted(tmp_path.glob("*/*.txt")))
    assert len(set(found.annotators)) == 2
    assert "\u202e" not in found.as_text()
    (tmp_path / "merged.txt").write_text(found.as_text(), encoding="utf-8")
    assert load_reflective_words(tmp_path / "merged.txt").english == ("wait",)
