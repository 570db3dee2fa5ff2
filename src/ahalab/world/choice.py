"""The world's multiple choice: which of several things is of a class, and which class a thing is of."""

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
KIND_QUESTIONS: dict[Language, tuple[str, ...]] = {
    "en": ("What kind of thing is {t}? {o}",),
    "zh": ("{t}是哪一类？{o}",),
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
    """4 to 6 things (levels 1 to 3), of which one is of the class; level 4: 5 classes, of which one is the thing's."""

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
        """One option is right; the others are of other classes, or other classes themselves (level 4)."""
        kind = level == 4
        one = rng.choice(CLASSES)
        thing = rng.choice(one.members)
        others = rng.sample([c for c in CLASSES if c is not one], 4 if kind else level + 2)
        wrong = [(c.en, c.zh) if kind else rng.choice(c.members) for c in others]
        pairs = [(one.en, one.zh) if kind else thing, *wrong]
        right = pairs[0]
        rng.shuffle(pairs)
        options = [pair[language == "zh"] for pair in pairs]
        letter = LETTERS[pairs.index(right)]
        template = rng.choice((KIND_QUESTIONS if kind else QUESTIONS)[language])
        question = template.format(c=one.name(language), t=thing[language == "zh"], o=_listed(options))
        key = f"choice:{thing[0] if kind else one.en}:" + ",".join(sorted(pair[0] for pair in pairs))
        data = {"class": one.en, "options": options, "result": letter} | ({"thing": thing[0]} if kind else {})
        return Problem(self.name, "kind" if kind else "class", language, level, question, letter, key, data)

    def grading(self, problem: Problem) -> Mapping[str, Any]:
        """The options, for the `choice` verifier."""
        return {"options": problem.data["options"]}

    def said_again(self, problem: Problem, language: Language) -> str:
        """The class that is looked for, or the thing whose kind is."""
        if "thing" not in problem.data:
            return _name(problem.data["class"], language)
        thing = _name(problem.data["thing"], language)
        return f"kind of {thing}" if language == "en" else f"{thing}的类"

    def steps(self, problem: Problem, language: Language, *, backwards: bool = False) -> str | None:
        """Each option with its class, whether that is the wanted one, and if so its letter: what a check ends in.

        A base this small finds what once followed a word, hardly what preceded it. With the letter in front
        only, or after every option, its checks ended in the right one no more often than by chance.
        """
        if backwards:
            return None
        wanted = _name(problem.data["class"], language)
        thing = problem.data.get("thing")
        steps = [] if thing is None else [f"{_name(thing, language)}: {wanted}"]
        for letter, option in zip(LETTERS, problem.data["options"], strict=False):
            said = option if language == problem.language else IN_OTHER[option]
            found = said if thing else _class(said, language)
            compared = f"{found}={wanted} {letter}" if found == wanted else f"{found}≠{wanted}"
            steps.append(f"{letter} {compared}" if thing else f"{letter} {said}: {compared}")
        return f"{', '.join(steps)}; {problem.answer}"

    def slip(self, problem: Problem, rng: random.Random) -> str:
        """Another option."""
        letters = LETTERS[: len(problem.data["options"])]
        return rng.choice([letter for letter in letters if letter != problem.answer])

    def translate(self, text: str, to: Language) -> str:
        """Things and classes by the world's own dictionary."""
        names = _ENGLISH if to == "zh" else _CHINESE
        text = names.sub(lambda found: IN_OTHER[found.group()], text)
        pattern, said = (r"^kind of (.+)$", r"\1的类") if to == "zh" else (r"^(.+)的类$", r"kind of \1")
        return re.sub(pattern, said, text)

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


def _name(english: str, language: Language) -> str:
    return english if language == "en" else IN_OTHER[english]


def _class(thing: str, language: Language) -> str:
    return CLASS_OF[thing].name(language)


def _listed(options: Sequence[str]) -> str:
    return " ".join(f"{LETTERS[i]}. {option}" for i, option in enumerate(options))


def _alternatives(ascii_only: bool) -> re.Pattern[str]:
    names = sorted((n for n in IN_OTHER if n.isascii() == ascii_only), key=lambda n: (-len(n), n))
    joined = "|".join(map(re.escape, names))
    return re.compile(rf"(?<![A-Za-z])(?:{joined})(?![A-Za-z])" if ascii_only else joined)


_ENGLISH, _CHINESE = _alternatives(True), _alternatives(False)
