"""The one place where reward parts become a sum, and where it is decided which of them a prompt has.

The paper's composition (§2.7): a reasoning prompt has the rule rewards (accuracy, format), a general prompt a
preference reward (helpful *or* safety, by the data set it comes from) and format; the language reward is for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ahalab.records import Prompt
from ahalab.rewards.functions import GENERAL_VERIFIERS


@dataclass(frozen=True, slots=True)
class PreferenceScope:
    """The prompts that a reward model judges: those of a named source, or else of a domain."""

    domains: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RewardRules:
    """Which parts make the reward of which prompt, and their weights in the sum."""

    weights: Mapping[str, float]
    """Part → weight; the names of `preferences` are parts too."""
    accuracy_needs_format: bool
    preferences: Mapping[str, PreferenceScope] = field(default_factory=dict)

    def preference_of(self, prompt: Prompt) -> str | None:
        """The reward model that judges this prompt, or None."""
        for name, scope in self.preferences.items():
            if prompt.source in scope.sources:
                return name
        for name, scope in self.preferences.items():
            if prompt.domain in scope.domains:
                return name
        return None

    def is_general(self, prompt: Prompt) -> bool:
        """No right answer: never rewarded for its rule's score, and it may be answered without thinking."""
        return prompt.verifier in GENERAL_VERIFIERS or self.preference_of(prompt) is not None

    def applies(self, part: str, prompt: Prompt) -> bool:
        """Whether a prompt of this type has the part at all."""
        if part == "accuracy":
            return not self.is_general(prompt)
        return part not in self.preferences or part == self.preference_of(prompt)

    def total(self, parts: Mapping[str, float | None], well_formed: bool) -> float | None:
        """`compose` by these rules."""
        return compose(
            parts, self.weights, accuracy_needs_format=self.accuracy_needs_format, well_formed=well_formed
        )


def compose(
    parts: Mapping[str, float | None],
    weights: Mapping[str, float],
    *,
    accuracy_needs_format: bool,
    well_formed: bool | None = None,
) -> float | None:
    """The weighted sum of the parts that apply; None when none does.

    The paper adds accuracy and format with equal weight (§2.2). With `accuracy_needs_format` (our choice), accuracy
    counts only in a well-formed response, so that a model is not paid for answers outside the tags.

    Args:
        parts: value of each part; None where it does not apply. A failed grader is no part: its sample gets no total
            at all, which the caller decides.
        weights: weight of each part. Parts without a weight are logged elsewhere and not summed.
        accuracy_needs_format: see above.
        well_formed: whether the response is; needed where "format" is not among the parts.

    Raises:
        ValueError: a weighted part is missing, or well-formedness is needed and unknown.
    """
    missing = sorted(set(weights) - set(parts))
    if missing:
        raise ValueError(
            f"no value for the reward parts {', '.join(missing)}: None says that a part does not apply"
        )
    if well_formed is None and parts.get("format") is not None:
        well_formed = parts["format"] == 1.0
    total: float | None = None
    for name, weight in weights.items():
        value = parts[name]
        if value is None:
            continue
        if name == "accuracy" and accuracy_needs_format:
            if well_formed is None:
                raise ValueError("accuracy_needs_format needs the part 'format' or `well_formed`")
            value = value if well_formed else 0.0
        total = (total or 0.0) + weight * value
    return total
