"""Puzzles: bundled groups, one difficulty for all, and Countdown by our own verifier. Golds score full marks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import reasoning_gym

from ahalab.errors import UserError
from ahalab.grading.countdown import countdown_verifier
from ahalab.prompts import PromptSource, build_source, validate_prompts
from ahalab.prompts.puzzles import DIFFICULTIES, GROUPS, PuzzleSource, tasks_of
from ahalab.prompts.tasks import HASH_ORDERED, REFUSED, TaskSource


def load(run_seed: int = 0, folder: Path | None = None, **settings: Any) -> PromptSource:
    (entry,) = validate_prompts([settings], "r.yaml")
    return build_source(entry, run_seed, where="r.yaml: prompts[0]", folder=folder)


def refusal(**settings: Any) -> str:
    with pytest.raises(UserError) as error:
        load(**settings)
    return str(error.value)


def test_groups_hold_tasks_that_exist_and_none_that_differs_between_processes() -> None:
    tasks = set(tasks_of(list(GROUPS)))
    assert tasks == set(GROUPS["logic"])
    assert tasks <= set(reasoning_gym.factory.CURRICULA)
    assert not tasks & (HASH_ORDERED | set(REFUSED))
    assert not set(GROUPS) & set(reasoning_gym.factory.DATASETS)


def test_a_group_asks_its_tasks_in_turn() -> None:
    source = load(reasoning_gym="arithmetic_games", size=23, difficulty=1)
    assert isinstance(source, PuzzleSource)
    prompts = [source.prompt(index) for index in range(23)]
    assert [prompt.extra["task"] for prompt in prompts[:4]] == list(GROUPS["arithmetic_games"])
    assert prompts[0].extra["task"] == prompts[4].extra["task"]
    assert {(prompt.domain, prompt.source, prompt.level) for prompt in prompts} == {
        ("logic", "arithmetic_games", 1)
    }
    assert len({prompt.id for prompt in prompts}) == 23
    assert prompts == [source.prompt(index) for index in range(23)]
    stated = source.describe()
    assert [part["difficulty"] for part in stated["parts"]] == [1] * 4
    assert json.loads(json.dumps(stated)) == stated


def test_lists_mix_tasks_groups_and_difficulties() -> None:
    source = load(
        reasoning_gym=["countdown", "chain_sum", "countdown"], difficulty=[1, 3], size=8, name="mine"
    )
    prompts = [source.prompt(index) for index in range(8)]
    assert [(prompt.extra["task"], prompt.level) for prompt in prompts[:4]] == [
        ("countdown", 1),
        ("countdown", 3),
        ("chain_sum", 1),
        ("chain_sum", 3),
    ]
    assert prompts[2].domain == "math"
    assert tasks_of(["ciphers", "deduction", "arithmetic_games"]) == list(GROUPS["logic"])


def test_difficulty_is_the_tasks_own_curriculum() -> None:
    for difficulty, people in zip(DIFFICULTIES, (2, 3, 4, 5, 6), strict=True):
        source = load(reasoning_gym="zebra_puzzles", difficulty=difficulty)
        assert isinstance(source, TaskSource)
        assert source.describe()["options"] == {"num_people": people, "num_characteristics": people}
        assert source.prompt(0).level == difficulty
    # A range reaches from the easiest level up to this one, as reasoning-gym has it.
    assert load(reasoning_gym="coin_flip", difficulty=4).prompt(0).level == 4


def test_options_of_ones_own_go_before_the_difficulty() -> None:
    source = load(reasoning_gym="zebra_puzzles", difficulty=1, options={"num_people": 4})
    assert isinstance(source, TaskSource)
    assert source.describe()["options"] == {"num_people": 4, "num_characteristics": 2}


def test_where_a_task_finds_no_problem_the_next_that_it_finds_is_asked() -> None:
    source = load(reasoning_gym="countdown", difficulty=1, seed=791297662 - 40, size=400)
    given_up = 0
    for index in range(60):
        assert source.prompt(index) == source.prompt(index)
        try:
            reasoning_gym.create_dataset(
                "countdown", seed=791297662 - 40, size=400, **source.describe()["options"]
            )[index]
        except ValueError:
            given_up += 1
    assert given_up


def test_a_level_that_the_task_itself_refuses_is_lowered() -> None:
    # caesar_cipher's curriculum ends in rotations of 50; the alphabet has 26 letters.
    options = load(reasoning_gym="caesar_cipher", difficulty=5)
    assert isinstance(options, TaskSource)
    stated = options.describe()["options"]
    assert (stated["max_rotation"] < 26, stated["max_words"]) == (True, 50)


def test_what_has_no_difficulty_is_refused_with_the_tasks_that_have() -> None:
    message = refusal(reasoning_gym="list_functions", difficulty=2)
    assert "states no degrees of difficulty for list_functions" in message
    assert "zebra_puzzles" in message
    assert "never finish" in refusal(reasoning_gym="number_sequence", difficulty=1)
    for wrong in (0, 6, [], [1, 9], "hard"):
        assert "difficulty" in refusal(reasoning_gym="countdown", difficulty=wrong)


def test_options_and_level_belong_to_one_task() -> None:
    message = refusal(reasoning_gym=["countdown", "sudoku"], options={"min_numbers": 3})
    assert "prompts[0].options: it belongs to one task, and this entry has 2" in message
    assert "prompts[0].level" in refusal(reasoning_gym="ciphers", level="num_words")
    assert "has no task 'sudokuu'" in refusal(reasoning_gym=["countdown", "sudokuu"])


@pytest.mark.parametrize("task", ["countdown", "puzzle24"])
def test_countdown_and_24_have_our_own_verifier_and_their_golds_pass_it(task: str) -> None:
    source = load(reasoning_gym=task, size=200)
    for index in range(200):
        prompt = source.prompt(index)
        assert prompt.verifier == "countdown"
        assert prompt.extra["use_all"] is True
        assert all(str(number) in prompt.question for number in prompt.extra["numbers"])
        assert countdown_verifier(str(prompt.answer), prompt.answer, prompt.extra) == 1.0, prompt
        assert countdown_verifier("24", prompt.answer, prompt.extra) == 0.0


def test_the_24_game_takes_the_given_numbers_only() -> None:
    prompt = load(reasoning_gym="puzzle24").prompt(0)
    # reasoning-gym's own scoring takes any four numbers from 1 to 10.
    assert countdown_verifier("6+6+6+6", None, prompt.extra) == 0.0


SURVEY = """
import json, sys
from ahalab.prompts import build_source, validate_prompts
group, problems, difficulties = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
from ahalab.prompts.puzzles import GROUPS
made = []
for task in GROUPS[group]:
    for difficulty in difficulties:
        (entry,) = validate_prompts([{"reasoning_gym": task, "difficulty": difficulty, "size": problems}], "")
        source = build_source(entry, 5)
        made += [(task, difficulty, source.prompt(index)) for index in range(problems)]
