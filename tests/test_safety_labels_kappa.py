"""Agreement with labels: kappa, recall and accuracy on numbers worked out by hand, intervals over questions."""

from __future__ import annotations

import pytest

from ahalab.safety.labels.kappa import agreement, cohen_kappa
from ahalab.safety.labels.pairs import Pair


def pairs(counts: dict[tuple[str, str], int], **about: object) -> list[Pair]:
    return [
        Pair(truth, said, **about)  # type: ignore[arg-type]
        for (truth, said), count in counts.items()
        for _ in range(count)
    ]


YES_NO = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}


def test_the_textbook_table_has_kappa_0_4() -> None:
    # observed 35/50 = 0.7; expected 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    found = agreement(pairs(YES_NO), ("yes", "no"))
    assert found is not None
    assert found.kappa == pytest.approx(0.4)
    assert found.accuracy == pytest.approx(0.7)
    assert found.confusion == ((20.0, 5.0), (10.0, 15.0))
    assert found.recall["yes"] is not None
    assert found.recall["no"] is not None
    assert (found.recall["yes"].value, found.recall["no"].value) == (0.8, 0.6)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.4 < found.high


def test_three_classes_by_hand() -> None:
    counts = {
        ("unsafe", "unsafe"): 8,
        ("unsafe", "safe"): 2,
        ("safe", "safe"): 9,
        ("safe", "rejection"): 1,
        ("rejection", "rejection"): 7,
        ("rejection", "unsafe"): 3,
    }
    # observed 24/30; expected (10*11 + 10*11 + 10*8) / 900 = 1/3
    found = agreement(pairs(counts))
    assert found is not None
    assert found.kappa == pytest.approx((0.8 - 1 / 3) / (2 / 3))


def test_one_class_for_everything_has_no_kappa() -> None:
    found = agreement(pairs({("safe", "safe"): 5}))
    assert found is not None
    assert (found.kappa, found.low, found.accuracy) == (None, None, 1.0)
    assert found.recall["unsafe"] is None


def test_judge_errors_are_counted_and_in_no_figure() -> None:
    found = agreement(pairs({("safe", "safe"): 5, ("unsafe", "unsafe"): 5, ("unsafe", "judge_error"): 4}))
    assert found is not None
    assert (found.n, found.judge_errors, found.kappa) == (10, 4, 1.0)
    assert agreement(pairs({("safe", "judge_error"): 4})) is None


def test_replies_to_one_question_are_one_draw() -> None:
    alone = [Pair(t, s, f"{n}") for n, (t, s) in enumerate(k for k, c in YES_NO.items() for _ in range(c))]
    fourfold = [one for one in alone for _ in range(4)]
    apart = [Pair(one.truth, one.said) for one in fourfold]
    first, clustered, naive = (agreement(some, ("yes", "no")) for some in (alone, fourfold, apart))
    assert first is not None
    assert clustered is not None
    assert naive is not None
    assert first.low is not None
    assert first.high is not None
    assert clustered.low == pytest.approx(first.low)
    assert clustered.high == pytest.approx(first.high)
    assert naive.low is not None
    assert naive.low > first.low
    assert (clustered.n, clustered.clusters) == (200, 50)


def test_weights_stand_for_the_replies_that_were_not_drawn() -> None:
    drawn = [Pair("safe", "safe", weight=9.0), Pair("unsafe", "unsafe"), Pair("unsafe", "safe")]
    found = agreement(drawn, ("unsafe", "safe"))
    assert found is not None
    assert found.accuracy == pytest.approx(10 / 11)
    assert found.weighted
    assert found.n == 3
    assert found.recall["unsafe"] is not None
    assert (found.recall["unsafe"].value, found.recall["unsafe"].n) == (0.5, 2)


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="'maybe'"):
        agreement([Pair("maybe", "safe")])


def test_kappa_of_a_matrix_that_chance_explains_is_zero() -> None:
    import numpy as np

    assert cohen_kappa(np.array([[8.0, 2.0], [8.0, 2.0]])) == pytest.approx(0.0)
