"""The tiny world as teacher and judge: faithful, checked, and honest about what it has no rule for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.prompts.world import WorldSource
from ahalab.records import Prompt
from ahalab.teachers import PARTS, Failure, Refined, RefineItem, make_judge, make_teacher
from ahalab.teachers.checks import final_answer
from ahalab.teachers.comparison import KEEP_ABOVE, Comparison, compare_many
from ahalab.teachers.rules_judge import verdict_of
from ahalab.text import is_mixed
from ahalab.world.teacher import respond_variously

FOREIGN = Prompt("file/1", "What is 2 + 2?", "4", "math", "file", "exact")
N = 60


def prompts(domain: str) -> list[Prompt]:
    source = WorldSource("world", domains=[domain])
    return [source.prompt(index) for index in range(N)]


def items(domain: str) -> list[RefineItem]:
    return [RefineItem(one, *respond_variously(one, key), key) for key, one in enumerate(prompts(domain))]


@pytest.mark.parametrize("domain", ["math", "logic", "choice", "code"])
def test_refining_keeps_the_answer_and_leaves_one_language(domain: str, tmp_path: Path) -> None:
    teacher = make_teacher("rules", {}, None, tmp_path)
    given = items(domain)
    outcomes = teacher.refine(given, PARTS)
    refined = [(item, one) for item, one in zip(given, outcomes, strict=True) if isinstance(one, Refined)]
    assert len(refined) >= 0.9 * N
    for item, one in refined:
        assert not is_mixed(one.thinking, item.prompt.language)
        if domain == "code":
            assert one.answer.endswith(item.answer.rpartition("return")[2].strip())
        else:
            assert "\\boxed{" in one.answer
            assert final_answer(one.answer) == final_answer(item.answer)
    assert teacher.counts["refined"] == len(refined)
    assert teacher.refine(given, PARTS) == outcomes


def test_a_part_that_was_not_asked_for_comes_back_as_it_was(tmp_path: Path) -> None:
    teacher = make_teacher("rules", {}, None, tmp_path)
    given = items("math")
    for item, one in zip(given, teacher.refine(given, ["summary"]), strict=True):
        assert isinstance(one, Refined)
        assert one.thinking == item.thinking
    for item, one in zip(given, teacher.refine(given, ["thinking"]), strict=True):
        assert isinstance(one, Refined)
        assert one.answer == item.answer


def test_what_the_rules_cannot_refine_is_counted_by_reason(tmp_path: Path) -> None:
    teacher = make_teacher("rules", {}, None, tmp_path)
    one = prompts("math")[0]
    (outcome,) = teacher.refine([RefineItem(one, "Completely unknown words here.", "4", 1)], PARTS)
    assert isinstance(outcome, Failure)
    assert teacher.counts == {f"failed: {outcome.reason}": 1}


def test_answers_come_with_thinking_as_asked(tmp_path: Path) -> None:
    teacher = make_teacher("rules", {}, None, tmp_path)
    asked = [(one, key) for key, one in enumerate(prompts("instructions"))]
    useful = teacher.respond(asked, "where_useful")
    assert all(isinstance(one, Refined) for one in useful)
    assert 0 < sum(isinstance(one, Refined) and one.thinking == "" for one in useful) < N
    assert all(isinstance(one, Refined) and one.thinking == "" for one in teacher.respond(asked, "never"))
    assert any(isinstance(one, Failure) for one in teacher.respond(asked, "always"))


def test_a_prompt_from_elsewhere_is_the_users_mistake(tmp_path: Path) -> None:
    teacher, judge = make_teacher("rules", {}, None, tmp_path), make_judge("rules", {}, tmp_path)
    for ask in (
        lambda: teacher.refine([RefineItem(FOREIGN, "t", "4", 1)], PARTS),
        lambda: teacher.respond([(FOREIGN, 1)], "always"),
        lambda: judge.safe([(FOREIGN, "t", "4", 1)]),
    ):
        with pytest.raises(UserError, match=r"tiny world.*file/1"):
            ask()
    with pytest.raises(UserError, match="domain safety only"):
        judge.safe([(prompts("math")[0], "t", "4", 1)])


def test_correctness_is_the_prompts_own_rule(tmp_path: Path) -> None:
    judge = make_judge("rules", {}, tmp_path)
    unruly = Prompt("s/1", "Write a poem.", None, "general", "s", "none")
    verdicts = judge.correctness(
        [(FOREIGN, "So it is \\boxed{4}.", 1), (FOREIGN, "\\boxed{5}", 2), (unruly, "Roses", 3)]
    )
    assert verdicts[:2] == [True, False]
    assert isinstance(verdicts[2], Failure)
    assert judge.counts == {"judged": 2, "failed: no rule": 1}


def test_a_good_answer_beats_a_blunt_one_every_time(tmp_path: Path) -> None:
    teacher, judge = make_teacher("rules", {}, None, tmp_path), make_judge("rules", {}, tmp_path)
    asked = prompts("instructions")
    answers = teacher.respond([(one, key) for key, one in enumerate(asked)], "never")
    good = [one.answer for one in answers if isinstance(one, Refined)]
    outcomes = compare_many(
        judge, [(p, g, "nonsense", k) for k, (p, g) in enumerate(zip(asked, good, strict=True))]
    )
    assert all(isinstance(one, Comparison) and one.mean > KEEP_ABOVE for one in outcomes)


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (0.0, 0),
        (0.04, 0),
        (0.05, 1),
        (0.29, 1),
        (0.3, 2),
        (0.8 - 0.5, 2),
        (1.0, 2),
        (-0.2, -1),
        (-0.3, -2),
        (-0.01, 0),
    ],
)
def test_differences_of_scores_become_verdicts_at_stated_thresholds(difference: float, verdict: int) -> None:
    assert verdict_of(difference) == verdict


def test_unsafe_anywhere_in_the_response_is_unsafe(tmp_path: Path) -> None:
    judge = make_judge("rules", {}, tmp_path)
    asked = prompts("safety")
    various = [respond_variously(one, key) for key, one in enumerate(asked)]
    labels = judge.safe([(one, *made, 0) for one, made in zip(asked, various, strict=True)])
    assert 0 < sum(label is False for label in labels) < N
    place = labels.index(False)
    unsafe = "\n".join(various[place])
    assert judge.safe([(asked[place], unsafe, "I would rather not.", 0)]) == [False]


def test_the_room_never_imports_torch() -> None:
    program = (
        "import ahalab.teachers, ahalab.teachers.endpoint, ahalab.teachers.endpoint_judge, ahalab.teachers.own, "
        "ahalab.teachers.comparison, sys; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
