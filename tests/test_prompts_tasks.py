"""reasoning-gym tasks: the same problems in every process and order, and clear words for a wrong name or knob."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest
import reasoning_gym

from ahalab.errors import UserError
from ahalab.prompts import build_source, validate_prompts
from ahalab.prompts.tasks import HASH_ORDERED, REFUSED, TaskSource, derive_seed


def load(run_seed: int = 0, **settings: Any) -> TaskSource:
    (entry,) = validate_prompts([settings], "r.yaml")
    source = build_source(entry, run_seed, where="r.yaml: prompts[0]")
    assert isinstance(source, TaskSource)
    return source


def refusal(**settings: Any) -> str:
    with pytest.raises(UserError) as error:
        load(**settings)
    return str(error.value)


def test_a_task_gives_its_problems_with_what_its_grader_needs() -> None:
    source = load(reasoning_gym="chain_sum", options={"min_terms": 3}, size=20, seed=5)
    problems = reasoning_gym.create_dataset("chain_sum", seed=5, size=20, min_terms=3)
    assert source.size == 20
    for index in range(20):
        prompt = source.prompt(index)
        assert (prompt.question, prompt.answer) == (problems[index]["question"], problems[index]["answer"])
        assert (prompt.domain, prompt.verifier, prompt.source) == ("math", "reasoning_gym", "chain_sum")
        assert prompt.extra["task"] == "chain_sum"
        assert prompt.extra["config"] == {"min_terms": 3}
        assert prompt.extra["entry"] == json.loads(json.dumps(problems[index]))
    assert len({source.prompt(index).id for index in range(20)}) == 20


def test_the_resolved_recipe_states_every_knob() -> None:
    stated = load(reasoning_gym="chain_sum", options={"min_terms": 3}, size=20, seed=5).describe()
    assert stated["options"] == {
        "min_terms": 3,
        "max_terms": 6,
        "min_digits": 1,
        "max_digits": 4,
        "allow_negation": False,
    }
    assert (stated["seed"], stated["size"], stated["domain"]) == (5, 20, "math")
    assert json.loads(json.dumps(stated)) == stated


def test_repeated_problems_have_ids_of_their_own_and_the_same_hash() -> None:
    source = load(reasoning_gym="coin_flip", options={"min_trials": 3, "max_trials": 3}, size=60)
    prompts = [source.prompt(index) for index in range(60)]
    assert len({prompt.id for prompt in prompts}) == 60
    hashes = {(prompt.question, prompt.id.rpartition("-")[0]) for prompt in prompts}
    assert len(hashes) == len({prompt.question for prompt in prompts}) < 60


@pytest.mark.parametrize("task", ["list_functions", "pool_matrix", "chain_sum"])
def test_a_problem_depends_on_its_index_alone_and_leaves_global_randomness_alone(task: str) -> None:
    source = load(reasoning_gym=task, size=50)
    random.seed(1)
    forward = [source.prompt(index) for index in range(25)]
    random.seed(2)
    state = random.getstate()
    backward = [source.prompt(index) for index in reversed(range(25))][::-1]
    assert forward == backward
    assert random.getstate() == state


def test_train_and_held_out_draw_from_seeds_far_apart() -> None:
    train, held_out = (load(reasoning_gym="chain_sum", split=split) for split in ("train", "held_out"))
    assert abs(train.seed - held_out.seed) > train.size
    assert load(reasoning_gym="chain_sum").seed == train.seed == derive_seed(0, "train", "chain_sum")
    assert load(1, reasoning_gym="chain_sum").seed != train.seed
    assert "either `seed` or `split`" in refusal(reasoning_gym="chain_sum", seed=1, split="held_out")


def test_the_level_is_the_tasks_difficulty_or_the_metadata_named() -> None:
    assert load(reasoning_gym="bitwise_arithmetic", options={"difficulty": 2}).prompt(0).level == 2
    assert load(reasoning_gym="gsm_symbolic").prompt(0).level == 1
    # chain_sum states the ranges it draws from, which is no level …
    assert load(reasoning_gym="chain_sum").prompt(0).level is None
    # … but each problem's own number of terms may serve.
    named = load(reasoning_gym="chain_sum", level="num_terms", size=30)
    levels = [named.prompt(index).level for index in range(30)]
    assert levels == [
        named.prompt(index).question.count(" + ") + named.prompt(index).question.count(" - ") + 1
        for index in range(30)
    ]
    message = refusal(reasoning_gym="chain_sum", level="num_term")
    assert "did you mean `num_terms`?" in message


def test_an_unknown_task_names_the_nearest() -> None:
    message = refusal(reasoning_gym="chain_sums")
    assert "r.yaml: prompts[0].reasoning_gym: reasoning-gym has no task 'chain_sums'" in message
    assert "are chain_sum, " in message


def test_a_bad_knob_lists_the_tasks_knobs_with_defaults() -> None:
    message = refusal(reasoning_gym="chain_sum", options={"min_term": 3})
    assert message.startswith("r.yaml: prompts[0].options.min_term: ")
    assert "did you mean `min_terms`?" in message
    assert "min_terms=2, max_terms=6" in message
    for value in (9, "3", None):
        message = refusal(reasoning_gym="chain_sum", options={"min_terms": value})
        assert "prompts[0].options: chain_sum refuses them: " in message
        assert "max_terms=6" in message


def test_the_tasks_that_are_no_source_are_refused_with_the_reason() -> None:
    assert "one entry a task" in refusal(reasoning_gym="composite")
    assert "running code from the web" in refusal(reasoning_gym="codeio")


def test_a_problem_that_cannot_be_made_is_the_users_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    source = load(reasoning_gym="chain_sum")
    monkeypatch.setattr(source, "_data", [])
    with pytest.raises(UserError, match=r"'chain_sum': .* cannot make problem 3 of seed .* IndexError"):
        source.prompt(3)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    assert "pip install 'ahalab[tasks]'" in refusal(reasoning_gym="chain_sum")


def test_a_task_that_differs_between_processes_is_refused_without_a_fixed_hash_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    assert "Set PYTHONHASHSEED=0" in refusal(reasoning_gym="ransom_note")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    assert load(reasoning_gym="ransom_note").size == 1000


SURVEY = """
import hashlib, json, sys
from ahalab.prompts.tasks import TaskSource
made = {}
for name in sys.argv[1:]:
    task = TaskSource(name, task=name, options={}, size=9, seed=11, where="")
    prompts = [task.prompt(index) for index in (0, 8)]
    made[name] = [(prompt.answer, json.dumps(prompt.extra), prompt.verifier) for prompt in prompts]
