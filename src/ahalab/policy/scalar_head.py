"""A scalar head on the policy's architecture, as transformers' own sequence classifier with one label.

The classifier's backbone is the very module whose parameters our packed forward reads, so that training, scoring
and `AutoModelForSequenceClassification.from_pretrained` speak of the same weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ahalab.errors import UserError
from ahalab.policy.forward import Decoder, make_decoder
from ahalab.policy.load import Policy, default_device

HEAD = "score"
"""transformers' name of the linear layer on the backbone's last hidden state, in every decoder family."""

TOLERANCE = 1e-3
"""Largest difference to transformers' own scores that the check at the start lets pass, relative to the largest."""


@dataclass(slots=True)
class ScalarModel:
    """A backbone with a head of one number a sequence. Weights are fp32; `decoder` reads those of `model`."""

    model: PreTrainedModel
    """transformers' `…ForSequenceClassification` with `num_labels=1`."""
    tokenizer: PreTrainedTokenizerBase
    decoder: Decoder
    name: str

    @property
    def pad_id(self) -> int | None:
        """The token that pooling passes over, by the model's config."""
        pad = self.model.config.get_text_config().pad_token_id
        return None if pad is None else int(pad)

    def packed_scores(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Scores [S] of the S segments of packed int64 `tokens` [T]; autograd-capable.

        Each segment is read as if alone, and scored where transformers pools: see `pooled_positions`.
        """
        head: nn.Linear = getattr(self.model, HEAD)
        hidden = self.decoder.packed_hidden(tokens, lengths)
        places = pooled_positions(tokens, lengths, self.pad_id).to(hidden.device)
        # A decoder may append columns for its own output head's bias.
        pooled = hidden.index_select(0, places)[:, : head.in_features]
        scores: Tensor = head(pooled).squeeze(-1)
        return scores


def pooled_positions(tokens: Tensor, lengths: Sequence[int], pad_id: int | None) -> Tensor:
    """Index [S] into packed `tokens` [T] of the token at which each segment is scored.

    As transformers: the rightmost token that is not the padding token, the segment's first token where all are
    padding, its last where the config names no padding token.
    """
    ends = torch.tensor(lengths, device=tokens.device).cumsum(0)
    starts = ends - torch.tensor(lengths, device=tokens.device)
    if pad_id is None:
        return ends - 1
    places = torch.arange(len(tokens), device=tokens.device)
    segment = torch.repeat_interleave(torch.arange(len(lengths), device=tokens.device), ends - starts)
    candidates = torch.where(tokens != pad_id, places, starts[segment])
    return torch.zeros_like(starts).scatter_reduce(0, segment, candidates, "amax", include_self=True)


def add_scalar_head(policy: Policy) -> ScalarModel:
    """Put a head of zeros on the policy's backbone, which the result shares with it.

    Every first score is 0: no preference comes from chance (our choice; the paper does not say). The tokenizer of a
    model without padding token pads with its end token, as transformers needs one to score more than one row.

    Raises:
        UserError: transformers has no sequence classifier for this architecture, or one that our packed forward
            does not reproduce.
    """
    if policy.tokenizer.pad_token_id is None:
        policy.tokenizer.pad_token = policy.tokenizer.eos_token
    config = copy.deepcopy(policy.model.config)
    config.num_labels = 1
    config.id2label, config.label2id = {0: "reward"}, {"reward": 0}
    if config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = _padding(policy)
    try:
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    except ValueError as error:
        raise _unsupported(policy, "transformers has no sequence classifier for it") from error
    head = getattr(model, HEAD, None)
    if not isinstance(head, nn.Linear) or head.out_features != 1 or head.bias is not None:
        raise _unsupported(policy, f"its sequence classifier has no plain linear `{HEAD}` on the last token")
    setattr(model, model.base_model_prefix, policy.model.base_model)
    fresh = nn.Linear(head.in_features, 1, bias=False, device=policy.decoder.device, dtype=torch.float32)
    nn.init.zeros_(fresh.weight)
    setattr(model, HEAD, fresh)
    if any(parameter.is_meta for parameter in model.parameters()):
        raise _unsupported(policy, "its sequence classifier has more weights than a backbone and a head")
    model.eval()
    scalar = ScalarModel(model, policy.tokenizer, policy.decoder, policy.name)
    _check_forward(scalar)
    return scalar


def save_scalar_model(scalar: ScalarModel, folder: Path) -> None:
    """Write what `AutoModelForSequenceClassification` loads: fp32 safetensors, config, tokenizer."""
    scalar.model.save_pretrained(folder)
    scalar.tokenizer.save_pretrained(folder)


def load_scalar_weights(scalar: ScalarModel, folder: Path) -> None:
    """Put the weights saved in `folder` into the model's own parameters, bit for bit. UserError where they differ."""
    from safetensors.torch import load_model

    missing, unexpected = load_model(scalar.model, str(folder / "model.safetensors"), strict=False)
    if missing or unexpected:
        raise UserError(
            f"{folder}/model.safetensors does not fit this model: missing {sorted(missing)[:3]}, "
            f"unexpected {sorted(unexpected)[:3]}."
        )


def load_scalar_model(folder: Path, device: torch.device | None = None) -> ScalarModel:
    """Load what `save_scalar_model` wrote, or any sequence classifier of one label, in fp32.

    Raises:
        UserError: the folder holds no such model, or its files are broken.
    """
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # transformers and safetensors raise types of their own, without a common base
        raise UserError(
            f"{folder} cannot be loaded as a reward model: {str(error).strip().splitlines()[0]} "
            "Expected the checkpoint of a `reward_model` stage: config.json, model.safetensors, tokenizer files."
        ) from error
    lacking = sorted({*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])})
    if lacking or model.config.num_labels != 1:
        raise UserError(
            f"{folder} is not a reward model: "
            + (
                f"it lacks {', '.join(lacking[:3])}"
                if lacking
                else f"it has {model.config.num_labels} labels"
            )
            + ". Expected the checkpoint of a `reward_model` stage."
        )
    model = model.to(device or default_device()).eval()
    scalar = ScalarModel(model, tokenizer, make_decoder(_as_causal(model)), str(folder))
    _check_forward(scalar)
    return scalar


