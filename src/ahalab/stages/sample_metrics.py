"""The numbers of a set of graded samples: one definition for training curves and evaluation alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ahalab.stages.collect import GradedSample


def mean(values: Sequence[float | bool | None]) -> float | None:
    """Mean of the values that apply; None when none does."""
    kept = [float(value) for value in values if value is not None]
    return sum(kept) / len(kept) if kept else None


def sample_metrics(samples: Sequence[GradedSample]) -> dict[str, object]:
    """Flat metrics of samples; the keys are those of `metrics.jsonl`. Counts are over all samples given."""
    words: Counter[str] = Counter()
    for graded in samples:
        words.update(graded.reflective)
    tokens = sum(len(graded.sample.token_ids) for graded in samples)
    parts = sorted({name for graded in samples for name in graded.reward.parts})
    return {
        "reward": mean([graded.reward.total for graded in samples]),
        **{f"reward/{name}": mean([graded.reward.parts.get(name) for graded in samples]) for name in parts},
        "accuracy": mean([graded.verdict.score for graded in samples]),
        "format": mean([graded.response.well_formed for graded in samples]),
        "tokens_per_answer": tokens / len(samples),
        "thinking_tokens": mean([graded.thinking_tokens for graded in samples]),
        "reflective_per_answer": sum(words.values()) / len(samples),
        "reflective_per_1k": 1000 * sum(words.values()) / max(1, tokens),
        "words": {word: count / len(samples) for word, count in sorted(words.items())},
        "language_mixing": mean([graded.mixed for graded in samples]),
        "truncated": sum(graded.sample.finish == "length" for graded in samples) / len(samples),
        "grader_errors": sum(graded.verdict.error is not None for graded in samples),
        "generated_tokens": tokens,
    }
