"""Labels, the rates they feed, phrases for the allow-list, and recorded traffic under another policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.evaluation.intervals import wilson
from ahalab.guard.matcher import Matcher
from ahalab.guard.policy import Policy, Standard
from ahalab.guard.records import Exchange, Review, Span, Turn
from ahalab.guard.stream import StreamList
from ahalab.guard.term import TermFile, make_terms
from ahalab.serving.audit import AuditLog
from ahalab.serving.audit.labels import add_label, read_labels
from ahalab.serving.audit.rates import Rates, measured_rates
from ahalab.serving.audit.reading import SCOPE, Reader, read_texts
from ahalab.serving.audit.recorded import Period, Recorded, recorded
from ahalab.serving.audit.replay import RecordedVerdicts, replay, replay_control
from ahalab.serving.audit.suggest import suggested_phrases
from audit_traffic import exchange, opened, record, review

READER = Reader("ann", "tuning", frozenset({SCOPE}))
PASS: dict[str, Any] = {"would": "release", "action": "release"}
STOP: dict[str, Any] = {"would": "retract", "action": "retract"}


def told(log: AuditLog, name: str, text: str = "a ripe banana", reply: str = "a reply", **more: Any) -> None:
    asyncio.run(record(log, exchange(name, text), reply, **more))


def rates(log: AuditLog) -> Rates:
    return measured_rates(recorded(log.database, Period()), read_labels(log.database))


def test_a_label_is_chained_and_the_newest_counts(tmp_path: Path) -> None:
    log = opened(tmp_path)
    told(log, "x1", **STOP, review=review(1))
    assert add_label(log, "x1", "false_positive", "ann", "about fruit salad") == 3
    assert read_labels(log.database) == {"x1": "false_positive"}
    add_label(log, "x1", "correct", "bob")
    assert read_labels(log.database) == {"x1": "correct"}
    add_label(log, "x1", "withdrawn", "bob")
    assert read_labels(log.database) == {}
    log.close()


@pytest.mark.parametrize(
    ("name", "label", "words"),
    [
        ("ghost", "missed", "no such exchange"),
        ("stopped", "missed", "was not released"),
        ("plain", "false_positive", "no false positive"),
        ("plain", "wrong", "expected one of false_positive, missed"),
    ],
)
def test_a_label_that_cannot_be_is_refused(tmp_path: Path, name: str, label: str, words: str) -> None:
    log = opened(tmp_path)
    told(log, "stopped", **STOP, review=review(1))
    told(log, "plain", "hello")
    with pytest.raises(UserError, match=words):
        add_label(log, name, label, "ann")
    with pytest.raises(UserError, match="at most 500"):
        add_label(log, "plain", "missed", "ann", "x" * 501)
    log.close()


def many(log: AuditLog, flagged: int, violating: int, unflagged: int, sampled: int, missed: int) -> None:
    """`violating` of the flagged, `missed` of the sampled unflagged."""

    async def all_of_them() -> None:
        for number in range(flagged):
            done = {**STOP, "review": review(1)} if number < violating else {**PASS, "review": review()}
            await record(log, exchange(f"f{number}"), **done)
        for number in range(unflagged):
            done = dict(PASS)
            if number < sampled:
                done |= {"sampled": True, "review": review(1) if number < missed else review()}
                done |= STOP if number < missed else {}
            await record(log, exchange(f"u{number}", "hello"), **done)

    asyncio.run(all_of_them())


def test_precision_and_recall_of_hand_made_numbers(tmp_path: Path) -> None:
    """10 flagged, 6 violate; 40 unflagged, 10 of them sampled, 1 violates: it stands for 4. Recall 6 / (6 + 4)."""
    log = opened(tmp_path)
    many(log, 10, 6, 40, 10, 1)
    found = rates(log)
    log.close()
    assert (found.exchanges, found.flagged, found.unflagged, found.sampled, found.missed_sampled) == (
        50,
        10,
        40,
        10,
        1,
    )
    assert found.flag_precision.share == 0.6
    assert (found.flag_precision.low, found.flag_precision.high) == wilson(0.6, 10)
    assert found.missed_estimate == 4
    assert found.flag_recall.share == 0.6
    low, high = wilson(0.1, 10)
    assert found.flag_recall.low == pytest.approx(6 / (6 + 40 * high))
    assert found.flag_recall.high == pytest.approx(6 / (6 + 40 * low))
    assert found.action_precision.share == 1.0


def test_labels_go_before_the_reviewer_s_word(tmp_path: Path) -> None:
    log = opened(tmp_path)
    many(log, 10, 6, 40, 10, 0)
    add_label(log, "f0", "false_positive", "ann")
    add_label(log, "f9", "missed", "ann")
    add_label(log, "f1", "correct", "ann")
    add_label(log, "u39", "missed", "ann")
    found = rates(log)
    log.close()
    assert found.labels == {"false_positive": 1, "missed": 2, "correct": 1}
    assert found.flag_precision.share == 0.6  # one less, one more
    assert found.action_precision.share == pytest.approx(5 / 6)
    # A reported one is counted as it is, it stands for no other.
    assert (found.missed_reported, found.missed_estimate) == (1, 1)
    assert found.flag_recall.share == pytest.approx(6 / 7)


def test_each_policy_version_has_its_own_weight(tmp_path: Path) -> None:
    """Version a: 1 of 2 sampled stands for 10 each; version b: all 4 looked at. 10 + 1 missed."""
    log = opened(tmp_path)

    async def all_of_them() -> None:
        for number in range(20):
            done = {"sampled": True, "review": review(1) if number == 0 else review()} if number < 2 else {}
            await record(log, exchange(f"a{number}", "hello"), policy="a", **done)
        for number in range(4):
            verdict = review(1) if number == 0 else review()
            await record(log, exchange(f"b{number}", "hello"), policy="b", sampled=True, review=verdict)
        await record(log, exchange("f"), policy="b", **STOP, review=review(1))
        await record(log, exchange("c", "hello"), policy="c")

    asyncio.run(all_of_them())
    found = rates(log)
    log.close()
    assert found.missed_estimate == 11
    assert found.flag_recall.share == pytest.approx(1 / 12)
    assert found.uncovered == 1


def test_without_a_sample_recall_is_unknown_and_errors_are_no_verdicts(tmp_path: Path) -> None:
    log = opened(tmp_path)
    told(log, "f1", **STOP, review=review(error="time-out"))
    told(log, "f2", **STOP, review=review(1))
    told(log, "u1", "hello")
    told(log, "u2", "hello", sampled=True, review=review(error="budget"))
    found = rates(log)
    log.close()
    assert (found.flagged, found.flagged_known, found.sampled) == (2, 1, 0)
    assert found.flag_recall.share is None
    assert found.missed_estimate is None


def test_an_empty_log_has_no_rates(tmp_path: Path) -> None:
    log = opened(tmp_path)
    found = rates(log)
    log.close()
    assert (found.exchanges, found.flag_precision.share, found.flag_recall.share) == (0, None, None)


def test_the_phrase_that_spares_most_and_is_in_no_true_hit_is_suggested(tmp_path: Path) -> None:
    log = opened(tmp_path)
    told(log, "bad1", "sell a ripe banana now", **STOP, review=review(1))
    told(log, "good1", "how to bake a banana bread with nuts", **PASS, review=review())
    told(log, "good2", "My  BANANA-bread? no: my banana bread is dry", **STOP, review=review(1))
    add_label(log, "good1", "false_positive", "ann")
    add_label(log, "good2", "false_positive", "ann")
    found = suggested_phrases(read_texts(log, Period(), READER, "suggest"), read_labels(log.database))
    log.close()
    assert [(one.phrase, one.category, one.spares) for one in found.suggested] == [
        ("banana bread", "fruit", ("good1", "good2"))
    ]
    assert found.true_hits == 1
    assert not found.without


def test_a_phrase_of_a_true_hit_is_never_suggested_and_that_is_said(tmp_path: Path) -> None:
    log = opened(tmp_path)
    told(log, "bad", "a ripe banana", **STOP, review=review(1))
    told(log, "good", "a ripe banana", **STOP, review=review(1))
    add_label(log, "good", "false_positive", "ann")
    found = suggested_phrases(read_texts(log, Period(), READER, "suggest"), read_labels(log.database))
    log.close()
    assert found.suggested == ()
    assert found.without == (("good", "banana"),)


def test_chinese_phrases_grow_by_characters(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def two() -> None:
        for name, text, done in (
            ("bad", "卖香蕉给他", {**STOP, "review": review(1)}),
            ("good", "我爱吃香蕉面包", {**STOP, "review": review(1)}),
        ):
            at = text.index("香蕉")
            spans = (Span("query", 0, at, at + 2, "香蕉", "fruit", 1, ("raw",)),)
            await record(log, exchange(name, text), **done, spans=spans, flagged=True, category="fruit")

    asyncio.run(two())
    add_label(log, "good", "false_positive", "ann")
    found = suggested_phrases(read_texts(log, Period(), READER, "suggest"), read_labels(log.database))
    log.close()
    assert [one.phrase for one in found.suggested] == ["香蕉面"]


def terms(*words: str) -> tuple[Matcher, StreamList]:
    file = TermFile.model_validate({"category": "fruit", "en": list(words)})
    made = make_terms([("fruit.yaml", file)])
    return Matcher(made), StreamList(made)


def policy(**more: Any) -> Policy:
    standards = [
        Standard(id=1, title="Fruit", text="Speaks of ripe fruit at length."),
        Standard(id=2, title="Nuts", text="Speaks of roasted nuts at length."),
    ]
    return Policy(name="other", standards=standards, **{"sample_unflagged": 0.5, **more})


class Strict:
    """Every dialogue that it is shown violates rule 2."""

    def identity(self) -> dict[str, Any]:
        return {"kind": "test", "model": "strict", "prompt": "", "training_data": []}

    async def review(self, _exchange: Exchange, _reply: str, _thinking: str) -> Review:
        return Review(rules=(2,), reviewer="strict", calls=1)


def replayed(log: AuditLog, words: tuple[str, ...], reviewer: Callable[[Policy], Any], **more: Any) -> Any:
    chosen = policy(**more)
    control = replay_control(chosen, *terms(*words), reviewer(chosen))
    dialogues: list[Recorded] = list(read_texts(log, Period(), READER, "replay"))
    return asyncio.run(replay(dialogues, control))


def test_a_replay_under_other_terms_names_what_changes(tmp_path: Path) -> None:
    log = opened(tmp_path)
    told(log, "banana1", **STOP, review=review(1))
    told(log, "cherry1", "a red cherry", **PASS)
    told(log, "plain1", "hello", **PASS)
    result = replayed(log, ("cherry",), lambda _policy: Strict())
    log.close()
    assert (result.judged, result.changed, result.calls) == (3, 2, 1)
    assert dict(result.actions) == {
        ("retract", "release"): 1,
        ("release", "retract"): 1,
        ("release", "release"): 1,
    }
    assert {one["exchange"]: (one["then"], one["now"]) for one in result.changes} == {
        "banana1": ("retract", "release"),
        "cherry1": ("release", "retract"),
    }
    assert result.rules == {1: [1, 0], 2: [0, 1]}
    assert result.categories == {"fruit": [1, 1]}


def test_the_same_policy_and_the_log_s_own_verdicts_change_nothing(tmp_path: Path) -> None:
    log = opened(tmp_path)
    told(log, "banana1", **STOP, review=review(1))
    told(log, "banana2", **PASS, review=review())
    told(log, "plain1", "hello", **PASS)
    result = replayed(log, ("banana",), RecordedVerdicts)
    log.close()
    assert (result.judged, result.changed, result.calls) == (3, 0, 0)
    assert not result.errors


def test_a_dialogue_without_a_recorded_verdict_is_said_to_have_none(tmp_path: Path) -> None:
    log = opened(tmp_path)
    told(log, "cherry1", "a red cherry", **PASS)
    told(log, "cherry2", "a red cherry", **PASS, review=review(77))
    result = replayed(log, ("cherry",), RecordedVerdicts)
    log.close()
    assert dict(result.errors) == {"not recorded": 1, "not recorded: its rules are not in this policy": 1}
    assert dict(result.actions) == {("release", "retract"): 2}  # on_error: retract


def test_rows_that_cannot_be_judged_again_are_named_with_the_reason(tmp_path: Path) -> None:
    from ahalab.serving.audit.erasure import Selection, erase_texts

    log = opened(tmp_path, keep_text=False)
    told(log, "bare")
    log.close()
    log = opened(tmp_path)
    told(log, "erased")
    told(log, "refused", "hello", would="refuse", action="refuse")
    told(log, "there")
    erase_texts(log, Selection(exchange="erased"), "", "bob")
    result = replayed(log, ("banana",), lambda _policy: Strict())
    log.close()
    assert result.lacking == {
        "not kept": ["bare"],
        "erased": ["erased"],
        "refused before a reply": ["refused"],
    }
    assert result.judged == 1


def test_a_replay_is_not_held_up_by_budgets_and_samples_nothing(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def all_of_them() -> None:
        for number in range(30):
            await record(log, exchange(f"b{number}"), **STOP, review=review(1))
            await record(log, exchange(f"p{number}", "hello"), **PASS)

    asyncio.run(all_of_them())
    tight = {"reviews_per_minute": 1, "parallel": 1, "total_parallel": 1}
    result = replayed(
        log, ("banana",), lambda _policy: Strict(), budget=tight, mode="shadow", sample_unflagged=1.0
    )
    log.close()
    assert (result.calls, result.changed) == (30, 0)
    assert not result.errors


def test_turns_of_the_client_are_judged_again_too(tmp_path: Path) -> None:
    log = opened(tmp_path)
    turns = (Turn("user", "a red cherry"), Turn("assistant", "yes"), Turn("user", "hello"))
    asyncio.run(record(log, exchange("x1", turns=turns), **PASS))
    result = replayed(log, ("cherry",), lambda _policy: Strict())
    log.close()
    assert result.changed == 1
