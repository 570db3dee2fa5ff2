"""One reading of safety labels, for rows of one's own and for foreign data sets."""

from __future__ import annotations

from typing import Any

import pytest

from ahalab.stages.safety_label import read_label


@pytest.mark.parametrize("safe_when", [None, "0", "1", "harmless"])
@pytest.mark.parametrize(
    ("value", "safe"), [(True, True), (False, False), ("safe", True), (" Unsafe\n", False), ("TRUE", True)]
)
def test_words_and_truth_values_mean_what_they_say(value: Any, safe: bool, safe_when: str | None) -> None:
    assert read_label(value, safe_when) is safe


@pytest.mark.parametrize("value", [0, 1, "0", "1", "", "harmless", None, 1.0, [], {}])
def test_nothing_else_is_guessed(value: Any) -> None:
    assert read_label(value, None) is None


def test_what_is_said_to_be_safe_is_safe_and_every_other_word_is_not() -> None:
    assert [read_label(one, "0") for one in (0, "0", 1, "7")] == [True, True, False, False]
    assert [read_label(one, "Harmless") for one in ("harmless", "violence")] == [True, False]
    assert [read_label(one, "1") for one in (None, "", 1.0)] == [None, None, None]


def test_a_column_that_says_unsafe_is_turned_round() -> None:
    assert [read_label(one, "false") for one in (False, True, "false", "safe")] == [True, False, True, False]
