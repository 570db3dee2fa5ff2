"""One GRPO step of ahalab against one of TRL's `GRPOTrainer`, on the same machine in one run.

    python -m benchmarks.grpo_vs_trl tiny        # (a) builtin:tiny, 16 prompts × 8 samples
    python -m benchmarks.grpo_vs_trl smollm2     # (b) SmolLM2-135M on GSM8K, 4 × 8 of up to 128 new tokens

A step is sampling, grading, advantages, one update. Both sides have the same weights, prompts (the same token ids),
group size, token limit, sampling (temperature 1, nothing truncated, natural stopping), loss (token mean, clip 0.2/0.28,
no KL), AdamW and clipping; the learning rate is 1e-6, so that every step samples from practically the same weights.
Random numbers differ, so the ratio per generated token is given beside the ratio per step. Ours includes its logs and
its grader processes; TRL grades in-line with the same verifier.

Rows: fp32 with nothing dropped on both sides; then the best setting of each: ours with rounded weights in sampling and
groups without gradient left out, TRL at the dtype that is quickest here. Settings are tried first, on both sides.
Where our weights are rounded, a third row has them with nothing dropped: where no group earns anything, dropping leaves
nothing to learn, and the mismatch is only known of tokens that were learned from.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import grpo_setting
from benchmarks.grpo_setting import Setting
from benchmarks.harness import (
    Arena,
    Contestant,
    Figures,
    arguments,
    median,
    note,
    per_second,
    ratio,
    report,
    table,
)

TRL_DTYPES = ("fp32", "bf16-autocast", "bf16")
"""`bf16=False`; TRL's own `bf16=True`; and a model loaded in bf16."""


def ours(setting: Setting, name: str, changes: dict[str, Any]) -> Contestant:
    return Contestant(name, "grpo_ours.py:OurStep", {"setting": setting.options(), "changes": changes})


def our_dropping(setting: Setting, weights: str) -> Contestant:
    """Rollouts with these weights, and no backward pass for groups whose gradient is zero."""
    changes = {"rollout_weights": weights, "drop_zero_gradient_groups": True}
    return ours(setting, f"ahalab {weights} sampling, dropping", changes)


def our_rounded(setting: Setting, weights: str) -> Contestant:
    """Rollouts with these weights, nothing dropped."""
    changes = {"rollout_weights": weights}
    return ours(setting, f"ahalab {weights} sampling, nothing dropped", changes)


def trl(setting: Setting, micro_batch: int, dtype: str) -> Contestant:
    options = {"setting": setting.options(), "micro_batch": micro_batch, "dtype": dtype, "changes": {}}
    return Contestant(f"TRL {dtype}, micro-batch {micro_batch}", "grpo_trl.py:TRLStep", options)


