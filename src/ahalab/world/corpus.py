"""The pretraining corpus of `builtin:tiny`: document number `index` is a pure function of (seed, index)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ahalab.records import Language
from ahalab.text.template import table1_prompt
from ahalab.world.choice import Choice
from ahalab.world.domain import Domain, Mixture, Problem, Split, Trace, keyed_random, split_of
from ahalab.world.functions import Functions, Repairs
from ahalab.world.instructions import Instructions
from ahalab.world.logic import Logic
from ahalab.world.mathematics import Mathematics
from ahalab.world.moves import Said, join, read_back, wording
from ahalab.world.reasoning import ReasoningDomain
from ahalab.world.safety import Safety

_ALL: tuple[Domain, ...] = (
    Mathematics(),
    Logic(),
    Choice(),
    Functions(),
    Instructions(),
    Safety(),
    Repairs(),
)

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in _ALL}
"""Every domain of the world by name; a new domain joins here."""

REASONING = ("math", "logic", "choice", "code")
"""Domains whose answers a rule checks: the reasoning prompts of the paper's Table 4."""


def world_problem(
    seed: int,
    index: int,
    *,
    split: Split,
    domain: str = "math",
    languages: tuple[Language, ...] = ("en", "zh"),
    levels: tuple[int, ...] | None = None,
) -> Problem:
    """Problem number `index` of an endless list. Problems of the other split are drawn again, never returned."""
    source = DOMAINS[domain]
    attempt = 0
    while True:
        rng = keyed_random("problem", seed, split, domain, index, attempt)
        language = rng.choice(languages)
        problem = source.problem(rng, language, rng.choice(levels or source.levels))
        if split_of(problem.key) == split:
            return problem
        attempt += 1


def document(seed: int, index: int, mixture: Mixture) -> str:
    """One document of the corpus, without the end token: a drill, or a question answered in the base template."""
    rng = keyed_random("document", seed, index)
    domain = rng.choices(_ALL, [domain.weight for domain in _ALL])[0]
    if rng.random() < mixture.drill * domain.drill_share:
        return domain.drill(rng)
    language: Language = "zh" if rng.random() < mixture.chinese else "en"
    problem = world_problem(
        seed, index, split="train", domain=domain.name, languages=(language,), levels=domain.levels
    )
    if rng.random() < mixture.worked:
        return _worked(problem, domain, rng)
    trace = domain.trace(problem, rng, mixture)
    return table1_prompt(problem.question) + _completion(trace, rng, mixture)


def say(said: Sequence[Said], problem: Problem, domain: Domain, rng: random.Random) -> str:
    """Moves in the first person and in the problem's language."""
    parts = []
    for one in said:
        if isinstance(domain, Instructions | Safety):
            values = domain.values(one, problem)
        else:
            foreign = one.language is not None and one.language != problem.language
            values = {
                name: domain.translate(value, problem.language) if foreign else value
                for name, value in one.values.items()
            }
        parts.append(wording(one.move.first_person, problem.language, rng, values))
    return join(parts)


def _worked(problem: Problem, domain: Domain, rng: random.Random) -> str:
    """A worked solution as books have them: first person and summary, without the template's tags."""
    if isinstance(domain, ReasoningDomain) and rng.random() < 0.5:
        trace = domain.trace(problem, rng, Mixture(check=1.0, mixed_language=0.0))
        said, answer = domain.refined(problem, read_back(trace.thinking, domain.moves), trace.answer, rng)
    else:
        said, answer = domain.good(problem, rng)
    return join([problem.question, *([say(said, problem, domain, rng)] if said else []), answer])


def _completion(trace: Trace, rng: random.Random, mixture: Mixture) -> str:
    thinking, answer = trace.thinking, trace.answer
    if rng.random() >= mixture.badly_formatted:
        return f" <think> {thinking} </think> <answer> {answer} </answer>"
    return rng.choice(
        (
            f" {thinking} <answer> {answer} </answer>",
            f" <think> {thinking} <answer> {answer} </answer>",
            f" <think> {thinking} </think> {answer}",
            f" {thinking}",
            f" <answer> {answer} </answer>",
        )
    )
