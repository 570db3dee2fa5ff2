"""The tiny world: truths are true, splits never leak, documents are pure functions of their number."""

from __future__ import annotations

import dataclasses
import re

import pytest

from ahalab.errors import UserError
from ahalab.prompts.world import WorldSource
from ahalab.text.template import TABLE1_PREAMBLE
from ahalab.world.corpus import DOMAINS, document, world_problem
from ahalab.world.domain import Mixture, keyed_random, split_of
from ahalab.world.mathematics import Mathematics

# Not inside a function of x, which has expressions of another kind.
EXPRESSION = re.compile(r"(?<![A-Za-z0-9)*+-])\d+(?:[+-]\d+)+(?![\d*])")
STEP = re.compile(r"(?<![A-Za-z0-9)*+-])(\d+)([+-])(\d+)=(\d+)")
MIXTURE = Mixture()


def total(expression: str) -> int:
    """The truth, by another way than the world's own."""
    return sum(int(term) for term in re.findall(r"[+-]?\d+", expression))


def key_of(expression: str) -> str:
    """The canonical key of an expression found in a text."""
    return "math:" + ",".join(map(str, sorted(int(t) for t in re.findall(r"[+-]?\d+", expression))))


def questions(text: str) -> list[str]:
    """Every expression in a text that could be a problem: three terms or more."""
    return [found for found in EXPRESSION.findall(text) if len(re.findall(r"\d+", found)) >= 3]


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_every_answer_is_the_expressions_value(split):
    for index in range(500):
        problem = world_problem(3, index, split=split)
        (expression,) = questions(problem.question)
        assert problem.answer == str(total(expression))
        assert len(problem.data["terms"]) == problem.level + 2


def test_the_two_splits_share_no_problem():
    train = {world_problem(0, index, split="train").key for index in range(20_000)}
    held_out = {world_problem(0, index, split="held_out").key for index in range(5_000)}
    assert not train & held_out
    assert all(split_of(key) == "held_out" for key in held_out)


def test_held_out_problems_never_occur_in_the_corpus():
    """Read back from the text of the documents, not from the generator's own bookkeeping."""
    seen = 0
    for index in range(-2_000, 60_000):
        for expression in questions(document(0, index, MIXTURE)):
            seen += 1
            assert split_of(key_of(expression)) == "train", expression
    assert seen > 15_000


def test_the_order_of_terms_makes_no_other_problem():
    domain = Mathematics()
    problem = domain.problem(keyed_random("x"), "en", 3)
    terms = problem.data["terms"]
    assert key_of("+".join(map(str, terms[::-1])).replace("+-", "-")) == problem.key


def test_every_step_in_the_corpus_is_right():
    """Guesses may be wrong, steps never: that is what makes checking pay."""
    steps = 0
    for index in range(4_000):
        for left, sign, right, result in STEP.findall(document(0, index, MIXTURE)):
            expected = int(left) + int(right) if sign == "+" else int(left) - int(right)
            assert int(result) == expected
            steps += 1
    assert steps > 8_000


def test_checks_end_right_and_guesses_follow_the_mixture():
    domain, checked, right_at_once, at_once = Mathematics(), 0, 0, 0
    for index in range(5_000):
        rng = keyed_random("trace", index)
        problem = domain.problem(rng, "en", 2)
        trace = domain.trace(problem, rng, MIXTURE)
        if trace.checked:
            checked += 1
            assert trace.answer == problem.answer
        else:
            at_once += 1
            right_at_once += trace.answer == problem.answer
    assert checked / 5_000 == pytest.approx(MIXTURE.check, abs=0.02)
    assert right_at_once / at_once == pytest.approx(MIXTURE.direct_right, abs=0.03)


def test_a_document_is_a_pure_function_of_seed_and_number():
    assert [document(1, i, MIXTURE) for i in range(50)] == [document(1, i, MIXTURE) for i in range(50)]
    assert document(1, 7, MIXTURE) != document(2, 7, MIXTURE)


def test_documents_ask_in_the_papers_template_in_both_languages():
    texts = [document(0, index, MIXTURE) for index in range(2_000)]
    asked = [text for text in texts if text.startswith(TABLE1_PREAMBLE)]
    weights = sum(domain.weight for domain in DOMAINS.values())
    drills = sum(domain.weight * domain.drill_share for domain in DOMAINS.values()) * MIXTURE.drill / weights
    assert len(asked) / len(texts) == pytest.approx((1 - drills) * (1 - MIXTURE.worked), abs=0.04)
    chinese = [text for text in asked if re.search(r"[\u4e00-\u9fff]", text.split("Assistant:")[-2][-60:])]
    assert len(chinese) / len(asked) == pytest.approx(MIXTURE.chinese, abs=0.06)


def test_worked_documents_are_in_the_first_person_and_without_the_template():
    worked = dataclasses.replace(MIXTURE, drill=0.0, worked=1.0, chinese=0.0)
    texts = [document(0, index, worked) for index in range(300)]
    assert not any(text.startswith(TABLE1_PREAMBLE) or "<think>" in text for text in texts)
    assert sum(" I " in text for text in texts) / len(texts) > 0.8
    assert sum("\\boxed{" in text for text in texts) / len(texts) > 0.6


def test_prompts_of_the_world_are_stable_and_unique():
    source = WorldSource("world", domains=["math"], split="held_out", seed=5)
    prompts = [source.prompt(index) for index in range(1_000)]
    assert prompts == [source.prompt(index) for index in range(1_000)]
    assert len({prompt.id for prompt in prompts}) == 1_000
    assert {prompt.language for prompt in prompts} == {"en", "zh"}


def test_an_unknown_domain_or_level_is_named():
    with pytest.raises(UserError, match="astrology"):
        WorldSource("w", domains=["astrology"])
    with pytest.raises(UserError, match="level 9"):
        WorldSource("w", domains=["math"], levels=[9])
