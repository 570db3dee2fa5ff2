"""Reviewers for measurement: an oracle's errors come at their rates and by id; a recording repeats what was said."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.review_tools import POLICY, Scripted, exchange, reviewed, reviewer_of, says

from ahalab.errors import UserError
from ahalab.guard.policy import bundled_policy
from ahalab.guard.records import Exchange, Turn
from ahalab.guard.review.measured import OracleReviewer, RecordedReviewer, RecordingReviewer, dialogue_hash

TRUTH = {f"e{number}": (3,) if number % 2 else () for number in range(4000)}


def test_an_oracle_errs_at_its_rates_and_on_the_same_dialogues_each_time() -> None:
    def verdicts(seed: int = 0) -> list[tuple[int, ...]]:
        one = OracleReviewer(TRUTH, POLICY, false_positive=0.1, false_negative=0.3, seed=seed)
        return [reviewed(one, exchange(number=number)).rules for number in range(0, 4000, 2)] + [
            reviewed(one, exchange(number=number)).rules for number in range(1, 4000, 2)
        ]

    found = verdicts()
    clean, violating = found[:2000], found[2000:]
    assert 0.08 < sum(rules == (2,) for rules in clean) / 2000 < 0.12
    assert 0.27 < sum(rules == () for rules in violating) / 2000 < 0.33
    assert {(2,), ()} == set(clean)
    assert {(3,), ()} == set(violating)
    assert found == verdicts()
    assert found != verdicts(seed=1)


def test_an_oracle_without_errors_says_the_truth_and_nothing_where_it_is_not_known() -> None:
    one = OracleReviewer(
        lambda _given, reply, _thinking: (5,) if reply == "bad" else None, POLICY, name="labels"
    )
    assert reviewed(one, exchange(), "bad").rules == (5,)
    assert reviewed(one, exchange(), "other").error == "schema: no truth"
    assert reviewed(OracleReviewer({}, POLICY), exchange()).error == "schema: no truth"
    assert reviewed(OracleReviewer({"e1": (99,)}, POLICY), exchange()).error == "unknown rule"
    assert one.identity()["model"] == "oracle of labels"
    with pytest.raises(ValueError, match="outside"):
        OracleReviewer({}, POLICY, false_positive=1.5)


def test_a_recording_repeats_reviews_and_errors_without_a_call(tmp_path: Path) -> None:
    path = tmp_path / "recorded.jsonl"
    model = Scripted(lambda prompt: "nonsense" if "broken" in prompt else says(prompt, "[2]"))
    recording = RecordingReviewer(reviewer_of(model), path, POLICY)
    first = [reviewed(recording, exchange(), text, "hm") for text in ("good", "broken")]
    recording.close()
    again = RecordedReviewer(path, POLICY)
    for text, known in zip(("good", "broken"), first, strict=True):
        found = reviewed(again, exchange(number=77), text, "hm")
        assert (found.rules, found.reason, found.error) == (known.rules, known.reason, known.error)
    assert reviewed(again, exchange(), "new", "hm").error == "schema: not recorded"
    assert reviewed(again, exchange(), "good", "").error == "schema: not recorded"
    assert [again.identity()[key] for key in ("kind", "model")] == ["recorded", "script"]
    assert again.identity()["prompt"] == reviewer_of(model).identity()["prompt"]
    assert "Some plain words" not in path.read_text("utf-8")
    with pytest.raises(UserError, match="recorded under other standards"):
        RecordedReviewer(path, bundled_policy("paper"))


@pytest.mark.parametrize("text", ["", "{}\n", '{"dialogue": "x"}\n', "[1]\n"])
def test_a_file_that_is_no_recording_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recorded.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(UserError, match=r"recorded\.jsonl"):
        RecordedReviewer(path, POLICY)


def test_a_dialogue_is_named_by_its_texts_alone() -> None:
    given = exchange()
    renamed = Exchange("other", "key", given.turns, "model", True, "zh")
    assert dialogue_hash(given, "a", "b") == dialogue_hash(renamed, "a", "b")
    moved = Exchange(given.id, "", (Turn("system", given.turns[0].content),), "m", False)
    names = {
        dialogue_hash(*one)
        for one in ((given, "a", "b"), (given, "b", "a"), (given, "ab", ""), (moved, "a", "b"))
    }
    assert len(names) == 4
