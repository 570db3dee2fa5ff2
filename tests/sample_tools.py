"""Settings, small shards and runs of a `sample` stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ahalab.stages import sample
from ahalab.stages.sample import run_sample
from ahalab.stages.sample_config import SampleConfig
from data_stages import make_config, make_context

KEEP = ["well_formed", "not_truncated", "correct", "readable"]


def settings(questions: Path, **changes: Any) -> dict[str, Any]:
    return {"from": "base", "prompts": [{"file": str(questions)}], "n": 10, "keep": KEEP, **changes}


def run(folder: Path, base: Path, questions: Path, **changes: Any) -> dict[str, Any]:
    config = make_config(SampleConfig, **settings(questions, **changes))
    return dict(run_sample(config, make_context(folder, base)).figures)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the tests of every module that imports it: a few rows already make several shards."""
    monkeypatch.setattr(sample, "SHARD", 4)
