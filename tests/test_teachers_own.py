"""The model as its own teacher: few-shot prompts, read up to the rule, and checked like any other's work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ahalab.records import Prompt
from ahalab.teachers import PARTS, Failure, Outcome, Refined, RefineItem, Teacher, make_teacher

PROMPT = Prompt("s/1", "What is 1 + 1 + 2?", "4", "math", "s", "exact")
ITEM = RefineItem(PROMPT, "2+2 则 4", "4", 1)


class Model:
    """Completes with fixed texts and remembers what it was shown."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.prompts, self.keys = list(texts), list[str](), list[int]()

    def __call__(self, prompts: Sequence[str], keys: Sequence[int]) -> list[str]:
        self.prompts += prompts
        self.keys += keys
        return [self.texts.pop(0) for _ in prompts]


def own(model: Model, folder: Path) -> Teacher:
    return make_teacher("self", {}, model, folder)


def test_the_thinking_and_then_the_summary_are_continued(tmp_path: Path) -> None:
    model = Model(" I add 2 and 2 and get 4.\n---\nProblem: more", " It is \\boxed{4}.\n---")
    (outcome,) = own(model, tmp_path).refine([ITEM], PARTS)
    assert outcome == Refined("I add 2 and 2 and get 4.", "It is \\boxed{4}.")
    assert model.prompts[0].endswith("Problem: What is 1 + 1 + 2?\nNotes: 2+2 则 4\nRewritten:")
    assert model.prompts[1].endswith("Working: I add 2 and 2 and get 4.\nResult: 4\nAnswer:")
    assert len(set(model.keys)) == 2


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["", ""], "empty"),
        (["I add and add and"], "empty"),
        (["I add.", "It is \\boxed{5}."], "final answer changed"),
        (["I <think> hm.", "It is \\boxed{4}."], "leftover tag"),
    ],
)
def test_bad_work_is_a_counted_failure(tmp_path: Path, texts: list[str], reason: str) -> None:
    teacher = own(Model(*texts), tmp_path)
    (outcome,) = teacher.refine([ITEM], PARTS)
    assert isinstance(outcome, Failure)
    assert outcome.reason == reason
    assert teacher.counts == {f"failed: {reason}": 1}


def test_one_failed_thinking_asks_for_no_summary_and_disturbs_no_other(tmp_path: Path) -> None:
    model = Model("", "I add.", "It is \\boxed{4}.")
    outcomes = own(model, tmp_path).refine([ITEM, ITEM], PARTS)
    assert isinstance(outcomes[0], Failure)
    assert outcomes[1] == Refined("I add.", "It is \\boxed{4}.")
    assert len(model.prompts) == 3


@pytest.mark.parametrize(
    ("text", "thinking", "expected"),
    [
        (" They greet me.\nAnswer: Hello!\n---", "where_useful", Refined("They greet me.", "Hello!")),
        (" (none)\nAnswer: Hello!", "where_useful", Refined("", "Hello!")),
        (" (none)\nAnswer: Hello!", "always", "no thinking"),
        (" Hello!", "never", Refined("", "Hello!")),
        (" They greet me.", "where_useful", "reply not in form"),
        (" hm.\nAnswer:\n---", "where_useful", "empty"),
    ],
)
def test_answers(tmp_path: Path, text: str, thinking: str, expected: Outcome | str) -> None:
    model = Model(text)
    (outcome,) = own(model, tmp_path).respond([(PROMPT, 1)], thinking)  # type: ignore[arg-type]
    assert (outcome.reason if isinstance(outcome, Failure) else outcome) == expected
    assert model.prompts[0].endswith("Thinking: (none)\nAnswer:" if thinking == "never" else "Thinking:")


EASY = Prompt("s/2", "What is 1 + 1?", "2", "math", "s", "exact")
EASY_REPLY = " One more than 1 is 2.\nAnswer: $1 + 1 = 2$, so it is \\boxed{2}.\n---\nQuestion: more"
SHORT = Refined("One more than 1 is 2.", "$1 + 1 = 2$, so it is \\boxed{2}.")
HARD = Prompt(
    "s/3",
    "A tram has 12 seats, 5 are taken and 3 more are broken. How many are free?",
    "4",
    "math",
    "s",
    "exact",
)


