"""The kinds of stage a recipe may name. A new kind joins here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ahalab.stages import (
    evaluate,
    labels,
    preferences,
    pretrain,
    reward_model,
    rl,
    sample,
    sft,
    table,
)
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.data_entries import check_data
from ahalab.stages.evaluate import EvaluateConfig
from ahalab.stages.inputs import ArtifactKind, StageConfig
from ahalab.stages.labels import LabelsConfig
from ahalab.stages.preferences import PreferencesConfig
from ahalab.stages.pretrain import PretrainConfig
from ahalab.stages.reward_model import RewardModelConfig
from ahalab.stages.rl_config import RLConfig
from ahalab.stages.sample_config import SampleConfig
from ahalab.stages.sft_config import SFTConfig
from ahalab.stages.table import TableConfig

Rows = Literal["rows", "pairs", "labelled"]
"""What a data set holds: worked answers, preference pairs, labelled responses."""


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
    rows: Rows | None = None
    """What the data set holds that it leaves."""
    check: Callable[[Any, StageContext], None] | None = None
    """What can be known before anything is spent; raises UserError. Its context has no folder to write to, and of
    `inputs` only those that exist: a model that is still to be made is stood in for by the base it descends from."""


def rows_needed(config: StageConfig) -> Rows | None:
    """What the data sets must hold that a stage with this config learns from; None when it learns from none."""
    if isinstance(config, RewardModelConfig):
        return "labelled" if config.kind == "pointwise" else "pairs"
    return "rows" if isinstance(config, SFTConfig) else None


def _check_reward_model(config: RewardModelConfig, context: StageContext) -> None:
    needed = rows_needed(config)
    assert needed is not None
    check_data(config.entries, context, needed, config.data_key)


KINDS: dict[str, StageKind] = {
    kind.name: kind
    for kind in (
        StageKind(
            name="pretrain",
            config=PretrainConfig,
            run=pretrain.run_pretrain,
            version=pretrain.VERSION,
            makes="model",
            shown=("documents", "parameters", "loss"),
        ),
        StageKind(
            name="rl",
            config=RLConfig,
            run=rl.run_rl,
            version=rl.VERSION,
            makes="model",
            shown=("accuracy", "format", "language", "preference"),
        ),
        StageKind(
            name="sft",
            config=SFTConfig,
            run=sft.run_sft,
            version=sft.VERSION,
            makes="model",
            shown=("rows_trained", "loss", "held_out_loss"),
            check=sft.check_sft,
        ),
        StageKind(
            name="sample",
            config=SampleConfig,
            run=sample.run_sample,
            version=sample.VERSION,
            makes="dataset",
            shown=("candidates", "rows"),
            rows="rows",
            check=sample.check_sample,
        ),
        StageKind(
            name="preferences",
            config=PreferencesConfig,
            run=preferences.run_preferences,
            version=preferences.VERSION,
            makes="dataset",
            shown=("pairs_drawn", "pairs"),
            rows="pairs",
            check=preferences.check_preferences,
        ),
        StageKind(
            name="labels",
            config=LabelsConfig,
            run=labels.run_labels,
            version=labels.VERSION,
            makes="dataset",
            shown=("responses", "safe", "unsafe"),
            rows="labelled",
            check=labels.check_labels,
        ),
        StageKind(
            name="reward_model",
            config=RewardModelConfig,
            run=reward_model.run_reward_model,
            version=reward_model.VERSION,
            makes="reward_model",
            shown=("accuracy", "auc", "rows"),
            check=_check_reward_model,
        ),
        StageKind(
            name="evaluate",
            config=EvaluateConfig,
            run=evaluate.run_evaluate,
            version=evaluate.VERSION,
            makes="evaluation",
            shown=("accuracy", "pass@1", "format", "language_consistency"),
        ),
        StageKind(
            name="table",
            config=TableConfig,
            run=table.run_table,
            version=table.VERSION,
            makes="report",
            shown=("orderings_hold", "orderings_measured"),
        ),
    )
}
