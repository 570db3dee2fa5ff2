"""What transformers itself offers `rollout_vs`: `generate`, and continuous batching."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

from benchmarks.rollout_setting import Setting

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class _Transformers:
    def __init__(self, setting: str) -> None:
        self._setting = given = Setting.read(setting)
        dtype = DTYPES[given.dtype]
        self._model = AutoModelForCausalLM.from_pretrained(given.folder, dtype=dtype).eval()
        self._generation = GenerationConfig(
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=given.max_new_tokens,
            num_return_sequences=given.samples_per_prompt,
            eos_token_id=list(given.stop_ids),
            pad_token_id=given.stop_ids[0],
        )

    def describe(self) -> dict[str, Any]:
        return {
            "dtype": self._setting.dtype,
            "attention": self._model.config._attn_implementation,
            "transformers": transformers.__version__,
        }


class Generate(_Transformers):
    """`generate` with `prompts_at_once` prompts and all their samples in one batch.

    All prompts have the same length, so nothing is padded on the left.
    """

    def __init__(self, setting: str, prompts_at_once: int) -> None:
        super().__init__(setting)
        self._at_once = prompts_at_once

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "prompts_at_once": self._at_once}

    def run(self, _number: int) -> dict[str, Any]:
        prompts, completions = torch.tensor(self._setting.prompts), []
        for some in prompts.split(self._at_once):
            rows = self._model.generate(
                some, attention_mask=torch.ones_like(some), generation_config=self._generation
            )
            completions += rows[:, some.shape[1] :].tolist()
        return self._setting.figures(completions)


class Continuous(_Transformers):
    """`generate_batch`; `changes` are arguments of `ContinuousBatchingConfig`.

    Its manager, with the cache, is kept between rounds. The cache has room for every row at full length: left out,
    it would take 60 % of the machine's memory.
    """

    def __init__(self, setting: str, changes: dict[str, Any]) -> None:
        super().__init__(setting)
        given = self._setting
        self._config = ContinuousBatchingConfig(page_size=64, seed=0, **changes)
        self._config.num_blocks = given.rows * (given.max_length // self._config.page_size + 2)
        self._changes = changes

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "page_size": self._config.page_size, **self._changes}

    def run(self, _number: int) -> dict[str, Any]:
        found = self._model.generate_batch(
            [list(prompt) for prompt in self._setting.prompts],
            generation_config=self._generation,
            continuous_batching_config=self._config,
            persistent_manager=True,
        )
        return self._setting.figures([output.generated_tokens for output in found.values()])