# The grader closes `eval` inside reasoning-gym for good: only after all problems are made.
from ahalab.grading.verifiers import VERIFIERS
for task, difficulty, prompt in made:
    extra = json.loads(json.dumps(prompt.extra))
    gold = prompt.answer
    score = None if gold is None else VERIFIERS[prompt.verifier](gold, gold, extra)
    print(json.dumps([task, difficulty, score, VERIFIERS[prompt.verifier]("no idea", gold or "", extra)]))
"""


def survey(group: str, problems: int, difficulties: list[int]) -> list[tuple[str, int, float | None, float]]:
    command = [sys.executable, "-c", SURVEY, group, str(problems), json.dumps(difficulties)]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize("group", ["ciphers", "deduction", "arithmetic_games"])
def test_every_puzzle_of_a_group_gives_its_own_gold_full_marks_and_a_shrug_none(group: str) -> None:
    found = survey(group, 2, [1, 2])
    assert len(found) == 4 * len(GROUPS[group])
    assert [one for one in found if one[2] != 1.0] == []
    assert [one for one in found if one[3] >= 0.5] == []


@pytest.mark.proof
@pytest.mark.parametrize("group", ["ciphers", "deduction", "arithmetic_games"])
def test_so_does_it_at_every_difficulty(group: str) -> None:
    found = survey(group, 5, list(DIFFICULTIES))
    assert [one for one in found if one[2] != 1.0] == []


def test_a_table_of_numbers_and_targets_is_asked_in_words(tmp_path: Path) -> None:
    rows = [{"nums": [44, 19, 35], "target": 98}, {"nums": "3, 3, 8, 8", "target": "24"}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = load(folder=tmp_path, file="c.jsonl")
    first, second = source.prompt(0), source.prompt(1)
    assert (first.domain, first.verifier, first.answer) == ("logic", "countdown", None)
    assert first.question.startswith("Make 98 from the numbers 44, 19, 35 with + - * / and brackets.")
    assert first.extra == {"numbers": [44, 19, 35], "target": 98, "use_all": True}
    assert countdown_verifier("44+19+35", None, first.extra) == 1.0
    assert countdown_verifier("8/(3-8/3)", None, second.extra) == 1.0
    loose = load(folder=tmp_path, file="c.jsonl", countdown={"use_all": False}).prompt(0)
    assert "at most once" in loose.question
    assert loose.extra["use_all"] is False


def test_a_table_of_24_games_needs_no_target(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"cards": [4, 6, 1, 1], "q": "Make 24!"}\n')
    prompt = load(folder=tmp_path, file="c.jsonl", question="q", countdown={"numbers": "cards"}).prompt(0)
    assert (prompt.question, prompt.extra["target"]) == ("Make 24!", 24)


@pytest.mark.parametrize(
    ("row", "settings", "told"),
    [
        ({"nums": [3], "target": 3}, {}, "expected a list of 2 to 20 whole numbers"),
        ({"nums": "3 and 4", "target": 3}, {}, "expected a list of 2 to 20 whole numbers"),
        ({"nums": [3, -4], "target": 3}, {}, "expected a whole number from 0"),
        ({"nums": [3, 4.5], "target": 3}, {}, "expected a whole number from 0"),
        ({"nums": [3, 4], "target": "x"}, {}, "expected a whole number"),
        ({"nums": [3, 4], "target": None}, {}, "expected the target"),
        ({"text": "?"}, {"countdown": {}}, "cannot tell which column"),
        ({"nums": [3, 4], "target": 7}, {"countdown": {"numbers": "numbrs"}}, "has no column 'numbrs'"),
        ({"nums": [3, 4], "target": 7}, {"countdown": {"useall": True}}, "did you mean `use_all`?"),
    ],
)
def test_a_puzzle_that_is_none_is_named(
    tmp_path: Path, row: dict[str, Any], settings: dict[str, Any], told: str
) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps(row) + "\n")
    assert told in refusal(folder=tmp_path, file="c.jsonl", **settings)
