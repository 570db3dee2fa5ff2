"""Base models for tests of whole runs: small, made in seconds from a seed, nothing downloaded.

`make_trained_base` knows the answer format and a few digits by heart, so that rewards differ within a group and a
run has something to learn; `make_random_base` knows nothing and hardly ever ends a reply.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ahalab.policy.tiny_tokenizer import build_tiny_tokenizer
from ahalab.text.template import table1_prompt
from ahalab.world.corpus import document
from ahalab.world.domain import Mixture

STEPS = 160
ROWS = 48
QUESTIONS = ("Name a small number", "Say a digit", "给一个数字")


def make_random_base(folder: Path, *, ends: bool = True) -> Path:
    """A model folder with random weights; with `ends=False` its stop token is never drawn."""
    tokenizer = _tokenizer()
    model = _model(tokenizer, tied=ends)
    if not ends:
        with torch.no_grad():
            # The first number of every hidden state is large and positive, and counts against the stop token only.
            model.model.embed_tokens.weight[:, 0] = 5.0
            model.lm_head.weight[:, 0] = 0.0
            model.lm_head.weight[tokenizer.eos_token_id, 0] = -10.0
    return _save(model, tokenizer, folder)


def make_trained_base(folder: Path) -> Path:
    """A model folder of a model that answers with a digit from 1 to 4, nine times in ten well formed."""
    torch.set_num_threads(1)  # for so small a model more threads only wait for each other
    tokenizer = _tokenizer()
    model = _model(tokenizer)
    rng = random.Random(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / STEPS)
        texts = [_text(rng) for _ in range(ROWS)]
        encoded = [[*ids, tokenizer.eos_token_id] for ids in tokenizer(texts)["input_ids"]]
        longest = max(map(len, encoded))
        tokens = torch.tensor([ids + [tokenizer.pad_token_id] * (longest - len(ids)) for ids in encoded])
        targets = torch.where(tokens == tokenizer.pad_token_id, -100, tokens)[:, 1:]
        logits = model(input_ids=tokens[:, :-1]).logits
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _save(model, tokenizer, folder)


def write_questions(path: Path, rows: int = 12) -> Path:
    """A JSONL file whose gold answers are digits from 1 to 4."""
    lines = [
        {"question": f"{QUESTIONS[row % len(QUESTIONS)]}, number {row}", "answer": str(row % 4 + 1)}
        for row in range(rows)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def _text(rng: random.Random) -> str:
    prompt = table1_prompt(f"{rng.choice(QUESTIONS)}, number {rng.randint(0, 99)}")
    digit = rng.randint(1, 4)
    thinking = rng.choice(("let me see.", "wait, let me see.", "at a glance."))
    if rng.random() < 0.1:
        return f"{prompt} <answer> {digit} </answer>"
    return f"{prompt} <think> {thinking} </think> <answer> {digit} </answer>"


def _tokenizer() -> PreTrainedTokenizerFast:
    texts = (document(0, index, Mixture()) for index in range(100))
    return build_tiny_tokenizer(texts, 400)


def _model(tokenizer: PreTrainedTokenizerFast, *, tied: bool = True) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def _save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
