"""From what a person writes ("gym:countdown?max_value=50") to the items of a suite: the same ones every time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ahalab.counter import make_key, permute
from ahalab.errors import UserError
from ahalab.evaluation.suites.catalogue import SUITES
from ahalab.evaluation.suites.suite import Suite
from ahalab.evaluation.suites.tables import table_items
from ahalab.prompts import PromptSource, TaskEntry, WorldEntry, build_source
from ahalab.prompts.options import LETTERS
from ahalab.prompts.source import DescribedSource
from ahalab.records import Language, Prompt
from ahalab.validation import StrictModel, suggestion, validate

DEFAULT_N = 200
"""Items of an endless suite, and of `n` left out for one."""

WORLD_DOMAINS = ("math", "logic", "choice", "code", "instructions", "safety")
"""Asked in turn by the suite `world`: the domains of the stage table (paper's Table 4)."""

ITEM_SEED = 0
"""Items are the same for every seed, so that two evaluations can be compared item by item; seeds sample answers."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A suite as somebody asked for it."""

    suite: Suite
    text: str
    """As written: "gym:countdown?max_value=50"."""
    argument: str
    knobs: Mapping[str, Any]

    @property
    def slug(self) -> str:
        """Its folder's name."""
        return re.sub(r"[^A-Za-z0-9_.]+", "-", self.text).strip("-.")


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a suite."""

    prompts: list[Prompt]
    """As they are asked, framed by the suite."""
    texts: dict[str, str]
    """Prompt id → the question as it stands in the source, with its worked solution where there is one: what
    decontamination looks for."""
    questions: dict[str, str]
    """Prompt id → the question alone, as it stands in the source."""
    description: dict[str, Any]
    """What the source says of itself, JSON-able: another content is another suite."""


class _WorldKnobs(StrictModel):
    """`world?levels=[1,2]&languages=[en]&seed=3`."""

    levels: list[int] | None = None
    languages: list[Language] | None = None
    seed: int = ITEM_SEED


def choose(text: str) -> Chosen:
    """The suite that `NAME[:ARGUMENT][?key=value&…]` names.

    Raises:
        UserError: no such suite (naming the nearest), an argument it does not take, or a knob that is not key=value.
    """
    head, _, tail = text.partition("?")
    name, colon, argument = head.partition(":")
    if name not in SUITES:
        raise UserError(f"--suite {text!r}: there is no suite {name!r}; {suggestion(name, list(SUITES))}")
    suite = SUITES[name]
    if suite.layout == "gym" and not argument:
        raise UserError(f"--suite {text!r}: name the task, as in gym:countdown")
    if colon and suite.layout != "gym" and not (suite.layout == "world" or suite.compared):
        raise UserError(f"--suite {text!r}: {name} takes nothing after a colon; settings follow a `?`")
    if suite.compared and argument not in ("", "world"):
        raise UserError(f"--suite {text!r}: expected preference, or preference:world for the tiny world's")
    return Chosen(suite, text, argument, _knobs(text, tail))


def suite_items(
    chosen: Chosen, n: int | None, *, file: Path | None = None, skip_bad_rows: bool = False
) -> Items:
    """`n` items of a suite (all of a finite one when left out): the first `n` of a fixed order, so that fewer items
    are some of the more, whatever the seed.

    Raises:
        UserError: a file, column, data set, task, knob or domain that is not there, or more items than there are.
    """
    where = f"--suite {chosen.text}"
    if chosen.suite.layout == "gym":
        source = _task(chosen, n or DEFAULT_N, where)
    elif chosen.suite.layout == "world" or chosen.argument == "world":
        source = _world(chosen, where)
    else:
        return _from_table(chosen, n, file, skip_bad_rows, where)
    if file is not None:
        raise UserError(f"{where}: this suite makes its items; it reads no --file")
    size = n or DEFAULT_N
    prompts = _distinct(source, size, where)
    questions = {prompt.id: prompt.question for prompt in prompts}
    return Items(
        [_framed(chosen.suite, prompt) for prompt in prompts], dict(questions), questions, _described(source)
    )


def _knobs(text: str, tail: str) -> dict[str, Any]:
    knobs: dict[str, Any] = {}
    for part in tail.split("&") if tail else []:
        key, equals, value = part.partition("=")
        if not key or not equals:
            raise UserError(f"--suite {text!r}: expected key=value after the `?`, got {part!r}")
        try:
            knobs[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"--suite {text!r}: the value of {key} is not valid YAML: {value!r}") from None
    return knobs


def _world(chosen: Chosen, where: str) -> PromptSource:
    named = "instructions" if chosen.suite.compared else chosen.argument
    domains = [part for part in named.split(",") if part] or list(WORLD_DOMAINS)
    knobs = validate(_WorldKnobs, chosen.knobs, where)
    entry = WorldEntry(
        world=domains, split="held_out", languages=knobs.languages, levels=knobs.levels, name="world"
    )
    return build_source(entry, knobs.seed, where=where)


def _task(chosen: Chosen, n: int, where: str) -> PromptSource:
    knobs = dict(chosen.knobs)
    seed = knobs.pop("seed", None)
    entry = validate(
        TaskEntry,
        {
            "reasoning_gym": chosen.argument,
            "options": knobs,
            "size": 2 * n,  # some tasks repeat themselves
            **({"split": "held_out"} if seed is None else {"seed": seed}),
        },
        where,
    )
    return build_source(entry, ITEM_SEED, where=where)


def _distinct(source: PromptSource, n: int, where: str) -> list[Prompt]:
    """The first `n` problems whose questions differ: an endless source may repeat itself, a small one run out."""
    found: dict[str, Prompt] = {}
    index = 0
    while len(found) < n and index < (source.size or 64 * n):
        prompt = source.prompt(index)
        found.setdefault(prompt.question, prompt)
        index += 1
    if len(found) < n and source.size is None:
        raise UserError(f"{where}: it makes only {len(found)} different problems; lower --n to that")
    return list(found.values())


def _from_table(chosen: Chosen, n: int | None, file: Path | None, skip: bool, where: str) -> Items:
    suite = chosen.suite
    found = table_items(suite, chosen.knobs, file, skip, where)
    source, solutions = found.source, found.solutions
    size = source.size or 0
    if n is not None and n > size:
        raise UserError(
            f"{where}: it has {size} items and --n asks for {n}; lower it, or leave it out for all"
        )
    order = [permute(make_key("items", suite.name), size, place) for place in range(n or size)]
    prompts = [source.prompt(index) for index in order]
    texts = {
        prompt.id: prompt.question
        if solutions is None
        else f"{prompt.question}\n\n{solutions.solution(index)}"
        for prompt, index in zip(prompts, order, strict=True)
    }
    questions = {prompt.id: prompt.question for prompt in prompts}
    return Items([_framed(suite, prompt) for prompt in prompts], texts, questions, _described(source))


def _framed(suite: Suite, prompt: Prompt) -> Prompt:
    options: Sequence[str] = prompt.extra.get("options") or ()
    question = suite.framed(prompt.question, prompt.language, LETTERS[: len(options)])
    # The official rules compare with the prompt itself where the answer must repeat it.
    extra = {**prompt.extra, "prompt": prompt.question} if suite.verifier == "ifeval" else prompt.extra
    return replace(
        prompt,
        question=question,
        verifier=suite.verifier or prompt.verifier,
        domain=suite.domain or prompt.domain,
        extra=extra,
        messages=prompt.messages if question == prompt.question else (),
    )


def _described(source: PromptSource) -> dict[str, Any]:
    stated = source.describe() if isinstance(source, DescribedSource) else {}
    return {"name": source.name, **stated}
