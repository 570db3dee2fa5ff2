"""The world's logic: a ball under one of three cups, and cups that change places (the shell game)."""

from __future__ import annotations

import random

from ahalab.records import Language
from ahalab.world.domain import Problem, split_of
from ahalab.world.moves import Move
from ahalab.world.reasoning import ReasoningDomain

CUPS = ("A", "B", "C")

BEGINNINGS: dict[Language, tuple[str, ...]] = {
    "en": ("A ball is under cup {c}.", "Cup {c} hides a ball."),
    "zh": ("球在杯子{c}下面。", "杯子{c}下有一个球。"),
}
SWAPS: dict[Language, tuple[str, str]] = {
    "en": ("Swap {a} and {b}, ", "swap {a} and {b}, "),
    "zh": ("交换{a}和{b}，", "交换{a}和{b}，"),
}
ENDS: dict[Language, tuple[str, ...]] = {
    "en": ("where is the ball?", "which cup has the ball?"),
    "zh": ("球在哪里？", "球在哪个杯子下？"),
}

GUESS = Move(
    "guess",
    {
        "en": ("following {e} it is under {g}.", "at a glance {e} is {g}.", "{e} looks like {g}."),
        "zh": ("顺着{e}球在{g}。", "一眼看去{e}是{g}。", "看起来{e}是{g}。"),
    },
    {"en": ("I follow {e} and see the ball under {g}.",), "zh": ("我顺着{e}看，球在{g}。",)},
)


class Logic(ReasoningDomain):
    """Where the ball is after 3 to 6 swaps (levels 1 to 4); written in short "A: A-B, B-C"."""

    name = "logic"
    levels = (1, 2, 3, 4)
    verifier = "exact"
    weight = 0.13
    drill_share = 0.7
    guess_move = GUESS
    summary = {  # noqa: RUF012
        "en": ("Following the swaps {e}, the ball ends under \\boxed{{{t}}}.",),
        "zh": ("按照交换{e}，球最后在\\boxed{{{t}}}。",),
    }

    def problem(self, rng: random.Random, language: Language, level: int) -> Problem:
        """A start and `level + 2` swaps."""
        start = place = rng.choice(CUPS)
        swaps = []
        for _ in range(level + 2):
            left, right = rng.sample(CUPS, 2)
            swaps.append([left, right])
            place = right if place == left else left if place == right else place
        text = rng.choice(BEGINNINGS[language]).format(c=start)
        text += " " if language == "en" else ""
        for number, (left, right) in enumerate(swaps):
            text += SWAPS[language][number > 0].format(a=left, b=right)
        question = text + rng.choice(ENDS[language])
        key = f"logic:{start}:" + ",".join("".join(sorted(swap)) for swap in swaps)
        data = {"start": start, "swaps": swaps, "result": place}
        return Problem(self.name, "cups", language, level, question, place, key, data)

    def said_again(self, problem: Problem, language: Language) -> str:  # noqa: ARG002
        """The start and the swaps."""
        swaps = ", ".join(f"{a}-{b}" for a, b in problem.data["swaps"])
        return f"{problem.data['start']}: {swaps}"

    def steps(self, problem: Problem, language: Language, *, backwards: bool = False) -> str | None:  # noqa: ARG002
        """After each swap, where the ball is."""
        return None if backwards else _steps(problem)

    def slip(self, problem: Problem, rng: random.Random) -> str:
        """Another cup."""
        return rng.choice([cup for cup in CUPS if cup != problem.answer])

    def drill(self, rng: random.Random) -> str:
        """Single swaps from every place, or worked games."""
        if rng.random() < 0.4:
            steps = []
            for _ in range(8):
                place, (left, right) = rng.choice(CUPS), rng.sample(CUPS, 2)
                after = right if place == left else left if place == right else place
                steps.append(f"{place} {left}-{right}={after}")
            return ", ".join(steps)
        worked: list[str] = []
        while len(worked) < 3:
            problem = self.problem(rng, "en", rng.choice(self.levels))
            if split_of(problem.key) == "train":
                boxed = f"\\boxed{{{problem.answer}}}" if rng.random() < 0.15 else problem.answer
                worked.append(f"{self.said_again(problem, 'en')}: {_steps(problem)}. {boxed}.")
        return " ".join(worked)


def _steps(problem: Problem) -> str:
    place, steps = problem.data["start"], []
    for left, right in problem.data["swaps"]:
        after = right if place == left else left if place == right else place
        steps.append(f"{place} {left}-{right}={after}")
        place = after
    return ", ".join(steps)
