"""Whether memory grows with the vocabulary beyond the weights: one body, one batch, two vocabularies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Arena, Contestant, Figures, median, table
from benchmarks.learner_batches import spread_batch

VOCABULARIES = (49_152, 151_936)
"""SmolLM2's and Qwen2's."""
HIDDEN = 576
BODY = {
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
}
"""SmolLM2-135M's, for random weights: memory does not depend on them."""
STATE_BYTES = 16
"""Of each parameter in fp32: weight, gradient, AdamW's two moments."""
GROUP = 16


def state_mb(parameters: int) -> float:
    """Weights, gradients and optimizer state, in MiB as the harness counts."""
    return parameters * STATE_BYTES / 2**20


def beyond_weights(
    peaks_mb: Mapping[int, float], hidden: int = HIDDEN, vocabularies: Sequence[int] = VOCABULARIES
) -> float:
    """MiB that the larger vocabulary costs beyond its four fp32 tensors [V, H] (tied embeddings)."""
    small, large = vocabularies
    return peaks_mb[large] - peaks_mb[small] - state_mb((large - small) * hidden)


def measure(folder: Path, threads: int, rounds: int = 1) -> tuple[str, Figures]:
    """Table and figures. Two groups of 16 are two chunks, or two micro-batches: gradients are accumulated."""
    batch = spread_batch(2, GROUP, 16, 96, min(VOCABULARIES))
    path = folder / "memory.json"
    batch.write(path)
    widest = max(sum(map(len, row)) for row in batch.rows)
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "ahalab": ("OurLearner", {"tokens_per_chunk": GROUP * widest}),
        "padded loop": ("PaddedLoop", {"micro_batch": GROUP}),
    }
    rows, figures = [], {}
    for name, (made_by, options) in settings.items():
        peaks, working = {}, {}
        for vocabulary in VOCABULARIES:
            model = {"config": {**BODY, "vocab_size": vocabulary}}
            spec = f"learner_contestants.py:{made_by}"
            contestant = Contestant(
                f"{name}, V = {vocabulary:,}", spec, {"model": model, "batch": str(path), **options}
            )
            # One after the other, since it is not time that is measured: two of them need not fit side by side.
            with Arena([contestant], threads=threads) as arena:
                facts = arena.facts[contestant.name]
                measured = arena.alternate(rounds)[contestant.name]
            peaks[vocabulary] = median(measured, "peak_mb")
            working[vocabulary] = peaks[vocabulary] - state_mb(facts["parameters"]) - facts["libraries_mb"]
            figures[f"{name} {vocabulary}"] = {
                "peak_mb": round(peaks[vocabulary], 1),
                "state_mb": round(state_mb(facts["parameters"]), 1),
                "working_mb": round(working[vocabulary], 1),
                "seconds": median(measured, "seconds"),
            }
        beyond = beyond_weights(peaks)
        figures[f"{name} beyond weights"] = {"mb": round(beyond, 1)}
        small, large = (f"{peaks[v]:,.0f} ({working[v]:,.0f})" for v in VOCABULARIES)
        rows.append([name, small, large, f"{beyond:+,.0f}"])
    tensor = state_mb((VOCABULARIES[1] - VOCABULARIES[0]) * HIDDEN) / 4
    figures["one tensor beyond"] = {"mb": round(tensor, 1)}
    header = ["MiB", *(f"V = {v:,}: peak (working)" for v in VOCABULARIES), "grown beyond weights"]
    note = f"The larger vocabulary makes one more fp32 tensor [V, H] {tensor:,.0f} MiB larger."
    return f"{table(header, rows)}\n\n{note}", figures
