"""Two evaluations of the same prompts compared prompt by prompt: what differs between prompts cancels."""

from __future__ import annotations

from collections.abc import Mapping

from ahalab.evaluation.estimators import RESAMPLES, Estimate, bootstrap


def paired_difference(
    ours: Mapping[str, float], theirs: Mapping[str, float], k: int, resamples: int = RESAMPLES
) -> Estimate | None:
    """Mean of `ours[id] - theirs[id]` with a 95 % percentile bootstrap interval; None with no prompt in both.

    Prompts are resampled as pairs, by the fixed draws of `estimators.bootstrap`. A prompt that only one of the two
    could be measured on (a grader that failed, a thinking without words) is left out; `n` says how many were not.
    """
    shared = [prompt_id for prompt_id in ours if prompt_id in theirs]
    if not shared:
        return None
    return bootstrap([ours[one] - theirs[one] for one in shared], k, resamples=resamples)
