"""The kinds of stage a recipe may name. A new kind joins here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ahalab.stages import evaluate, pretrain, reward_model, rl, sample, sft, table
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.data_entries import check_data
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
    shown: tuple[str, ...] = ()
    """The figures that stand for its result in a line."""
    check: Callable[[Any, StageContext], None] | None = None
    """What can be known before anything is spent; raises UserError. Its context has no folder to write to, and of
    `inputs` only those that exist: a model that is still to be made is stood in for by the base it descends from."""


def _check_reward_model(config: RewardModelConfig, context: StageContext) -> None:
    check_data(
        config.entries, context, "labelled" if config.kind == "pointwise" else "pairs", config.data_key
    )


KINDS: dict[str, StageKind] = {
    kind.name: kind
    for kind in (
        StageKind(
            "pretrain",
            PretrainConfig,
            pretrain.run_pretrain,
            pretrain.VERSION,
            "model",
            ("documents", "parameters", "loss"),
        ),
        StageKind(
            "rl", RLConfig, rl.run_rl, rl.VERSION, "model", ("accuracy", "format", "language", "preference")
        ),
        StageKind(
            "sft",
            SFTConfig,
            sft.run_sft,
            sft.VERSION,
            "model",
            ("rows_trained", "loss", "held_out_loss"),
            sft.check_sft,
        ),
        StageKind(
            "sample",
            SampleConfig,
            sample.run_sample,
            sample.VERSION,
            "dataset",
            ("candidates", "rows"),
            sample.check_sample,
        ),
        StageKind(
            "reward_model",
            RewardModelConfig,
            reward_model.run_reward_model,
            reward_model.VERSION,
            "reward_model",
            ("rows", "accuracy", "auc"),
            _check_reward_model,
        ),
        StageKind(
            "evaluate",
            EvaluateConfig,
            evaluate.run_evaluate,
            evaluate.VERSION,
            "evaluation",
            ("accuracy", "pass@1", "format", "language_consistency"),
        ),
        StageKind(
            "table",
            TableConfig,
            table.run_table,
            table.VERSION,
            "report",
            ("rows", "orderings_hold", "orderings_measured"),
        ),
    )
}
