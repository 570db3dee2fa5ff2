"""The model as its own teacher: few-shot prompts, read up to the rule, and checked like any other's work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ahalab.records import Prompt
from ahalab.teachers import PARTS, Failure, Outcome, Refined, RefineItem, Teacher, make_teacher

PROMPT = Prompt("s/1", "What is 2 + 2?", "4", "math", "s", "exact")
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
    assert model.prompts[0].endswith("Problem: What is 2 + 2?\nNotes: 2+2 则 4\nRewritten:")
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


def test_a_rule_inside_the_data_does_not_end_the_example(tmp_path: Path) -> None:
    model = Model("I add.", "It is \\boxed{4}.")
    own(model, tmp_path).refine([RefineItem(PROMPT, "one\n---\ntwo", "4", 1)], PARTS)
    assert "one\n- - -\ntwo" in model.prompts[0]
