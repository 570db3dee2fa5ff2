"""A made-up run of the whole stage graph, with its table: for tests of what reads such a run. No model is involved."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from ahalab.runs.folder import RunFolder
from ahalab.runs.manifest import Manifest
from ahalab.stages.context import StageContext
from ahalab.stages.table import TableConfig, run_table
from ahalab.validation import validate
from synthetic_run import ENVIRONMENT, metric_row, write_rows
from table_rows import SETTINGS, row

DOMAINS = ("math", "logic", "choice", "code", "instructions", "safety")
SKILLS: dict[str, tuple[float, float, float]] = {
    "base": (0.15, 0.2, 0.2),
    "zero": (0.8, 0.25, 0.15),
    "dev1": (0.6, 0.5, 0.45),
    "dev2": (0.85, 0.5, 0.45),
    "dev3": (0.84, 0.65, 0.6),
    "r1": (0.85, 0.9, 0.9),
    "distilled": (0.6, 0.6, 0.55),
}
"""Row → chance to be right, to be helpful, to be safe."""
TRAINED_BY = {"zero": "rl", "dev1": "sft", "dev2": "rl", "dev3": "sft", "r1": "rl", "distilled": "sft"}
WITH_METRICS = ("dev1", "r1")
"""One of each kind: drawing the curves is what a report takes its time for."""
SOURCES = {"dev2": "dev1", "r1": "dev3", "distilled": "small_base"}


def recipe(prompts: int = 60) -> dict[str, Any]:
    """The recipe of the made-up run, as plain data."""
    evaluate = {**SETTINGS, "n": prompts, "k": 2}
    stages: dict[str, Any] = {
        name: {kind: {"from": SOURCES.get(name, "base")}} for name, kind in TRAINED_BY.items()
    }
    stages["reasoning_data"] = {"sample": {"from": "dev2", "per_prompt": 8}}
    stages["helpful_pairs"] = {"preferences": {"from": ["dev3", "base"]}}
    stages["helpful_rm"] = {"reward_model": {"from": "dev3"}}
    stages |= {f"eval_{name}": {"evaluate": {**evaluate, "from": name}} for name in SKILLS}
    stages["table"] = {
        "table": {"rows": {name: f"eval_{name}" for name in SKILLS}, "reference": "dev3", "resamples": 200}
    }
    return {"name": "r1-made-up", "base": "builtin:tiny", "seed": 7, "stages": stages}


def make_graph(
    path: Path, *, seed: int = 7, prompts: int = 60, steps: int = 12, name: str | None = None
) -> Path:
    """Write the run; the same arguments write the same bytes. `prompts` are of each domain."""
    plan = recipe(prompts)
    plan["seed"], plan["name"] = seed, name or plan["name"]
    run = RunFolder.create_or_open(path, plan, "0.1.0")
    rng = random.Random(seed)
    for stage, kind in TRAINED_BY.items():
        work = run.begin_stage(stage)
        if stage in WITH_METRICS:
            rows = [_metrics(kind, stage, step, steps, rng) for step in range(1, steps + 1)]
            write_rows(work / "metrics.jsonl", rows)
        _finish(run, stage, plan, _trained(kind, stage))
    for stage, figures in _others().items():
        run.begin_stage(stage)
        _finish(run, stage, plan, figures)
    for weights in SKILLS:
        work = run.begin_stage(f"eval_{weights}")
        write_rows(work / "samples" / "shard-000000.jsonl", evaluation_rows(weights, prompts, seed))
        pass_at_1 = {
            "value": SKILLS[weights][0],
            "low": SKILLS[weights][0] - 0.02,
            "high": SKILLS[weights][0] + 0.02,
        }
        levels = {str(level): {"pass@1": pass_at_1} for level in (1, 2)}
        _finish(
            run, f"eval_{weights}", plan, {"pass@1": {**pass_at_1, "n": prompts, "k": 2}, "by_level": levels}
        )
    work = run.begin_stage("table")
    config = validate(TableConfig, plan["stages"]["table"]["table"], "recipe")
    inputs = {f"rows[{weights}]": str(run.stage_dir(f"eval_{weights}")) for weights in SKILLS}
    result = run_table(config, StageContext("table", work, inputs, seed))
    _finish(run, "table", plan, dict(result.figures))
    minute = {stage: number for number, stage in enumerate(plan["stages"])}
    events = [
        {"time": f"2026-01-05T{10 + m // 60}:{m % 60:02}:{second:02}.000+00:00", "kind": kind, "stage": stage}
        for stage, m in minute.items()
        for kind, second in (("stage_started", 0), ("stage_finished", 48))
    ]
    write_rows(path / "events.jsonl", events)
    return path


def evaluation_rows(weights: str, prompts: int, seed: int) -> list[dict[str, Any]]:
    """Sample rows of one set of weights; prompts differ with the seed, as those of a real run do."""
    right, helpful, good = SKILLS[weights]
    rng = random.Random(f"{weights} {seed}")
    rows = []
    for domain in DOMAINS:
        for place in range(prompts):
            ease = random.Random(f"{domain} {place} {seed}").gauss(0, 0.1)
            for sample in range(2):
                if domain == "instructions":
                    score = min(1.0, max(0.0, round(helpful + ease + rng.gauss(0, 0.15), 2)))
                elif domain == "safety":
                    score = 1.0 if rng.random() < good + ease else rng.choice([0.0, 0.5])
                else:
                    score = float(rng.random() < right + ease)
                mixed = weights == "zero" and rng.random() < 0.4
                thinking = "I add them and 等等 check" if mixed else "I add them and check"
                answer = "word " * (2 + int(8 * helpful))
                rows.append(
                    row(
                        f"{domain}/{place}-{seed}",
                        domain,
                        score,
                        sample=sample,
                        thinking=thinking,
                        answer=answer,
                    )
                )
    return rows


def _metrics(kind: str, stage: str, step: int, steps: int, rng: random.Random) -> dict[str, Any]:
    progress = step / steps
    if kind == "sft":
        return {
            "step": step,
            "rollout": 0,
            "loss": 2.0 - 1.5 * progress,
            "learning_rate": 1e-3 * (1 - progress),
        }
    found = metric_row(step, progress, rng)
    if stage != "zero":
        found |= {"language": 0.9 + 0.08 * progress, "reward/language": 0.9 + 0.08 * progress}
    if stage == "r1":
        found |= {f"accuracy/{domain}": 0.5 + 0.3 * progress for domain in DOMAINS}
        found |= {"hacking/preference": 0.4 + 0.4 * progress, "hacking/rule_general": 0.6 - 0.3 * progress}
        found |= {"hacking/rule_reasoning": 0.8}
    return found


def _trained(kind: str, stage: str) -> dict[str, Any]:
    if kind == "sft":
        return {"rows": 100, "dropped": {"longer than 512 tokens": 3}, "loss": 0.5, "held_out_loss": 0.6}
    hacking = {"reward_hacking": {"hacked": True, "step": 9, "checks": 3}} if stage == "r1" else {}
    return {"steps": 12, **hacking}


def _others() -> dict[str, dict[str, Any]]:
    statistics = [
        {"domain": "math", "samples": 395_285, "rounds": 1.0, "tokens": 6094.2},
        {"domain": "total", "samples": 395_285, "rounds": 1.0, "tokens": 6094.2},
    ]
    accuracy = {"value": 0.91, "low": 0.86, "high": 0.95, "n": 80, "k": 1}
    return {
        "reasoning_data": {
            "prompts": 300,
            "candidates": 2400,
            "rows": 812,
            "dropped": {"not correct": 1500, "repetition": 88},
            "statistics": statistics,
        },
        "helpful_pairs": {
            "prompts": 120,
            "pairs_drawn": 90,
            "margin": 1.52,
            "dropped": {"no difference": 30},
        },
        "helpful_rm": {
            "kind": "pairwise",
            "accuracy": accuracy,
            "auc": 0.97,
            "calibration_error": 0.04,
            "length_correlation": 0.41,
            "held_out": 80,
            "rows": 400,
            "warnings": ["the score follows length: rank correlation +0.41"],
        },
    }


def _finish(run: RunFolder, stage: str, plan: dict[str, Any], figures: dict[str, Any]) -> None:
    ((kind, config),) = plan["stages"][stage].items()
    Manifest(
        stage=stage,
        kind=kind,
        version=1,
        config_hash="0" * 64,
        config=dict(config),
        environment=ENVIRONMENT,
        figures=figures,
    ).write(run.work_dir(stage))
    run.finish_stage(stage)
