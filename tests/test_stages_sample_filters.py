"""Each filter of a `sample` stage takes what it names and nothing else, and says so under its own reason."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest

from ahalab.grading.pool import GraderPool
from ahalab.records import Prompt
from ahalab.stages.duplicates import Duplicates
from ahalab.stages.filters import OF_TEXT, REASONS, Candidate, Drop, FilterName, Thresholds, first_failing
from ahalab.stages.sample_config import SampleConfig
from ahalab.stages.selection import Outcome, Selector
from ahalab.teachers import Failure, Refined
from ahalab.validation import validate
from data_stages import FakeJudge, FakeTeacher

EVERY: tuple[FilterName, ...] = get_args(FilterName)
GOOD_THINKING = "I add the two numbers. Let me check: 2+2=4. So it is 4."


def prompt(name: str = "q/1", *, domain: str = "math", language: str = "en", level: int = 2) -> Prompt:
    return Prompt(name, "What is 2+2?", "4", domain, "q", "exact", language, level)


def candidate(thinking: str = GOOD_THINKING, answer: str = "4", **changes: Any) -> Candidate:
    asked = changes.pop("prompt", prompt())
    return replace(Candidate(asked, 0, thinking, answer, score=1.0), **changes)


def reason(one: Candidate, **thresholds: Any) -> str | None:
    drop = first_failing(one, EVERY, Thresholds(**thresholds))
    return None if drop is None else drop.reason


VOCABULARY = (
    "the a number sum is of and then we look at first second add take left right small large whole part with "
    "from into under over again here there now later because when where this that other same new old long short"
)


def words(count: int) -> str:
    """So many words without a line break and without a loop."""
    rng = random.Random(0)
    return " ".join(rng.choice(VOCABULARY.split()) for _ in range(count))


def test_a_good_answer_passes_every_filter() -> None:
    assert reason(candidate()) is None
    assert reason(candidate("", "Four.")) is None


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (candidate(well_formed=False), "not well formed"),
        (candidate(finish="length"), "truncated"),
        (candidate(score=0.0), "not correct"),
        (candidate(score=None, unscored="grader failed"), "grader failed"),
        (candidate(score=None), "no rule and no judge"),
        (candidate("I see " + "\ufffd" * 3), "not readable"),
        (candidate("so it is four " * 20), "not readable"),
        (candidate("I add them. 等等，我检查一下。"), "not one language"),
        (candidate(answer="答案是4。"), "not one language"),
        (candidate(words(301)), "long paragraphs"),
        (candidate("I write it.\n```python\nprint(2+2)\n```\nThat is 4."), "code blocks"),
        (candidate(answer=" "), "no answer"),
        (candidate("I open <answer> too early."), "tags inside"),
    ],
)
def test_each_filter_takes_what_it_names(bad: Candidate, expected: str) -> None:
    assert reason(bad) == expected


def test_the_first_failing_filter_in_the_order_of_keep_takes_the_blame() -> None:
    bad = candidate(score=0.0, finish="length")
    assert first_failing(bad, ["correct", "not_truncated"], Thresholds()) == Drop("not correct", "score 0")
    assert first_failing(bad, ["not_truncated", "correct"], Thresholds()) == Drop("truncated")
    assert first_failing(bad, ["readable"], Thresholds()) is None


def test_thresholds_move_the_lines() -> None:
    assert reason(candidate(score=0.6), correct=0.5) is None
    mixed = candidate("I add them and then I look again 好.")
    assert (reason(mixed), reason(mixed, own_language=0.8)) == ("not one language", None)
    loop = candidate("so it is four " * 20)
    assert reason(loop, repetition=1.0) is None
    assert reason(candidate(words(20)), paragraph_words=19) == "long paragraphs"
    assert reason(candidate(words(19)), paragraph_words=19) is None


def test_code_as_an_answer_is_in_no_language() -> None:
    written = "def total(values):\n    result = 0\n    for value in values:\n        result += value\n    return result"
    code = candidate("我一步一步写。", written, prompt=prompt(domain="code", language="zh"))
    assert reason(code) is None


def test_every_filter_has_a_reason() -> None:
    assert set(REASONS) == set(EVERY)


LONG = " ".join(f"I add {n} and {n + 1} which gives {2 * n + 1}." for n in range(20))


def test_twins_are_found_whatever_their_layout_and_near_twins_by_their_ten_grams() -> None:
    seen = Duplicates(0.9)
    assert seen.twin_of("a", "q", LONG, "4") is None
    assert seen.twin_of("b", "q", LONG.upper().replace(" ", "\n"), " 4") == "a"
    assert seen.twin_of("c", "q", LONG + " Done.", "5") == "a"
    assert seen.twin_of("d", "other", LONG + " Done.", "5") == "a"
    # Half of its grams are new: 0.5 is below 0.9.
    assert (
        seen.twin_of("e", "q", LONG[: len(LONG) // 2] + " ".join(f"then {n}," for n in range(90)), "4")
        is None
    )


def test_short_thinkings_are_compared_as_a_whole_with_question_and_answer() -> None:
    seen = Duplicates(0.9)
    assert seen.twin_of("a", "q1", "it looks like B.", "B") is None
    assert seen.twin_of("b", "q2", "it looks like B.", "B") is None
    assert seen.twin_of("c", "q1", "it looks like B.", "B") == "a"
    assert seen.twin_of("d", "hello", "", "Hello!") is None
    assert seen.twin_of("e", "hi", "", "Hello!") is None
    assert seen.twin_of("f", "hello", "", "hello!") == "d"


def test_another_answer_after_a_short_thinking_is_no_twin() -> None:
    seen = Duplicates(0.9)
    thinking = "我明白，需要的是四种水果。我在水果里找，然后一个一个地检查它们。"
    assert seen.twin_of("a", "q1", thinking, "A") is None
    assert seen.twin_of("b", "q2", thinking, "B") is None


def test_the_share_of_common_grams_is_exact_for_short_texts() -> None:
    # 50 words and the answer are 42 grams; 49 words are common: 40 grams of 44.
    names = [f"word{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(51)]
    for near, twin in ((40 / 44, "a"), (40 / 44 + 0.001, None)):
        seen = Duplicates(near)
        assert seen.twin_of("a", "q", " ".join(names[:50]), "4") is None
        assert seen.twin_of("b", "q", " ".join(names[1:]), "4") == twin


@pytest.fixture(scope="module")
def pool() -> Any:
    with GraderPool(workers=1) as graders:
        yield graders


def select(
    pool: GraderPool,
    candidates: list[Candidate],
    teacher: FakeTeacher | None = None,
    judge: FakeJudge | None = None,
    **settings: Any,
) -> list[Outcome]:
    plain = {"from": "base", "prompts": [{"world": "math"}], **settings}
    if teacher is not None:
        plain.setdefault("refine", {"teacher": "rules"})
    config = validate(SampleConfig, plain, "test")
    return Selector(config, pool, judge, teacher, 7, "test").decide(candidates)


def said(outcomes: list[Outcome]) -> list[str]:
    return ["kept" if one.drop is None else one.drop.reason for one in outcomes]


def several(count: int, name: str = "q/1") -> list[Candidate]:
    return [
        replace(
            candidate(f"{GOOD_THINKING} {'I look at it again. ' * n}".strip()), prompt=prompt(name), index=n
        )
        for n in range(count)
    ]


def test_at_most_keep_per_prompt_rows_of_each_prompt_are_kept(pool: GraderPool) -> None:
    both = several(4) + several(3, "q/2")
    outcomes = select(pool, both, keep=["correct"], keep_per_prompt=2)
    assert [one.prompt_id for one in outcomes if one.row].count("q/1") == 2
    assert [one.prompt_id for one in outcomes if one.row].count("q/2") == 2
    assert said(outcomes).count("more than keep_per_prompt") == 3
    # Which ones depends on the prompt, not on what else is in the shard.
    assert [one.id for one in outcomes[:4] if one.row] == [
        one.id for one in select(pool, both[:4], keep=["correct"], keep_per_prompt=2) if one.row
    ]


@pytest.mark.parametrize(("prefer", "index"), [("shortest", 0), ("longest", 3)])
def test_the_preferred_ones_are_kept(pool: GraderPool, prefer: str, index: int) -> None:
    outcomes = select(pool, several(4), keep=["correct"], keep_per_prompt=1, prefer=prefer)
    assert [one.sample for one in outcomes if one.row] == [index]


def test_at_random_different_prompts_keep_different_places(pool: GraderPool) -> None:
    many = [one for n in range(12) for one in several(4, f"q/{n}")]
    outcomes = select(pool, many, keep=["correct"], keep_per_prompt=1)
    assert len({one.sample for one in outcomes if one.row}) > 1


def test_twins_of_one_prompt_do_not_take_the_place_of_others(pool: GraderPool) -> None:
    one, other = candidate(), replace(candidate("Two and two make four."), index=2)
    outcomes = select(
        pool, [one, replace(one, index=1), other], keep=["correct", "unique"], keep_per_prompt=2
    )
    assert said(outcomes) == ["kept", "not unique", "kept"]


def test_only_what_no_rule_decides_and_no_earlier_filter_drops_is_shown_to_the_judge(
    pool: GraderPool,
) -> None:
    open_ones = [
        candidate(score=None),
        replace(candidate("Wrong, I think.", "5", score=None), index=1),
        replace(candidate(score=None, finish="length"), index=2),
        replace(candidate(), index=3),
        replace(candidate(score=None, unscored="grader failed"), index=4),
    ]
    judge = FakeJudge(right=lambda answer: answer == "4")
    outcomes = select(pool, open_ones, judge=judge, keep=["not_truncated", "correct"])
    assert said(outcomes) == ["kept", "not correct", "truncated", "kept", "grader failed"]
    assert judge.asked == 2


def test_a_judge_that_fails_is_no_verdict(pool: GraderPool) -> None:
    judge = FakeJudge(right=lambda _answer: Failure("not JSON", "hello"))
    outcomes = select(pool, [candidate(score=None)], judge=judge, keep=["correct"])
    assert outcomes[0].drop == Drop("judge failed", "not JSON hello")


def work(thinking: str, answer: str) -> Callable[[Prompt, str, str], Refined]:
    return lambda _prompt, _thinking, _answer: Refined(thinking, answer)


@pytest.mark.parametrize(
    ("thinking", "answer", "expected"),
    [
        ("I add them: 2+2=4.", "4", "kept"),
        ("I add them: 2+2=4.", "5", "after refining: not correct"),
        ("我把它们加起来：2+2=4。", "4", "after refining: not one language"),
        ("I add them: 2+2=4. " + "\x07", "4", "after refining: not readable"),
        ("I add them <think>", "4", "after refining: tags inside"),
        ("I add them: 2+2=4.", " ", "after refining: no answer"),
    ],
)
def test_what_a_teacher_wrote_is_checked_again(
    pool: GraderPool, thinking: str, answer: str, expected: str
) -> None:
    outcomes = select(pool, [candidate()], FakeTeacher(work(thinking, answer)), keep=["correct"])
    assert said(outcomes) == [expected]
    if expected == "kept":
        assert outcomes[0].row is not None
        assert (outcomes[0].row.thinking, outcomes[0].row.answer) == (thinking, answer)


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (words(301), "after refining: long paragraphs"),
        ("I write it.\n```python\nprint(2+2)\n```\nThat is 4.", "after refining: code blocks"),
    ],
)
def test_every_filter_of_keep_that_looks_at_a_text_is_asked_again_of_what_a_teacher_wrote(
    pool: GraderPool, thinking: str, expected: str
) -> None:
    assert set(EVERY) - set(OF_TEXT) == {"well_formed", "not_truncated", "unique"}
    teacher = FakeTeacher(work(thinking, "4"))
    assert said(select(pool, [candidate()], teacher, keep=list(EVERY))) == [expected]
    # Filters that the recipe does not name are not asked, here as before refining.
    assert said(select(pool, [candidate()], teacher, keep=["correct"])) == ["kept"]


HALF = "I add the two numbers and look. 等等，我再检查一下。 So it is four."
MOSTLY = "我把两个数加在一起，等等，我再检查一下，所以就是四。 It is four."


def test_mixed_thinking_reaches_the_teacher_that_translates_it_and_hopeless_thinking_does_not(
    pool: GraderPool,
) -> None:
    mixed = [candidate(HALF), replace(candidate(MOSTLY), prompt=prompt("q/2"))]
    keep = ["correct", "one_language"]
    teacher = FakeTeacher(work(GOOD_THINKING, "4"))
    assert said(select(pool, mixed, teacher, keep=keep)) == ["kept", "not one language"]
    assert [name for name, _ in teacher.seen] == ["q/1"]
    # A teacher that leaves it mixed gains nothing: the strict threshold stands after refining.
    lazy = FakeTeacher(lambda _prompt, thinking, answer: Refined(thinking, answer))
    assert said(select(pool, mixed[:1], lazy, keep=keep)) == ["after refining: not one language"]
    # Nobody translates where nothing, or the summary alone, is rewritten.
    assert said(select(pool, mixed[:1], keep=keep)) == ["not one language"]
    summary = {"refine": {"teacher": "rules", "parts": ["summary"]}, "keep": keep}
    assert said(select(pool, mixed[:1], teacher, **summary)) == ["not one language"]


def test_the_line_before_refining_is_the_recipes_and_never_stricter_than_the_one_after(
    pool: GraderPool,
) -> None:
    teacher = FakeTeacher(work(GOOD_THINKING, "4"))
    for least, own, expected in ((0.9, 1.0, "not one language"), (0.1, 1.0, "kept"), (0.9, 0.1, "kept")):
        settings = {
            "refine": {"teacher": "rules", "least_own_language": least},
            "thresholds": {"own_language": own},
            "keep": ["one_language"],
        }
        assert said(select(pool, [candidate(HALF)], teacher, **settings)) == [expected]


def test_a_teacher_that_fails_takes_only_its_own_row(pool: GraderPool) -> None:
    def some(asked: Prompt, thinking: str, answer: str) -> Any:
        return Failure("time-out", "30 s") if asked.id == "q/1" else Refined(thinking, answer)

    outcomes = select(pool, [*several(1), *several(1, "q/2")], FakeTeacher(some), keep=["correct"])
    assert said(outcomes) == ["refining: time-out", "kept"]
    assert outcomes[0].drop == Drop("refining: time-out", "30 s")


def test_only_chosen_rows_are_refined_and_each_has_its_own_key(pool: GraderPool) -> None:
    teacher = FakeTeacher(lambda _prompt, thinking, answer: Refined(thinking, answer))
    both = several(3) + several(3, "q/2")
    select(pool, both, teacher, keep=["correct"], keep_per_prompt=1)
    assert sorted(name for name, _ in teacher.seen) == ["q/1", "q/2"]
    assert len({key for _, key in teacher.seen}) == 2


def test_easy_problems_are_answered_anew(pool: GraderPool) -> None:
    teacher = FakeTeacher(lambda _p, thinking, answer: Refined("I add: 4." if not answer else thinking, "4"))
    easy = replace(candidate(), prompt=prompt(level=1))
    hard = replace(candidate(), prompt=prompt("q/2"))
    settings = {"refine": {"teacher": "rules", "easy_levels": [1]}, "keep": ["correct"]}
    outcomes = select(pool, [easy, hard], teacher, **settings)
    assert [one.row.thinking for one in outcomes if one.row] == ["I add: 4.", GOOD_THINKING]


def test_an_outcome_reads_back_as_it_was_written(pool: GraderPool) -> None:
    for one in select(pool, [candidate(), replace(candidate(score=0.0), index=1)], keep=["correct"]):
        assert Outcome.read(one.line()) == one
