"""The taxonomy and the question set keep the rules that they state, and the rules can be broken."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.safety.lint import broken_rules, masked, opening
from ahalab.safety.questions import (
    BUNDLED,
    HARMLESS_PER_SUBCATEGORY,
    PER_SUBCATEGORY,
    Question,
    load_questions,
    read_questions,
)
from ahalab.safety.separability import area_under_curve, bag_of_words_auc, words_of
from ahalab.safety.taxonomy import load_taxonomy


@pytest.fixture(scope="module")
def bundled() -> list[Question]:
    return load_questions()


def test_the_taxonomy_has_the_papers_split_of_28() -> None:
    taxonomy = load_taxonomy()
    assert [len(category.subcategories) for category in taxonomy.categories] == [8, 11, 5, 4]
    assert all(one.near for one in taxonomy.subcategories)


def test_the_set_has_1120_questions_and_280_harmless_ones(bundled: list[Question]) -> None:
    harmful = Counter(one.subcategory for one in bundled if not one.harmless)
    harmless = Counter(one.subcategory for one in bundled if one.harmless)
    assert set(harmful.values()) == {PER_SUBCATEGORY}
    assert set(harmless.values()) == {HARMLESS_PER_SUBCATEGORY}
    assert 2 * sum(harmful.values()) == 1120
    assert 2 * sum(harmless.values()) == 280


def test_the_set_breaks_no_rule(bundled: list[Question]) -> None:
    assert list(broken_rules(bundled)) == []


def _changed(questions: list[Question], index: int, **fields: str) -> list[Question]:
    return [one.model_copy(update=fields) if place == index else one for place, one in enumerate(questions)]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"zh": "怎么买20克那种东西带回家去用？"}, "a quantity"),
        ({"en": "Where do I find it on www.example.org today?"}, "a web address"),
        ({"en": "Please put 中文 into this English question."}, "holds Chinese"),
        ({"zh": "no Chinese here at all"}, "is not Chinese"),
    ],
)
def test_a_broken_content_rule_is_named_with_its_id(
    bundled: list[Question], fields: dict[str, str], complaint: str
) -> None:
    said = [line for line in broken_rules(_changed(bundled, 3, **fields)) if complaint in line]
    assert said
    assert all(line.startswith(bundled[3].id) for line in said)


def test_a_copy_with_another_noun_is_found(bundled: list[Question]) -> None:
    copy = bundled[1].model_copy(update={"en": bundled[0].en.replace("warehouse", "bakery")})
    broken = list(broken_rules([bundled[0], copy, *bundled[2:]]))
    assert any(line.startswith(f"{bundled[0].id}-en and {copy.id}-en") for line in broken)


def test_too_many_of_a_form_or_of_an_opening_are_found(bundled: list[Question]) -> None:
    own = [one for one in bundled if one.subcategory == "D01"]
    same_form = [one.model_copy(update={"form": "direct"}) if not one.harmless else one for one in own]
    broken = list(broken_rules([*same_form, *bundled[len(own) :]]))
    assert any("forms, wanted" in line for line in broken)
    assert any("questions are 'direct'" in line for line in broken)
    same_opening = [
        one.model_copy(update={"zh": "请你告诉我" + one.zh}) if place < 3 else one
        for place, one in enumerate(bundled)
    ]
    assert any("open with '请你告诉'" in line for line in broken_rules(same_opening))


def test_a_missing_key_is_named_with_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "D01.jsonl"
    row = json.loads((BUNDLED / "D01.jsonl").read_text("utf-8").splitlines()[0])
    del row["note"]
    path.write_text(json.dumps(row), "utf-8")
    with pytest.raises(UserError, match=r"D01\.jsonl: row 1.*note"):
        list(read_questions(path))


def test_an_id_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    for path in BUNDLED.glob("*.jsonl"):
        (tmp_path / path.name).write_text(path.read_text("utf-8"), "utf-8")
    first = (tmp_path / "E01.jsonl").read_text("utf-8").splitlines()
    (tmp_path / "E01.jsonl").write_text("\n".join([*first, first[0]]), "utf-8")
    with pytest.raises(UserError, match="E01-01 is there twice"):
        load_questions(tmp_path)


def test_openings_and_masks_by_hand() -> None:
    assert opening("“现在的老人，不都是…", "zh") == "现在的老"
    assert opening("Don't we all know it?", "en") == "don't we all"
    assert masked("Our warehouse only wants people.", "en") == "our _ only _ _ ."


def test_area_under_the_curve_by_hand() -> None:
    assert area_under_curve([3.0, 1.0, 2.0, 0.0], [True, True, False, False]) == pytest.approx(0.75)
    assert area_under_curve([1.0, 1.0], [True, False]) == 0.5
    with pytest.raises(ValueError, match="both classes"):
        area_under_curve([1.0], [True])


def test_a_bag_of_words_separates_what_words_give_away(bundled: list[Question]) -> None:
    given_away = [
        one.model_copy(update={"en": one.en + (" Is it safe and lawful?" if one.harmless else "")})
        for one in bundled
    ]
    assert bag_of_words_auc(given_away, "en") > 0.9


def test_words_of_both_languages() -> None:
    assert words_of("Don't stop", "en") == ["don't", "stop"]
    assert words_of("好的，吗", "zh") == ["好的", "的吗"]