def _as_causal(model: PreTrainedModel) -> Any:
    """A causal LM around the classifier's backbone, as the decoders want one; its output head is the embedding."""
    with torch.device("meta"):
        causal = AutoModelForCausalLM.from_config(model.config, dtype=torch.float32)
    setattr(causal, causal.base_model_prefix, model.base_model)
    output, embedding = causal.get_output_embeddings(), model.get_input_embeddings().weight
    output.weight = embedding
    if output.bias is not None:
        output.bias = nn.Parameter(torch.zeros(len(embedding), device=embedding.device))
    return causal.eval()


def _check_forward(scalar: ScalarModel) -> None:
    """Hold our scores to those of transformers' own forward, on made-up tokens and a made-up head."""
    head = getattr(scalar.model, HEAD)
    n = min(scalar.decoder.vocab_size, 11)
    tokens = torch.tensor([i for i in range(n) if i != scalar.pad_id], device=scalar.decoder.device)
    weight = torch.linspace(-1.0, 1.0, head.in_features, device=tokens.device)[None]
    kept = head.weight.detach().clone()
    with torch.no_grad():
        head.weight.copy_(weight)
        own = scalar.model(input_ids=tokens[None]).logits[0, 0]
        ours = scalar.packed_scores(tokens, [len(tokens)])[0]
        head.weight.copy_(kept)
    if not torch.isfinite(own) or abs(own - ours) > TOLERANCE * max(1.0, abs(float(own))):
        raise UserError(
            f"{scalar.name}: transformers' sequence classifier ({type(scalar.model).__name__}) gives other scores than "
            "ahalab's forward, so it could not be used as a reward model elsewhere. Use another base model."
        )


def _padding(policy: Policy) -> int | None:
    pad: int | None = policy.tokenizer.pad_token_id
    return pad if pad is not None else next(iter(policy.stop_ids), None)


def _unsupported(policy: Policy, why: str) -> UserError:
    return UserError(
        f"no reward model can be made from {policy.name}: {why} ({type(policy.model).__name__}). "
        "Use a base of another family (Llama, Qwen, Mistral, Gemma, GPT-2 and GPT-NeoX work)."
    )
