"""Grams as numbers are the grams in words: equal where those are equal, in any batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahalab.text.grams import batch_runs, gram_hashes, runs, unit_numbers
from ahalab.text.quality import ngrams, words

TEXTS = [
    "The quick brown fox doesn't jump over 3.14 lazy dogs, 1,000 times!",
    "ＡＢＣ full-width １２３ and half",
    "小明有3个苹果，吃了1个。How many are left?",
    "",
    "one",
    "Straße naïve Ünïcode don’t ﬁne",
    "a b c d e f a b c d e f",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_as_many_different_numbers_as_different_grams(text: str, n: int) -> None:
    in_words = {gram for gram in ngrams(text, n) if gram.count(" ") == n - 1} if words(text) else set()
    assert len(set(gram_hashes(text, n).tolist())) == len(in_words)
    assert len(gram_hashes(text, n)) == max(0, len(words(text)) - n + 1)


def test_equal_grams_have_equal_numbers_whatever_case_width_and_signs() -> None:
    left = gram_hashes("One, TWO; three!", 3)
    assert left.tolist() == gram_hashes("one two ｔｈｒｅｅ", 3).tolist()
    assert left.tolist() != gram_hashes("one three two", 3).tolist()


@given(st.text(alphabet="abc 'é小1.2-", max_size=80))
def test_plain_text_is_cut_as_any_other(text: str) -> None:
    # A character beyond ASCII sends the text down the general way; it is a word of its own at the end.
    assert [*words(text), "小"] == words(f"{text} 小")


def test_characters_are_letters_digits_and_han() -> None:
    assert len(unit_numbers("A b-1 小。", "characters")) == 4
    assert gram_hashes("a b c", 2, "characters").tolist() == gram_hashes("ABC", 2, "characters").tolist()


@given(st.lists(st.lists(st.integers(0, 5), max_size=7), max_size=6), st.integers(1, 4))
def test_a_batch_has_the_runs_of_its_texts_and_none_across_two(texts: list[list[int]], n: int) -> None:
    numbers = [np.array(one, dtype=np.uint64) for one in texts]
    found, counts = batch_runs(numbers, n)
    each = [runs(one, n) for one in numbers]
    assert counts.tolist() == [len(one) for one in each]
    assert found.tolist() == [number for one in each for number in one.tolist()]


def test_grams_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        runs(np.empty(0, dtype=np.uint64), 0)
