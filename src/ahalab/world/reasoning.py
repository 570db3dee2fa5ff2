"""What the reasoning domains share: a guess, a check step by step, and how the rule teacher rewrites both."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ahalab.records import Language
from ahalab.world import phrases
from ahalab.world.domain import CannotRefine, Mixture, Problem, Trace, other
from ahalab.world.moves import Choices, Move, Said, join, wording


class ReasoningDomain(ABC):
    """A domain whose answers follow from steps. Subclasses say what the steps are."""

    name: str
    levels: tuple[int, ...]
    verifier: str
    weight: float
    drill_share: float
    guess_move: Move = phrases.GUESS
    summary: Choices
    """How the rule teacher sums up (the paper's Listing 1); slots {e} and {t}."""

    @property
    def moves(self) -> Sequence[Move]:
        """The domain's guess, and the moves that all domains share."""
        return (self.guess_move, *phrases.CHECKING)

    @abstractmethod
    def problem(self, rng: random.Random, language: Language, level: int) -> Problem:
        """Draw a problem, from either split."""

    @abstractmethod
    def drill(self, rng: random.Random) -> str:
        """A plain text that teaches the single steps of a check."""

    @abstractmethod
    def said_again(self, problem: Problem, language: Language) -> str:
        """The problem in short, as a thinking says it: slot {e}."""

    @abstractmethod
    def steps(self, problem: Problem, language: Language, *, backwards: bool = False) -> str | None:
        """The steps of a check: slot {s}; None where there is no second order."""

    @abstractmethod
    def slip(self, problem: Problem, rng: random.Random) -> str:
        """A plausible wrong result, in the form of `Problem.data["result"]`."""

    def answer_of(self, result: str) -> str:
        """The final answer that states `result`."""
        return result

    def result_of(self, answer: str) -> str:
        """What `answer_of` made the answer from."""
        return answer

    def grading(self, problem: Problem) -> Mapping[str, Any]:  # noqa: ARG002
        """Nothing besides the gold answer."""
        return {}

    def translate(self, text: str, to: Language) -> str:  # noqa: ARG002
        """Expressions and steps have no language."""
        return text

    def trace(self, problem: Problem, rng: random.Random, mixture: Mixture) -> Trace:
        """A guess, and with `mixture.check` probability a check that always ends right."""
        truth = str(problem.data["result"])
        guess = truth if rng.random() < mixture.direct_right else self.slip(problem, rng)
        moves: list[tuple[Move, dict[str, str | None]]] = [(self.guess_move, {"g": guess})]
        checked = rng.random() < mixture.check
        if checked:
            moves.append((phrases.CHECK, {}))
            moves.append(
                (phrases.CONFIRMED if guess == truth else phrases.CORRECTED, {"t": truth, "g": guess})
            )
            backwards = self.steps(problem, problem.language, backwards=True)
            if rng.random() < mixture.second_check and backwards is not None:
                moves.append((phrases.SECOND_CHECK, {"s": backwards}))
                moves.append((phrases.CONFIRMED, {"t": truth}))
        switched = rng.randrange(len(moves)) if rng.random() < mixture.mixed_language else -1
        parts = []
        for position, (move, values) in enumerate(moves):
            language = problem.language if position != switched else other(problem.language)
            backwards = self.steps(problem, language, backwards="s" in values)
            filled = {"e": self.said_again(problem, language), **values, "s": backwards}
            parts.append(wording(move.said, language, rng, {k: str(v) for k, v in filled.items()}))
        return Trace(join(parts), self.answer_of(truth if checked else guess), checked)

    def good(self, problem: Problem, rng: random.Random) -> tuple[list[Said], str]:
        """The steps, without a guess, and a summary."""
        steps = self.steps(problem, problem.language)
        said = [
            Said(phrases.UNDERSTAND, {"e": self.said_again(problem, problem.language)}),
            Said(phrases.WORK, {"s": str(steps)}),
        ]
        return said, self._sum_up(problem, problem.answer, rng)

    def refined(
        self, problem: Problem, said: Sequence[Said], answer: str, rng: random.Random
    ) -> tuple[list[Said], str]:
        """Easy problems keep their steps only (Listing 3); others begin by understanding the problem."""
        if not said:
            raise CannotRefine("empty thinking")
        worked = [one for one in said if one.move in (phrases.CHECK, phrases.WORK)]
        if problem.level == min(self.levels) and worked:
            kept: list[Said] = [Said(phrases.WORK, worked[-1].values, worked[-1].language)]
        else:
            understood = Said(
                phrases.UNDERSTAND, {"e": self.said_again(problem, problem.language)}, problem.language
            )
            kept = [understood, *(one for one in said if one.move is not phrases.UNDERSTAND)]
        return kept, self._sum_up(problem, answer, rng)

    def _sum_up(self, problem: Problem, answer: str, rng: random.Random) -> str:
        values = {"e": self.said_again(problem, problem.language), "t": self.result_of(answer)}
        return wording(self.summary, problem.language, rng, values)
