"""Suites: which items, how they are put, and what a person is told who asks for something that is not there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.evaluation.extraction import extract
from ahalab.evaluation.suites import SUITES, choose, suite_items
from ahalab.evaluation.suites.items import WORLD_DOMAINS
from ahalab.grading.verifiers import VERIFIERS
from ahalab.records import Prompt

GSM8K = Path("/work/shared/data/math/gsm8k_train.jsonl")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def graded(prompt: Prompt, text: str, rule: Any) -> float:
    """The score of a whole response to a prompt."""
    answer = extract(rule, text, "stop").answer
    return VERIFIERS[prompt.verifier](answer or "", prompt.answer or "", prompt.extra)


def gsm8k_rows(count: int) -> list[dict[str, Any]]:
    return [
        {"question": f"Tom has {i} bags of {i} nuts. How many?", "answer": f"{i}*{i}\n#### {i * i:,}"}
        for i in range(30, 30 + count)
    ]


def test_gsm8k_from_a_file_is_asked_and_graded_by_its_rules(tmp_path: Path) -> None:
    chosen = choose("gsm8k")
    items = suite_items(chosen, None, file=write(tmp_path / "g.jsonl", gsm8k_rows(8)))
    assert len(items.prompts) == 8
    first = items.prompts[0]
    assert first.question.endswith("put your final answer within \\boxed{}.")
    assert first.answer is not None
    assert first.answer.isdigit()
    assert graded(first, f"so \\boxed{{{int(first.answer):,}}}", chosen.suite.rule) == 1.0
    assert graded(first, f"that makes {first.answer} nuts.", chosen.suite.rule) == 1.0
    assert graded(first, "that makes 7 nuts.", chosen.suite.rule) == 0.0
    assert "####" in items.texts[first.id]
    assert "boxed" not in items.texts[first.id]


def test_fewer_items_are_some_of_the_more_whatever_the_seed(tmp_path: Path) -> None:
    file = write(tmp_path / "g.jsonl", gsm8k_rows(40))
    ids = {n: [one.id for one in suite_items(choose("gsm8k"), n, file=file).prompts] for n in (5, 20, 40)}
    assert ids[5] == ids[20][:5]
    assert ids[20] == ids[40][:20]
    assert len(set(ids[40])) == 40
    assert ids[40] != [
        one.id for one in sorted(suite_items(choose("gsm8k"), 40, file=file).prompts, key=lambda p: p.id)
    ]


@pytest.mark.parametrize(
    ("suite", "rows", "letter"),
    [
        ("mmlu", {"question": "Capital?", "choices": ["Rome", "Paris"], "answer": 1}, "B"),
        ("mmlu-pro", {"question": "Capital?", "options": ["Rome", "Paris", "Bonn"], "answer": "C"}, "C"),
        ("choice", {"question": "首都是？", "A": "巴黎", "B": "罗马", "C": "", "answer": "A"}, "A"),
        (
            "choice",
            {
                "question": "Capital?",
                "choices": {"text": ["Rome", "Paris"], "label": ["1", "2"]},
                "answerKey": "2",
            },
            "B",
        ),
        (
            "choice?question=q&options=[x,y]&answer=key",
            {"q": "Capital?", "x": "Rome", "y": "Bonn", "key": "B"},
            "B",
        ),
    ],
)
def test_choices_are_recognised_lettered_and_graded(
    tmp_path: Path, suite: str, rows: dict[str, Any], letter: str
) -> None:
    chosen = choose(suite)
    (prompt,) = suite_items(chosen, None, file=write(tmp_path / "c.jsonl", [rows])).prompts
    assert prompt.answer == letter
    assert "A) " in prompt.question
    assert ("Answer: $LETTER" in prompt.question) == (prompt.language == "en")
    assert ("答案：X" in prompt.question) == (prompt.language == "zh")
    assert graded(prompt, f"…\nAnswer: {letter}", chosen.suite.rule) == 1.0
    assert graded(prompt, f"…\n答案：{letter}", chosen.suite.rule) == 1.0
    other = "B" if letter == "A" else "A"
    assert graded(prompt, f"Answer: {letter}\nno,\nAnswer: {other}", chosen.suite.rule) == 0.0
    letters = re.search(r"one of ([A-Z]+)\.", prompt.question)
    assert letters is None or letters.group(1) == "ABC"[: len(prompt.extra["options"])]


def test_gpqa_options_come_in_an_order_that_the_question_fixes(tmp_path: Path) -> None:
    rows = [
        {
            "Question": f"Which is number {i}?",
            "Correct Answer": f"right {i}",
            **{f"Incorrect Answer {j}": f"wrong {i}.{j}" for j in (1, 2, 3)},
        }
        for i in range(40)
    ]
    file = write(tmp_path / "gpqa.jsonl", rows)
    items = suite_items(choose("gpqa"), None, file=file).prompts
    assert items == suite_items(choose("gpqa"), None, file=file).prompts
    for prompt in items:
        options = prompt.extra["options"]
        assert options["ABCD".index(str(prompt.answer))].startswith("right")
        assert sum(option.startswith("wrong") for option in options) == 3
    assert {prompt.answer for prompt in items} == set("ABCD")


def test_ifeval_keeps_what_the_official_rules_need(tmp_path: Path) -> None:
    row = {
        "key": 1,
        "prompt": "Say hi.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{"n": None}],
    }
    (prompt,) = suite_items(choose("ifeval"), None, file=write(tmp_path / "i.jsonl", [row])).prompts
    assert (prompt.question, prompt.verifier, prompt.answer) == ("Say hi.", "ifeval", None)
    assert prompt.extra == {
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{"n": None}],
        "prompt": "Say hi.",
    }


def test_aimes_own_spelling_and_maths_levels_are_read(tmp_path: Path) -> None:
    (aime,) = suite_items(
        choose("aime"), None, file=write(tmp_path / "a.jsonl", [{"Problem": "1+1?", "Answer": 2}])
    ).prompts
    assert (aime.answer, aime.verifier) == ("2", "math")
    rows = [{"problem": "1+1?", "answer": "2", "level": 3, "solution": "one and one"}]
    items = suite_items(choose("math500"), None, file=write(tmp_path / "m.jsonl", rows))
    assert items.prompts[0].level == 3
    assert items.texts[items.prompts[0].id] == "1+1?\n\none and one"


def test_the_world_asks_its_domains_in_turn_from_problems_no_base_has_seen() -> None:
    items = suite_items(choose("world"), 12)
    assert [prompt.domain for prompt in items.prompts[:6]] == list(WORLD_DOMAINS)
    only = suite_items(choose("world:math?levels=[1]&languages=[zh]"), 5)
    assert {(one.domain, one.level, one.language) for one in only.prompts} == {("math", 1, "zh")}
    assert suite_items(choose("world"), None).prompts[:12] == items.prompts
    assert len({prompt.question for prompt in suite_items(choose("world:math"), 200).prompts}) == 200


def test_a_reasoning_gym_task_takes_its_own_knobs() -> None:
    pytest.importorskip("reasoning_gym")
    items = suite_items(choose("gym:chain_sum?min_terms=3&max_terms=3"), 10)
    assert all(prompt.question.count("+") + prompt.question.count(" - ") == 2 for prompt in items.prompts)
    assert items.prompts == suite_items(choose("gym:chain_sum?min_terms=3&max_terms=3"), 10).prompts
    other = suite_items(choose("gym:chain_sum?min_terms=3&max_terms=3&seed=7"), 10)
    assert other.prompts != items.prompts


@pytest.mark.parametrize(
    ("asked", "row", "told"),
    [
        ("gsm9k", None, "did you mean `gsm8k`?"),
        ("gym", None, "name the task, as in gym:countdown"),
        ("gym:countdwn", None, "the nearest of its"),
        ("gym:countdown?max_valu=3", None, "did you mean `max_value`?"),
        ("gsm8k:hard", None, "takes nothing after a colon"),
        ("gsm8k?split", None, "expected key=value"),
        ("gsm8k?questin=q", {"question": "?", "answer": "#### 1"}, "did you mean `question`?"),
        ("gsm8k?question=q", {"question": "?", "answer": "#### 1"}, "has no column 'q'"),
        ("gsm8k", {"text": "?"}, "cannot tell which column"),
        ("mmlu", {"question": "?", "answer": "A"}, "Columns there: question, answer"),
        ("mmlu", {"question": "?", "choices": ["a", "b"], "answer": 2}, "names option 3 of 2"),
        ("mmlu", {"question": "?", "choices": ["a", "b"], "answer": "c!"}, "a letter, a number from 0"),
        ("mmlu?options=opts", {"question": "?", "choices": ["a", "b"], "answer": 0}, "has no column 'opts'"),
        ("ifeval", {"prompt": "?"}, "has no column 'instruction_id_list'"),
        ("choice", None, "give the questions with --file"),
        ("world:maths", None, "has no domain 'maths'"),
        ("world?level=2", None, "did you mean `levels`?"),
        ("preference:me", None, "expected preference, or preference:world"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(
    tmp_path: Path, asked: str, row: dict[str, Any] | None, told: str
) -> None:
    file = None if row is None else write(tmp_path / "rows.jsonl", [row])
    if asked.startswith("gym:"):
        pytest.importorskip("reasoning_gym")
    with pytest.raises(UserError, match=re.escape(told)):
        suite_items(choose(asked), 3 if file is None else None, file=file)


def test_files_that_are_missing_or_empty_and_too_many_items_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "gsm.jsonl", gsm8k_rows(3))
    with pytest.raises(UserError, match=r"gsn\.jsonl does not exist; the nearest file there is gsm\.jsonl"):
        suite_items(choose("gsm8k"), None, file=tmp_path / "gsn.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match=r"empty\.jsonl is empty"):
        suite_items(choose("gsm8k"), None, file=tmp_path / "empty.jsonl")
    with pytest.raises(UserError, match="it has 3 items and --n asks for 4"):
        suite_items(choose("gsm8k"), 4, file=file)
    with pytest.raises(UserError, match="reads no --file"):
        suite_items(choose("world"), 4, file=file)


def test_without_a_network_the_hub_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'openai/gsm8k' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    for name in ("gsm8k", "mmlu", "ifeval"):
        with pytest.raises(UserError, match=r"could not load .*--file PATH"):
            suite_items(choose(name), 3)


def test_every_suite_has_a_line_and_a_place_of_its_own() -> None:
    assert all(len(suite.about) > 15 for suite in SUITES.values())
    slugs = {
        choose(text).slug for text in ("gsm8k", "gym:countdown?max_value=5", "gym:countdown", "mmlu-pro")
    }
    assert slugs == {"gsm8k", "gym-countdown-max_value-5", "gym-countdown", "mmlu-pro"}


@pytest.mark.skipif(not GSM8K.is_file(), reason="the GSM8K file is not on this machine")
def test_every_gold_answer_of_gsm8k_in_its_box_is_right() -> None:
    chosen = choose("gsm8k")
    prompts = suite_items(chosen, 500, file=GSM8K).prompts
    assert all(graded(one, f"\\boxed{{{one.answer}}}", chosen.suite.rule) == 1.0 for one in prompts)
