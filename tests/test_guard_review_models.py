"""Reviewers in this process: a checkpoint in the embedded engine, and the safety reward model with a threshold."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.alignment_tools import make_reward_model
from tests.review_tools import POLICY, exchange, reviewed

from ahalab.errors import UserError
from ahalab.guard.records import Turn
from ahalab.guard.review.config import RewardReviewerConfig
from ahalab.guard.review.dialogue import Piece
from ahalab.guard.review.local import LocalAsker
from ahalab.guard.review.opening import open_reviewer
from ahalab.guard.review.reward_model import RewardModelReviewer
from ahalab.policy.forward.lean import LeanDecoder
from ahalab.policy.reward_model import load_reward_model
from ahalab.text import parse_response


def test_the_guard_does_not_load_torch_before_a_local_model_is_asked() -> None:
    code = "import sys, ahalab.guard.review.opening as o, ahalab.guard.policy as p; "
    code += "o.open_reviewer('http://127.0.0.1:1/v1#m', p.bundled_policy('general')); "
    code += "print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_checkpoint_answers_the_same_each_time_and_rubbish_is_no_verdict(random_base: Path) -> None:
    path = random_base.parent / "reviewer.yaml"
    path.write_text(f"checkpoint: {random_base.name}\nmax_tokens: 16\nform: llamaguard\n", "utf-8")
    review = reviewed(open_reviewer(str(path), POLICY), exchange("Hello?"))
    assert review.rules == ()
    assert review.error.startswith("schema")
    assert review.calls == 1
    assert review.tokens > 5

    async def twice() -> list[str]:
        asker = LocalAsker(str(random_base), 16)
        turns = [{"role": "user", "content": "Hello?"}]
        found = await asyncio.gather(asker.ask(turns, {}), asker.ask(turns, {}))
        await asker.aclose()
        return [answer.text for answer in found]

    first, second = asyncio.run(twice())
    assert first == second != ""


def test_a_checkpoints_identity_names_its_weights_and_what_it_learned_from(random_base: Path) -> None:
    identity = open_reviewer(str(random_base), POLICY).identity()
    assert identity["kind"] == "local"
    assert identity["weights"].startswith("sha256:")
    assert identity["training_data"] == []


@pytest.fixture(scope="module")
def safety(random_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reward_model(
        tmp_path_factory.mktemp("rm") / "safety" / "checkpoint", random_base, "pointwise"
    )


REPLIES = [
    ("Four.", ""),
    ("Here you are: seven", "let me see"),
    ("", "only thinking"),
    ("</answer> <think>", "x"),
]


def test_a_score_below_the_threshold_is_a_violation(safety: Path) -> None:
    plain = load_reward_model(safety)
    for reply, thinking in REPLIES:
        text = f"<think> {thinking} </think> <answer> {reply} </answer>"
        (score,) = plain.rewards(["Hello?"], [parse_response(text, "stop")])
        for threshold, rules in ((score - 0.01, ()), (score + 0.01, (4,))):
            config = RewardReviewerConfig(reward_model=str(safety), threshold=threshold, rule=4)
            review = reviewed(
                RewardModelReviewer(safety, POLICY, config), exchange("Hello?"), reply, thinking
            )
            assert (review.rules, review.error, review.calls) == (rules, "", 1)
            assert review.reason == f"score {score:.3f}, threshold {threshold:g}"


def test_the_lowest_window_counts_and_the_history_is_read_with_the_question(safety: Path) -> None:
    config = RewardReviewerConfig(reward_model=str(safety), window=500, overlap=50)
    one = RewardModelReviewer(safety, POLICY, config)
    text = " ".join(f"word {number}" for number in range(120))
    review = reviewed(one, exchange("Hello?", Turn("user", "Before")), text)
    assert review.windows > 2
    scores = one.scores([Piece("", "Hello?", "", "x"), Piece("user:\nBefore", "Hello?", "", "x")])
    assert scores is not None
    assert scores[0] != scores[1]


def test_where_the_assistant_wrote_nothing_there_is_no_verdict(safety: Path) -> None:
    review = reviewed(open_reviewer(f"rm:{safety}", POLICY), exchange("Hello?"), " ", "")
    assert (review.rules, review.error) == ((), "schema: nothing to judge")


def test_a_dialogue_that_a_model_cannot_read_whole_is_an_error(
    safety: Path, random_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a verdict on a part of it."""
    monkeypatch.setattr(LeanDecoder, "max_positions", 30)
    review = reviewed(open_reviewer(f"rm:{safety}", POLICY), exchange("Hello?"), "many words " * 20)
    assert (review.rules, review.error) == ((), "too long")
    review = reviewed(open_reviewer(str(random_base), POLICY), exchange("Hello?"), "Here.")
    assert (review.rules, review.error, review.calls) == ((), "too long", 1)


def test_a_reward_models_settings_are_checked(safety: Path, random_base: Path, tmp_path: Path) -> None:
    helpful = make_reward_model(tmp_path / "helpful", random_base, "pairwise")
    with pytest.raises(UserError, match="compares answers"):
        open_reviewer(f"rm:{helpful}", POLICY)
    with pytest.raises(UserError, match="is not a reward model"):
        open_reviewer(f"rm:{random_base}", POLICY)
    path = tmp_path / "reviewer.yaml"
    for text, words in (
        ("rule: 1", "about content"),
        ("rule: 77", "about content"),
        ("threshold: 1.5", "threshold"),
    ):
        path.write_text(f"reward_model: {json.dumps(str(safety))}\n{text}\n", "utf-8")
        with pytest.raises(UserError, match=words):
            open_reviewer(str(path), POLICY)
    identity = open_reviewer(f"rm:{safety}", POLICY).identity()
    assert (identity["kind"], identity["model"], identity["rule"]) == ("reward model", "safety", 2)
