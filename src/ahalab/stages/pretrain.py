"""The `pretrain` stage: a bundled base from scratch, on the tiny world's corpus; a step depends on its number only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from ahalab.errors import Interrupted
from ahalab.learning.optimizer_state import load_adamw, save_adamw
from ahalab.policy.forward import make_decoder
from ahalab.policy.load import Policy, default_device, load_weights, save_policy
from ahalab.policy.tiny_tokenizer import build_tiny_tokenizer
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.inputs import StageConfig
from ahalab.stages.ledger import Ledger
from ahalab.validation import StrictModel
from ahalab.world.corpus import document
from ahalab.world.domain import Mixture

VERSION = 3

MUON_FILE = "muon.safetensors"

_PLANTED = Mixture()

Share = Annotated[float, Field(ge=0, le=1)]


class CorpusMixture(StrictModel):
    """The planted rates: how the corpus answers. Our choice; the data card shows what the base makes of them."""

    drill: Share = Field(_PLANTED.drill, description="Share of step drills.")
    check: Share = Field(_PLANTED.check, description="Share of thinkings that check themselves.")
    second_check: Share = Field(_PLANTED.second_check, description="Share of checks that are done twice.")
    direct_right: Share = Field(_PLANTED.direct_right, description="Share of direct guesses that are right.")
    badly_formatted: Share = Field(_PLANTED.badly_formatted, description="Share of badly formatted answers.")
    mixed_language: Share = Field(_PLANTED.mixed_language, description="Share of thinkings in two languages.")
    chinese: Share = Field(_PLANTED.chinese, description="Share of Chinese questions.")
    worked: Share = Field(
        _PLANTED.worked, description="Share of problems worked out in the first person, outside the template."
    )
    good_manners: Share = Field(
        _PLANTED.good_manners, description="Chance of each courtesy in the answer to an instruction."
    )
    instruction_slip: Share = Field(
        _PLANTED.instruction_slip, description="Share of instructions not followed to the letter."
    )
    unsafe_compliance: Share = Field(
        _PLANTED.unsafe_compliance, description="Share of unsafe requests that are simply answered."
    )
    bare_refusal: Share = Field(
        _PLANTED.bare_refusal, description="Share of requests refused without a reason."
    )

    def mixture(self) -> Mixture:
        """As the world takes it."""
        return Mixture(**self.model_dump())


class PretrainConfig(StageConfig):
    """A small Llama and how it is trained."""

    steps: Annotated[int, Field(ge=1)] = Field(5500, description="Optimizer steps.")
    rows_per_step: Annotated[int, Field(ge=1)] = Field(16, description="Rows in one step.")
    row_tokens: Annotated[int, Field(ge=16)] = Field(
        256, description="Tokens in a row: documents one after another."
    )
    matrix_learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.02, description="Peak learning rate of Muon, for the matrices (cosine to 5 %)."
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        2e-3, description="Peak learning rate of AdamW, for embeddings and norms (cosine to 5 %)."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(100, description="Linear warm-up.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.05, description="On matrices only.")
    hidden_size: Annotated[int, Field(ge=8)] = Field(128, description="Width.")
    layers: Annotated[int, Field(ge=1)] = Field(4, description="Depth.")
    heads: Annotated[int, Field(ge=1)] = Field(4, description="Attention heads.")
    intermediate_size: Annotated[int, Field(ge=8)] = Field(384, description="Width of the MLP.")
    vocabulary: Annotated[int, Field(ge=300)] = Field(
        1200, description="Most tokens the vocabulary may have."
    )
    tokenizer_documents: Annotated[int, Field(ge=1)] = Field(
        20_000, description="Documents the tokenizer learns from."
    )
    corpus: CorpusMixture = Field(CorpusMixture(), description="What the corpus is made of.")
    checkpoint_every: Annotated[int, Field(ge=1)] = Field(100, description="Steps between checkpoints.")


def run_pretrain(config: PretrainConfig, context: StageContext) -> StageResult:
    """Build tokenizer and model; leaves `checkpoint/`, a plain transformers folder.

    Raises:
        Interrupted: Ctrl-C; the state is saved and the same command goes on.
    """
    tokenizer = _tokenizer(config, context)
    torch.manual_seed(context.seed)
    model = LlamaForCausalLM(_llama_config(config, tokenizer)).to(default_device())
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    policy = Policy(model, tokenizer, make_decoder(model), context.name)
    optimizers = _Optimizers(config, model)

    def load(folder: Path) -> None:
        load_weights(policy, folder)
        optimizers.load(folder)

    def write(folder: Path) -> None:
        save_policy(policy, folder)
        optimizers.save(folder)

    ledger = Ledger(context.folder)
    try:
        state = ledger.resume(load)
        context.progress.begin(context.name, config.steps, "step", state.step)
        while state.step < config.steps:
            first = state.step * config.rows_per_step
            rows = [
                packed_row(config, context.seed, first + r, tokenizer) for r in range(config.rows_per_step)
            ]
            optimizers.set_rate(_rate(config, state.step))
            loss = _step([tokens for tokens, _ in rows], policy, optimizers)
            state.step += 1
            state.position += sum(len(texts) for _, texts in rows)
            if state.step % 10 == 0 or state.step == config.steps:
                ledger.write_metrics({"step": state.step, "rollout": 0, "loss": loss})
                context.progress.advance(state.step, {"loss": loss})
            asked = context.interrupt.asked
            if state.step % config.checkpoint_every == 0 or state.step == config.steps or asked:
                ledger.save(state, write)
            if asked and state.step < config.steps:
                raise Interrupted(f"{context.name}: saved at step {state.step} of {config.steps}.")
        ledger.finish()
    finally:
        context.progress.end()
        ledger.close()
    count = sum(parameter.numel() for parameter in model.parameters())
    return StageResult({"parameters": count, "vocabulary": len(tokenizer), "documents": state.position})


def packed_row(
    config: PretrainConfig, seed: int, row: int, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], list[str]]:
    """Row number `row` of the corpus, `row_tokens + 1` ids, and the documents in it; a pure function of (seed, row).

    Documents follow each other with an end token between; the last one is cut. Mixed rows matter: batches sorted by
    length, each of one kind of document, learned several times slower (docs/lab-notes.md).
    """
    mixture = config.corpus.mixture()
    ids: list[int] = []
    texts: list[str] = []
    while len(ids) <= config.row_tokens:
        # A row owns a range of document numbers far longer than it can use.
        texts.append(document(seed, row * config.row_tokens + len(texts), mixture))
        ids += [*tokenizer(texts[-1], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return ids[: config.row_tokens + 1], texts


class _Optimizers:
    """Muon for the matrices, AdamW for embeddings and norms: two to three times fewer tokens than AdamW alone here."""

    def __init__(self, config: PretrainConfig, model: LlamaForCausalLM) -> None:
        named = dict(model.named_parameters())
        self._matrices = {n: p for n, p in named.items() if p.dim() == 2 and "embed" not in n}
        self._others = {n: p for n, p in named.items() if n not in self._matrices}
        self.muon = torch.optim.Muon(
            list(self._matrices.values()),
            lr=config.matrix_learning_rate,
            weight_decay=config.weight_decay,
            momentum=0.95,
            adjust_lr_fn="original",
        )
        self.adamw = torch.optim.AdamW(
            list(self._others.values()),
            lr=config.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=0.0,
            fused=True,
        )
        self._peaks = [(self.muon, config.matrix_learning_rate), (self.adamw, config.learning_rate)]

    def set_rate(self, share: float) -> None:
        """Every learning rate at this share of its peak."""
        for optimizer, peak in self._peaks:
            for group in optimizer.param_groups:
                group["lr"] = peak * share

    def step(self) -> None:
        """One update from the gradients, which are then dropped."""
        for optimizer, _ in self._peaks:
            optimizer.step()
            optimizer.zero_grad()

    def save(self, folder: Path) -> None:
        """`optimizer.safetensors` (AdamW) and `muon.safetensors` (momentum by parameter name)."""
        save_adamw(self.adamw, self._others, folder)
        momentum = {n: self.muon.state[p]["momentum_buffer"] for n, p in self._matrices.items()}
        save_file(momentum, folder / MUON_FILE)

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        load_adamw(self.adamw, self._others, folder)
        for name, momentum in load_file(folder / MUON_FILE).items():
            self.muon.state[self._matrices[name]]["momentum_buffer"] = momentum


def _step(rows: list[list[int]], policy: Policy, optimizers: _Optimizers) -> float:
    tokens = torch.tensor(rows, device=policy.decoder.device)
    logits = policy.model(input_ids=tokens[:, :-1]).logits
    loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
    optimizers.step()
    return loss.item()


def _rate(config: PretrainConfig, step: int) -> float:
    """Share of the peak learning rate: linear warm-up, cosine to 5 %."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / config.steps))
    return warm * (0.05 + 0.95 * cosine)


def _tokenizer(config: PretrainConfig, context: StageContext) -> PreTrainedTokenizerFast:
    folder = context.folder / "tokenizer"
    if not (folder / "tokenizer.json").is_file():
        mixture = config.corpus.mixture()
        # Documents of their own, so that the vocabulary does not depend on how long the model is trained.
        texts = (document(context.seed, -1 - index, mixture) for index in range(config.tokenizer_documents))
        temporary = context.folder / ".tmp-tokenizer"
        build_tiny_tokenizer(texts, config.vocabulary).save_pretrained(temporary)
        temporary.rename(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def _llama_config(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
