"""What is kept of a stream of samples: sums by step, by level, and a compact table of prompts. Texts are not kept."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ahalab.analysis.curves import is_number
from ahalab.analysis.onset import Onset, detect_onset
from ahalab.analysis.samples import is_correct
from ahalab.counter import make_key

NOT_RIGHT_OR_WRONG = ("instructions", "safety")
"""Domains of the tiny world whose score says how helpful or how safe an answer is."""
ALL_WORDS = "all reflective words"
SIDES = ("right", "wrong", "not graded")


@dataclass(frozen=True, slots=True)
class Seen:
    """What counts of one sample."""

    step: int
    prompt: str | None
    correct: bool | None
    tokens: int | None
    """Of the whole answer; None where nobody counted them."""
    words: Mapping[str, int]
    level: str | None = None
    thinking_tokens: int | None = None


@dataclass(slots=True)
class Side:
    """Sums over the right, the wrong, or the ungraded answers of one step."""

    answers: int = 0
    reflecting: int = 0
    """Answers with at least one reflective word."""
    tokens: int = 0
    with_tokens: int = 0
    """Answers whose tokens are known."""
    words: Counter[str] = field(default_factory=Counter)

    def add(self, other: Side) -> None:
        """Sums of both."""
        self.answers += other.answers
        self.reflecting += other.reflecting
        self.tokens += other.tokens
        self.with_tokens += other.with_tokens
        self.words.update(other.words)

    @property
    def occurrences(self) -> int:
        """Of all words together."""
        return sum(self.words.values())

    @property
    def per_answer(self) -> float | None:
        """Reflective words per answer."""
        return self.occurrences / self.answers if self.answers else None

    @property
    def per_1k(self) -> float | None:
        """Reflective words per 1,000 tokens; None unless the tokens of every answer are known."""
        known = self.tokens and self.with_tokens == self.answers
        return 1000 * self.occurrences / self.tokens if known else None


@dataclass(slots=True)
class Cell:
    """Graded answers of one kind without and with reflective words: index 0 and 1."""

    answers: list[int] = field(default_factory=lambda: [0, 0])
    right: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, reflects: bool, correct: bool) -> None:
        """One answer."""
        self.answers[reflects] += 1
        self.right[reflects] += correct

    def share(self, reflects: bool) -> float | None:
        """Share of right answers."""
        return self.right[reflects] / self.answers[reflects] if self.answers[reflects] else None


@dataclass(frozen=True, slots=True)
class Group:
    """The graded answers to one prompt at one step."""

    prompt: int
    step: int
    without: int
    without_right: int
    reflecting: int
    reflecting_right: int
    right_tokens: float
    """Thinking tokens (tokens, where thinking is not counted apart) of the right answers that have them."""
    right_counted: int


class GroupTable:
    """Groups as columns of machine numbers, about 200 bytes a group: a million of them fit a laptop."""

    def __init__(self) -> None:
        self._prompts: dict[int, int] = {}
        self._groups: dict[tuple[int, int], int] = {}
        self._prompt, self._step = array("l"), array("q")
        self._counts = array("l")
        """Four a group: answers and right ones without, then with reflective words."""
        self._tokens, self._counted = array("d"), array("l")

    def add(self, sample: Seen) -> None:
        """One graded answer to a known prompt."""
        prompt = self._prompts.setdefault(make_key(sample.prompt), len(self._prompts))
        place = self._groups.setdefault((prompt, sample.step), len(self._groups))
        if place == len(self._prompt):
            self._prompt.append(prompt)
            self._step.append(sample.step)
            self._counts.extend((0, 0, 0, 0))
            self._tokens.append(0.0)
            self._counted.append(0)
        column = 4 * place + 2 * bool(sample.words)
        self._counts[column] += 1
        if sample.correct:
            self._counts[column + 1] += 1
            tokens = sample.thinking_tokens if sample.thinking_tokens is not None else sample.tokens
            if tokens is not None:
                self._tokens[place] += tokens
                self._counted[place] += 1

    def __len__(self) -> int:
        return len(self._prompt)

    def __iter__(self) -> Iterator[Group]:
        for place, prompt in enumerate(self._prompt):
            counts = self._counts[4 * place : 4 * place + 4]
            yield Group(
                prompt=prompt,
                step=self._step[place],
                without=counts[0],
                without_right=counts[1],
                reflecting=counts[2],
                reflecting_right=counts[3],
                right_tokens=self._tokens[place],
                right_counted=self._counted[place],
            )


@dataclass(slots=True)
class Tally:
    """Everything that the analysis of samples needs."""

    samples: int = 0
    steps: dict[int, dict[str, Side]] = field(default_factory=dict)
    """Step → side → sums."""
    levels: dict[str, dict[int, Cell]] = field(default_factory=dict)
    """Level → step → graded answers."""
    ungrouped: dict[int, Cell] = field(default_factory=dict)
    """Step → graded answers of all levels."""
    groups: GroupTable = field(default_factory=GroupTable)

    def add(self, sample: Seen) -> None:
        """Count one sample."""
        self.samples += 1
        correct = sample.correct
        name = "not graded" if correct is None else "right" if correct else "wrong"
        side = self.steps.setdefault(sample.step, {}).setdefault(name, Side())
        side.answers += 1
        if sample.tokens is not None:
            side.tokens += sample.tokens
            side.with_tokens += 1
        if sample.words:
            side.reflecting += 1
            side.words.update(sample.words)
        if correct is None:
            return
        reflects = bool(sample.words)
        self.ungrouped.setdefault(sample.step, Cell()).add(reflects, correct)
        if sample.level is not None:
            cells = self.levels.setdefault(sample.level, {})
            cells.setdefault(sample.step, Cell()).add(reflects, correct)
        if sample.prompt is not None:
            self.groups.add(sample)

    def add_row(self, row: Mapping[str, Any], step: int) -> None:
        """Count a row of a run folder's `samples/` by the words that the run itself counted."""
        self.add(seen_row(row, step))

    def over(self, steps: list[int] | None = None, side: str | None = None) -> Side:
        """Sums over some steps (all where None), of one side or of all."""
        total = Side()
        for step in self.steps if steps is None else steps:
            for name, found in self.steps[step].items():
                if side is None or side == name:
                    total.add(found)
        return total

    def last_tenth(self) -> list[int]:
        """The last tenth of the steps, at least one: what stands for "at the end" (our choice)."""
        steps = sorted(self.steps)
        return steps[-max(1, len(steps) // 10) :]

    def onsets(self, *, per_tokens: bool = False) -> dict[str, Onset]:
        """Onset of all words together, then of each word that occurs, the most used first; see `onset`.

        Exposures are answers, or with `per_tokens` thousands of tokens: free of length. Empty where tokens are unknown.
        """
        steps = sorted(self.steps)
        sums = [self.over([step]) for step in steps]
        if per_tokens and any(one.per_1k is None for one in sums):
            return {}
        exposures = [one.tokens / 1000 if per_tokens else float(one.answers) for one in sums]
        total = self.over().words
        ranked = sorted(total, key=lambda word: (-total[word], word))
        found = {ALL_WORDS: detect_onset(steps, [one.occurrences for one in sums], exposures)}
        for word in ranked:
            counts = [one.words.get(word, 0) for one in sums]
            found[word] = detect_onset(steps, counts, exposures, tests=len(ranked))
        return found


def seen_row(row: Mapping[str, Any], step: int, words: Mapping[str, int] | None = None) -> Seen:
    """A row of a run folder's `samples/`; `words` replaces what the run counted."""
    counted = row.get("reflective") if words is None else words
    found = counted if isinstance(counted, Mapping) else {}
    prompt, level = row.get("prompt_id"), row.get("level")
    return Seen(
        step=step,
        prompt=None if prompt is None else str(prompt),
        correct=None if row.get("domain") in NOT_RIGHT_OR_WRONG else is_correct(row),
        tokens=whole_or_none(row.get("tokens")),
        words={str(word): int(n) for word, n in found.items() if is_number(n) and n > 0},
        level=None if level is None else str(level),
        thinking_tokens=whole_or_none(row.get("thinking_tokens")),
    )


def whole_or_none(value: object) -> int | None:
    """A count that is a number."""
    return int(value) if is_number(value) and value >= 0 else None
