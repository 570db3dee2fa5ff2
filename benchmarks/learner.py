"""Learner: tokens per second of one optimizer step, against a plain padded loop over `transformers`.

Forward, backward, gradient clipping and AdamW over the same rows with the same loss. The padded loop pads prompts on
the left and completions on the right, as TRL does, and runs at the fastest of several micro-batch sizes, tried on the
same rows. Every case first shows that both sides make the same gradient. Cases:

tiny-rollouts      builtin:tiny, 16 sums of the tiny world × 8 answers of its own, up to 128 tokens
smollm2-rollouts   SmolLM2-135M-Instruct, 4 GSM8K questions × 8 answers of its own, up to 128 tokens
smollm2-worked     the same model, 16 GSM8K questions each with its worked solution (supervised)
memory             peak memory with a vocabulary of 49,152 and one of 151,936 on one body
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ahalab.policy.load import model_folder
from benchmarks import grpo_setting, learner_memory
from benchmarks.harness import (
    Arena,
    Contestant,
    Figures,
    Ratio,
    arguments,
    median,
    note,
    per_second,
    ratio,
    report,
    table,
)
from benchmarks.learner_batches import Batch, rollout_batch, worked_batch

TOLERANCE = 1e-4
"""Largest relative difference of two fp32 gradients that still count as equal."""
OURS, PADDED, SORTED = "ahalab", "padded loop", "padded loop, rows sorted by length"


@dataclass(frozen=True)
class Case:
    """One model with one batch."""

    base: str
    make: Callable[[Path, argparse.Namespace], Batch]
    micro_batches: tuple[int, ...]
    """Sizes tried for the padded loop."""


def _questions(path: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def _tiny_rollouts(folder: Path, _: argparse.Namespace) -> Batch:
    setting = grpo_setting.tiny(folder, 16, 8, 128)
    return rollout_batch(setting.base, [row["question"] for row in _questions(setting.prompts)], 8, 128)


def _smollm2_rollouts(folder: Path, options: argparse.Namespace) -> Batch:
    setting = grpo_setting.smollm2(folder, 4, 8, 128, options.gsm8k)
    return rollout_batch(setting.base, [row["question"] for row in _questions(setting.prompts)], 8, 128)


def _smollm2_worked(folder: Path, options: argparse.Namespace) -> Batch:
    setting = grpo_setting.smollm2(folder, 16, 1, 128, options.gsm8k)
    solutions = {row["question"]: row["answer"] for row in _questions(str(options.gsm8k))}
    return worked_batch(
        setting.base, [(row["question"], solutions[row["question"]]) for row in _questions(setting.prompts)]
    )


CASES = {
    "tiny-rollouts": Case("builtin:tiny", _tiny_rollouts, (2, 4, 8, 16, 32, 64, 128)),
    "smollm2-rollouts": Case("pypi:smollm2-135m", _smollm2_rollouts, (1, 2, 4, 8)),
    "smollm2-worked": Case("pypi:smollm2-135m", _smollm2_worked, (1, 2, 4, 8)),
}


def gradient_difference(left: Path, right: Path) -> tuple[float, float]:
    """Relative differences of two gradients in safetensors files: of the largest entry, and of the norm.

    Raises:
        ValueError: they are not of the same parameters.
    """
    largest = largest_difference = squares = squares_difference = 0.0
    with safe_open(left, "pt") as ours, safe_open(right, "pt") as theirs:
        if set(ours.keys()) != set(theirs.keys()):
            raise ValueError(f"gradients of other parameters: {set(ours.keys()) ^ set(theirs.keys())}")
        for name in ours.keys():  # noqa: SIM118 - not a dict
            one, other = ours.get_tensor(name).double(), theirs.get_tensor(name).double()
            difference = one - other
            largest = max(largest, other.abs().max().item())
            largest_difference = max(largest_difference, difference.abs().max().item())
            squares += other.square().sum().item()
            squares_difference += difference.square().sum().item()
    return largest_difference / largest, (squares_difference / squares) ** 0.5


def run_case(name: str, folder: Path, options: argparse.Namespace) -> tuple[str, Figures]:
    """Table and figures of one case.

    Raises:
        SystemExit: the two sides do not make the same gradient, so that their speeds say nothing.
    """
    case = CASES[name]
    note(f"{name}: making the batch …")
    batch = case.make(folder, options)
    path = folder / f"{name}.json"
    batch.write(path)
    common: dict[str, Any] = {
        "model": {"folder": model_folder(case.base)},
        "batch": str(path),
        "dtype": options.dtype,
    }
    gradients = {side: folder / f"{name}-{number}.safetensors" for number, side in enumerate((OURS, PADDED))}
    ours = {**common, "gradient": str(gradients[OURS]), "tokens_per_chunk": options.tokens_per_chunk}
    contestants = [_contestant(OURS, "OurLearner", ours)]
    sizes = options.micro_batches or case.micro_batches
    probes = {}
    for side in (PADDED, SORTED) if options.sorted else (PADDED,):
        settings = {**common, "by_length": side == SORTED}
        # In a process of its own: what large micro-batches leave behind would count as the chosen one's memory.
        with Arena(
            [_contestant(side, "PaddedLoop", {**settings, "tried": sizes})], threads=options.threads
        ) as arena:
            probes[side] = arena.facts[side]
        if side == PADDED:
            settings["gradient"] = str(gradients[PADDED])
        settings["micro_batch"] = probes[side]["micro_batch"]
        contestants.append(_contestant(side, "PaddedLoop", settings))
    with Arena(contestants, threads=options.threads) as arena:
        rounds = arena.alternate(options.pairs)
        facts = arena.facts
    entry, norm = gradient_difference(gradients[OURS], gradients[PADDED])
    same = f"gradients differ by {entry:.1e} of the largest entry, {norm:.1e} of the norm"
    note(f"{name}: {same}")
    if options.dtype == "fp32" and not max(entry, norm) < TOLERANCE:
        raise SystemExit(f"{name}: {same}; more than {TOLERANCE:g}, so the two do not do the same work")
    return _summary(name, batch, rounds, facts, probes, same, {"entry": entry, "norm": norm})


def _contestant(name: str, made_by: str, settings: dict[str, Any]) -> Contestant:
    return Contestant(name, f"learner_contestants.py:{made_by}", settings)


def _summary(
    name: str,
    batch: Batch,
    rounds: dict[str, list[Figures]],
    facts: dict[str, Figures],
    probes: dict[str, Figures],
    same: str,
    difference: dict[str, float],
) -> tuple[str, Figures]:
    rows = []
    figures: Figures = {"completion_tokens": batch.tokens, "gradient_difference": difference}
    ours = per_second(rounds[OURS], "tokens")
    for side, measured in rounds.items():
        speed = per_second(measured, "tokens")
        ahead: Ratio | None = None if side == OURS else ratio(ours, speed, less_is_better=False)
        state = learner_memory.state_mb(facts[side]["parameters"])
        peak = median(measured, "peak_mb")
        working = peak - state - facts[side]["libraries_mb"]
        micro_batch = facts[side].get("micro_batch")
        rows.append(
            [
                side if micro_batch is None else f"{side}, {micro_batch} at once",
                facts[side]["dtype"],
                f"{sorted(speed)[len(speed) // 2]:,.0f}",
                f"{measured[0]['positions']:,}",
                f"{100 * measured[0]['waste']:.1f} %",
                f"{peak:,.0f} ({working:,.0f})",
                "" if ahead is None else str(ahead),
            ]
        )
        figures[side] = {
            "dtype": facts[side]["dtype"],
            "tokens_per_second": sorted(speed),
            "seconds": sorted(figure["seconds"] for figure in measured),
            "positions": measured[0]["positions"],
            "waste": measured[0]["waste"],
            "peak_mb": peak,
            "working_mb": working,
            "micro_batch": micro_batch,
            "tried_seconds": probes[side]["tried_seconds"] if side in probes else None,
            "ahalab_ahead": None if ahead is None else vars(ahead),
        }
    lengths = sorted(len(completion) for _, completion in batch.rows)
    text = table(
        ["", "dtype", "tokens/s", "positions", "waste", "peak (working) MiB", "ahalab is faster"], rows
    )
    return (
        f"## {name}\n\n{len(batch.rows)} rows, prompts of {min(len(p) for p, _ in batch.rows)} to "
        f"{max(len(p) for p, _ in batch.rows)} tokens, completions of {lengths[0]} to {lengths[-1]} (median "
        f"{lengths[len(lengths) // 2]}), {batch.tokens:,} completion tokens; {same}.\n\n{text}"
    ), figures


def main() -> None:
    """Measure the cases that were asked for."""
    parser = arguments(__doc__)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join([*CASES, 'memory'])} (default: all)")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32", help="bf16: the best of each")
    parser.add_argument(
        "--sorted", action="store_true", help="also the padded loop over rows sorted by length"
    )
    parser.add_argument("--micro-batches", type=int, nargs="+", help="sizes to try instead of the case's own")
    parser.add_argument(
        "--tokens-per-chunk", type=int, default=4096, help="ahalab's, as in a recipe (default: %(default)s)"
    )
    parser.add_argument(
        "--gsm8k", type=Path, default=grpo_setting.DATA, help="GSM8K's train.jsonl (default: %(default)s)"
    )
    options = parser.parse_args()
    names = options.cases or [*CASES, "memory"]
    unknown = sorted(set(names) - {*CASES, "memory"})
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join([*CASES, 'memory'])}")
    torch.set_num_threads(options.threads)
    texts, figures = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if name == "memory":
                text, figures[name] = learner_memory.measure(Path(folder), options.threads)
                text = f"## memory\n\n{text}"
            else:
                text, figures[name] = run_case(name, Path(folder), options)
            note(f"\n{text}\n")
            texts.append(text)
    legend = (
        "tokens/s: completion tokens. positions: rows through the linear layers. waste: share of them that is padding, "
        "repeated, or a row's unneeded last token. working: the peak without libraries, weights, gradients, optimizer."
    )
    suffix = "" if options.dtype == "fp32" else f"-{options.dtype}"
    figures["settings"] = {
        "dtype": options.dtype,
        "pairs": options.pairs,
        "tokens_per_chunk": options.tokens_per_chunk,
    }
    report(f"learner{suffix}", options.threads, "\n\n".join([*texts, legend]), figures, save=options.save)


if __name__ == "__main__":
    main()
