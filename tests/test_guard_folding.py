"""The table that takes the disguise from a text: what goes, what stays, and where each character came from."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.guard.folding import (
    LATIN,
    ODD_LATIN,
    SIMPLE_SCRIPTS_END,
    _folded_character,
    _letters_for,
    _script,
    _simplified,
    codes_of,
    fold,
    fold_codes,
    tables,
    text_of,
)

DISGUISED = [
    ("Ｂｏｍｂ", "bomb"),
    ("ℬ𝓸𝐦ⓑ", "bomb"),
    ("Вомв", "bomb"),
    ("ΒΟΜΒ", "bomb"),
    ("b\u200bo\u2060m\u00adb", "bomb"),
    ("b\ufe0fo\U000e0062mb", "bomb"),
    ("bo\u0336m\u0301b", "bomb"),
    ("炸彈", "炸弹"),
    ("炸\u0336弹", "炸弹"),
    ("résumé", "resume"),
    ("ﬁre ㎏ ß", "fire kg ss"),
    ("BOMB", "bomb"),
    ("bo\u0651mb", "bomb"),
    ("b\u05b7o\u093cm\u0e34b\u3099", "bomb"),
    ("bo\u200b\u0332mb", "bomb"),
    ("bo\u0332\u2060\u200d\u0651\u0332mb", "bomb"),
    ("炸\u0651弹\u200b\u3099", "炸弹"),
]


@pytest.mark.parametrize(("text", "plain"), DISGUISED)
def test_a_disguise_folds_to_the_plain_word(text: str, plain: str) -> None:
    assert fold(text).text == plain


@pytest.mark.parametrize(
    "text", ["हिन्दी", "が", "ぱ", "한국어", "שָׁלוֹם", "สวัสดี", "தமிழ்", "عَرَبِيّ", "plain words", "普通的话"]
)
def test_marks_that_carry_meaning_stay(text: str) -> None:
    assert fold(text).text == text


def test_offsets_name_the_character_that_each_folded_one_came_from() -> None:
    folded = fold("a\u200bﬁ炸\u0336彈")
    assert folded.text == "afi炸弹"
    assert folded.offsets.tolist() == [0, 2, 2, 3, 5]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40), st.lists(st.integers(1, 7), max_size=40))
def test_folding_piece_by_piece_equals_folding_at_once(text: str, cuts: list[int]) -> None:
    codes = codes_of(text)
    whole, places, _ = fold_codes(codes)
    parts, offsets, base, at = [], [], False, 0
    for cut in [*cuts, len(text) + 1]:
        piece, where, base = fold_codes(codes[at : at + cut], base)
        parts.append(text_of(piece))
        offsets.extend((where + at).tolist())
        at += cut
    assert "".join(parts) == text_of(whole)
    assert offsets == places.tolist()


@settings(max_examples=300, deadline=None)
@given(
    st.text("ab炸カא\u0651\u0332\u05b7\u3099\u200b\u034f\ufe0f", max_size=16),
    st.lists(st.integers(1, 3), max_size=16),
)
def test_marks_and_hidden_characters_fold_alike_in_any_pieces(text: str, cuts: list[int]) -> None:
    codes = codes_of(text)
    parts, base, at = [], False, 0
    for cut in [*cuts, len(text) + 1]:
        piece, _, base = fold_codes(codes[at : at + cut], base)
        parts.append(text_of(piece))
        at += cut
    assert "".join(parts) == fold(text).text
    hidden = str.maketrans("", "", "\u200b\u034f\ufe0f")
    assert fold(text).text == fold(text.translate(hidden)).text


@given(st.text(max_size=60))
def test_offsets_never_go_back_and_never_leave_the_text(text: str) -> None:
    offsets = fold(text).offsets
    assert (np.diff(offsets) >= 0).all()
    assert all(0 <= one < len(text) for one in offsets.tolist())


def test_the_tables_equal_those_of_looking_at_every_character() -> None:
    table, scripts = tables(), {"LATIN": LATIN, "odd": ODD_LATIN}
    look_alike, simplified = _letters_for("homoglyphs.yaml"), _simplified()
    wrong = []
    for code, character in enumerate(map(chr, range(SIMPLE_SCRIPTS_END))):
        folded, script = character, 0
        if not (0xAC00 <= code <= 0xD7A3 or 0xD800 <= code <= 0xF8FF):  # Hangul, surrogates, private use
            folded = _folded_character(character, look_alike, simplified)
            if unicodedata.category(character)[0] == "L":
                script = _script(character, folded, scripts)
        found = table.several.get(code) or (int(table.single[code]),)
        same = found == (tuple(map(ord, folded)) or (0,)) and bool(table.expands[code]) == (len(folded) > 1)
        if not same or table.script[code] != script:
            wrong.append(hex(code))
    assert wrong == []
