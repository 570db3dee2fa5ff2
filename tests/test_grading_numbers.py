"""The short cut for plain numbers: where it gives a verdict, math-verify gives the same one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ahalab.grading import GraderPool, pool, process
from ahalab.grading.numbers import LENGTH_LIMIT, number_verdict
from ahalab.records import GradeRequest

Pair = tuple[str, str]


@pytest.fixture(scope="module")
def math_verify() -> Iterator[GraderPool]:
    """Graders that know nothing of the short cut: every verdict is math-verify's own."""
    with pytest.MonkeyPatch.context() as patch:
        worker = Path(__file__).parent / "math_verify_worker.py"
        patch.setattr(process, "COMMAND", (sys.executable, str(worker)))
        patch.setattr(pool, "quick_score", lambda _request: None)  # also in this process
        with GraderPool(2, cpu_seconds=20) as graders:
            graders.start(["math"])
            yield graders


def agree(graders: GraderPool, pairs: list[Pair]) -> int:
    """Holds every verdict of the short cut against math-verify's; returns how many there were."""
    decided = [(pair, score) for pair in pairs if (score := number_verdict(*pair)) is not None]
    theirs = graders.grade_all([GradeRequest("math", answer, gold) for (answer, gold), _ in decided])
    assert dict(decided) == {pair: v.score for (pair, _), v in zip(decided, theirs, strict=True)}
    return len(decided)


RIGHT = [
    ("284", "284"),
    ("284.", "284"),
    ("+284", "284"),
    ("２８４", "284"),
    ("−5", "-5"),
    ("1,234", "1234"),
    ("1 234", "1,234"),
    ("0005", "5"),
    ("-0", "0"),
    ("5.0", "5"),
    ("0.50", "1/2"),
    (".25", "1/4"),
    ("3/6", "\\frac{1}{2}"),
    ("6/3", "2"),
    ("\\dfrac{3}{4}", "\\tfrac{6}{8}"),
    ("-\\frac{1}{2}", "\\frac{-1}{2}"),
    ("$18", "18"),
    ("\\$18.50", "18.5"),
    ("$1,234$", "1234"),
    ("$$\n7\n$$", "7"),
    ("\\(7\\).", "7"),
    ("\\[ 7 \\]", "7"),
    ("\\boxed{131}", "131"),
    ("$\\boxed{131}$", "131"),
    ("\\[\n\\boxed{131}\n\\]", "131"),
    ("Working out 60+71 gives \\boxed{131}.", "131"),
    ("The final answer is \\boxed{\\frac{262}{2}}.", "131"),
    ("答案是\\boxed{1,310}。", "1310"),
    ("123456789012345678901234567890", "123456789012345678901234567890."),
]
WRONG = [
    ("285", "284"),
    ("28.4", "284"),
    ("0.33", "1/3"),
    ("1/3", "1/2"),
    ("-5", "5"),
    ("131 is not \\boxed{132}", "131"),
    ("\\boxed{12345678901234}", "12345678901235"),
    ("123456789012345678901234567891", "123456789012345678901234567890"),
    ("1/999999999", "1/999999998"),
]
UNCERTAIN = [
    ("0.333333", "1/3"),  # math-verify rounds to six places
    ("0.3333333", "0.33333333"),
    ("5.0000001", "5"),
    ("1/2.", "0.5"),
    ("\\boxed{5.}", "5"),
    ("\\boxed{1 234}", "1234"),
    ("5/0", "5"),
    ("50%", "0.5"),
    ("\\boxed{50}\\%", "50"),
    ("\\boxed{50} percent", "50"),
    ("Final answer: 6, so \\boxed{5}", "5"),
    ("\\boxed{5} or \\boxed{6}", "5"),
    ("5 apples", "5"),
    ("x = 5", "5"),
    ("1e3", "1000"),
    ("12,34", "1234"),
    ("0x11", "17"),
    ("٣", "3"),
    ("2*3", "6"),
    ("\\sqrt{4}", "2"),
    ("0." + "3" * 20, "0." + "3" * 21),
    ("", "5"),
    ("5", "Evelyn"),
    ("5" * (LENGTH_LIMIT + 1), "5"),
]


@pytest.mark.parametrize(
    ("verdict", "pairs"), [(1.0, RIGHT), (0.0, WRONG), (None, UNCERTAIN)], ids=["right", "wrong", "uncertain"]
)
def test_what_is_decided_at_once_and_how(verdict: float | None, pairs: list[Pair]) -> None:
    assert {pair: number_verdict(*pair) for pair in pairs} == dict.fromkeys(pairs, verdict)
    assert {pair: number_verdict(*pair[::-1]) for pair in pairs} == dict.fromkeys(pairs, verdict)


def test_the_table_is_math_verifys_own(math_verify: GraderPool) -> None:
    assert agree(math_verify, RIGHT + WRONG) == len(RIGHT + WRONG)
    assert agree(math_verify, [pair[::-1] for pair in RIGHT + WRONG]) == len(RIGHT + WRONG)


