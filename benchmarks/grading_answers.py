"""The answers that `grading` has graded: golds of GSM8K and LaTeX golds like MATH's, answered right and wrong.

Answers are made from the golds, so that it is known which are right; a share of them are expressions that take for
ever. Everything follows from a seed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.config import FileEntry, build_mixture

DATA = Path(__file__).resolve().parents[1] / "../shared/data/math/gsm8k_train.jsonl"


@dataclass(frozen=True)
class Row:
    """One answer to grade."""

    answer: str
    gold: str
    right: bool | None
    """What the answer is by construction; None where only a grader knows."""
    shape: str
    """How it is written, or which expression without end it is."""
    verifier: str = "math"
    extra: dict[str, Any] = field(default_factory=dict)
    pathological: bool = False


def gsm8k_golds(path: Path) -> list[str]:
    """The final numbers of GSM8K, in the file's order.

    Raises:
        UserError: the file is not there.
    """
    if not path.is_file():
        raise UserError(f"{path} is not there: give GSM8K's train.jsonl with --gsm8k")
    mixture = build_mixture([FileEntry(file=str(path))], seed=0)
    return [str(prompt.answer) for prompt in mixture.take(0, 7000)]


Spellings = tuple[str, Sequence[str], Sequence[str]]
"""A gold answer, other spellings of it, and wrong answers."""


def _of_number(gold: str, rng: random.Random) -> Spellings:
    value = float(gold.replace(",", ""))
    whole = value.is_integer()
    respelled = (
        [f"{value:,.0f}", f"{value:.1f}", f"{value:,.2f}", f"\\${value:,.0f}"] if whole else [f"{value:.3f}"]
    )
    wrong = [value + rng.choice((-10, -2, -1, 1, 2, 10, 100)), 2 * value + 1, -value - 0.5]
    return gold, respelled, [f"{one:.10g}" for one in wrong]


def _fraction(rng: random.Random) -> Spellings:
    a, b, k = rng.randint(1, 60), rng.choice((3, 7, 9, 11, 13, 16)), rng.randint(2, 5)
    respelled = [f"{a}/{b}", f"\\dfrac{{{a * k}}}{{{b * k}}}", f"\\frac{{{a * k}}}{{{b * k}}}"]
    return (
        f"\\frac{{{a}}}{{{b}}}",
        respelled,
        [f"\\frac{{{a + 1}}}{{{b}}}", f"{a}/{b + 1}", f"{a / b + 0.01:.4f}"],
    )


def _radical(rng: random.Random) -> Spellings:
    a, b = rng.randint(2, 9), rng.choice((2, 3, 5, 7))
    respelled = [f"\\sqrt{{{a * a * b}}}", f"\\sqrt{{{b}}} \\cdot {a}"]
    return f"{a}\\sqrt{{{b}}}", respelled, [f"{a + 1}\\sqrt{{{b}}}", f"{a * b}", f"\\sqrt{{{a * b}}}"]


def _polynomial(rng: random.Random) -> Spellings:
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    respelled = [f"(x+{a})(x+{b})", f"{a * b}+{a + b}x+x^2"]
    wrong = [f"x^2+{a + b + 1}x+{a * b}", f"(x-{a})(x+{b})", f"x^2+{a * b}"]
    return f"x^2+{a + b}x+{a * b}", respelled, wrong


def _pair(rng: random.Random) -> Spellings:
    a, b = rng.randint(-9, 9), rng.randint(10, 99)
    return (
        f"({a}, {b})",
        [f"({a},{b})", f"\\left({a},{b}\\right)"],
        [f"({b}, {a})", f"({a}, {b + 1})", f"{a}"],
    )


def _interval(rng: random.Random) -> Spellings:
    a, b = rng.randint(-9, 9), rng.randint(10, 99)
    return f"[{a}, {b})", [f"[{a},{b})", f"\\left[{a},{b}\\right)"], [f"[{a}, {b}]", f"[{a}, {b + 1})"]


def _multiple_of_pi(rng: random.Random) -> Spellings:
    a, b = rng.randint(2, 30), rng.choice((7, 11, 13))
    return (
        f"\\frac{{{a}\\pi}}{{{b}}}",
        [f"{a}\\pi/{b}", f"\\frac{{{a}}}{{{b}}}\\pi"],
        [f"\\frac{{{a + 1}\\pi}}{{{b}}}"],
    )


LATEX: dict[Callable[[random.Random], Spellings], float] = {
    _fraction: 0.35,
    _radical: 0.2,
    _polynomial: 0.2,
    _multiple_of_pi: 0.1,
    _pair: 0.1,
    _interval: 0.05,
}
"""LaTeX golds and how often; our guess at what MATH has besides integers. Its rows are not at hand."""

GROUP = 8
"""Answers to one gold, as in a group of samples."""

SHAPES: dict[str, tuple[float, str]] = {
    "box in a sentence": (0.5, "So the answer is \\boxed{{{}}}."),
    "box": (0.2, "\\boxed{{{}}}"),
    "box in dollars": (0.1, "$\\boxed{{{}}}$"),
    "dollars in a sentence": (0.1, "The answer is ${}$."),
    "bare": (0.1, "{}"),
}
"""How answers are written, how often, and where the answer goes. Our guess: mostly as R1's prompt asks, in a box."""

