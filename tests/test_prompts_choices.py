"""Multiple choice from anybody's table: layouts, gold answers, shuffled options that keep their meaning."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.evaluation.suites.items import choose, suite_items
from ahalab.grading.choice import choice_verifier
from ahalab.prompts import build_source, validate_prompts
from ahalab.prompts.options import Choice, split_options, without_letters
from ahalab.prompts.table import TableSource
from ahalab.records import Prompt

Row = dict[str, Any]


def load(folder: Path, rows: list[Row], *, seed: int = 0, skip: bool = False, **settings: Any) -> TableSource:
    path = folder / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (entry,) = validate_prompts([{"file": "q.jsonl", **settings}], "r.yaml")
    source = build_source(entry, seed, folder=folder, where="r.yaml: prompts[0]", skip_bad_rows=skip)
    assert isinstance(source, TableSource)
    return source


def prompts(source: TableSource) -> list[Prompt]:
    return [source.prompt(index) for index in range(source.size)]


LAYOUTS: dict[str, tuple[Row, str]] = {
    "MMLU": (
        {"question": "Capital?", "subject": "s", "choices": ["Rome", "Bonn", "Oslo", "Bern"], "answer": 3},
        "Bern",
    ),
    "MMLU-Pro": (
        {
            "question_id": 1,
            "question": "Capital?",
            "options": [f"city {n}" for n in range(10)],
            "answer": "J",
            "answer_index": 9,
            "cot_content": "",
            "category": "x",
        },
        "city 9",
    ),
    "C-Eval": (
        {
            "id": 0,
            "question": "首都？",
            "A": "罗马",
            "B": "波恩",
            "C": "奥斯陆",
            "D": "伯尔尼",
            "answer": "B",
        },
        "波恩",
    ),
    "CMMLU": (
        {"Question": "首都？", "A": "罗马", "B": "波恩", "C": "奥斯陆", "D": "伯尔尼", "Answer": "D"},
        "伯尔尼",
    ),
    "ARC": (
        {
            "id": "x",
            "question": "Capital?",
            "choices": {"text": ["Rome", "Bonn", "Oslo"], "label": ["A", "B", "C"]},
            "answerKey": "C",
        },
        "Oslo",
    ),
    "ARC with numbers": (
        {
            "question": "Capital?",
            "choices": {"text": ["Rome", "Bonn", "Oslo"], "label": ["1", "2", "3"]},
            "answerKey": "2",
        },
        "Bonn",
    ),
    "OpenBookQA": (
        {
            "question_stem": "Capital?",
            "choices": {"text": ["Rome", "Bonn"], "label": ["A", "B"]},
            "answerKey": "A",
        },
        "Rome",
    ),
    "GPQA": (
        {
            "Question": "Capital?",
            "Correct Answer": "Bern",
            **{f"Incorrect Answer {n}": f"no {n}" for n in (1, 2, 3)},
        },
        "Bern",
    ),
    "SciQ": (
        {
            "question": "Capital?",
            "distractor3": "x",
            "distractor1": "y",
            "distractor2": "z",
            "correct_answer": "Bern",
            "support": "",
        },
        "Bern",
    ),
    "MedMCQA": (
        {"question": "Capital?", "opa": "Rome", "opb": "Bonn", "opc": "Oslo", "opd": "Bern", "cop": 2},
        "Oslo",
    ),
    "MedQA": (
        {"question": "Capital?", "options": {"A": "Rome", "B": "Bonn"}, "answer": "Bonn", "answer_idx": "B"},
        "Bonn",
    ),
    "AQuA": ({"question": "1+1?", "options": ["A)1", "B)2", "C)3"], "rationale": "", "answer": "B"}, "2"),
    "OpenTDB": (
        {"question": "Capital?", "correct_answer": "Bern", "incorrect_answers": ["Rome", "Bonn", "Oslo"]},
        "Bern",
    ),
    "options as JSON": ({"question": "Capital?", "options": '["Rome", "Bonn"]', "answer": "B"}, "Bonn"),
    "options as text": (
        {"question": "Capital?", "options": "a) Rome, b) Bonn, c) Oslo", "answer": "c"},
        "Oslo",
    ),
    "gold as text": ({"question": "Capital?", "choices": ["Rome", "Bonn"], "answer": "Bonn"}, "Bonn"),
    "gold as both": ({"question": "Capital?", "choices": ["Rome", "Bonn"], "answer": "B. Bonn"}, "Bonn"),
    "eight options": ({"question": "?", "choices": [f"o{n}" for n in range(8)], "answer": "(H)"}, "o7"),
}


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_recognised_and_its_gold_is_the_right_options_letter(
    tmp_path: Path, layout: str, shuffle: bool
) -> None:
    row, right = LAYOUTS[layout]
    settings: Row = {"choice": {"shuffle": True}} if shuffle else {}
    (prompt,) = prompts(load(tmp_path, [row], **settings))
    options = prompt.extra["options"]
    place = "ABCDEFGHIJ".index(str(prompt.answer))
    assert (options[place], prompt.domain, prompt.verifier) == (right, "stem", "choice")
    assert prompt.question.endswith("\n".join(f"{'ABCDEFGHIJ'[n]}) {text}" for n, text in enumerate(options)))
    for answer in (str(prompt.answer), right, f"The answer is ({prompt.answer}).", f"故选{prompt.answer}。"):
        assert choice_verifier(answer, str(prompt.answer), prompt.extra) == 1.0
    assert choice_verifier("AB"[place == 0], str(prompt.answer), prompt.extra) == 0.0


def test_prompts_and_evaluation_read_a_table_alike(tmp_path: Path) -> None:
    for row, _ in LAYOUTS.values():
        (prompt,) = prompts(load(tmp_path, [row]))
        (item,) = suite_items(choose("choice"), None, file=tmp_path / "q.jsonl").prompts
        assert prompt.question in item.question
        assert (prompt.answer, prompt.extra["options"]) == (item.answer, item.extra["options"])


def questions(number: int) -> list[Row]:
    return [
        {
            "question": f"Which is number {n}?",
            "choices": [f"{n}.{k}" for k in range(4 + n % 5)],
            "answer": n % 4,
        }
        for n in range(number)
    ]


def test_shuffled_options_are_the_same_options_and_the_gold_follows(tmp_path: Path) -> None:
    plain = prompts(load(tmp_path, questions(200)))
    shuffled = prompts(load(tmp_path, questions(200), choice={"shuffle": True}))
    assert [one.id for one in plain] == [one.id for one in shuffled]
    moved = 0
    for before, after in zip(plain, shuffled, strict=True):
        assert sorted(before.extra["options"]) == sorted(after.extra["options"])
        texts = [one.extra["options"]["ABCDEFGH".index(str(one.answer))] for one in (before, after)]
        assert texts[0] == texts[1]
        moved += before.extra["options"] != after.extra["options"]
    assert moved > 180
    letters = Counter(one.answer for one in shuffled)
    assert set(letters) == set("ABCDEFGH")
    assert max(letters.values()) < 70


def test_the_order_is_the_seeds_and_the_rows_and_nothing_elses(tmp_path: Path) -> None:
    rows = questions(40)
    settings: Row = {"choice": {"shuffle": True}}
    first = {one.id: one for one in prompts(load(tmp_path, rows, seed=1, **settings))}
    assert first == {one.id: one for one in prompts(load(tmp_path, rows[::-1], seed=1, **settings))}
    other = {one.id: one for one in prompts(load(tmp_path, rows, seed=2, **settings))}
    assert first.keys() == other.keys()
    assert sum(first[name].question != other[name].question for name in first) > 30


@pytest.mark.parametrize(
    "last",
    [
        "All of the above",
        "None of the above.",
        "None of these",
        "Both of the above",
        "以上都是",
        "以上都不对",
        "以上皆非",
        "Neither",
    ],
)
def test_an_option_that_speaks_of_all_others_stays_the_last(last: str) -> None:
    choice = Choice("Which?", ("red", "green", "blue", last), 1)
    orders = set()
    for key in range(30):
        shuffled = choice.shuffled(key)
        assert shuffled is not None
        assert shuffled.options[3] == last
        assert shuffled.options[shuffled.right] == "green"
        orders.add(shuffled.options)
    assert len(orders) == 6


@pytest.mark.parametrize(
    ("stem", "options"),
    [
        ("Which?", ["red", "green", "both A and B", "none of the above"]),
        ("Which?", ["red", "green", "blue", "A and C"]),
        ("Which?", ["red", "green", "A、B都对", "以上都不对"]),
        ("哪个？", ["红", "绿", "A项和B项", "蓝"]),
        ("Which?", ["red", "All of the above", "green", "blue"]),
        ("Which?", ["red", "green", "the previous option", "blue"]),
        ("Which?", ["red", "green", "only A", "blue"]),
        ("前面哪个？", ["红", "绿", "前者", "蓝"]),
        ("Why is option A wrong?", ["red", "green", "blue", "pink"]),
        ("选项B为什么错？", ["红", "绿", "蓝", "黄"]),
    ],
)
def test_options_that_name_each_other_stay_in_their_order(stem: str, options: list[str]) -> None:
    assert Choice(stem, tuple(options), 0).shuffled(7) is None


@pytest.mark.parametrize(
    ("stem", "options"),
    [
        (
            "Blocks A and B lie on a slope. Which slides?",
            ["the first", "the heavier", "I and II", "above 100 °C"],
        ),
        ("Which vitamin?", ["vitamin A", "vitamin C", "vitamin D", "vitamin E"]),
        ("Statement I or II?", ["I only", "II only", "I and II", "III"]),
    ],
)
def test_letters_that_mean_something_else_do_not_hold_the_options(stem: str, options: list[str]) -> None:
    assert Choice(stem, tuple(options), 0).shuffled(7) is not None


def test_what_was_shuffled_and_what_was_not_is_counted_and_stated(tmp_path: Path) -> None:
    rows = [*questions(5), {"question": "?", "choices": ["x", "y", "A and B", "z"], "answer": 2}]
    source = load(tmp_path, rows, choice={"shuffle": True})
    stated = source.describe()
    assert stated["noted"] == {"options left in place": 1, "options shuffled": 5}
    assert stated["shuffle"] is True
    assert source.prompt(5).extra["options"] == ["x", "y", "A and B", "z"]
    assert "noted" not in load(tmp_path, rows).describe()


INSIDE = [
    "Capital of France?\nA) Rome\nB) Paris\nC) Bonn",
    "Capital of France?\nA. Rome\nB. Paris\nC. Bonn",
    "Capital of France? (A) Rome (B) Paris (C) Bonn",
    "Capital of France?\n\nA: Rome\nB: Paris\nC: Bonn",
    "法国的首都是？\nA、罗马\nB、巴黎\nC、波恩",
    "法国的首都是？（A）罗马（B）巴黎（C）波恩",
]


@pytest.mark.parametrize("question", INSIDE)
def test_options_inside_the_question_are_found(tmp_path: Path, question: str) -> None:
    split = split_options(question)
    assert split is not None
    assert len(split[1]) == 3
    assert split[1][1] in ("Paris", "巴黎")
    row = {"question": question, "answer": "B"}
    (prompt,) = prompts(load(tmp_path, [row], domain="stem"))
    assert (prompt.question, prompt.answer, prompt.extra["options"]) == (question, "B", list(split[1]))
    (shuffled,) = prompts(load(tmp_path, [row], domain="stem", choice={"shuffle": True}))
    assert shuffled.id == prompt.id
    assert shuffled.extra["options"]["ABC".index(str(shuffled.answer))] == split[1][1]
    # The gold may be the option's text.
    (by_text,) = prompts(load(tmp_path, [{**row, "answer": split[1][1]}], domain="choice"))
    assert by_text.answer == "B"


def test_a_question_whose_options_cannot_be_found_is_graded_by_letter_and_counted(tmp_path: Path) -> None:
    source = load(
        tmp_path,
        [{"question": "Which of the three?", "answer": "C"}],
        domain="stem",
        choice={"shuffle": True},
    )
    prompt = source.prompt(0)
    assert (prompt.answer, prompt.extra) == ("C", {})
    assert source.describe()["noted"] == {"options left in place": 1, "options not found in the question": 1}


def test_options_repeated_in_the_question_are_not_asked_twice(tmp_path: Path) -> None:
    row = {"question": "Capital?\nA) Rome\nB) Bonn", "choices": ["Rome", "Bonn"], "answer": 1}
    (prompt,) = prompts(load(tmp_path, [row]))
    assert prompt.question == "Capital?\n\nA) Rome\nB) Bonn"


def test_answers_may_be_numbers_from_one(tmp_path: Path) -> None:
    row: Row = {"question": "?", "choices": ["a1", "b1", "c1"], "answer": 1}
    assert prompts(load(tmp_path, [row]))[0].answer == "B"
    assert prompts(load(tmp_path, [row], choice={"first_option": 1}))[0].answer == "A"
    written = {**row, "answer": "3"}
    assert prompts(load(tmp_path, [written], choice={"first_option": 1}))[0].answer == "C"
    with pytest.raises(UserError, match="set `first_option` to 0 or 1"):
        load(tmp_path, [written])


def test_columns_of_other_names_are_said(tmp_path: Path) -> None:
    row = {"q": "Capital?", "one": "Rome", "two": "Bonn", "key": "B"}
    (prompt,) = prompts(load(tmp_path, [row], question="q", answer="key", choice={"options": ["one", "two"]}))
    assert (prompt.answer, prompt.extra["options"]) == ("B", ["Rome", "Bonn"])
    row = {"q": "Capital?", "list": ["Rome", "Bonn"], "key": "B"}
    (prompt,) = prompts(
        load(tmp_path, [row], question="q", answer="key", choice={"options": "list"}, domain="chemistry")
    )
    assert (prompt.answer, prompt.domain) == ("B", "chemistry")


GOOD: Row = {"question": "?", "choices": ["a1", "b1"], "answer": 0}


@pytest.mark.parametrize(
    ("row", "told", "reason"),
    [
        ({**GOOD, "answer": 2}, "names option 3 of 2", "no such option"),
        ({**GOOD, "answer": -1}, "names option 0 of 2", "no such option"),
        ({**GOOD, "answer": "c1"}, "a letter, a number from 0, or the text", "no such option"),
        ({**GOOD, "answer": ["A", "B"]}, "as text or a number", "wrong type"),
        ({**GOOD, "answer": None}, "expected the answer", "no answer"),
        ({**GOOD, "choices": ["a1"]}, "a list of 2 to 26 options", "no options"),
        ({**GOOD, "choices": [f"o{n}" for n in range(27)]}, "a list of 2 to 26 options", "no options"),
        ({**GOOD, "choices": "a1 or b1"}, "a list of 2 to 26 options", "no options"),
        ({**GOOD, "choices": ["a1", " "]}, "expected the option", "no option"),
        ({**GOOD, "question": ""}, "expected the question", "no question"),
    ],
)
def test_a_bad_row_is_named_or_counted(tmp_path: Path, row: Row, told: str, reason: str) -> None:
    with pytest.raises(UserError, match=r"q\.jsonl, row 2") as refused:
        load(tmp_path, [GOOD, row])
    assert told in str(refused.value)
    source = load(tmp_path, [GOOD, row], skip=True)
    assert (source.size, source.skipped) == (1, {reason: 1})


@pytest.mark.parametrize(
    ("rows", "settings", "told"),
    [
        ([{"text": "?", "gold": "A"}], {"choice": {}}, "cannot tell question, options and answer"),
        ([GOOD], {"choice": {"options": "chioces"}}, "did you mean `choices`?"),
        ([GOOD], {"choice": {"suffle": True}}, "did you mean `shuffle`?"),
        ([GOOD], {"choice": {"first_option": 2}}, "0 or 1"),
        ([GOOD], {"choice": {"shuffle": True}, "verifier": "exact"}, "leave one of them out"),
        ([GOOD], {"choice": {"shuffle": True}, "answer_after": "####"}, "takes its answer as it stands"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    tmp_path: Path, rows: list[Row], settings: Row, told: str
) -> None:
    with pytest.raises(UserError) as refused:
        load(tmp_path, rows, **settings)
    assert told in str(refused.value)


def test_tables_that_are_no_choices_stay_what_they_were(tmp_path: Path) -> None:
    plain: Row = {"question": "1+1?", "answer": "2"}
    assert prompts(load(tmp_path, [plain]))[0].verifier == "exact"
    assert prompts(load(tmp_path, [{**GOOD, "answer": "x"}], verifier="exact"))[0].answer == "x"
    assert prompts(load(tmp_path, [{**GOOD, "answer": "7"}], domain="math"))[0].verifier == "math"
    strange = [{**GOOD, "choices": "red or blue", "answer": "red"}] * 3
    assert prompts(load(tmp_path, strange))[0].verifier == "exact"
    kept = prompts(load(tmp_path, [{**GOOD, "answer": "B"}], domain="choice", extra={"options": "choices"}))[
        0
    ]
    assert (kept.question, kept.answer, kept.extra) == ("?", "B", {"options": ["a1", "b1"]})


def test_letters_before_the_options_are_taken_off_only_where_all_have_theirs() -> None:
    assert without_letters(["A) 1", "B) 2"]) == ("1", "2")
    assert without_letters(["(A) 1", "(B) 2"]) == ("1", "2")
    assert without_letters(["A) 1", "2"]) == ("A) 1", "2")
    assert without_letters(["A. Smith", "C. Jones"]) == ("A. Smith", "C. Jones")


def test_a_sentence_with_letters_is_no_list_of_options() -> None:
    assert split_options("A. Smith wrote it. Who read it?") is None
    assert split_options("Points A and B: which is nearer?") is None
    assert split_options("") is None
