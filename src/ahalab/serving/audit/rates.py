"""How good the control is, as far as the log can tell: precision and recall with their intervals.

Recall needs the dialogues that nothing flagged. A share of them is reviewed all the same (`sample_unflagged`); each of
these stands for as many as were not (inverse-probability weights: unflagged dialogues over reviewed ones, for each
version of the policy, since the share is the policy's). Dialogues that people reported as missed are counted as they
are; they are no sample and get no weight.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ahalab.evaluation.intervals import wilson
from ahalab.serving.audit.labels import Label, truly_violates
from ahalab.serving.audit.recorded import Recorded


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % Wilson interval; None where nothing is known."""

    share: float | None
    low: float
    high: float
    items: float
    """What it rests on; the effective number where weights are in it."""


UNKNOWN = Share(None, 0.0, 1.0, 0)


@dataclass(slots=True)
class _Stratum:
    """One policy version."""

    unflagged: int = 0
    sampled: int = 0
    """Unflagged ones whose truth the reviewer's sampling told."""
    sampled_violating: int = 0
    reported: int = 0
    """Unflagged, not sampled, labelled `missed`."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Of the exchanges counted. "Truth" is a person's label, else the reviewer's verdict."""

    exchanges: int
    flagged: int
    flagged_known: int
    """Flagged ones whose truth is known."""
    acted: int
    """Not released, or would not have been in shadow mode."""
    labels: Mapping[str, int]
    unflagged: int
    sampled: int
    missed_sampled: int
    missed_reported: int
    missed_estimate: float | None
    """Violating dialogues that nothing flagged: reported ones, and the sample with its weights."""
    flag_precision: Share
    """Of the flagged, how many violate."""
    flag_recall: Share
    """Of the violating, how many were flagged."""
    action_precision: Share
    """Of those acted against, how many violate."""
    uncovered: int
    """Unflagged exchanges under policy versions without a single sampled review: the recall leaves them out."""


def measured_rates(exchanges: Iterable[Recorded], labels: Mapping[str, Label]) -> Rates:
    """One pass over the log. Refused requests without a flag (retracted history, no audit) are no dialogues here."""
    strata: dict[str, _Stratum] = defaultdict(_Stratum)
    counts: dict[str, int] = defaultdict(int)
    by_label: dict[str, int] = defaultdict(int)
    for one in exchanges:
        counts["exchanges"] += 1
        label = labels.get(one.exchange)
        if label:
            by_label[label] += 1
        acted = one.would != "release"
        truth = truly_violates(label, one.verdict, acted)
        if acted:
            counts["acted"] += 1
            counts["acted_known"] += truth is not None
            counts["acted_violating"] += truth is True
        if one.flagged:
            counts["flagged"] += 1
            counts["flagged_known"] += truth is not None
            counts["flagged_violating"] += truth is True
        elif one.would != "refuse":
            _count_unflagged(strata[one.policy], one, label, truth)
    return _rates(counts, by_label, list(strata.values()))


def _count_unflagged(stratum: _Stratum, one: Recorded, label: Label | None, truth: bool | None) -> None:
    if not one.sampled and label == "missed":
        stratum.reported += 1
        return
    stratum.unflagged += 1
    if one.sampled and truth is not None:
        stratum.sampled += 1
        stratum.sampled_violating += truth


def _rates(counts: Mapping[str, int], by_label: Mapping[str, int], strata: list[_Stratum]) -> Rates:
    reported = sum(one.reported for one in strata)
    covered = [one for one in strata if one.sampled]
    unflagged = sum(one.unflagged for one in strata)
    flagged_known = counts.get("flagged_known", 0)
    precision = _share(counts.get("flagged_violating", 0), flagged_known)
    missed: float | None = None
    recall = UNKNOWN
    if covered or not unflagged:
        weights = [one.unflagged / one.sampled for one in covered]
        missed = reported + sum(
            weight * one.sampled_violating for weight, one in zip(weights, covered, strict=True)
        )
        recall = _recall(precision, counts.get("flagged", 0), covered, weights, reported, missed)
    return Rates(
        exchanges=counts.get("exchanges", 0),
        flagged=counts.get("flagged", 0),
        flagged_known=flagged_known,
        acted=counts.get("acted", 0),
        labels=dict(by_label),
        unflagged=unflagged + reported,
        sampled=sum(one.sampled for one in strata),
        missed_sampled=sum(one.sampled_violating for one in strata),
        missed_reported=reported,
        missed_estimate=missed,
        flag_precision=precision,
        flag_recall=recall,
        action_precision=_share(counts.get("acted_violating", 0), counts.get("acted_known", 0)),
        uncovered=sum(one.unflagged for one in strata if not one.sampled),
    )


def _recall(
    precision: Share,
    flagged: int,
    covered: list[_Stratum],
    weights: list[float],
    reported: int,
    missed: float,
) -> Share:
    """Caught over caught and missed. Its bounds take the bound of what was missed (and of the precision, where flagged
    dialogues have no verdict), so they are on the careful side."""
    if precision.share is None:
        return UNKNOWN
    known = precision.items == flagged
    caught = flagged * precision.share
    low_caught = caught if known else flagged * precision.low
    high_caught = caught if known else flagged * precision.high
    low_missed = high_missed = float(reported)
    effective = 0.0
    if covered:
        total = sum(one.unflagged for one in covered)
        # Kish: what a weighted sample is worth.
        squares = sum(weight**2 * one.sampled for weight, one in zip(weights, covered, strict=True))
        effective = total**2 / squares
        share = min(1.0, (missed - reported) / total)
        if all(one.sampled == one.unflagged for one in covered):
            low, high = share, share  # all of them were looked at: nothing is estimated
        else:
            low, high = wilson(share, effective)
        low_missed, high_missed = reported + total * low, reported + total * high
    if caught + missed == 0:
        return Share(None, 0.0, 1.0, flagged + effective)
    return Share(
        caught / (caught + missed),
        low_caught / (low_caught + high_missed) if low_caught + high_missed else 0.0,
        high_caught / (high_caught + low_missed) if high_caught + low_missed else 1.0,
        flagged + effective,
    )


def _share(part: int, whole: int) -> Share:
    return Share(part / whole, *wilson(part / whole, whole), whole) if whole else UNKNOWN