# The grader closes `eval` inside reasoning-gym for good: only after all problems are made.
from ahalab.grading.verifiers import VERIFIERS
scores = {
    name: [VERIFIERS[rule](gold, gold, json.loads(extra)) for gold, extra, rule in graded if gold is not None]
    for name, graded in made.items()
}
print()
print(json.dumps({name: [hashlib.md5(repr(made[name]).encode()).hexdigest(), scores[name]] for name in made}))
"""


def survey(names: list[str], hash_seed: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", SURVEY, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check_survey(names: list[str]) -> None:
    first, second = survey(names, "1"), survey(names, "2")
    assert sorted(first) == sorted(names)
    assert {name: seen[0] for name, seen in first.items()} == {name: seen[0] for name, seen in second.items()}
    assert {name: set(seen[1]) - {1.0} for name, seen in first.items() if set(seen[1]) - {1.0}} == {}


def test_every_process_makes_the_same_problems_and_the_grader_gives_their_golds_full_marks() -> None:
    check_survey(
        ["chain_sum", "knights_knaves", "rearc", "number_sorting", "complex_arithmetic", "graph_color"]
    )


@pytest.mark.proof
def test_so_does_every_task_of_reasoning_gym() -> None:
    check_survey(sorted(set(reasoning_gym.factory.DATASETS) - HASH_ORDERED - set(REFUSED)))
