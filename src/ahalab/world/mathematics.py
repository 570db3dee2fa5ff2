"""The world's mathematics: sums and differences of several two-digit numbers.

Chosen so that longer thinking truly pays: a small model cannot add four numbers at a glance, but it can do one
addition of two numbers reliably, and a check is a chain of those (measured in the data card of `builtin:tiny`).
"""

from __future__ import annotations

import random

from ahalab.records import Language
from ahalab.world.domain import Problem, split_of
from ahalab.world.reasoning import ReasoningDomain

QUESTIONS: dict[Language, tuple[str, ...]] = {
    "en": ("What is {e}?", "Compute {e}.", "How much is {e}?", "Work out {e}."),
    "zh": ("{e}等于多少？", "计算{e}。", "请算出{e}的结果。", "{e}是多少？"),
}


class Mathematics(ReasoningDomain):
    """Expressions such as 89+42-55+98; the level is the number of terms less two (3 to 6 terms, levels 1 to 4)."""

    name = "math"
    levels = (1, 2, 3, 4)
    verifier = "exact"
    weight = 0.42
    drill_share = 1.0
    summary = {  # noqa: RUF012
        "en": ("Working out {e} step by step gives \\boxed{{{t}}}.",),
        "zh": ("逐步计算{e}，得到\\boxed{{{t}}}。",),
    }

    def problem(self, rng: random.Random, language: Language, level: int) -> Problem:
        """Partial results stay between 10 and 999, so every step of a check is of one kind."""
        if level not in self.levels:
            raise ValueError(f"level {level} of the world's mathematics: expected one of {self.levels}")
        mixed = rng.random() < 0.3
        terms = [rng.randint(10, 99)]
        total = terms[0]
        while len(terms) < level + 2:
            term = rng.randint(10, 99)
            if mixed and rng.random() < 0.5 and total - term >= 10:
                term = -term
            terms.append(term)
            total += term
        question = rng.choice(QUESTIONS[language]).format(e=_expression(terms))
        # The order of the terms does not make another problem.
        key = "math:" + ",".join(map(str, sorted(terms)))
        kind = "mixed" if any(term < 0 for term in terms) else "sum"
        data = {"terms": terms, "result": str(total)}
        return Problem(self.name, kind, language, level, question, str(total), key, data)

    def said_again(self, problem: Problem, language: Language) -> str:  # noqa: ARG002
        """The expression."""
        return _expression(problem.data["terms"])

    def steps(self, problem: Problem, language: Language, *, backwards: bool = False) -> str | None:  # noqa: ARG002
        """One operation at a time; sums can be done from the other end too."""
        if backwards and problem.kind != "sum":
            return None
        terms = problem.data["terms"]
        return _steps(terms[::-1] if backwards else terms)

    def slip(self, problem: Problem, rng: random.Random) -> str:
        """A lost carry, a neighbouring digit, or a bad estimate."""
        truth = int(problem.answer)
        while True:
            guess = truth + rng.choice((rng.choice((-10, 10)), rng.randint(-9, 9), rng.randint(-40, 40)))
            if guess != truth and guess > 0:
                return str(guess)

    def drill(self, rng: random.Random) -> str:
        """Worked expressions, or twelve single steps: what a check is made of, without a question or a reflection."""
        if rng.random() < 0.4:
            return ", ".join(_single_step(rng) for _ in range(12))
        return " ".join(self._worked(rng) for _ in range(3))

    def _worked(self, rng: random.Random) -> str:
        while True:
            problem = self.problem(rng, "en", rng.choice(self.levels))
            if split_of(problem.key) == "train":
                terms = problem.data["terms"]
                # Copying a result into a box is what a summary needs.
                result = f"\\boxed{{{problem.answer}}}" if rng.random() < 0.15 else problem.answer
                return f"{_expression(terms)}: {_steps(terms)}. {result}."


def _single_step(rng: random.Random) -> str:
    # Partial sums grow with the chain, so small left operands are the most frequent in checks too.
    left = rng.randint(10, rng.choice((99, 200, 300, 400, 500, 600)))
    right = rng.randint(10, 99)
    if left - right >= 10 and rng.random() < 0.3:
        return f"{left}-{right}={left - right}"
    return f"{left}+{right}={left + right}"


def _expression(terms: list[int]) -> str:
    return str(terms[0]) + "".join(f"{term:+d}" for term in terms[1:])


def _steps(terms: list[int]) -> str:
    total, steps = terms[0], []
    for term in terms[1:]:
        steps.append(f"{total}{term:+d}={total + term}")
        total += term
    return ", ".join(steps)
