"""A judge measured on labelled sets: heads and judge errors apart, nothing judged twice, memory told from skill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import AhaError, Interrupted
from ahalab.safety.labels.gold import GoldReply, GoldSet
from ahalab.safety.labels.measured import Measured
from ahalab.safety.labels.validated import OFFLINE_CARD, validated_languages
from ahalab.safety.labels.validation import validate_judge
from ahalab.safety.labels.words import Head
from ahalab.safety.protocols import OnJudgement, judge_hash
from ahalab.safety.records import Case, Judgement, Label
from safety_folders import JUDGE, Folder, questions


class Reader:
    """Says what the reply says: "verdict/compliance/score". Counts what it was asked."""

    def __init__(self, training_data: Sequence[str] = ()) -> None:
        self.training_data = list(training_data)
        self.asked: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {"kind": "reader", "model": "r", "prompt": "", "training_data": self.training_data}

    def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
        for case in cases:
            self.asked.append(case.item.id)
            verdict, compliance, score = case.reply.answer.split("/")
            on_judgement(
                Judgement(
                    case.item.id,
                    case.reply.target,
                    case.part,
                    verdict,  # type: ignore[arg-type]
                    "schema" if verdict == "judge_error" else "",
                    compliance,
                    float(score) if score else None,
                )
            )


def gold(head: Head, rows: Sequence[tuple[str, str]], name: str = "set", **about: Any) -> GoldSet:
    replies = tuple(
        GoldReply(f"{number}", f"prompt {number}", reply, truth, "zh")
        for number, (truth, reply) in enumerate(rows)
    )
    return GoldSet(name, head, replies, "made", **about)


def only(found: Sequence[Measured]) -> Measured:
    (one,) = found
    return one


VERDICTS = [
    ("unsafe", "unsafe//"),
    ("safe", "safe//"),
    ("safe", "rejection//"),
    ("rejection", "rejection//"),
    ("unsafe", "judge_error//"),
]


def test_verdicts_are_measured_and_judge_errors_stand_apart(tmp_path: Path) -> None:
    one = only(validate_judge(Reader(), [gold("verdict", VERDICTS)], tmp_path).sets)
    assert one.agreement is not None
    assert (one.replies, one.agreement.n, dict(one.judge_errors)) == (5, 4, {"schema": 1})
    assert one.agreement.accuracy == 0.75
    assert one.agreement.confusion == ((1, 0, 0), (0, 1, 1), (0, 0, 1))


def test_compliance_is_measured_by_compliance_and_never_by_the_verdict(tmp_path: Path) -> None:
    rows = [
        ("full compliance", "safe/full compliance/"),
        ("full refusal", "safe/full refusal/"),
        ("partial refusal", "safe/full refusal/"),
        ("full refusal", "rejection//"),
    ]
    one = only(validate_judge(Reader(), [gold("compliance", rows)], tmp_path).sets)
    assert one.agreement is not None
    assert one.complied is not None
    assert (one.agreement.n, one.no_head) == (3, 1)
    assert one.agreement.recall["partial refusal"] is not None
    assert one.agreement.recall["partial refusal"].value == 0.0
    assert one.complied.kappa == 1.0


def test_a_judge_without_the_head_is_not_measured_on_it(tmp_path: Path) -> None:
    one = only(validate_judge(Reader(), [gold("compliance", [("full refusal", "safe//")])], tmp_path).sets)
    assert (one.agreement, one.no_head) == (None, 1)
    assert "no compliance given" in next((tmp_path / "judges").glob("*/validation.md")).read_text()


def test_harm_has_an_area_under_the_curve(tmp_path: Path) -> None:
    rows = [("unsafe", "unsafe//0.9"), ("unsafe", "safe//0.4"), ("not unsafe", "rejection//0.1")]
    one = only(validate_judge(Reader(), [gold("harm", rows)], tmp_path).sets)
    assert one.agreement is not None
    assert (one.auc, one.agreement.confusion) == (1.0, ((1, 1), (0, 1)))


def test_what_was_judged_is_not_judged_again_and_errors_only_on_request(tmp_path: Path) -> None:
    sets = [gold("verdict", VERDICTS)]
    validate_judge(Reader(), sets, tmp_path)
    again = Reader()
    validate_judge(again, sets, tmp_path)
    assert again.asked == []
    validate_judge(again, sets, tmp_path, retry_errors=True)
    assert again.asked == ["4"]


def test_an_interrupted_measurement_goes_on_where_it_stopped(tmp_path: Path) -> None:
    class Stops(Reader):
        def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
            super().judge(cases[:2], on_judgement)
            raise Interrupted("stopped.")

    sets = [gold("verdict", VERDICTS)]
    with pytest.raises(Interrupted):
        validate_judge(Stops(), sets, tmp_path)
    reader = Reader()
    assert only(validate_judge(reader, sets, tmp_path).sets).replies == 5
    assert reader.asked == ["2", "3", "4"]


def test_a_changed_set_is_judged_anew_and_a_silent_judge_is_a_fault(tmp_path: Path) -> None:
    class Silent(Reader):
        def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
            """Says nothing."""

    validate_judge(Reader(), [gold("verdict", VERDICTS)], tmp_path)
    with pytest.raises(AhaError, match="no judgement of 1 replies"):
        validate_judge(Silent(), [gold("verdict", [("safe", "unsafe//")])], tmp_path)


def test_files_of_one_pool_are_measured_together_by_prompt(tmp_path: Path) -> None:
    rows = [("full compliance", "safe/full compliance/"), ("full refusal", "safe/full refusal/")] * 3
    sets = [gold("compliance", rows, name, pool="xstest") for name in ("a", "b")]
    found = validate_judge(Reader(), sets, tmp_path).sets
    assert [one.name for one in found] == ["a", "b", "xstest, 2 files together"]
    assert found[2].agreement is not None
    assert (found[2].agreement.n, found[2].agreement.clusters) == (12, 6)


def test_a_set_that_the_judge_learned_from_is_marked_and_validates_no_language(tmp_path: Path) -> None:
    rows = [("safe", "safe//"), ("unsafe", "unsafe//")] * 30
    sets = [gold("verdict", rows, files=("ab" * 32,))]
    judge = Reader([f"pyrit: {'ab' * 32}"])
    assert only(validate_judge(judge, sets, tmp_path).sets).learned
    page = next((tmp_path / "judges").glob("*/validation.md")).read_text()
    assert "| set (learned from) | zh |" in page
    assert "The judge LEARNED from this set" in page
    assert validated_languages(tmp_path, judge_hash(judge.identity())) == {}


def test_figures_of_an_earlier_call_stay(tmp_path: Path) -> None:
    first = validate_judge(Reader(), [gold("verdict", VERDICTS, "one")], tmp_path)
    both = validate_judge(Reader(), [gold("verdict", VERDICTS, "two")], tmp_path)
    assert [one.name for one in both.sets] == ["one", "two"]
    assert both.sets[0] == first.sets[0]
    stored = json.loads((tmp_path / "judges" / both.judge / "validation.json").read_text())
    assert [one["name"] for one in stored["sets"]] == ["one", "two"]


def test_a_language_is_validated_by_enough_replies_of_verdicts_or_harm(tmp_path: Path) -> None:
    rows = [("safe", "safe//"), ("unsafe", "unsafe//")] * 25
    judge = judge_hash(Reader().identity())
    validate_judge(Reader(), [gold("verdict", rows[:49])], tmp_path)
    assert validated_languages(tmp_path, judge) == {}
    validate_judge(Reader(), [gold("verdict", rows)], tmp_path)
    assert validated_languages(tmp_path, judge) == {"zh": "50 replies of set"}
    assert validated_languages(tmp_path, "another") == {}
    validate_judge(Reader(), [gold("verdict", rows, labelled_by="a language model")], tmp_path)
    assert validated_languages(tmp_path, judge) == {"zh": "50 replies of set (labels by a language model)"}


def test_a_runs_own_labels_validate_its_language(tmp_path: Path) -> None:
    folder = Folder(tmp_path, questions(["D01", "I01", "H01"], 20, ("zh",))).judge().target("m", "safe")
    labels = [Label(one.id, "m", "answer", "safe", "adjudicated", language="zh") for one in folder.items]
    folder.labels(labels[:49])
    assert validated_languages(tmp_path, JUDGE) == {}
    folder.labels(labels)
    assert validated_languages(tmp_path, JUDGE) == {"zh": "60 labels of this run"}


def test_the_offline_judges_card_validates_the_weights_that_it_names(tmp_path: Path) -> None:
    if not OFFLINE_CARD.is_file():
        pytest.skip(f"{OFFLINE_CARD.name} is not built")
    weights = json.loads(OFFLINE_CARD.read_text("utf-8"))["weights_sha256"][:12]
    identity = {"kind": "offline", "model": f"ahalab offline judge {weights}"}
    Folder(tmp_path, []).judge("1" * 12, identity).judge("2" * 12, {**identity, "model": "another build"})
    assert set(validated_languages(tmp_path, "1" * 12)) == {"en", "zh"}
    assert validated_languages(tmp_path, "2" * 12) == {}
