"""Our side of `grpo_vs_trl`: the `rl` stage's own step, logs and graders included."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from ahalab.stages.context import StageContext
from ahalab.stages.rl import _Trainer
from ahalab.stages.rl_config import RLConfig
from benchmarks.grpo_setting import Setting

MANY = 1_000_000


class OurStep:
    """`changes` are keys of the recipe's `rl` stage, such as drop_zero_gradient_groups."""

    def __init__(self, setting: dict[str, Any], changes: dict[str, Any]) -> None:
        given = Setting(**setting)
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name) / "stage"
        folder.mkdir()
        config = {
            "from": "base",
            "prompts": [{"file": given.prompts, "verifier": given.verifier, "domain": "math"}],
            "rewards": ["accuracy", "format"],
            "steps": MANY,
            "prompts_per_step": given.prompts_per_step,
            "samples_per_prompt": given.samples_per_prompt,
            "max_new_tokens": given.max_new_tokens,
            "learning_rate": given.learning_rate,
            "checkpoint_every": MANY,
            "max_rows": given.outputs,
            "drop_zero_gradient_groups": False,
            "stop": {"dead_rollouts": MANY},
            **changes,
        }
        context = StageContext("zero", folder, {"from": given.base}, seed=0)
        self._trainer = _Trainer(RLConfig.model_validate(config), context)
        self._logs = folder
        self._changes = changes

    def describe(self) -> dict[str, Any]:
        return {"dtype": "fp32", **self._changes, "forward": self._trainer.policy.decoder.description}

    def run(self, _number: int) -> dict[str, Any]:
        self._trainer._rollout()
        row, times = (_last(self._logs / name) for name in ("metrics.jsonl", "timings.jsonl"))
        return {
            "tokens": row["generated_tokens"],
            "trained_tokens": row["trained_tokens"],
            "fed_tokens": row["fed_tokens"],
            "dropped_groups": row["dropped_groups"],
            "groups": row["groups"],
            "reward": row["reward"],
            "mismatch": row.get("sampler_mismatch_mean"),
            "seconds_rollout": times["seconds_rollout"],
            "seconds_grading_wait": times["seconds_grading_wait"],
            "seconds_learn": times["seconds_learn"],
        }

    def close(self) -> None:
        self._trainer.close()
        self._folder.cleanup()


def _last(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    return row
