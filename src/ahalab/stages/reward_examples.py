"""What a reward model learns from, as tokens: pairs and labelled responses, and which questions are held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ahalab.counter import make_key, uniform
from ahalab.errors import UserError
from ahalab.policy.reward_model import ResponseFormat
from ahalab.records import LabelledResponse, PreferencePair

FEWEST = 4
"""Fewer usable rows than this are refused: with one in ten held out there is nothing to measure (our choice)."""

TOO_LONG = "longer than max_tokens"


@dataclass(frozen=True, slots=True)
class Example:
    """One unit of the loss: a pair (chosen, rejected), or one labelled response."""

    id: str
    group: int
    """Stands for its question: examples of one group are never on both sides of the split."""
    sequences: tuple[tuple[int, ...], ...]
    """What the model reads: two token sequences for a pair, one for a labelled response."""
    lengths: tuple[int, ...]
    """Tokens of what is judged in each: the sequence without its prompt."""
    safe: bool | None = None
    """The label; None for a pair."""

    @property
    def tokens(self) -> int:
        """Of all its sequences."""
        return sum(map(len, self.sequences))


def pair_examples(
    pairs: Sequence[PreferencePair], form: ResponseFormat, longest: int
) -> tuple[list[Example], Counter[str]]:
    """The pairs as (prompt, final summary) sequences, and how many were dropped for which reason.

    A pair with a sequence of more than `longest` tokens is dropped: cut off, it would end in another answer than
    the one that was judged (our choice; the paper only gives the limit).
    """
    examples, dropped = [], Counter[str]()
    for pair in pairs:
        sides = [form.summary_ids(pair.question, side) for side in (pair.chosen, pair.rejected)]
        if any(len(prompt) + len(summary) > longest for prompt, summary in sides):
            dropped[TOO_LONG] += 1
        elif sides[0] == sides[1]:
            dropped["equal answers"] += 1
        else:
            examples.append(_example(pair.id, pair.question, sides, None))
    return examples, dropped


def labelled_examples(
    rows: Sequence[LabelledResponse], form: ResponseFormat, longest: int
) -> tuple[list[Example], Counter[str]]:
    """The whole responses as (prompt, response) sequences; dropped as in `pair_examples`."""
    examples, dropped = [], Counter[str]()
    for row in rows:
        prompt, response = form.response_ids(row.question, row.thinking, row.answer)
        if len(prompt) + len(response) > longest:
            dropped[TOO_LONG] += 1
        else:
            examples.append(_example(row.id, row.question, [(prompt, response)], row.safe))
    return examples, dropped


def _example(
    name: str, question: str, sides: Sequence[tuple[list[int], list[int]]], safe: bool | None
) -> Example:
    return Example(
        id=name,
        group=question_group(question),
        sequences=tuple((*prompt, *judged) for prompt, judged in sides),
        lengths=tuple(len(judged) for _, judged in sides),
        safe=safe,
    )


def question_group(question: str) -> int:
    """A hash of the question's first turn, blind to case and white space.

    Dialogues that begin alike and part later (as in hh-rlhf) are one group.
    """
    first = question.removeprefix("User: ").partition("\n\nAssistant: ")[0]
    return make_key("question", " ".join(first.split()).casefold())


def split_by_question(
    examples: Sequence[Example], share: float, where: str
) -> tuple[list[Example], list[Example]]:
    """(train, held out), both in the order given; a question is wholly on one side.

    A question is held out when its hash, as a number in [0, 1), is below `share`: whatever the seed and the other
    rows. Where that leaves nothing to measure (no row; not both labels), the next questions by hash join.

    Raises:
        UserError: fewer than `FEWEST` examples, one question only, or labels of one class (in all, or on a side
            that no split can mend).
    """
    if len(examples) < FEWEST:
        raise UserError(
            f"{where}: {len(examples)} usable rows are too few to train a reward model; at least {FEWEST} are needed. "
            "Give it more data."
        )
    labelled = examples[0].safe is not None
    if labelled and len({example.safe for example in examples}) == 1:
        one, other = ("safe", "unsafe") if examples[0].safe else ("unsafe", "safe")
        raise UserError(
            f"{where}: all {len(examples)} labels are {one}: there is nothing to tell apart. Add responses that are "
            f"{other}, or set `safe_when` if the labels were read the wrong way."
        )
    by_group: dict[int, list[Example]] = {}
    for example in examples:
        by_group.setdefault(example.group, []).append(example)
    needed = {True, False} if labelled else {None}
    held: set[int] = set()
    seen: set[bool | None] = set()
    for group in sorted(by_group, key=_place):
        if _place(group) >= share and seen == needed:
            break
        held.add(group)
        seen.update(example.safe for example in by_group[group])
    left = {example.safe for example in examples if example.group not in held}
    if left != needed or seen != needed:
        what = "unsafe and safe responses to several questions" if labelled else "several questions"
        raise UserError(
            f"{where}: {len(examples)} rows of {len(by_group)} questions cannot be split into rows to learn from and "
            f"rows held out, since no question may be on both sides. Give it {what}, or change `held_out`."
        )
    return (
        [example for example in examples if example.group not in held],
        [example for example in examples if example.group in held],
    )


def _place(group: int) -> float:
    return uniform(make_key("held_out", group), 0)
