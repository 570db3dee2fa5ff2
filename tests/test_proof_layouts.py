"""Promise 2, measured on the bundled base: other batch sizes, chunk budgets and thread counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ahalab.learning import Learner
from ahalab.policy.load import Policy, load_policy
from ahalab.prompts.world import WorldSource
from ahalab.records import Sample
from ahalab.rollout.differences import explain_difference
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.text.renderer import Renderer
from proof_tools import write_result

PROMPTS, GROUP, KEY = 64, 16, RolloutKey(0, "layouts", 1)
LAYOUTS = [(rows, threads) for rows in (128, 32, 5) for threads in (1, 2)]


def sample(
    policy: Policy, prompts: list[PromptTokens], sampling: Sampling, rows: int, threads: int
) -> list[Sample]:
    """All samples in (prompt, sample) order, made in one layout."""
    torch.set_num_threads(threads)
    order = {prompt.prompt_id: number for number, prompt in enumerate(prompts)}
    engine = EmbeddedEngine(policy.decoder, max_rows=rows)
    return sorted(engine.generate(prompts, GROUP, sampling, KEY), key=lambda s: (order[s.prompt_id], s.index))


@pytest.mark.proof
def test_other_layouts_give_the_same_samples_and_log_probs(tmp_path: Path) -> None:  # noqa: ARG001
    threads_before = torch.get_num_threads()
    policy = load_policy("builtin:tiny")
    renderer = Renderer(policy.tokenizer, extra_stop_ids=policy.stop_ids)
    source = WorldSource("world", domains=["math"], split="train", seed=11)
    prompts = [
        PromptTokens(p.id, tuple(renderer.prompt_ids(p.question))) for p in map(source.prompt, range(PROMPTS))
    ]
    by_id = {prompt.prompt_id: prompt for prompt in prompts}
    sampling = Sampling(max_new_tokens=200, stop_ids=renderer.stop_ids)
    plain = sample(policy, prompts, sampling, *LAYOUTS[0])
    tokens = sum(len(s.token_ids) for s in plain)
    lines = [
        f"{PROMPTS} prompts × {GROUP} samples, {tokens:,} tokens; compared with {LAYOUTS[0][0]} rows, 1 thread.",
        "",
        "| rows | threads | identical samples | differing | unexplained |",
        "|---|---|---|---|---|",
    ]
    try:
        for rows, threads in LAYOUTS:
            other = sample(policy, prompts, sampling, rows, threads)
            differing = [(a, b) for a, b in zip(plain, other, strict=True) if a.token_ids != b.token_ids]
            found = [
                explain_difference(policy.decoder, by_id[a.prompt_id], a, b, sampling, KEY)
                for a, b in differing
            ]
            unexplained = [
                difference for difference in found if difference is None or not difference.explained
            ]
            share = 1 - len(differing) / len(plain)
            lines.append(f"| {rows} | {threads} | {share:.2%} | {len(differing)} | {len(unexplained)} |")
            assert share >= 0.99
            assert not unexplained
        lines += [
            "",
            "| chunk budget | threads | log-probs within 1e-5 | largest difference |",
            "|---|---|---|---|",
        ]
        sequences = [(by_id[s.prompt_id].token_ids, s.token_ids) for s in plain]
        sampled = [torch.tensor(s.logprobs) for s in plain]
        for budget in (512, 4096, 16384):
            for threads in (1, 2):
                torch.set_num_threads(threads)
                learner = Learner(policy, learning_rate=1e-5, tokens_per_chunk=budget)
                again = learner.logprobs(sequences, 1.0)
                apart = torch.cat([(a - b).abs() for a, b in zip(again, sampled, strict=True)])
                within, worst = float((apart <= 1e-5).double().mean()), float(apart.max())
                lines.append(f"| {budget} | {threads} | {within:.4%} | {worst:.1e} |")
                assert within >= 0.9999
                # A few improbable tokens go beyond 1e-5: their logits are far from zero, and fp32 has 24 bits.
                assert worst <= 3e-5
    finally:
        torch.set_num_threads(threads_before)
        write_result("layouts", "make proof", lines)
        print("\n".join(lines))
