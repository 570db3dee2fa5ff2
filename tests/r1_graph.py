"""The whole R1 graph, shrunk: every stage of r1-quickstart with a few steps each, for tests and kill proofs."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

SMALL = {
    "zero": {"steps": 3, "prompts_per_step": 8, "checkpoint_every": 1},
    "cold_start": {"n": 60, "per_prompt": 4},
    "dev1": {"epochs": 1, "batch_size": 8, "checkpoint_every": 2},
    "dev2": {"steps": 3, "prompts_per_step": 8, "checkpoint_every": 1},
    "reasoning_data": {"n": 60, "per_prompt": 4},
    "general_data": {"n": 40},
    "dev3": {"epochs": 1, "batch_size": 16, "checkpoint_every": 2},
    "helpful_pairs": {"n": 40},
    "rule_pairs": {"n": 40},
    "safety_labels": {"n": 30},
    "helpful_rm": {"checkpoint_every": 2},
    "safety_rm": {"checkpoint_every": 2},
    "r1": {"steps": 4, "prompts_per_step": 8, "checkpoint_every": 1, "hacking": {"every": 1, "prompts": 8}},
    "distilled": {"epochs": 1, "batch_size": 16, "checkpoint_every": 2},
}
"""Keys changed, by stage; every evaluation gets `EVALUATION`."""

EVALUATION = {"n": 12, "k": 2, "max_new_tokens": 60}


def small_r1(
    base: str = "builtin:tiny", small_base: str = "builtin:tiny-small", **head: Any
) -> dict[str, Any]:
    """r1-quickstart as plain data, small enough for a few minutes."""
    text = resources.files("ahalab.pipeline").joinpath("recipes", "r1-quickstart.yaml").read_text("utf-8")
    recipe: dict[str, Any] = yaml.safe_load(text)
    recipe |= {"name": "r1-small", "base": base, "small_base": small_base, "threads": 1, **head}
    for name, body in recipe["stages"].items():
        ((kind, config),) = body.items()
        if name == "eval_base":  # the others are like it
            config = {**config, **EVALUATION}
        recipe["stages"][name] = {kind: {**config, **SMALL.get(name, {})}}
    return recipe


def write_small_r1(path: Path, **head: Any) -> Path:
    """The recipe as a file."""
    path.write_text(yaml.safe_dump(small_r1(**head), sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
