"""When an output is the wanted one, and when a value is."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from ahalab.grading.code.comparison import read_value, texts_agree, values_agree


def texts(given: str, wanted: str, compare: str = "tokens", tolerance: float = 1e-6) -> bool:
    return texts_agree(given, wanted, compare, tolerance)  # type: ignore[arg-type]


def values(given: Any, wanted: Any, compare: str = "tokens", tolerance: float = 1e-6) -> bool:
    return values_agree(given, wanted, compare, tolerance)  # type: ignore[arg-type]


def test_exact_forgives_white_space_at_ends_of_lines_and_blank_lines_at_the_end_only() -> None:
    assert texts("1 2 \n3\n\n", "1 2\n3", "exact")
    assert texts("1 2\r\n3\r\n", "1 2\n3\n", "exact")
    assert not texts("1  2\n3", "1 2\n3", "exact")
    assert not texts(" 1 2\n3", "1 2\n3", "exact")
    assert not texts("\n1 2\n3", "1 2\n3", "exact")
    assert texts("", "\n", "exact")


def test_tokens_forgive_all_white_space_and_nothing_else() -> None:
    assert texts("1\n2   3", "1 2 3")
    assert not texts("1 2", "1 2 3")
    assert not texts("1 2 3 4", "1 2 3")
    assert not texts("yes", "YES")
    assert not texts("1.0", "1")
    assert texts("", " \n")


@pytest.mark.parametrize("given", ["0.3333333", "3.333333e-1", ".33333334", "+0.33333333"])
def test_float_forgives_the_tolerance(given: str) -> None:
    assert texts(given, "0.33333333", "float")


def test_float_is_absolute_or_relative() -> None:
    assert texts("1000000.5", "1000000.0", "float")  # relative
    assert texts("0.0000005", "0.0", "float")  # absolute
    assert not texts("1.1", "1.0", "float")
    assert texts("1.05", "1.0", "float", 0.1)


@pytest.mark.parametrize("given", ["nan", "inf", "1_0", "１", "0x1", "1e", "--1", "1e999999", "1.0.0", ""])
def test_float_reads_decimal_numbers_only(given: str) -> None:
    assert not texts(given, "1.0", "float")


def test_whole_numbers_are_never_nearly_equal() -> None:
    assert not texts("1000000001", "1000000000", "float")
    assert texts("007", "7", "float")
    assert not values(10**18 + 1, 10**18, "float")
    assert texts("10.0000001", "10", "float")


def test_words_beside_numbers_have_to_be_equal() -> None:
    assert texts("Case 1: 0.5000001", "Case 1: 0.5", "float")
    assert not texts("case 1: 0.5", "Case 1: 0.5", "float")


def test_a_boolean_is_no_number_and_none_is_neither() -> None:
    assert values(True, True)
    for given, wanted in [
        (1, True),
        (True, 1),
        (0, False),
        (None, False),
        (False, None),
        (None, 0),
        ("1", 1),
        (1.0, True),
    ]:
        assert not values(given, wanted), (given, wanted)
        assert not values([given], [wanted], "float")
    assert values(None, None)


def test_whole_and_decimal_numbers_of_one_value_are_equal_unless_exact() -> None:
    assert values(2, 2.0)
    assert values(2.0, 2)
    assert not values(2.0, 2, "exact")
    assert values(2, 2, "exact")
    assert not values(2**53 + 1, float(2**53))


def test_not_a_number_is_itself() -> None:
    assert values(math.nan, math.nan)
    assert not values(math.nan, 1.0)
    assert not values(1.0, math.nan)
    assert values(math.inf, math.inf)
    assert not values(math.inf, 1e308, "float")


def test_values_are_compared_to_any_depth() -> None:
    assert values({"a": [1, {"b": [2, 3]}]}, {"a": [1, {"b": [2, 3]}]})
    assert not values({"a": [1, {"b": [2, 4]}]}, {"a": [1, {"b": [2, 3]}]})
    assert values([0.1 + 0.2, [1 / 3]], [0.3, [0.33333333]], "float")
    assert not values([0.1 + 0.2], [0.3])
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert not values(deep, [[1]])


def test_tuples_are_lists_and_keys_are_text() -> None:
    assert values([1, 2], (1, 2))
    assert values({"1": 2}, {1: 2})
    assert not values({"1": 2}, {"1": 2, "2": 3})
    assert not values([1], {"0": 1})
    assert not values("ab", ["a", "b"])


def test_huge_numbers_are_compared_exactly_or_not_at_all() -> None:
    assert values(read_value("9" * 4000), int("9" * 4000))
    assert not values(read_value("9" * 4000), int("9" * 3999 + "8"))
    began = time.process_time()
    assert not values(read_value("9" * 3_000_000), 9)
    assert not values(read_value(f"[{'9' * 3_000_000}]"), [9], "float")
    assert time.process_time() - began < 2.0
    assert not values(int("9" * 400), 1.5, "float")  # beyond the range of floats


def test_what_is_no_json_is_told() -> None:
    for text in ("", "{", "1 2", "[" * 100_000, "'a'"):
        with pytest.raises(ValueError):  # noqa: PT011 - of the library
            read_value(text)
