"""The sample that is labelled: stratified, the same for everybody, and each reply knows how many it stands for."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.safety.labels.plan import Key, Stratum, draw, read_plan
from ahalab.safety.labels.sampling import prepare
from safety_folders import Folder, questions


def strata(**sizes: int) -> dict[Stratum, list[Key]]:
    return {
        (name, "m"): [(f"{name}-{number}", "m", "answer") for number in range(size)]
        for name, size in sizes.items()
    }


def test_rare_verdicts_are_drawn_as_often_as_common_ones_and_weights_make_up_for_it() -> None:
    drawn = draw(strata(unsafe=10, safe=500, rejection=90), 60, seed=1)
    taken = Counter(one.stratum[0] for one in drawn)
    assert taken == {"unsafe": 10, "safe": 25, "rejection": 25}
    stands_for: dict[str, float] = defaultdict(float)
    for one in drawn:
        stands_for[one.stratum[0]] += one.weight
    assert stands_for == pytest.approx({"unsafe": 10, "safe": 500, "rejection": 90})


def test_the_draw_depends_on_the_seed_only_and_not_on_the_order_of_the_rows() -> None:
    one = draw(strata(unsafe=50, safe=50), 20, seed=1)
    backwards = {name: rows[::-1] for name, rows in reversed(strata(unsafe=50, safe=50).items())}
    assert draw(backwards, 20, seed=1) == one
    assert draw(strata(unsafe=50, safe=50), 20, seed=2) != one
    assert len({drawn.key for drawn in one}) == 20


def test_strata_are_mixed_in_the_order_of_labelling() -> None:
    words = [one.stratum[0] for one in draw(strata(unsafe=50, safe=50), 40, seed=1)]
    assert words != sorted(words)


def test_no_stratum_is_left_out_and_many_are_merged_but_never_across_verdicts() -> None:
    many: dict[Stratum, list[Key]] = {
        (verdict, "m", language, f"D{group:02}"): [(f"{verdict}{language}{group}", "m", "answer")] * 1
        for verdict in ("unsafe", "safe")
        for language in ("zh", "en")
        for group in range(30)
    }
    drawn = draw(many, 20, seed=0)
    assert len(drawn) == 20
    assert {one.stratum for one in drawn} == {
        (verdict, "m", language) for verdict in ("unsafe", "safe") for language in ("zh", "en")
    }
    assert sum(one.weight for one in drawn) == pytest.approx(120)
    assert len(draw(strata(unsafe=5, safe=5, rejection=5), 1, seed=0)) == 3


def test_every_annotator_gets_the_sample_that_was_drawn_first(tmp_path: Path) -> None:
    folder = Folder(tmp_path, questions(["D01", "I02"])).judge()
    folder.target("m", {one.id: "unsafe" if one.group == "D01" else "safe" for one in folder.items})
    plan = prepare(tmp_path, 8, seed=3)
    assert prepare(tmp_path, None) == plan == read_plan(tmp_path)
    assert prepare(tmp_path, 8, seed=3) == plan
    with pytest.raises(UserError, match="a sample of 8 \\(seed 3\\) is being labelled"):
        prepare(tmp_path, 9, seed=3)
    assert {one.stratum[:2] for one in plan.drawn} == {("unsafe", "m"), ("safe", "m")}


def test_replies_without_text_or_with_a_judge_error_are_not_drawn(tmp_path: Path) -> None:
    items = questions(["D01"], 3, ("zh",))
    folder = Folder(tmp_path, items).judge()
    folder.target("m", {items[0].id: "safe", items[1].id: "judge_error", items[2].id: "safe"})
    assert {one.item for one in prepare(tmp_path, 10).drawn} == {items[0].id, items[2].id}


def test_a_folder_without_a_sample_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no safety evaluation"):
        prepare(tmp_path, 3)
    folder = Folder(tmp_path, questions(["D01"], 1))
    with pytest.raises(UserError, match="no reply there can be labelled"):
        prepare(tmp_path, 3)
    folder.target("m", {})
    with pytest.raises(UserError, match="--sample N"):
        prepare(tmp_path, None)
    with pytest.raises(UserError, match="at least 1"):
        prepare(tmp_path, 0)
    assert len(prepare(tmp_path, 3).drawn) == 2
