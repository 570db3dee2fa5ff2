"""Shared n-grams are found wherever they stand, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ahalab.evaluation.decontamination import SHOWN, overlap

TEN = "one two three four five six seven eight nine ten"


def test_a_shared_ten_gram_is_found_whatever_its_layout_and_nine_words_are_not() -> None:
    items = {
        "a": f"Start. {TEN} eleven",
        "b": f"Other {TEN}",
        "c": TEN.removesuffix("ten") + "zehn and more words",
    }
    training = [
        ("t1", f"Hm — ONE, two\nthree; {TEN[14:]}!"),
        ("t2", TEN.removesuffix(" ten") + " eleven twelve"),
    ]
    report = overlap(items, training)
    assert [one.item for one in report.overlaps] == ["a", "b"]
    first = report.overlaps[0]
    assert (first.grams, first.shared, first.training_texts, first.same) == (3, 1, 1, 0)
    assert [(one.training, one.gram, one.grams) for one in first.shown] == [("t1", TEN, 1)]
    assert report.commonest == [(TEN, 2)]
    assert report.share == pytest.approx(2 / 3)
    assert report.sentence().startswith(
        "2 of 3 items (66.7 %) share a 10-gram with the 2 training texts; 0 are"
    )


def test_the_same_text_is_told_from_a_shared_phrase() -> None:
    report = overlap(
        {"a": f"{TEN} eleven."}, [("same", f"  {TEN.upper()} Eleven."), ("more", f"{TEN} eleven twelve")]
    )
    assert (report.overlaps[0].same, report.overlaps[0].training_texts, report.same) == (1, 2, 1)
    assert report.overlaps[0].shared == 2


def test_short_texts_are_found_only_in_the_same_text_signs_included() -> None:
    items = {"a": "What is 3 + 4?", "b": "What is 5 + 6?", "blank": " "}
    training = [
        ("t", "what is  3 + 4?"),
        ("u", "What is 5 - 6?"),
        ("v", "Tell me: What is 5 + 6? Now"),
        ("w", ""),
    ]
    report = overlap(items, training)
    assert [(one.item, one.grams, one.same) for one in report.overlaps] == [("a", 0, 1)]
    assert (report.short_items, report.training_texts) == (3, 4)
    assert "3 have fewer than 10 words" in report.sentence()


def test_each_chinese_character_is_a_word() -> None:
    items = {"found": "小明有三个苹果和五个梨", "not": "小明有三个苹果和五"}
    report = overlap(items, [("t", "从前，小明有三个苹果和五个梨子。")])
    assert [one.item for one in report.overlaps] == ["found"]
    assert report.overlaps[0].shown[0].gram == min(
        " ".join("小明有三个苹果和五个梨"[start : start + 10]) for start in (0, 1)
    )


def test_training_texts_are_read_once_and_only_counted_beyond_the_shown() -> None:
    def stream() -> Iterator[tuple[str, str]]:
        for number in range(10 * SHOWN):
            yield str(number), f"{number} {TEN}"

    report = overlap({"a": TEN}, stream())
    assert report.overlaps[0].training_texts == report.training_texts == 10 * SHOWN
    assert [one.training for one in report.overlaps[0].shown] == [str(number) for number in range(SHOWN)]
    assert json.loads(json.dumps(report.as_dict()))["overlaps"][0]["shown"][0] == {
        "training": "0",
        "gram": TEN,
        "grams": 1,
    }


def test_grams_may_be_shorter_and_there_may_be_no_items() -> None:
    assert overlap({"a": "x y z"}, [("t", "w y z")], n=2).overlaps[0].shared == 1
    assert overlap({}, [("t", TEN)]).share == 0.0
    with pytest.raises(ValueError, match="n of at least 1"):
        overlap({"a": "x"}, [], n=0)