def integers() -> st.SearchStrategy[int]:
    return st.one_of(
        st.integers(-12, 12), st.integers(-99_999, 99_999), st.integers(-(10**14), 10**14), st.integers()
    )


def spelled(value: Fraction) -> st.SearchStrategy[str]:
    """The ways to write this number: with separators and zeros, as a decimal where it is one, as a fraction."""
    above, below = value.numerator, value.denominator
    fractions = ["{0}/{1}", "\\frac{{{0}}}{{{1}}}", "\\dfrac{{{0}}}{{{1}}}", "-\\tfrac{{{2}}}{{{1}}}"]
    ways: list[st.SearchStrategy[str]] = [
        st.builds(
            lambda k, way: way.format(above * k, below * k, -above * k),
            st.integers(1, 6),
            st.sampled_from(fractions),
        )
    ]
    if below == 1:
        ways.append(st.sampled_from([f"{above}", f"{above:,}", f"{above:,}".replace(",", " "), f"{above:+}"]))
        ways.append(st.sampled_from([f"{above:06}", f"{above}.0", f"{above}.", f"{above:,}.00"]))
    places = next((p for p in range(13) if (value * 10**p).denominator == 1), None)
    if places is not None and below != 1:
        digits = f"{abs(above) * 10**places // below:0{places + 1}}"
        whole, rest, sign = digits[:-places], digits[-places:], "-" if above < 0 else ""
        ways.append(st.sampled_from([f"{sign}{whole}.{rest}", f"{sign}{whole}.{rest}00"]))
        ways.append(st.just(f"{sign}{int(whole):,}.{rest}" if int(whole) else f"{sign}.{rest}"))
    return st.one_of(ways)


PROSE = st.lists(
    st.sampled_from(
        [
            *(
                "so",
                "the answer is",
                "we get 3+4 =",
                "Final answer:",
                "12",
                "1/2",
                "percent",
                "因此",
                "和 7。",
            ),
            *("and", "or 9", "(a)", "-", "\n", "I hope it is correct", "**", "=", "5,", "inf", "final"),
        ]
    ),
    max_size=4,
).map(" ".join)


def dressed(number: str) -> st.SearchStrategy[str]:
    """What may stand around a number: nothing, a formula, a box, prose around the box."""
    plain = [number, f" {number} ", f"{number}.", f"${number}", f"\\${number}", f"-{number}", f"{number}%"]
    formulas = [f"${number}$", f"${number}$.", f"\\({number}\\)", f"\\[ {number} \\]", f"$${number}$$"]
    boxes = [f"\\boxed{{{number}}}", f"$\\boxed{{{number}}}$", f"\\[ \\boxed{{ {number} }} \\]"]
    boxes += [f"$$\\boxed{{{number}}}$$", f"\\(\\boxed{{{number}}}\\)", f"$\\boxed{{{number}}}\\)"]
    wide = str.maketrans("0123456789-", "０１２３４５６７８９−")
    return st.one_of(
        st.just(number),
        st.sampled_from([*plain, *formulas, *boxes, number.translate(wide)]),
        st.builds("{} {}{}".format, PROSE, st.sampled_from(boxes), st.sampled_from(["", ".", " "]) | PROSE),
    )


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Two numbers in some dress; equal, close, or not at all."""
    value = Fraction(draw(integers()), draw(st.sampled_from([1, 1, 1, 2, 3, 4, 7, 10, 100, 1000, 10**6])))
    other = draw(
        st.sampled_from(
            [value, value, -value, value + 1, value * 10, value / 10, value + Fraction(1, 10**4)]
            + [value + Fraction(1, 10**n) for n in range(5, 12)]
            + [value + Fraction(1, 3), Fraction(round(value * 10**6), 10**6), value + Fraction(5, 10**7)]
        )
    )
    answer, gold = (draw(spelled(one).flatmap(dressed)) for one in (value, other))
    return answer, gold


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(batch=st.lists(pairs(), min_size=20, max_size=40))
def test_every_verdict_of_the_short_cut_is_math_verifys(math_verify: GraderPool, batch: list[Pair]) -> None:
    agree(math_verify, batch)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batch=st.lists(
        st.tuples(st.text("0123459.,/-+ $\\{}boxedfrac()[]%=\n", max_size=14), st.just("5")), min_size=30
    )
)
def test_scribbles_are_read_as_math_verify_reads_them(math_verify: GraderPool, batch: list[Pair]) -> None:
    agree(math_verify, [*batch, *((f"\\boxed{{{answer}}}", gold) for answer, gold in batch)])


@pytest.mark.parametrize(
    "text",
    [" ", "\\boxed{", "}", "$", "final answer ", "1,", "1/", "\\frac{1}", "\\boxed{1}}", "\u0301\u0327", "ﷺ"],
)
def test_hostile_texts_take_no_time(text: str) -> None:
    long = (text * LENGTH_LIMIT)[:LENGTH_LIMIT]
    started = time.process_time()
    for answer in (long, long[:-9] + "\\boxed{1}", "\\boxed{1}" + long[:-9]):
        assert number_verdict(answer, "5") in (None, 0.0)
    assert time.process_time() - started < 0.1