PATHOLOGICAL: dict[str, Callable[[random.Random], str]] = {
    "tower of powers": lambda rng: f"{rng.randint(5, 9)}^{{{rng.randint(7, 9)}^{{{rng.randint(9, 12)}}}}}",
    "factorial": lambda rng: f"{rng.randint(10**8, 10**9)}!",
    "factorial of a factorial": lambda rng: f"({rng.randint(19, 40)}!)!",
    "expansion": lambda rng: f"(x+y+z)^{{{rng.randint(250, 350)}}}",
    "nested fractions": lambda rng: "\\frac{1}{1+" * (depth := rng.randint(28, 36)) + "1" + "}" * depth,
    "binomial": lambda rng: f"\\binom{{10^9}}{{{rng.randint(4, 6)}\\cdot 10^8}}",
    "product of sines": lambda rng: "\\cdot".join(f"\\sin({k}x)" for k in range(1, rng.randint(14, 18))),
    "long sum": lambda rng: f"\\sum_{{k=1}}^{{{rng.randint(10**8, 10**9)}}} \\frac{{1}}{{k^2}}",
    "integral": lambda rng: (
        f"\\int_0^1 \\frac{{x^{rng.randint(3, 9)}(1-x)^4}}{{1+x^2}} e^{{-x^2}} \\sin(x^{rng.randint(3, 9)}) dx"
    ),
    "nested fractions in x": lambda rng: "\\frac{1}{x+" * (depth := rng.randint(12, 13)) + "1" + "}" * depth,
    "nested roots": lambda rng: "\\sqrt{1+" * (depth := rng.randint(36, 44)) + "1" + "}" * depth,
    "logarithm of a tower": lambda rng: f"\\log(\\log({rng.randint(7, 10)}^{{10^{{10^{{10}}}}}}))",
}
"""Expressions without end; each takes math-verify seconds, or for ever. Sines, sums, integrals and fractions in x are
beyond none of our bounds: time has to end them here, too."""


def make_rows(golds: Sequence[str], n: int, share_pathological: float, seed: int) -> list[Row]:
    """n answers in groups to one gold each, the golds by turns of GSM8K and LaTeX; half of the answers are right.

    Half of the right ones are spelled otherwise than the gold. A share is replaced by expressions without end, at
    places drawn at random; never fewer than one if the share is above 0.
    """
    rng = random.Random(seed)
    rows: list[Row] = []
    while len(rows) < n:
        if len(rows) // GROUP % 2:
            gold, respelled, wrong = rng.choices(list(LATEX), list(LATEX.values()))[0](rng)
        else:
            gold, respelled, wrong = _of_number(rng.choice(golds), rng)
        for _ in range(min(GROUP, n - len(rows))):
            right = rng.random() < 0.5
            answer = rng.choice([gold, rng.choice(respelled)]) if right else rng.choice(wrong)
            shape = rng.choices(list(SHAPES), [weight for weight, _ in SHAPES.values()])[0]
            rows.append(Row(SHAPES[shape][1].format(answer), gold, right, shape))
    amount = max(1, round(n * share_pathological)) if share_pathological else 0
    for place, name in zip(rng.sample(range(n), amount), _cycle(rng, amount), strict=True):
        answer = f"So the answer is \\boxed{{{PATHOLOGICAL[name](rng)}}}."
        rows[place] = Row(answer, rows[place].gold, False, name, pathological=True)
    return rows


def _cycle(rng: random.Random, amount: int) -> list[str]:
    """Every kind equally often, as far as possible."""
    names = list(PATHOLOGICAL)
    rng.shuffle(names)
    return [names[number % len(names)] for number in range(amount)]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(
        "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def read_rows(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
