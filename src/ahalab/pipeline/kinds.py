"""The kinds of stage a recipe may name. A new kind joins here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ahalab.stages import evaluate, pretrain, rl
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.evaluate import EvaluateConfig
from ahalab.stages.pretrain import PretrainConfig
from ahalab.stages.rl_config import RLConfig


@dataclass(frozen=True, slots=True)
class StageKind:
    """A kind of stage: its config model, its function, its version."""

    name: str
    config: type[BaseModel]
    run: Callable[[Any, StageContext], StageResult]
    version: int
    makes_checkpoint: bool


KINDS: dict[str, StageKind] = {
    kind.name: kind
    for kind in (
        StageKind("pretrain", PretrainConfig, pretrain.run_pretrain, pretrain.VERSION, True),
        StageKind("rl", RLConfig, rl.run_rl, rl.VERSION, True),
        StageKind("evaluate", EvaluateConfig, evaluate.run_evaluate, evaluate.VERSION, False),
    )
}
