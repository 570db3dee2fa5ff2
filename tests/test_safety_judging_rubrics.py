"""The rubrics: one a sub-category, all different, the same rules in both languages, replies described abstractly."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml
from tests.judging_tools import case

from ahalab.errors import UserError
from ahalab.safety.judging.prompting import Wording
from ahalab.safety.judging.rubrics import (
    BUNDLED,
    load_overlay,
    load_rubric,
    rubric_ids,
    rubrics_hash,
)
from ahalab.safety.taxonomy import load_taxonomy

SUBCATEGORIES = [one.id for one in load_taxonomy().subcategories]


def test_every_subcategory_has_a_rubric_and_so_has_everything_else() -> None:
    assert rubric_ids() == sorted([*SUBCATEGORIES, "general"])
    assert load_overlay("jailbreak").id == "jailbreak"
    assert load_overlay("thinking").id == "thinking"


@pytest.mark.parametrize("rubric", [*SUBCATEGORIES, "general"])
def test_both_languages_say_the_same_rules_and_decide_close_cases(rubric: str) -> None:
    found = load_rubric(rubric)
    for part in ("unsafe", "safe", "rejection", "borderline", "examples"):
        english, chinese = getattr(found.en, part), getattr(found.zh, part)
        assert len(english) == len(chinese), part
        if part in ("borderline", "examples"):
            assert [one.verdict for one in english] == [one.verdict for one in chinese]
    assert len(found.en.unsafe) >= 5
    assert len(found.en.borderline) >= 5
    assert {one.verdict for one in found.en.borderline} >= {"unsafe", "safe"}
    assert {one.verdict for one in found.en.examples} == {"unsafe", "safe", "rejection"}


@pytest.mark.parametrize("overlay", ["jailbreak", "thinking"])
def test_overlays_say_the_same_in_both_languages(overlay: str) -> None:
    found = load_overlay(overlay)
    assert len(found.en.rules) == len(found.zh.rules) >= 8
    assert [one.verdict for one in found.en.decided] == [one.verdict for one in found.zh.decided]
    assert {one.verdict for one in found.en.decided} == {"unsafe", "safe", "rejection"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_two_rubrics_are_the_same_rubric_with_a_word_changed(language: str) -> None:
    # Headings are shared by construction: only the rules themselves are compared.
    texts = {name: _rules(name, language) for name in rubric_ids()}
    lines = [line for name in texts for line in texts[name]]
    assert len(lines) == len(set(lines)) > 500
    grams = {name: _fives(" ".join(one)) for name, one in texts.items()}
    near = [
        (left, right)
        for left, right in itertools.combinations(grams, 2)
        if len(grams[left] & grams[right]) / len(grams[left] | grams[right]) > 0.2
    ]
    assert near == []


@pytest.mark.parametrize("rubric", [*SUBCATEGORIES, "general"])
def test_replies_are_described_and_never_written_out(rubric: str) -> None:
    found = load_rubric(rubric)
    for words in (found.en, found.zh):
        assert all(one.case.startswith("[") and one.case.endswith("]") for one in words.examples)
    text = (BUNDLED / f"{rubric}.yaml").read_text("utf-8")
    # No quantity and no name with a number in it stands in a rubric.
    assert re.findall(r"\d+", text.replace(f"id: {rubric}", "").replace("version: 1", "")) == []


def test_the_hash_follows_the_rules_and_not_the_layout(tmp_path: Path) -> None:
    data = yaml.safe_load((BUNDLED / "D01.yaml").read_text("utf-8"))
    folder, other = tmp_path / "same", tmp_path / "other"
    for place in (folder, other):
        place.mkdir()
    (folder / "D01.yaml").write_text("# a comment\n" + yaml.safe_dump(data, allow_unicode=True, indent=4))
    assert load_rubric("D01", folder).sha256 == load_rubric("D01").sha256
    assert rubrics_hash(folder) == rubrics_hash()
    data["zh"]["safe"][0] += "。"
    (other / "D01.yaml").write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
    assert load_rubric("D01", other).sha256 != load_rubric("D01").sha256
    assert rubrics_hash(other) != rubrics_hash()
    assert load_rubric("D02", other).sha256 == load_rubric("D02").sha256


def test_a_result_names_the_rubric_that_judged_it() -> None:
    wording = Wording()
    plain = wording.rubric_hash(case())
    others = [
        wording.rubric_hash(case(rubric="D02")),
        wording.rubric_hash(case(language="zh")),
        wording.rubric_hash(case(jailbreak=True)),
        wording.rubric_hash(case(part="thinking")),
    ]
    assert len({plain, *others}) == 5
    assert wording.rubric_hash(case("Another reply.", number=2)) == plain


@pytest.mark.parametrize("name", ["D99", "../D01", "d01", "", "D01.yaml", "x" * 500])
def test_an_unknown_rubric_is_named(name: str) -> None:
    with pytest.raises(UserError, match=r"unknown; .*D01"):
        load_rubric(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "D02"}, "`id` is 'D02'"),
        ({"zh": None}, "zh"),
        ({"words": 1}, "unknown key"),
    ],
)
def test_a_broken_rubric_of_ones_own_is_refused_with_file_and_key(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    data = yaml.safe_load((BUNDLED / "D01.yaml").read_text("utf-8"))
    (tmp_path / "D01.yaml").write_text(yaml.safe_dump({**data, **change}, allow_unicode=True), "utf-8")
    with pytest.raises(UserError, match=message) as raised:
        load_rubric("D01", tmp_path)
    assert "D01.yaml" in str(raised.value)


def test_a_rubric_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "D01.yaml").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(UserError, match="cannot be read"):
        load_rubric("D01", tmp_path)


def _rules(name: str, language: str) -> list[str]:
    words = getattr(load_rubric(name), language)
    decided = [f"{one.case} {one.why}" for one in (*words.borderline, *words.examples)]
    return [words.stake, *words.unsafe, *words.safe, *words.rejection, *decided]


def _fives(text: str) -> set[str]:
    return {text[start : start + 5] for start in range(len(text) - 4)}
