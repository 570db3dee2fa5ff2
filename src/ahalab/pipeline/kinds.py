"""The kinds of stage a recipe may name. A new kind joins here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ahalab.stages import evaluate, pretrain, reward_model, rl, sample, sft, table
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.evaluate import EvaluateConfig
from ahalab.stages.inputs import ArtifactKind, StageConfig
from ahalab.stages.pretrain import PretrainConfig
from ahalab.stages.reward_model import RewardModelConfig
from ahalab.stages.rl_config import RLConfig
from ahalab.stages.sample_config import SampleConfig
from ahalab.stages.sft_config import SFTConfig
from ahalab.stages.table import TableConfig


@dataclass(frozen=True, slots=True)
class StageKind:
    """A kind of stage: its config model, its function, its version, what it leaves."""

    name: str
    config: type[StageConfig]
    run: Callable[[Any, StageContext], StageResult]
    version: int
    makes: ArtifactKind
    check: Callable[[Any, StageContext], None] | None = None
    """What can be known before anything is spent; raises UserError. Its context has no folder to write to, and of
    `inputs` only those that exist: a model that is still to be made is stood in for by the base it descends from."""


KINDS: dict[str, StageKind] = {
    kind.name: kind
    for kind in (
        StageKind("pretrain", PretrainConfig, pretrain.run_pretrain, pretrain.VERSION, "model"),
        StageKind("rl", RLConfig, rl.run_rl, rl.VERSION, "model"),
        StageKind("sft", SFTConfig, sft.run_sft, sft.VERSION, "model", sft.check_sft),
        StageKind("sample", SampleConfig, sample.run_sample, sample.VERSION, "dataset", sample.check_sample),
        StageKind(
            "reward_model",
            RewardModelConfig,
            reward_model.run_reward_model,
            reward_model.VERSION,
            "reward_model",
        ),
        StageKind("evaluate", EvaluateConfig, evaluate.run_evaluate, evaluate.VERSION, "evaluation"),
        StageKind("table", TableConfig, table.run_table, table.VERSION, "report"),
    )
}
