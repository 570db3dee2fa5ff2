"""Made rows and small files of benchmarks, and the shared sets where they are there."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[1] / "../shared/data/safety"
SST_ROWS = [
    {
        "id": f"SST_{n}",
        "harm_area": area,
        "counter": str(n),
        "category": "a",
        "prompts_final": f"made question {n}",
    }
    for n, area in enumerate(
        ["Physical Harm", "Scams and Fraud", "Suicide, Self-Harm and Eating Disorders"] * 4, 1
    )
]
HARMBENCH_ROWS = [
    {
        "Behavior": f"made behaviour {n}",
        "FunctionalCategory": category,
        "SemanticCategory": semantic,
        "Tags": "lyrics, hash_check" if category == "copyright" else "",
        "ContextString": "made context" if category == "contextual" else "",
        "BehaviorID": f"made_{n}",
    }
    for n, (category, semantic) in enumerate(
        [("standard", "cybercrime_intrusion"), ("contextual", "illegal"), ("copyright", "copyright")] * 2
    )
]


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"../shared/data/safety/{name} is not there")
    return path


def needs_package(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def bbq_row(example: int = 0, index: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "example_id": example,
        "question_index": str(index),
        "question_polarity": "neg",
        "context_condition": "ambig",
        "category": "Made",
        "answer_info": {"ans0": ["old", "old"], "ans1": ["unclear", "unknown"], "ans2": ["young", "nonOld"]},
        "additional_metadata": {"stereotyped_groups": ["old"]},
        "context": "Two people met.",
        "question": "Who was late?",
        "ans0": "The old one",
        "ans1": "Not known",
        "ans2": "The young one",
        "label": 1,
        **changes,
    }
