"""The world's multiple choice: which of several things is of a class, or is not."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ahalab.records import Language
from ahalab.world.domain import Problem, split_of
from ahalab.world.facts import CLASS_OF, CLASSES, IN_OTHER
from ahalab.world.moves import Move
from ahalab.world.reasoning import ReasoningDomain

LETTERS = "ABCDEF"

QUESTIONS: dict[Language, tuple[str, ...]] = {
    "en": ("Which one is a {c}? {o}", "Find the {c}. {o}"),
    "zh": ("哪一个是{c}？{o}", "找出{c}。{o}"),
}
ODD_QUESTIONS: dict[Language, tuple[str, ...]] = {
    "en": ("Which one is not a {c}? {o}",),
    "zh": ("哪一个不是{c}？{o}",),
}

GUESS = Move(
    "guess",
    {
        "en": ("at a glance the {e} is {g}.", "the {e} looks like {g}."),
        "zh": ("一眼看去{e}是{g}。", "看起来{e}是{g}。"),
    },
    {"en": ("I think the {e} is {g}.",), "zh": ("我觉得{e}是{g}。",)},
)


class Choice(ReasoningDomain):
    """4 to 6 options (levels 1 to 3); level 4 asks for the one of 5 that is not of the class."""

    name = "choice"
    levels = (1, 2, 3, 4)
    verifier = "choice"
    weight = 0.16
    drill_share = 0.7
    guess_move = GUESS
    summary = {  # noqa: RUF012
        "en": ("Of the options, the {e} is \\boxed{{{t}}}.",),
        "zh": ("选项中{e}是\\boxed{{{t}}}。",),
    }

    def problem(self, rng: random.Random, language: Language, level: int) -> Problem:
        """One option is right; the others are of other classes (level 4: all of the class but one)."""
        odd = level == 4
        one = rng.choice(CLASSES)
        size = 5 if odd else level + 3
        others = [c for c in CLASSES if c is not one]
        if odd:
            wrong = rng.choice(rng.choice(others).members)
            pairs = [*rng.sample(one.members, size - 1), wrong]
            right = wrong
        else:
            right = rng.choice(one.members)
            pairs = [*(rng.choice(c.members) for c in rng.sample(others, size - 1)), right]
        rng.shuffle(pairs)
        options = [pair[language == "zh"] for pair in pairs]
        letter = LETTERS[pairs.index(right)]
        templates = ODD_QUESTIONS if odd else QUESTIONS
        question = rng.choice(templates[language]).format(c=one.name(language), o=_listed(options))
        key = f"choice:{'not ' if odd else ''}{one.en}:" + ",".join(sorted(pair[0] for pair in pairs))
        data = {"class": one.en, "odd": odd, "options": options, "result": letter}
        return Problem(self.name, "odd" if odd else "class", language, level, question, letter, key, data)

    def grading(self, problem: Problem) -> Mapping[str, Any]:
        """The options, for the `choice` verifier."""
        return {"options": problem.data["options"]}

    def said_again(self, problem: Problem, language: Language) -> str:
        """What is looked for."""
        name: str = problem.data["class"] if language == "en" else IN_OTHER[problem.data["class"]]
        if not problem.data["odd"]:
            return name
        return f"non-{name}" if language == "en" else f"非{name}"

    def steps(self, problem: Problem, language: Language, *, backwards: bool = False) -> str | None:
        """Each option and what it is."""
        if backwards:
            return None
        options = problem.data["options"]
        if language != problem.language:
            options = [IN_OTHER[option] for option in options]
        return ", ".join(
            f"{LETTERS[i]} {option}={CLASS_OF[option].name(language)}" for i, option in enumerate(options)
        )

    def slip(self, problem: Problem, rng: random.Random) -> str:
        """Another option."""
        letters = LETTERS[: len(problem.data["options"])]
        return rng.choice([letter for letter in letters if letter != problem.answer])

    def translate(self, text: str, to: Language) -> str:
        """Things and classes by the world's own dictionary."""
        names = _ENGLISH if to == "zh" else _CHINESE
        text = text.replace("non-", "非") if to == "zh" else text.replace("非", "non-")
        return names.sub(lambda found: IN_OTHER[found.group()], text)

    def drill(self, rng: random.Random) -> str:
        """Facts in both languages, or worked questions: the options, what each is, and the letter."""
        language: Language = rng.choice(("en", "zh"))
        if rng.random() < 0.7:
            return " ".join(self._worked(rng, language) for _ in range(2))
        things = rng.sample(sorted(CLASS_OF), 8)
        if rng.random() < 0.3:
            return ", ".join(f"{thing}={IN_OTHER[thing]}" for thing in things)
        things = [thing for thing in things if thing.isascii() == (language == "en")]
        template = "{t} is a {c}. " if language == "en" else "{t}是{c}。"
        return "".join(template.format(t=t, c=CLASS_OF[t].name(language)) for t in things).strip()

    def _worked(self, rng: random.Random, language: Language) -> str:
        # Copying the options from afar is the hard part, so drills have them as questions do.
        while True:
            problem = self.problem(rng, language, rng.choice(self.levels))
            if split_of(problem.key) == "train":
                boxed = f"\\boxed{{{problem.answer}}}" if rng.random() < 0.15 else problem.answer
                wanted, steps = self.said_again(problem, language), self.steps(problem, language)
                return f"{wanted}: {_listed(problem.data['options'])}: {steps}. {boxed}."


def _listed(options: Sequence[str]) -> str:
    return " ".join(f"{LETTERS[i]}. {option}" for i, option in enumerate(options))


def _alternatives(ascii_only: bool) -> re.Pattern[str]:
    names = sorted((n for n in IN_OTHER if n.isascii() == ascii_only), key=lambda n: (-len(n), n))
    joined = "|".join(map(re.escape, names))
    return re.compile(rf"(?<![A-Za-z])(?:{joined})(?![A-Za-z])" if ascii_only else joined)


_ENGLISH, _CHINESE = _alternatives(True), _alternatives(False)