def test_easy_sums_are_answered_briefly_in_one_completion_among_others_that_are_rewritten(
    tmp_path: Path,
) -> None:
    hard = RefineItem(HARD, "12-5-3=4", "4", 2)
    model = Model(EASY_REPLY, " I take 5 and 3 from 12.\n---", " It is \\boxed{4}.\n---")
    teacher = own(model, tmp_path)
    outcomes = teacher.refine([hard, RefineItem(EASY, "long notes", "2", 1)], PARTS)
    assert outcomes == [Refined("I take 5 and 3 from 12.", "It is \\boxed{4}."), SHORT]
    assert len(model.prompts) == 3
    assert model.prompts[0].endswith("Question: What is 1 + 1?\nThinking:")
    assert "$6 + 3 = 9$, so the result is \\boxed{9}." in model.prompts[0]
    assert teacher.counts == {"refined": 2}


def test_an_easy_sum_keeps_its_answer_or_is_a_counted_failure(tmp_path: Path) -> None:
    for reply, reason in (
        (EASY_REPLY.replace("2}", "3}"), "final answer changed"),
        (" One more than 1 is 2.", "reply not in form"),
        (" (none)\nAnswer: \\boxed{2}\n---", "empty"),
    ):
        teacher = own(Model(reply), tmp_path)
        (outcome,) = teacher.refine([RefineItem(EASY, "long notes", "2", 1)], PARTS)
        assert isinstance(outcome, Failure)
        assert outcome.reason == reason
        assert teacher.counts == {f"failed: {reason}": 1}


def test_one_part_of_an_easy_sum_is_rewritten_like_any_other(tmp_path: Path) -> None:
    model = Model("It is \\boxed{2}.")
    (outcome,) = own(model, tmp_path).refine([RefineItem(EASY, "1+1=2", "2", 1)], ["summary"])
    assert outcome == Refined("1+1=2", "It is \\boxed{2}.")


def test_only_easy_sums_are_answered_with_their_examples_unless_the_recipe_calls_others_easy(
    tmp_path: Path,
) -> None:
    def easily(model: Model) -> list[bool]:
        return ["Easy questions are answered briefly" in prompt for prompt in model.prompts]

    asked = [(HARD, 1), (EASY, 2)]
    reply = " Hm.\nAnswer: \\boxed{2}.\n---"
    answered, never, briefly = (
        Model(EASY_REPLY, reply),
        Model(" 4.\n---", " 2.\n---"),
        Model(reply, EASY_REPLY),
    )
    assert own(answered, tmp_path).respond(asked, "where_useful") == [Refined("Hm.", "\\boxed{2}."), SHORT]
    own(never, tmp_path).respond(asked, "never")
    assert own(briefly, tmp_path).respond_briefly(asked) == [Refined("Hm.", "\\boxed{2}."), SHORT]
    assert [easily(model) for model in (answered, never, briefly)] == [[True, False], [False] * 2, [True] * 2]


def test_a_users_examples_for_easy_sums_take_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "own_simple.txt").write_text("mine: $question", encoding="utf-8")
    model = Model(EASY_REPLY)
    teacher = make_teacher("self", {}, model, tmp_path, tmp_path)
    teacher.refine([RefineItem(EASY, "long notes", "2", 1)], PARTS)
    assert model.prompts == ["mine: What is 1 + 1?"]
    assert teacher.identity() != own(model, tmp_path).identity()


def test_a_rule_inside_the_data_does_not_end_the_example(tmp_path: Path) -> None:
    model = Model("I add.", "It is \\boxed{4}.")
    own(model, tmp_path).refine([RefineItem(PROMPT, "one\n---\ntwo", "4", 1)], PARTS)
    assert "one\n- - -\ntwo" in model.prompts[0]
