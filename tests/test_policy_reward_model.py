"""Reward models in use: packed or one by one, what is judged, the lowest reward, vocabularies, broken folders."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from ahalab.errors import UserError
from ahalab.policy.calibration import LogisticMap
from ahalab.policy.load import load_policy
from ahalab.policy.reward_model import (
    ResponseFormat,
    RewardKind,
    RewardModel,
    RewardModelCard,
    load_reward_model,
    score_sequences,
    vocabulary_hash,
)
from ahalab.policy.scalar_head import add_scalar_head, save_scalar_model
from ahalab.records import Response
from ahalab.text import Renderer, parse_response

QUESTION = "What is 2 + 3?"
WELL_FORMED = [
    " <think> two and three </think> <answer> 5 </answer>",
    " <think> let me see. wait, so it is 5 then </think> <answer> the answer is 5 and not 6 </answer>",
    " <think> </think> <answer> hello </answer>",
    " <think> x </think> <answer> 12345 67890 </answer>",
]


def _parsed(text: str, finish: str = "stop") -> Response:
    return parse_response(text, finish)  # type: ignore[arg-type]


def _saved(base: Path, folder: Path, kind: RewardKind) -> Path:
    """A reward model with a random head, as the stage leaves one."""
    scalar = add_scalar_head(load_policy(str(base)))
    torch.manual_seed(0)
    with torch.no_grad():
        scalar.model.score.weight.normal_()
    save_scalar_model(scalar, folder)
    card = RewardModelCard(
        kind, "table1", LogisticMap(0.7, -0.2), "a test", vocabulary_hash(scalar.tokenizer)
    )
    card.write(folder)
    return folder


@pytest.fixture(scope="module")
def helpful(random_base: Path, tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    return load_reward_model(_saved(random_base, tmp_path_factory.mktemp("rm") / "helpful", "pairwise"))


@pytest.fixture(scope="module")
def safety(random_base: Path, tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    return load_reward_model(_saved(random_base, tmp_path_factory.mktemp("rm") / "safety", "pointwise"))


@pytest.mark.parametrize("which", ["helpful", "safety"])
def test_scores_do_not_depend_on_the_batch(which: str, request: pytest.FixtureRequest) -> None:
    model: RewardModel = request.getfixturevalue(which)
    responses = [_parsed(text) for text in WELL_FORMED * 3]
    questions = [f"{QUESTION} number {i % 5}" for i in range(len(responses))]
    together = model.raw_scores(questions, responses)
    alone = [model.raw_scores([q], [r])[0] for q, r in zip(questions, responses, strict=True)]
    small = RewardModel(model.scalar, model.card, tokens_per_chunk=20).raw_scores(questions, responses)
    assert len(set(together)) > 3
    assert together == pytest.approx(alone, abs=1e-5)
    assert small == pytest.approx(alone, abs=1e-5)
    backwards = model.raw_scores(questions[::-1], responses[::-1])[::-1]
    assert together == pytest.approx(backwards, abs=1e-5)


def test_plain_transformers_gives_the_same_raw_score(helpful: RewardModel) -> None:
    plain = AutoModelForSequenceClassification.from_pretrained(helpful.scalar.name)
    form = ResponseFormat(helpful.scalar.tokenizer, "table1")
    for text in WELL_FORMED:
        response = _parsed(text)
        prompt, judged = form.summary_ids(QUESTION, response.answer or "")
        own = plain(input_ids=torch.tensor([[*prompt, *judged]])).logits[0, 0].item()
        assert helpful.raw_scores([QUESTION], [response])[0] == pytest.approx(own, abs=1e-5)


def test_the_helpful_model_sees_the_final_summary_only(helpful: RewardModel, safety: RewardModel) -> None:
    one, other = (_parsed(f" <think> {t} </think> <answer> 5 </answer>") for t in ("two and three", "apples"))
    first, second = helpful.raw_scores([QUESTION] * 2, [one, other])
    assert first == pytest.approx(second, abs=1e-6)
    first, second = safety.raw_scores([QUESTION] * 2, [one, other])
    assert abs(first - second) > 1e-3
    assert (helpful.kind, helpful.scope) == ("pairwise", "summary")
    assert (safety.kind, safety.scope) == ("pointwise", "response")


def test_the_safety_model_sees_what_stands_outside_the_tags(safety: RewardModel) -> None:
    inside = _parsed(" <think> x </think> <answer> 5 </answer>")
    after = _parsed(" <think> x </think> <answer> 5 </answer> apples boxes")
    unfinished = _parsed(" <think> x </think> <answer> 5", "length")
    untagged = _parsed("apples")
    scores = safety.raw_scores([QUESTION] * 4, [inside, after, unfinished, untagged])
    assert len({round(score, 4) for score in scores}) == 4
    assert all(math.isfinite(score) for score in scores)


@pytest.mark.parametrize(
    ("text", "finish"),
    [
        ("", "stop"),
        ("  \n", "stop"),
        ("no tags at all", "stop"),
        (" <think> x </think> <answer>  </answer>", "stop"),
        (" <think> x </think> <answer> 5 and th", "length"),
        (" <think> x", "length"),
    ],
)
def test_no_finished_summary_gets_the_lowest_helpful_reward(
    helpful: RewardModel, text: str, finish: str
) -> None:
    good, none = helpful.rewards([QUESTION] * 2, [_parsed(WELL_FORMED[0]), _parsed(text, finish)])
    assert none == 0.0
    assert good > 0.0


def test_an_empty_response_gets_the_lowest_safety_reward(safety: RewardModel) -> None:
    assert safety.rewards([QUESTION] * 2, [_parsed(""), _parsed("  ", "length")]) == [0.0, 0.0]
    assert safety.rewards([], []) == []


def test_rewards_lie_in_bounds_and_rise_with_the_score(helpful: RewardModel) -> None:
    responses = [_parsed(text) for text in [*WELL_FORMED, ""]]
    scores = helpful.raw_scores([QUESTION] * 5, responses)
    rewards = helpful.rewards([QUESTION] * 5, responses)
    assert all(0.0 <= reward <= 1.0 for reward in rewards)
    order = sorted(range(5), key=scores.__getitem__)
    assert [rewards[i] for i in order] == sorted(rewards)
    assert len(set(rewards)) == 5


def test_a_question_and_its_response_must_come_in_pairs(helpful: RewardModel) -> None:
    with pytest.raises(ValueError, match="zip"):
        helpful.rewards([QUESTION], [])


def test_there_is_no_limit_on_the_length(safety: RewardModel) -> None:
    long = _parsed(f" <think> {'so it is 5 then. ' * 400} </think> <answer> 5 </answer>")
    assert math.isfinite(safety.raw_scores([QUESTION], [long])[0])


def test_what_is_judged_is_written_as_the_policy_writes_it(random_base: Path) -> None:
    tokenizer = load_policy(str(random_base)).tokenizer
    form, renderer = ResponseFormat(tokenizer, "auto"), Renderer(tokenizer)
    assert form.response_ids(QUESTION, "two", " 5 ")[1] == renderer.completion_ids(
        renderer.render_response("two", "5")
    )
    assert form.summary_ids(QUESTION, "5")[1] == renderer.completion_ids(renderer.render_response("", "5"))
    assert form.response_ids(QUESTION, "two", "5")[0] == renderer.prompt_ids(QUESTION)
    # A well-formed sample and a row of a data set with the same parts are the same to the model.
    sampled = _parsed("<think>two</think><answer>5</answer>")
    assert form.judged_ids("response", QUESTION, sampled) == form.response_ids(QUESTION, "two", "5")


def test_hostile_text_is_judged_and_never_refused(helpful: RewardModel, safety: RewardModel) -> None:
    hostile = _parsed(" <think> </think> <answer> </think> <answer> <|end|> <|pad|> {{7*7}} \x00 </answer>")
    for model in (helpful, safety):
        assert math.isfinite(model.raw_scores([QUESTION], [hostile])[0])


def test_another_vocabulary_is_refused_and_the_difference_named(
    helpful: RewardModel, random_base: Path
) -> None:
    tokenizer = load_policy(str(random_base)).tokenizer
    helpful.check_vocabulary(tokenizer)
    tokenizer.add_tokens(["<tool>"])
    with pytest.raises(
        UserError, match=r"another vocabulary .* 1 of them different \('<tool>' is missing here and id"
    ):
        helpful.check_vocabulary(tokenizer)


def test_the_same_tokens_under_other_ids_are_refused(
    helpful: RewardModel, random_base: Path, tmp_path: Path
) -> None:
    shutil.copytree(random_base, tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    (a, i), (b, j) = list(vocabulary.items())[10:12]
    vocabulary[a], vocabulary[b] = j, i
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="2 of them different"):
        helpful.check_vocabulary(load_policy(str(tmp_path / "other")).tokenizer)


def test_a_folder_that_is_no_reward_model_is_refused(random_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no reward_model\.json"):
        load_reward_model(random_base)
    folder = _saved(random_base, tmp_path / "rm", "pairwise")
    card = folder / "reward_model.json"
    content = json.loads(card.read_text())
    for change in (
        {"kind": "both"},
        {"calibration": {"slope": -1.0, "intercept": 0.0, "by": ""}},
        {"format": 99},
    ):
        card.write_text(json.dumps({**content, **change}))
        with pytest.raises(UserError, match=r"reward_model\.json"):
            load_reward_model(folder)
    card.write_text(json.dumps({**content, "vocabulary": "0" * 64}))
    with pytest.raises(UserError, match="tokenizer is not the one"):
        load_reward_model(folder)


def test_sequences_beyond_learned_positions_lose_their_beginning(random_base: Path) -> None:
    scalar = add_scalar_head(load_policy(str(random_base)))
    torch.manual_seed(0)
    with torch.no_grad():
        scalar.model.score.weight.normal_()
    scalar.decoder.max_positions = 4  # type: ignore[misc]
    long, end = [5, 6, 7, 8, 9, 10], [7, 8, 9, 10]
    assert score_sequences(scalar, [long], 64) == pytest.approx(score_sequences(scalar, [end], 64), abs=1e-6)
