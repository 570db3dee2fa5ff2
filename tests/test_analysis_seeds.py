"""Several seeds as one: means, ranges, and intervals that widen with what seeds differ by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ahalab.analysis.evaluations import Figure
from ahalab.analysis.seeds import pool_figures, pool_tables, ranged
from ahalab.analysis.stage_table import StageTable, TableRow
from ahalab.errors import UserError

HALF = 1.959964


def with_error(value: float, error: float) -> Figure:
    return Figure(value, value - HALF * error, value + HALF * error, 100, 2)


def test_seeds_that_agree_are_worth_as_much_as_more_prompts() -> None:
    found = pool_figures([with_error(0.5, 0.03)] * 3)
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5 - HALF * 0.03 / math.sqrt(3))
    assert (found.n, found.k) == (300, 2)


def test_seeds_that_differ_are_as_few_as_they_are() -> None:
    # s² = 0.01, w = 0.0001, so τ² = 0.0099; t with 2 degrees of freedom is 4.303.
    found = pool_figures([with_error(value, 0.01) for value in (0.4, 0.5, 0.6)])
    assert found.value == pytest.approx(0.5)
    half = math.sqrt((4.303**2 * 0.0099 + HALF**2 * 0.0001) / 3)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_one_seed_keeps_its_own_interval_and_a_bare_number_gives_none() -> None:
    assert pool_figures([Figure(0.5, 0.3, 0.6, 10, 2)]) == Figure(0.5, 0.3, 0.6, 10, 2)
    bare = pool_figures([Figure(0.5), Figure(0.7)])
    assert (bare.value, bare.low, bare.n) == (pytest.approx(0.6), None, None)
    with pytest.raises(ValueError, match="no figures"):
        pool_figures([])


@pytest.mark.parametrize("between", [0.0, 1.0, 3.0])
def test_the_interval_of_three_seeds_covers_the_truth_about_as_often_as_it_says(between: float) -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(2000):
        values = rng.normal(0, between, 3) + rng.normal(0, 1, 3)
        found = pool_figures([with_error(float(value), 1.0) for value in values])
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0 <= found.high
    assert 0.89 <= inside / 2000 <= 0.99


def table(
    value: float, *, rows: tuple[str, ...] = ("zero", "dev1"), reference: str | None = "zero"
) -> StageTable:
    return StageTable(
        columns=["math"],
        rows={
            name: TableRow(name, f"eval_{name}", {"math": with_error(value + place / 10, 0.01)})
            for place, name in enumerate(rows)
        },
        differences={("dev1", "zero", "math"): with_error(0.1, 0.01)},
        reference=reference,
        prompts={"math": 100},
    )


def test_tables_pool_cell_by_cell_with_their_range() -> None:
    pooled = pool_tables({"a": table(0.5), "b": table(0.6)})
    cell = pooled.table.cell("zero", "math")
    assert cell is not None
    assert cell.value == pytest.approx(0.55)
    assert pooled.ranges["zero", "math"] == (0.5, 0.6)
    assert ranged(pooled, "zero", "math") == "55.0 (50.0–60.0)"
    assert ranged(pooled, "zero", "code") == "–"
    assert pooled.table.prompts == {"math": 200}
    turned = pooled.table.difference("zero", "dev1", "math")
    assert turned is not None
    assert turned.value == pytest.approx(-0.1)


def test_a_cell_that_one_seed_lacks_is_not_pooled() -> None:
    lacking = StageTable(["math"], {name: TableRow(name, "e", {}) for name in ("zero", "dev1")}, {}, "zero")
    pooled = pool_tables({"a": table(0.5), "b": lacking})
    assert pooled.table.cell("zero", "math") is None
    assert pooled.table.difference("dev1", "zero", "math") is None


def test_tables_of_other_rows_or_references_are_refused() -> None:
    with pytest.raises(UserError, match="the row r1 is only in one of them"):
        pool_tables({"a": table(0.5), "b": table(0.5, rows=("zero", "dev1", "r1"))})
    with pytest.raises(UserError, match="reference is zero in one and None in the other"):
        pool_tables({"a": table(0.5), "b": table(0.5, reference=None)})