def quickest(candidates: Sequence[Contestant], threads: int) -> tuple[Contestant, dict[str, float]]:
    """The candidate with most tokens per second in one round after a warm-up, one at a time; and all their rates.

    One alone is not tried.
    """
    rates: dict[str, float] = {}
    if len(candidates) == 1:
        return candidates[0], rates
    for candidate in candidates:
        with Arena([candidate], threads=threads) as arena:
            (figures,) = arena.alternate(pairs=1)[candidate.name]
        rates[candidate.name] = figures["tokens"] / figures["seconds"]
    return max(candidates, key=lambda candidate: rates[candidate.name]), rates


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("setting", choices=("tiny", "smollm2"))
    parser.add_argument("--prompts", type=int, help="prompts per step (tiny: 16, smollm2: 4)")
    parser.add_argument("--samples", type=int, default=8, help="samples per prompt")
    parser.add_argument("--new-tokens", type=int, help="token limit (tiny: 200, smollm2: 128)")
    parser.add_argument("--gsm8k", type=Path, default=grpo_setting.DATA, help="GSM8K's train.jsonl")
    parser.add_argument("--micro-batches", type=int, nargs="+", help="of TRL, tried one after the other")
    parser.add_argument(
        "--rollout-weights",
        nargs="+",
        default=["fp32", "int8"],
        choices=("fp32", "bf16", "int8"),
        help="of our best setting: several are tried",
    )
    parser.add_argument(
        "--trl-dtypes",
        nargs="+",
        default=list(TRL_DTYPES),
        choices=TRL_DTYPES,
        help="of TRL's best setting: several are tried",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(given, make_setting(given, Path(folder)))


def make_setting(given: argparse.Namespace, folder: Path) -> Setting:
    if given.setting == "tiny":
        return grpo_setting.tiny(folder, given.prompts or 16, given.samples, given.new_tokens or 200)
    return grpo_setting.smollm2(
        folder, given.prompts or 4, given.samples, given.new_tokens or 128, given.gsm8k
    )


def compare(given: argparse.Namespace, setting: Setting) -> None:
    sizes = given.micro_batches or ([8, 16, 32, 128] if given.setting == "tiny" else [4, 8])
    note("TRL's quickest micro-batch, fp32:")
    plain, rates = quickest([trl(setting, size, "fp32") for size in sizes], given.threads)
    size = plain.options["micro_batch"]
    best = plain
    note("TRL's quickest dtype:")
    best, more = quickest([trl(setting, size, dtype) for dtype in given.trl_dtypes], given.threads)
    rates.update(more)
    note("our quickest weights:")
    our_best, more = quickest(
        [our_dropping(setting, weights) for weights in given.rollout_weights], given.threads
    )
    rates.update(more)
    contestants = [
        ours(setting, "ahalab fp32, nothing dropped", {}),
        plain,
        our_best,
        *([best] if best.name != plain.name else []),
    ]
    weights = our_best.options["changes"]["rollout_weights"]
    rounded = [] if weights == "fp32" else [our_rounded(setting, weights)]
    contestants += rounded
    with Arena(contestants, threads=given.threads) as arena:
        facts = arena.facts
        rounds = arena.alternate(given.pairs)
    rivals = [
        ("same precision (fp32, equal work)", contestants[0].name, plain.name),
        *[(f"{weights} sampling, nothing dropped", one.name, best.name) for one in rounded],
        ("best setting of each", our_best.name, best.name),
    ]
    text = f"{given.setting}: {setting.prompts_per_step} prompts × {setting.samples_per_prompt} samples of up to "
    text += f"{setting.max_new_tokens} new tokens, {given.pairs} pairs\n\n"
    text += table(*of_contestants(rounds, facts)) + "\n\n" + table(*of_rivals(rounds, rivals))
    text += "\n\nsettings tried (tokens/s in one round each): "
    text += ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    report(
        f"grpo_vs_trl-{given.setting}",
        given.threads,
        text,
        {
            "setting": {**setting.options(), "folder": "", "prompts": ""},
            "facts": facts,
            "rounds": rounds,
            "ratios": {what: ratios(rounds, own, other) for what, own, other in rivals},
            "tried": rates,
        },
        save=given.save,
    )


def of_contestants(
    rounds: dict[str, list[Figures]], facts: dict[str, Figures]
) -> tuple[list[str], list[list[object]]]:
    """Medians of each contestant."""
    header = [
        "contestant",
        "s/step",
        "CPU s",
        "tokens/step",
        "tokens/s",
        "peak MB",
        "dropped groups",
        "mismatch",
    ]
    rows: list[list[object]] = []
    for name, each in rounds.items():
        mismatches = [one["mismatch"] for one in each if one.get("mismatch") is not None]
        rows.append(
            [
                name,
                f"{median(each, 'seconds'):.2f}",
                f"{median(each, 'cpu_seconds'):.2f}",
                f"{median(each, 'tokens'):.0f}",
                f"{sorted(per_second(each, 'tokens'))[len(each) // 2]:.0f}",
                f"{median(each, 'peak_mb'):.0f}",
                f"{median(each, 'dropped_groups'):.0f}",
                f"{sorted(mismatches)[len(mismatches) // 2]:.1e}" if mismatches else "not known",
            ]
        )
        assert name in facts
    return header, rows


def ratios(rounds: dict[str, list[Figures]], own: str, other: str) -> dict[str, Any]:
    """How many times as quick we are per step and per generated token, and our share of their peak memory."""
    mine, theirs = rounds[own], rounds[other]
    step = ratio([r["seconds"] for r in mine], [r["seconds"] for r in theirs], less_is_better=True)
    token = ratio(per_second(mine, "tokens"), per_second(theirs, "tokens"), less_is_better=False)
    processor = ratio(
        [r["cpu_seconds"] / r["tokens"] for r in mine],
        [r["cpu_seconds"] / r["tokens"] for r in theirs],
        less_is_better=True,
    )
    return {
        "per step": str(step),
        "per token": str(token),
        "CPU time per token": str(processor),
        "peak memory": round(median(mine, "peak_mb") / median(theirs, "peak_mb"), 3),
    }


def of_rivals(
    rounds: dict[str, list[Figures]], rivals: Sequence[tuple[str, str, str]]
) -> tuple[list[str], list[list[object]]]:
    """Ours over theirs, pair by pair: median [lowest – highest]."""
    header = ["ours against TRL", "per step", "per token", "CPU time per token", "peak memory"]
    return header, [[what, *ratios(rounds, own, other).values()] for what, own, other in rivals]


if __name__ == "__main__":
    main()
