"""The one place where reward parts become a sum."""

from __future__ import annotations

from collections.abc import Mapping


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
