"""Alignment RL in seconds: a small base, reward models with random heads, prompts with and without a rule."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ahalab.policy.calibration import LogisticMap
from ahalab.policy.load import load_policy
from ahalab.policy.reward_model import RewardKind, RewardModelCard, vocabulary_hash
from ahalab.policy.scalar_head import add_scalar_head, save_scalar_model
from ahalab.records import Response
from ahalab.runs.hashing import file_hash
from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.readers import read_metrics
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.ledger import Ledger
from ahalab.stages.rl import run_rl
from ahalab.stages.rl_config import RLConfig

PREFERENCE = {
    "helpful": {"from": "helpful_rm", "domains": ["instructions"]},
    "safety": {"from": "safety_rm", "sources": ["unsafe"]},
}


def make_reward_model(
    folder: Path, base: Path, kind: RewardKind, seed: int = 1, *, new_token: str | None = None
) -> Path:
    """A reward model on the base's own backbone, with a random head; its vocabulary may have one more token."""
    policy = load_policy(str(base))
    if new_token is not None:
        policy.tokenizer.add_tokens([new_token])
    scalar = add_scalar_head(policy)
    torch.manual_seed(seed)
    torch.nn.init.normal_(scalar.model.score.weight)
    save_scalar_model(scalar, folder)
    card = RewardModelCard(
        kind, "table1", LogisticMap(1.0, 0.0), "made for a test", vocabulary_hash(scalar.tokenizer)
    )
    card.write(folder)
    return folder


def write_general(folder: Path, rows: int = 12) -> dict[str, list[dict[str, Any]]]:
    """Prompt entries: questions of the domain instructions that no rule checks, and the world's unsafe requests.

    The world has a score for the latter, which must stay a measurement.
    """
    path = folder / "instructions.jsonl"
    lines = [json.dumps({"question": f"Say hello, number {row}"}) for row in range(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"domain": "instructions", "verifier": "none", "question": "question"}
    return {
        "instructions": [{"file": str(path), "name": "instructions", **settings}],
        "unsafe": [{"world": "safety", "name": "unsafe"}],
    }


def alignment(questions: Path, general: Mapping[str, list[dict[str, Any]]], **changes: Any) -> RLConfig:
    """Six steps, of which the last four are the window."""
    plain: dict[str, Any] = {
        "from": "dev3",
        "prompts": [{"file": str(questions)}],
        "rewards": ["accuracy", "format"],
        "steps": 6,
        "prompts_per_step": 4,
        "samples_per_prompt": 4,
        "learning_rate": 1e-3,
        "checkpoint_every": 2,
        "max_new_tokens": 24,
        "max_rows": 32,
        "grader_workers": 1,
        "preference": PREFERENCE,
        "window": {"last": 4, "prompts": [*general["instructions"], *general["unsafe"]]},
        **changes,
    }
    return RLConfig.model_validate({key: value for key, value in plain.items() if value is not None})


def run(config: RLConfig, folder: Path, inputs: Mapping[str, str], **context: Any) -> StageResult:
    """The stage in `folder`, as the pipeline would call it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    return run_rl(config, StageContext(name="r1", folder=folder, inputs=inputs, seed=0, **context))


def left(folder: Path) -> dict[str, str]:
    """Hashes of everything that promise 1 speaks of."""
    files = [folder / "metrics.jsonl", *(folder / "samples").glob("*"), *(folder / "checkpoint").rglob("*")]
    return {
        path.relative_to(folder).as_posix(): file_hash(path)
        for path in sorted(files)
        if path.is_file() and path.name != "state.json"
    }


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """All sample rows, in order."""
    return [row for path in sorted((folder / "samples").glob("rollout-*.jsonl")) for row in read_jsonl(path)]


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    """All metrics rows."""
    return list(read_metrics(folder))


class Killed(BaseException):
    """In place of a power cut."""


def kill_after_samples_of(monkeypatch: pytest.MonkeyPatch, rollout: int) -> None:
    """End the process's work once the samples of that rollout are written, before its updates."""
    write = Ledger.write_samples

    def write_and_die(self: Ledger, number: int, rows: Iterable[Mapping[str, Any]]) -> None:
        write(self, number, rows)
        if number == rollout:
            raise Killed

    monkeypatch.setattr(Ledger, "write_samples", write_and_die)


class FakeJudge:
    """A reward model by a rule of the test."""

    def __init__(self, score: Any) -> None:
        self.score = score
        self.asked: list[list[str]] = []

    def rewards(self, questions: Sequence[str], responses: Sequence[Response]) -> list[float]:
        """As `RewardModel.rewards`."""
        self.asked.append(list(questions))
        return [
            self.score(question, response) for question, response in zip(questions, responses, strict=True)
        ]
