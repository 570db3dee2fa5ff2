"""The contestant of `scaling`: one GRPO step of a random model, sampled and learned as the `rl` stage does it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ahalab.learning import Learner, TrainingOutput
from ahalab.policy.forward import make_decoder
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from benchmarks.learner_batches import GRPO, random_advantages
from benchmarks.worker import _megabytes

LIBRARIES_MB = _megabytes("VmRSS")
TOKENS_PER_CHUNK = 4096
MAX_ROWS = 128


class ScalingStep:
    """`prompts` × `samples` answers of exactly `new_tokens` tokens: there is no stop token.

    Engine and learner have the limits of a recipe's defaults: 128 rows side by side, 4,096 tokens a chunk.
    """

    def __init__(
        self, shape: dict[str, Any], prompts: int, samples: int, prompt_tokens: int, new_tokens: int
    ) -> None:
        torch.manual_seed(0)
        config = LlamaConfig(tie_word_embeddings=True, max_position_embeddings=8192, **shape)
        self._model = LlamaForCausalLM(config).eval()
        decoder = make_decoder(self._model)
        self._engine = EmbeddedEngine(decoder, max_rows=MAX_ROWS)
        self._learner = Learner(
            SimpleNamespace(model=self._model, decoder=decoder),
            learning_rate=1e-6,
            tokens_per_chunk=TOKENS_PER_CHUNK,
        )
        random = np.random.default_rng(0)
        self._prompts = [
            PromptTokens(str(number), tuple(random.integers(0, config.vocab_size, prompt_tokens).tolist()))
            for number in range(prompts)
        ]
        self._samples, self._sampling = samples, Sampling(new_tokens)

    def describe(self) -> dict[str, Any]:
        parameters = sum(parameter.numel() for parameter in self._model.parameters())
        return {"dtype": "fp32", "parameters": parameters, "libraries_mb": LIBRARIES_MB}

    def run(self, number: int) -> dict[str, Any]:
        started = time.perf_counter()
        drawn = list(
            self._engine.generate(
                self._prompts, self._samples, self._sampling, RolloutKey(0, "scaling", number)
            )
        )
        sampled = time.perf_counter()
        advantages = [random_advantages(group, self._samples) for group in range(len(self._prompts))]
        outputs = [
            TrainingOutput(
                self._prompts[int(sample.prompt_id)].token_ids,
                sample.token_ids,
                advantages[int(sample.prompt_id)][sample.index],
                torch.tensor(sample.logprobs),
            )
            for sample in drawn
        ]
        tokens = sum(len(output.token_ids) for output in outputs)
        self._learner.update(outputs, GRPO, 1.0, n_outputs=len(outputs), n_tokens=tokens)
        learned = time.perf_counter()
        return {"tokens": tokens, "seconds_sample": sampled - started, "seconds_learn": learned - sampled}
