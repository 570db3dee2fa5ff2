"""The reward models of a stage: loaded, checked against the policy, asked in batches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from ahalab.errors import UserError
from ahalab.policy.reward_model import RewardKind, load_reward_model
from ahalab.records import Response, Verdict
from ahalab.stages.alignment_config import PreferenceConfig, preference_input

KIND_OF: dict[str, RewardKind] = {"helpful": "pairwise", "safety": "pointwise"}
"""Which kind of reward model each preference is (paper §3)."""

BAD_SCORE = "the reward model gave no finite score"


class Judge(Protocol):
    """What a stage asks a reward model (`ahalab.policy.reward_model.RewardModel`)."""

    def rewards(self, questions: Sequence[str], responses: Sequence[Response]) -> list[float]:
        """Rewards in 0 … 1, one a response; calibrated before RL and fixed."""
        ...


class Preferences:
    """The reward models by the name of their reward part."""

    def __init__(self, judges: Mapping[str, Judge]) -> None:
        self.judges = judges

    def score(
        self, names: Sequence[str], questions: Sequence[str], responses: Sequence[Response]
    ) -> list[Verdict]:
        """Verdicts on a rollout's general samples, in their order; no finite number is an error, never a 0.

        Each model is asked once, about all of its samples.
        """
        verdicts = [Verdict(None)] * len(names)
        for name, judge in self.judges.items():
            places = [place for place, wanted in enumerate(names) if wanted == name]
            if not places:
                continue
            found = judge.rewards([questions[p] for p in places], [responses[p] for p in places])
            for place, score in zip(places, found, strict=True):
                verdicts[place] = Verdict(score) if math.isfinite(score) else Verdict(None, BAD_SCORE)
        return verdicts


def load_preferences(
    config: PreferenceConfig | None, inputs: Mapping[str, str], tokenizer: PreTrainedTokenizerBase
) -> Preferences:
    """The reward models that lie among `inputs`; those whose stage has not been run are left out.

    Raises:
        UserError: a folder that is no reward model, one of the wrong kind, or another vocabulary than the policy's.
    """
    judges: dict[str, Judge] = {}
    for name, model in (config.models() if config is not None else {}).items():
        folder = inputs.get(preference_input(name))
        if folder is None or not Path(folder).is_dir():
            continue
        judge = load_reward_model(folder)
        if judge.kind != KIND_OF[name]:
            raise UserError(
                f"preference.{name}: the reward model of {model.from_} is {judge.kind}, expected {KIND_OF[name]}: "
                "the helpful one learns from pairs, the safety one from single labelled responses. Were the two mixed "
                "up?"
            )
        try:
            judge.check_vocabulary(tokenizer)
        except UserError as error:
            raise UserError(f"preference.{name}: {error}") from error
        judges[name] = judge
    return Preferences(judges)
