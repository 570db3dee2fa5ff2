"""The scalar head: the scores of plain transformers, pooled where transformers pools, gradients everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, LlamaConfig, LlamaForCausalLM

import forward_models
from ahalab.errors import UserError
from ahalab.policy.forward import make_decoder
from ahalab.policy.load import Policy, load_policy
from ahalab.policy.scalar_head import (
    ScalarModel,
    add_scalar_head,
    load_scalar_model,
    load_scalar_weights,
    pooled_positions,
    save_scalar_model,
)

ARCHITECTURES = {**forward_models.LEAN, **forward_models.GENERIC}
WITHOUT_CLASSIFIER = ("cohere, logit scale", "granite, logits scaling")
PAD = 3


def _scalar(name: str, base: Path, **changes: Any) -> ScalarModel:
    kind, settings = ARCHITECTURES[name]
    model = forward_models.build(kind, **{**settings, "pad_token_id": PAD, **changes})
    scalar = add_scalar_head(Policy(model, load_policy(str(base)).tokenizer, make_decoder(model), name))
    torch.manual_seed(0)
    with torch.no_grad():
        scalar.model.score.weight.normal_()
    return scalar


def _scores(scalar: ScalarModel, segments: list[torch.Tensor]) -> torch.Tensor:
    return scalar.packed_scores(torch.cat(segments), [len(segment) for segment in segments])


def _padded(segments: list[torch.Tensor], pad: int, *, left: bool) -> dict[str, torch.Tensor]:
    longest = max(map(len, segments))
    ids = torch.full((len(segments), longest), pad)
    mask = torch.zeros_like(ids)
    for row, segment in enumerate(segments):
        place = slice(longest - len(segment), None) if left else slice(0, len(segment))
        ids[row, place], mask[row, place] = segment, 1
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in WITHOUT_CLASSIFIER])
def test_plain_transformers_loads_the_checkpoint_and_gives_the_same_scores(
    name: str, random_base: Path, tmp_path: Path
) -> None:
    scalar = _scalar(name, random_base)
    segments = forward_models.segments()
    ours = _scores(scalar, segments)
    assert ours.std() > 0.1
    save_scalar_model(scalar, tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert plain.config.num_labels == 1
    alone = torch.stack([plain(input_ids=segment[None]).logits[0, 0] for segment in segments]).detach()
    together = plain(**_padded(segments, PAD, left=False)).logits[:, 0]
    scale = float(alone.abs().max())
    torch.testing.assert_close(ours, alone, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(ours, together, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(_scores(load_scalar_model(tmp_path), segments), ours, rtol=0, atol=0)


@pytest.mark.parametrize("name", WITHOUT_CLASSIFIER)
def test_an_architecture_without_classifier_is_refused_in_words(name: str, random_base: Path) -> None:
    with pytest.raises(UserError, match="no sequence classifier"):
        _scalar(name, random_base)


def test_the_score_is_taken_at_the_last_token_that_is_not_padding(random_base: Path, tmp_path: Path) -> None:
    scalar = _scalar("llama, grouped heads", random_base)
    segments = [
        torch.tensor(row) for row in ([5, 6, 7], [5, 6, 7, PAD, PAD], [5, PAD, 7, PAD], [PAD, PAD], [9])
    ]
    assert pooled_positions(torch.cat(segments), [3, 5, 4, 2, 1], PAD).tolist() == [2, 5, 10, 12, 14]
    assert pooled_positions(torch.cat(segments), [3, 5, 4, 2, 1], None).tolist() == [2, 7, 11, 13, 14]
    save_scalar_model(scalar, tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    own = torch.stack([plain(input_ids=segment[None]).logits[0, 0] for segment in segments])
    torch.testing.assert_close(_scores(scalar, segments), own, rtol=0, atol=1e-4)


def test_left_and_right_padding_give_the_packed_score(random_base: Path, tmp_path: Path) -> None:
    scalar = _scalar("llama, grouped heads", random_base)
    segments = [segment[segment != PAD] for segment in forward_models.segments()]
    save_scalar_model(scalar, tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    for left in (False, True):
        inputs = _padded(segments, PAD, left=left)
        positions = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
        own = plain(**inputs, position_ids=positions).logits[:, 0]
        torch.testing.assert_close(_scores(scalar, segments), own, rtol=0, atol=1e-4)


def test_a_model_that_names_no_padding_gets_its_end_token(random_base: Path, tmp_path: Path) -> None:
    policy = load_policy(str(random_base))
    policy.tokenizer.pad_token = None
    policy.model.config.pad_token_id = None
    scalar = add_scalar_head(policy)
    assert scalar.pad_id == policy.tokenizer.eos_token_id
    save_scalar_model(scalar, tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    plain(**_padded([torch.tensor([5, 6]), torch.tensor([7])], plain.config.pad_token_id, left=False))


def test_a_fresh_head_prefers_nothing(random_base: Path) -> None:
    scalar = add_scalar_head(load_policy(str(random_base)))
    assert _scores(scalar, [torch.tensor([5, 6]), torch.tensor([7])]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_reach_the_whole_backbone_and_the_head(random_base: Path, tied: bool) -> None:
    scalar = _scalar("llama, grouped heads", random_base, tie_word_embeddings=tied)
    _scores(scalar, forward_models.segments()).square().sum().backward()
    parameters = dict(scalar.model.named_parameters())
    assert "lm_head.weight" not in parameters
    assert len(parameters) == 3 * 9 + 3
    assert all(p.grad is not None and bool(p.grad.abs().max() > 0) for p in parameters.values())


def test_the_packed_gradient_is_that_of_plain_transformers(random_base: Path, tmp_path: Path) -> None:
    scalar = _scalar("qwen3, norms, wide heads", random_base)
    save_scalar_model(scalar, tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    segments = forward_models.segments()
    _scores(scalar, segments).square().sum().backward()
    sum(plain(input_ids=segment[None]).logits[0, 0].square() for segment in segments).backward()
    own = dict(plain.named_parameters())
    for name, parameter in scalar.model.named_parameters():
        expected = own[name].grad
        scale = float(expected.abs().max())
        torch.testing.assert_close(parameter.grad, expected, rtol=0, atol=1e-4 * scale)


def test_saved_weights_are_put_back_bit_for_bit(random_base: Path, tmp_path: Path) -> None:
    scalar = _scalar("llama, grouped heads", random_base)
    before = {name: parameter.detach().clone() for name, parameter in scalar.model.named_parameters()}
    save_scalar_model(scalar, tmp_path)
    with torch.no_grad():
        for parameter in scalar.model.parameters():
            parameter.add_(1.0)
    load_scalar_weights(scalar, tmp_path)
    assert all(torch.equal(parameter, before[name]) for name, parameter in scalar.model.named_parameters())
    other = _scalar("llama, biases everywhere", random_base)
    with pytest.raises(UserError, match="does not fit"):
        load_scalar_weights(other, tmp_path)


def test_a_policy_is_not_taken_for_a_reward_model(random_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lacks score"):
        load_scalar_model(random_base)
    with pytest.raises(UserError, match="cannot be loaded"):
        load_scalar_model(tmp_path)


def test_a_classifier_of_two_labels_is_refused(random_base: Path, tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_labels=2,
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    load_policy(str(random_base)).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="2 labels"):
        load_scalar_model(tmp_path)


def test_the_head_shares_the_policy_s_own_backbone(random_base: Path) -> None:
    policy = load_policy(str(random_base))
    assert isinstance(policy.model, LlamaForCausalLM)
    scalar = add_scalar_head(policy)
    assert scalar.model.base_model is policy.model.base_model
