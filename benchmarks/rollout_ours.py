"""Our side of `rollout_vs`: the embedded engine, as the `rl` stage uses it."""

from __future__ import annotations

from typing import Any

import torch

from ahalab.policy.forward import Precision, token_logprobs
from ahalab.policy.load import load_policy
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from benchmarks.rollout_setting import Setting


class OurRollout:
    """`weights` is the precision to sample in; the copy that it takes is made within each round, as in a recipe."""

    def __init__(self, setting: str, weights: Precision) -> None:
        self._setting = given = Setting.read(setting)
        self._weights = weights
        self._policy = load_policy(given.base)
        self._engine = EmbeddedEngine(self._policy.decoder, max_rows=given.rows, weights=weights)
        self._prompts = [PromptTokens(str(number), ids) for number, ids in enumerate(given.prompts)]
        self._sampling = Sampling(given.max_new_tokens, stop_ids=given.stop_ids)

    def describe(self) -> dict[str, Any]:
        return {
            "dtype": self._weights,
            "mismatch": self._mismatch(),
            "forward": self._policy.decoder.description,
        }

    def run(self, number: int) -> dict[str, Any]:
        key = RolloutKey(0, "rollout_vs", number + 1)  # a warm-up's number is below 0
        samples = self._engine.generate(self._prompts, self._setting.samples_per_prompt, self._sampling, key)
        return self._setting.figures([sample.token_ids for sample in samples])

    @torch.inference_mode()
    def _mismatch(self) -> float:
        """Mean |log-prob of the sampler − log-prob in fp32| of the tokens of one sample a prompt."""
        decoder, differences = self._policy.decoder, []
        key = RolloutKey(0, "mismatch", 0)
        for sample in self._engine.generate(self._prompts, 1, self._sampling, key):
            prompt = self._prompts[int(sample.prompt_id)].token_ids
            row = torch.tensor((*prompt, *sample.token_ids))
            hidden = decoder.packed_hidden(row, [len(row)])[len(prompt) - 1 : -1]
            exact, _ = token_logprobs(
                hidden, decoder.head_weight, row[len(prompt) :], 1.0, softcap=decoder.softcap
            )
            differences.append((exact - torch.tensor(sample.logprobs)).abs())
        return torch.cat(differences).mean().item()
