"""A whole recipe in seconds: evaluate, train, evaluate, on a small base and a small file of questions."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ahalab.runs.jsonl import read_jsonl
from ahalab.stages.ledger import Ledger

SAMPLING = {"max_new_tokens": 24, "max_rows": 32, "grader_workers": 1}


def small_recipe(base: Path | str, prompts: Path | dict[str, Any], **rl: Any) -> dict[str, Any]:
    """The recipe as plain data; `rl` changes keys of its training stage."""
    entry = prompts if isinstance(prompts, dict) else {"file": str(prompts)}
    evaluate = {"prompts": [entry], "n": 4, "k": 4, "temperature": 1.0, "top_p": 1.0, **SAMPLING}
    training = {
        "prompts": [entry],
        "steps": 6,
        "prompts_per_step": 4,
        "samples_per_prompt": 6,
        "learning_rate": 3e-3,
        "checkpoint_every": 2,
        **SAMPLING,
        **rl,
    }
    return {
        "name": "small",
        "base": str(base),
        "threads": 1,
        "stages": {
            "before": {"evaluate": evaluate},
            "zero": {"rl": training},
            "after": {"evaluate": {**evaluate, "from": "zero"}},
        },
    }


def training_only(base: Path | str, prompts: Path | dict[str, Any], **rl: Any) -> dict[str, Any]:
    """`small_recipe` without its evaluations."""
    recipe = small_recipe(base, prompts, **rl)
    return {**recipe, "stages": {"zero": recipe["stages"]["zero"]}}


def write_recipe(path: Path, recipe: dict[str, Any]) -> Path:
    """The recipe as a file."""
    path.write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def hashes(run: Path) -> dict[str, str]:
    """Hashes of weights, optimizer, metrics and samples of every finished stage: what promise 1 speaks of."""
    found: dict[str, str] = {}
    for manifest in sorted(run.glob("stages/*/manifest.json")):
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        found.update({f"{manifest.parent.name}/{name}": value for name, value in files.items()})
    return found


def manifests(run: Path) -> dict[str, dict[str, Any]]:
    """The manifests of the finished stages."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(run.glob("stages/*/manifest.json"))
    }


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    """The run's events of one kind."""
    return [event for event in read_jsonl(run / "events.jsonl") if event["kind"] == kind]


def interrupt_in_rollout(monkeypatch: pytest.MonkeyPatch, rollout: int) -> None:
    """Send this process SIGINT, as Ctrl-C does, once the samples of that rollout are written."""
    write = Ledger.write_samples

    def write_and_interrupt(self: Ledger, number: int, rows: Iterable[Mapping[str, Any]]) -> None:
        write(self, number, rows)
        if number == rollout:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Ledger, "write_samples", write_and_interrupt)
