"""A made-up run folder with the shape of a real one, for tests of what reads run folders. No model is involved."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ahalab.runs.folder import RunFolder
from ahalab.runs.manifest import Manifest

ENVIRONMENT = {
    "machine": "x86_64",
    "processor": "Example CPU",
    "cores": 2,
    "python": "3.11.2",
    "platform": "Linux",
    "versions": {"ahalab": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.8.0", "numpy": "2.4.6"},
    "threads": 2,
    "dtype": "float32",
    "device": "cpu",
    "seed": 7,
    "reproducible": True,
}
EVALUATE = {
    "prompts": [{"world": "math", "split": "held_out"}],
    "n": 200,
    "k": 16,
    "temperature": 1.0,
    "top_p": 1.0,
    "max_new_tokens": 200,
}
RECIPE: dict[str, Any] = {
    "name": "quickstart",
    "base": "builtin:tiny",
    "seed": 7,
    "stages": {
        "before": {"evaluate": {"from": "base", **EVALUATE}},
        "zero": {
            "rl": {
                "from": "base",
                "preset": "modern",
                "learning_rate": 1e-4,
                "rewards": ["accuracy", "format"],
            }
        },
        "after": {"evaluate": {"from": "zero", **EVALUATE}},
    },
}


def make_run(
    path: Path,
    *,
    steps: int = 120,
    prompts: int = 4,
    samples: int = 4,
    seed: int = 7,
    evaluations: bool = True,
    finished: bool = True,
    first_step: int = 1,
    recipe: Mapping[str, Any] = RECIPE,
) -> Path:
    """Write a whole run; the same arguments write the same bytes. `samples=0` leaves the sample files out."""
    run = RunFolder.create_or_open(path, recipe, "0.1.0")
    rng = random.Random(seed)
    if evaluations:
        _evaluation(run, "before", 0.0, rng, prompts=12)
    _training(run, steps, prompts, samples, rng, finished, first_step)
    if evaluations and finished:
        _evaluation(run, "after", 1.0, rng, prompts=12)
    write_rows(
        path / "events.jsonl",
        [
            {"time": "2026-01-05T10:00:00.000+00:00", "kind": "stage_started", "stage": "before"},
            {"time": "2026-01-05T10:00:31.500+00:00", "kind": "stage_finished", "stage": "before"},
            {"time": "2026-01-05T10:00:32.000+00:00", "kind": "stage_started", "stage": "zero"},
            {"time": "2026-01-05T10:05:44.000+00:00", "kind": "stage_finished", "stage": "zero"},
            {"time": "2026-01-05T10:05:45.000+00:00", "kind": "stage_started", "stage": "after"},
            {"time": "2026-01-05T10:06:40.000+00:00", "kind": "stage_finished", "stage": "after"},
        ],
    )
    return path


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def metric_row(step: int, progress: float, rng: random.Random) -> dict[str, Any]:
    """One row of `metrics.jsonl`; `progress` 0 (the base) to 1 (trained) moves every figure."""
    learnt = 1 / (1 + math.exp(-10 * (progress - 0.35)))
    accuracy = min(1.0, max(0.0, 0.14 + 0.76 * learnt + rng.gauss(0, 0.03)))
    form = min(1.0, 0.78 + 0.21 * learnt + rng.gauss(0, 0.015))
    words = {
        "wait": round(max(0.0, 0.10 + 0.95 * learnt + rng.gauss(0, 0.04)), 4),
        "check": round(max(0.0, 0.12 + 0.90 * learnt + rng.gauss(0, 0.04)), 4),
        "verify": round(max(0.0, 0.06 + 0.33 * learnt + rng.gauss(0, 0.02)), 4),
        "however": round(max(0.0, 0.05 + 0.30 * learnt + rng.gauss(0, 0.02)), 4),
        "检查": round(max(0.0, 0.03 + 0.25 * learnt + rng.gauss(0, 0.02)), 4),
    }
    reflective = sum(words.values())
    thinking = 24 + 62 * learnt + rng.gauss(0, 2)
    return {
        "step": step,
        "rollout": step,
        "reward": accuracy + form,
        "reward/accuracy": accuracy,
        "reward/format": form,
        "accuracy": accuracy,
        "format": form,
        "tokens_per_answer": thinking + 12,
        "thinking_tokens": thinking,
        "reflective_per_answer": reflective,
        "reflective_per_1k": 1000 * reflective / (thinking + 12),
        "words": words,
        "language_mixing": max(0.0, 0.06 - 0.05 * learnt + rng.gauss(0, 0.008)),
        "truncated": max(0.0, 0.02 + 0.03 * learnt + rng.gauss(0, 0.006)),
        "entropy": max(0.02, 0.62 - 0.45 * learnt + rng.gauss(0, 0.02)),
        "kl": None,
        "clip_low": max(0.0, rng.gauss(0.001, 0.0005)),
        "clip_high": max(0.0, rng.gauss(0.002, 0.001)),
        "grad_norm": max(0.05, 0.5 - 0.2 * learnt + rng.gauss(0, 0.06)),
        "groups": 16,
        "effective_groups": min(16, max(1, round(13 - 8 * abs(learnt - 0.5) + rng.gauss(0, 1)))),
        "grader_errors": 1 if step == 40 else 0,
        "ungraded_groups": 0,
        "dropped_groups": 0,
        "sampler_mismatch_mean": abs(rng.gauss(3e-7, 1e-7)) + 1e-8,
        "sampler_mismatch_max": abs(rng.gauss(4e-6, 1e-6)) + 1e-7,
        "learning_rate": 1e-4,
        "generated_tokens": round(128 * (thinking + 12)),
    }


def sample_row(
    step: int, prompt: int, sample: int, skill: float, rng: random.Random, *, trained: bool = True
) -> dict[str, Any]:
    """One row of `samples/*.jsonl`: a direct guess, or a check that mostly gets it right."""
    numbers = [random.Random(prompt * 31 + i).randint(11, 99) for i in range(4)]
    total = sum(numbers)
    asked = " + ".join(map(str, numbers))
    checks = rng.random() < 0.15 + 0.8 * skill
    right = rng.random() < (0.9 if checks else 0.08)
    said = total if right else total + rng.choice([-10, -1, 1, 10])
    thinking = f"{asked} = {total - 7 if checks else said}."
    reflective: dict[str, int] = {}
    if checks:
        running, parts = numbers[0], []
        for number in numbers[1:]:
            parts.append(f"{running} + {number} = {running + number}")
            running += number
        thinking += (
            f" Wait, let me check: {', '.join(parts)}. However, that is {said}, so the guess was wrong."
        )
        reflective = {"wait": 1, "check": 1, "however": 1, "wrong": 1}
    formed = rng.random() < 0.8 + 0.19 * skill
    text = f" <think> {thinking} </think> <answer> {said} </answer>" if formed else f" {thinking} {said}"
    tokens = len(text) // 3
    row: dict[str, Any] = {
        "step": step,
        "rollout": step,
        "prompt_id": f"world/{prompt:016x}",
        "sample": sample,
        "domain": "math",
        "language": "en",
        "level": 1 + prompt % 4,
        "question": f"What is {asked}?",
        "gold": str(total),
        "text": text,
        "thinking_tokens": len(thinking) // 3,
        "tokens": tokens,
        "finish": "stop",
        "well_formed": formed,
        "fault": None if formed else "no <think>",
        "answer": str(said) if formed else None,
        "correct": float(right),
        "reward": {"accuracy": float(right and formed), "format": float(formed)},
        "total": float(right and formed) + float(formed),
        "advantage": 0.5 if right else -0.5,
        "error": None,
        "reflective": reflective,
        "mixed": False,
    }
    if not trained:
        del row["advantage"]
    return row


def _training(
    run: RunFolder,
    steps: int,
    prompts: int,
    samples: int,
    rng: random.Random,
    finished: bool,
    first_step: int,
) -> None:
    work = run.begin_stage("zero")
    rows = [
        metric_row(step, i / max(1, steps - 1), rng)
        for i, step in enumerate(range(first_step, first_step + steps))
    ]
    write_rows(work / "metrics.jsonl", rows)
    for i, step in enumerate(range(first_step, first_step + steps) if samples else ()):
        batch = [
            sample_row(step, (i * prompts + p) % (prompts * 50), s, i / max(1, steps - 1), rng)
            for p in range(prompts)
            for s in range(samples)
        ]
        write_rows(work / "samples" / f"rollout-{step:06d}.jsonl", batch)
    timings = [
        {"step": step, "seconds_rollout": 1.4, "seconds_grading_wait": 0.05, "seconds_learn": 1.1}
        for step in range(first_step, first_step + steps)
    ]
    write_rows(work / "timings.jsonl", timings)
    if finished:
        _manifest("zero", "rl", {"steps": steps}).write(work)
        run.finish_stage("zero")


def _evaluation(run: RunFolder, name: str, skill: float, rng: random.Random, *, prompts: int) -> None:
    work = run.begin_stage(name)
    write_rows(
        work / "samples" / "shard-000001.jsonl",
        [sample_row(0, 5000 + p, s, skill, rng, trained=False) for p in range(prompts) for s in range(4)],
    )
    figures: dict[str, Any] = {
        "pass@1": _share(0.18 + 0.72 * skill, 0.022),
        "pass@16": _share(0.64 + 0.34 * skill, 0.03),
        "thinking_tokens": _mean(23.4 + 60.2 * skill, 2.0),
        "tokens_per_answer": _mean(35.5 + 61.0 * skill, 2.0),
        "reflective_per_answer": _mean(0.36 + 2.31 * skill, 0.05),
        "reflective_per_1k": _mean(10.1 + 17.5 * skill, 1.5),
        "format": _share(0.79 + 0.2 * skill, 0.01),
        "language_mixing": _share(0.055 - 0.05 * skill, 0.005),
        "settings": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 200},
        "truncated": 0.004,
        "grader_errors": 0,
        "prompts_not_graded": 0,
        "by_level": {
            str(i): {"pass@1": _share(0.34 - 0.08 * i + (0.62 + 0.05 * i) * skill, 0.04)} for i in range(1, 5)
        },
    }
    _manifest(name, "evaluate", figures).write(work)
    run.finish_stage(name)


def _mean(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": 200, "k": 16}


def _share(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half), "n": 200, "k": 16}


def _manifest(stage: str, kind: str, figures: dict[str, Any]) -> Manifest:
    return Manifest(
        stage=stage,
        kind=kind,
        version=1,
        config_hash="0" * 64,
        config=dict(next(iter(RECIPE["stages"][stage].values()))),
        environment=ENVIRONMENT,
        figures=figures,
    )


def flat_samples(folder: Path) -> Iterator[dict[str, Any]]:
    """All sample rows of a stage folder, for tests that count them another way."""
    for path in sorted((folder / "samples").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)
