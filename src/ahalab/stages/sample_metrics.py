"""The numbers of a set of graded samples: one definition for training curves and evaluation alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ahalab.evaluation.measures import verdict_counts
from ahalab.stages.alignment_config import PREFERENCES
from ahalab.stages.collect import GradedSample


def mean(values: Sequence[float | bool | None]) -> float | None:
    """Mean of the values that apply; None when none does."""
    kept = [float(value) for value in values if value is not None]
    return sum(kept) / len(kept) if kept else None


def reasoning_accuracy(samples: Sequence[GradedSample]) -> float | None:
    """Mean score of the prompts that rules reward; general prompts are left out."""
    return mean([graded.verdict.score for graded in samples if not graded.general])


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
        "accuracy": reasoning_accuracy(samples),
        **_by_domain(samples),
        **_of_preference(samples, parts),
        "format": mean([graded.response.well_formed for graded in samples]),
        "tokens_per_answer": tokens / len(samples),
        "thinking_tokens": mean([graded.thinking_tokens for graded in samples]),
        "reflective_per_answer": sum(words.values()) / len(samples),
        "reflective_per_1k": 1000 * sum(words.values()) / max(1, tokens),
        "words": {word: count / len(samples) for word, count in sorted(words.items())},
        "language_mixing": mean([graded.mixed for graded in samples]),
        "truncated": sum(graded.sample.finish == "length" for graded in samples) / len(samples),
        "grader_errors": sum(graded.verdict.error is not None for graded in samples),
        **verdict_counts(graded.verdict.note for graded in samples),
        "generated_tokens": tokens,
    }


def _by_domain(samples: Sequence[GradedSample]) -> dict[str, float | None]:
    """The rules' score in each domain, where there are several; of general domains it is measured only."""
    domains = sorted({graded.prompt.domain for graded in samples})
    if len(domains) < 2:
        return {}
    return {
        f"accuracy/{domain}": mean(
            [graded.verdict.score for graded in samples if graded.prompt.domain == domain]
        )
        for domain in domains
    }


def _of_preference(samples: Sequence[GradedSample], parts: Sequence[str]) -> dict[str, object]:
    """The reward models' mean and failures, and the language consistency, where a stage has them."""
    found: dict[str, object] = {}
    if "language" in parts:
        found["language"] = mean([graded.reward.parts["language"] for graded in samples])
    judges = [name for name in parts if name in PREFERENCES]
    if judges:
        found["preference"] = mean([graded.reward.parts[name] for graded in samples for name in judges])
        found["preference_errors"] = sum(
            graded.general and graded.reward.error is not None for graded in samples
        )
    return found
