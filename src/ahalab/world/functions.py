"""The world's code: short functions of one number, written from a description and checked by input and output."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from ahalab.records import Language
from ahalab.world.domain import Problem, split_of
from ahalab.world.reasoning import ReasoningDomain

Operation = tuple[str, int]
"""("+" | "-" | "*", number)"""

TEST_INPUTS = (0, 1, 2, 7, 10, -3)
"""Two different chains of at most five operations that agree on all of these are the same function in practice."""

WORDS: dict[Language, dict[str, str]] = {
    "en": {"+": "add {n}", "-": "subtract {n}", "*": "multiply by {n}"},
    "zh": {"+": "加{n}", "-": "减{n}", "*": "乘{n}"},
}
ASKS: dict[Language, tuple[str, ...]] = {
    "en": ("Write a function f(x): {w}.", "Write f(x) in Python: {w}."),
    "zh": ("写一个函数f(x)：{w}。", "用Python写f(x)：{w}。"),
}
REPAIRS: dict[Language, tuple[str, ...]] = {
    "en": ("This function should {w}, but it is wrong. Repair it: {b}",),
    "zh": ("这个函数应该{w}，但是写错了。请修复：{b}",),
}


class Functions(ReasoningDomain):
    """A chain of 2 to 5 operations on x (levels 1 to 4)."""

    name = "code"
    levels = (1, 2, 3, 4)
    verifier = "function"
    weight = 0.12
    drill_share = 0.7
    summary = {  # noqa: RUF012
        "en": ("Doing {e} in order gives the function: def f(x): return {t}",),
        "zh": ("依次做{e}，得到函数：def f(x): return {t}",),
    }

    def problem(self, rng: random.Random, language: Language, level: int) -> Problem:
        """A description in words; the gold answer is one way to write it."""
        operations = _operations(rng, level + 1)
        words = _words(operations, language)
        return self._problem(operations, language, level, rng.choice(ASKS[language]).format(w=words), "write")

    def _problem(
        self, operations: list[Operation], language: Language, level: int, question: str, kind: str
    ) -> Problem:
        written = write(operations)
        key = f"code:{kind}:" + " ".join(f"{sign}{number}" for sign, number in operations)
        data = {"operations": [list(one) for one in operations], "result": written}
        answer = self.answer_of(written)
        return Problem(self.name, kind, language, level, question, answer, key, data)

    def grading(self, problem: Problem) -> Mapping[str, Any]:
        """Inputs with the outputs that are wanted."""
        return {"tests": [[x, _run(_chain(problem), x)] for x in TEST_INPUTS]}

    def answer_of(self, result: str) -> str:
        """A whole function."""
        return f"def f(x): return {result}"

    def result_of(self, answer: str) -> str:
        """The expression that the function returns."""
        return answer.rpartition("return")[2].strip()

    def said_again(self, problem: Problem, language: Language) -> str:  # noqa: ARG002
        """The operations in signs."""
        return " ".join(f"{sign}{number}" for sign, number in _chain(problem))

    def steps(self, problem: Problem, language: Language, *, backwards: bool = False) -> str | None:  # noqa: ARG002
        """The expression after each operation."""
        return None if backwards else _steps(_chain(problem))

    def slip(self, problem: Problem, rng: random.Random) -> str:
        """Forgotten parentheses, another order, or another number."""
        chain = _chain(problem)
        right = [_run(chain, x) for x in TEST_INPUTS]
        while True:
            wrong = list(chain)
            how = rng.randrange(3)
            place = rng.randrange(len(wrong))
            if how == 0:
                text = "x" + "".join(f"{sign}{number}" for sign, number in wrong)
                if text != write(chain):
                    return text
            elif how == 1:
                swap = rng.randrange(len(wrong))
                wrong[place], wrong[swap] = wrong[swap], wrong[place]
            else:
                wrong[place] = (wrong[place][0], rng.randint(2, 9))
            if [_run(wrong, x) for x in TEST_INPUTS] != right:
                return write(wrong)

    def drill(self, rng: random.Random) -> str:
        """Chains and what becomes of them."""
        worked: list[str] = []
        while len(worked) < 3:
            problem = self.problem(rng, rng.choice(("en", "zh")), rng.choice(self.levels))
            if split_of(problem.key) == "train":
                chain = _chain(problem)
                start = (
                    _words(chain, problem.language) if rng.random() < 0.5 else self.said_again(problem, "en")
                )
                worked.append(f"{start}: {_steps(chain)}. {problem.answer}")
        return " ".join(worked)


class Repairs(Functions):
    """Software engineering in small: a wrong function and what it should do. Not part of the pretraining corpus's
    answered questions beyond a few; the rule teacher writes rows of it for the general data."""

    name = "software"
    weight = 0.02

    def problem(self, rng: random.Random, language: Language, level: int) -> Problem:
        """A function with a slip in it."""
        operations = _operations(rng, level + 1)
        words = _words(operations, language)
        bare = self._problem(operations, language, level, "", "repair")
        broken = self.answer_of(self.slip(bare, rng))
        question = rng.choice(REPAIRS[language]).format(w=words, b=broken)
        return self._problem(operations, language, level, question, "repair")


def write(chain: list[Operation]) -> str:
    """The expression of a chain; parentheses only where a product follows a sum."""
    text, sum_last = "x", False
    for sign, number in chain:
        if sign == "*" and sum_last:
            text = f"({text})"
        text += f"{sign}{number}"
        sum_last = sign != "*"
    return text


def _operations(rng: random.Random, count: int) -> list[Operation]:
    chain: list[Operation] = []
    while len(chain) < count:
        sign = rng.choice("+-*")
        if not chain or chain[-1][0] != sign:
            chain.append((sign, rng.randint(2, 5 if sign == "*" else 9)))
    return chain


def _chain(problem: Problem) -> list[Operation]:
    return [(str(sign), int(number)) for sign, number in problem.data["operations"]]


def _run(chain: list[Operation], x: int) -> int:
    for sign, number in chain:
        x = x + number if sign == "+" else x - number if sign == "-" else x * number
    return x


def _steps(chain: list[Operation]) -> str:
    return ", ".join(write(chain[: end + 1]) for end in range(len(chain)))


def _words(chain: list[Operation], language: Language) -> str:
    said = [WORDS[language][sign].format(n=number) for sign, number in chain]
    return ", then ".join(said) if language == "en" else "，再".join(said)
