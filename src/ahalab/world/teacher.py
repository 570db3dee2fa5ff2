"""The offline teacher: rewrites what a model thought about a problem of the world, and answers by the world's rules.

It stands in for "DeepSeek-V3 and human annotators" (paper B.3.2, B.3.3) where there is no network. It can only do so
because every sentence of the world is known; what it does not recognise it refuses, and says why.
"""

from __future__ import annotations

from ahalab.records import Prompt
from ahalab.world.corpus import DOMAINS, say
from ahalab.world.domain import CannotRefine, Mixture, Problem, keyed_random
from ahalab.world.moves import UnknownSentence, read_back

VARIED = Mixture(good_manners=0.6, instruction_slip=0.45, unsafe_compliance=0.45, bare_refusal=0.15)
"""What preference data are made of: more good answers than the pretraining corpus has (our choice)."""


def problem_of(prompt: Prompt) -> Problem:
    """The world's problem behind a prompt.

    Raises:
        CannotRefine: the prompt is not of the tiny world.
    """
    world = prompt.extra.get("world")
    if not isinstance(world, dict) or world.get("domain") not in DOMAINS:
        raise CannotRefine("not a prompt of the tiny world")
    return Problem(
        world["domain"],
        world["kind"],
        world["language"],
        world["level"],
        prompt.question,
        prompt.answer or "",
        "",
        world["data"],
    )


def refine(prompt: Prompt, thinking: str, answer: str, key: int) -> tuple[str, str]:
    """Thinking in the first person and in the question's language, and a summary (Listing 1) of the given answer.

    Faithful: the sentences and numbers are those of `thinking`, also where they are wrong. `answer` is the final
    answer alone. `key` chooses among wordings.

    Raises:
        CannotRefine: a sentence is not of the world, or the domain has no such rule.
    """
    problem = problem_of(prompt)
    domain = DOMAINS[problem.domain]
    try:
        said = read_back(thinking, domain.moves)
    except UnknownSentence as error:
        raise CannotRefine("unknown sentence") from error
    rng = keyed_random("refine", key)
    kept, summary = domain.refined(problem, said, answer, rng)
    return say(kept, problem, domain, rng), summary


def respond(prompt: Prompt, key: int) -> tuple[str, str]:
    """A good (thinking, answer) by the world's rules; no thinking for trivial queries. Raises CannotRefine."""
    problem = problem_of(prompt)
    domain, rng = DOMAINS[problem.domain], keyed_random("respond", key)
    said, answer = domain.good(problem, rng)
    return say(said, problem, domain, rng), answer


def respond_variously(prompt: Prompt, key: int) -> tuple[str, str]:
    """A (thinking, answer) that is good, middling or bad, as the world's people answer. Raises CannotRefine."""
    problem = problem_of(prompt)
    rng = keyed_random("respond variously", key)
    if rng.random() < 0.3:
        said, answer = DOMAINS[problem.domain].good(problem, rng)
        return say(said, problem, DOMAINS[problem.domain], rng), answer
    trace = DOMAINS[problem.domain].trace(problem, rng, VARIED)
    return trace.thinking, trace.answer
