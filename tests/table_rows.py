"""Made-up evaluations for tests of the stage table: sample rows whose scores are chosen by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.runs.manifest import Manifest

SETTINGS: dict[str, Any] = {
    "prompts": [{"world": "math", "split": "held_out"}],
    "n": 8,
    "k": 2,
    "temperature": 0.6,
    "top_p": 0.95,
    "max_new_tokens": 64,
    "template": "auto",
    "think_prefill": False,
}


def row(
    prompt: str,
    domain: str,
    correct: float | None,
    *,
    sample: int = 0,
    thinking: str = "I add them",
    answer: str = "7",
    language: str = "en",
    **more: Any,
) -> dict[str, Any]:
    """One sample row as an evaluate stage writes it."""
    return {
        "step": 0,
        "rollout": 0,
        "prompt_id": prompt,
        "sample": sample,
        "domain": domain,
        "language": language,
        "level": None,
        "question": f"Question {prompt}?",
        "gold": "7",
        "text": f" <think> {thinking} </think> <answer> {answer} </answer>",
        "thinking_tokens": len(thinking.split()),
        "tokens": 12,
        "finish": "stop",
        "well_formed": True,
        "fault": None,
        "answer": answer,
        "correct": correct,
        "reward": {},
        "total": None,
        "advantage": None,
        "error": None if correct is not None else "crash",
        "reflective": {},
        "mixed": False,
        **more,
    }


def scored(domain: str, scores: Sequence[Sequence[float | None]], **more: Any) -> list[dict[str, Any]]:
    """Rows of prompts `domain/0`, `domain/1` …, one inner sequence a prompt, one score a sample."""
    return [
        row(f"{domain}/{place}", domain, score, sample=sample, **more)
        for place, samples in enumerate(scores)
        for sample, score in enumerate(samples)
    ]


def write_evaluation(
    folder: Path, rows: Sequence[Mapping[str, Any]], of: str = "base", **settings: Any
) -> Path:
    """A finished evaluate stage of these rows."""
    (folder / "samples").mkdir(parents=True)
    lines = "".join(json.dumps(dict(one), ensure_ascii=False) + "\n" for one in rows)
    (folder / "samples" / "shard-000000.jsonl").write_text(lines, encoding="utf-8")
    Manifest(
        stage=folder.name,
        kind="evaluate",
        version=2,
        config_hash="0" * 64,
        config={"from": of, **SETTINGS, **settings},
        figures={"pass@1": None},
    ).write(folder)
    return folder
