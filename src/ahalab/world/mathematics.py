"""The world's mathematics: sums and differences of several two-digit numbers.

Chosen so that longer thinking truly pays: a small model cannot add four numbers at a glance, but it can do one
addition of two numbers reliably, and a check is a chain of those (measured in the data card of `builtin:tiny`).
"""

from __future__ import annotations

import random

from ahalab.records import Language
from ahalab.world import phrases
from ahalab.world.domain import Mixture, Problem, Trace, split_of


class Mathematics:
    """Expressions such as 89+42-55+98; the level is the number of terms less two (3 to 6 terms, levels 1 to 4)."""

    name = "math"
    levels = (1, 2, 3, 4)

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
        expression = _expression(terms)
        question = rng.choice(phrases.QUESTIONS[language]).format(e=expression)
        # The order of the terms does not make another problem.
        key = "math:" + ",".join(map(str, sorted(terms)))
        kind = "mixed" if any(term < 0 for term in terms) else "sum"
        return Problem(self.name, kind, language, level, question, str(total), key, {"terms": terms})

    def trace(self, problem: Problem, rng: random.Random, mixture: Mixture) -> Trace:
        """A guess, and with `mixture.check` probability a check that always ends right."""
        terms: list[int] = problem.data["terms"]
        truth = int(problem.answer)
        guess = truth if rng.random() < mixture.direct_right else _slip(truth, rng)
        said: list[tuple[phrases.Choices, dict[str, object]]] = [
            (phrases.GUESSES, {"e": _expression(terms), "g": guess})
        ]
        checked = rng.random() < mixture.check
        if checked:
            said.append((phrases.CHECKS, {"s": _steps(terms)}))
            said.append(
                (phrases.CONFIRMED if guess == truth else phrases.CORRECTED, {"t": truth, "g": guess})
            )
            if rng.random() < mixture.second_check and problem.kind == "sum":
                said.append((phrases.SECOND_CHECKS, {"s": _steps(terms[::-1])}))
                said.append((phrases.CONFIRMED, {"t": truth}))
        switched = rng.randrange(len(said)) if rng.random() < mixture.mixed_language else -1
        parts = []
        for position, (choices, values) in enumerate(said):
            language = problem.language if position != switched else _other(problem.language)
            parts.append(rng.choice(choices[language]).format(**values))
        return Trace(_join(parts), str(truth if checked else guess), checked)

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
                return f"{_expression(terms)}: {_steps(terms)}. {problem.answer}."


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


def _slip(truth: int, rng: random.Random) -> int:
    """A plausible wrong result: a lost carry, a neighbouring digit, or a bad estimate."""
    while True:
        guess = truth + rng.choice((rng.choice((-10, 10)), rng.randint(-9, 9), rng.randint(-40, 40)))
        if guess != truth and guess > 0:
            return guess


def _other(language: Language) -> Language:
    return "zh" if language == "en" else "en"


def _join(parts: list[str]) -> str:
    """English sentences are set apart by a space; after a Chinese full stop none is written."""
    text = parts[0]
    for part in parts[1:]:
        text += part if text.endswith("。") and not part[0].isascii() else " " + part
    return text
