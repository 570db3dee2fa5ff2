"""The reward-hacking watch: the preference reward rises while the rules' score of held-out prompts falls.

The paper shows the two curves crossing when a helpful reward model is used too long (B.5, Fig. 6) and caps the
window for it. The statistic is our choice: the same prompts are answered with the same random numbers at the
window's start and at every check, each prompt is its own control, and a change counts when the 95 % bootstrap
interval of the mean difference over prompts lies beyond zero. General and reasoning prompts are tested apart, so
that a gain in one cannot hide a loss in the other. All checks share the start they are compared with, so `patience`
guards against a bad moment, not against an unlucky start: `min_drop` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ahalab.evaluation.estimators import Estimate, bootstrap
from ahalab.stages.alignment_config import HackingConfig
from ahalab.stages.sample_metrics import mean

RULES = ("rule_general", "rule_reasoning")
"""What may fall. Each is a list of one figure a prompt."""

FEWEST = 4
"""Our choice: of fewer prompts no interval is made."""

Items = Mapping[str, Sequence[float | None]]
"""Per prompt: its mean preference reward, its mean rule score as a general and as a reasoning prompt; None where it
has none."""


@dataclass(slots=True)
class _Seen:
    """JSON-able."""

    start: dict[str, list[float | None]] = field(default_factory=dict)
    start_step: int = 0
    checks: int = 0
    streak: int = 0
    flagged_step: int | None = None
    last: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    """The check that marked the run."""


class HackingWatch:
    """Compares every check with the window's start and remembers what it saw."""

    def __init__(self, config: HackingConfig, state: Mapping[str, Any] | None = None) -> None:
        self.config = config
        self._seen = _Seen(**(state or {}))

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return asdict(self._seen)

    @property
    def started(self) -> bool:
        """Whether the window's start was measured."""
        return bool(self._seen.start)

    @property
    def flagged_step(self) -> int | None:
        """The step at which the run was marked, or None."""
        return self._seen.flagged_step

    def begin(self, step: int, items: Items) -> dict[str, Any]:
        """Take the window's start; returns its figures for `metrics.jsonl`."""
        self._seen.start = {name: list(values) for name, values in items.items()}
        self._seen.start_step = step
        return _means(items)

    def saw(self, step: int, items: Items) -> dict[str, Any]:
        """One check; returns its figures for `metrics.jsonl`. Whether the run is marked: `flagged_step`."""
        seen = self._seen
        changes = {name: _change(seen.start[name], items[name]) for name in ("preference", *RULES)}
        preference = changes["preference"]
        rises = preference is not None and preference.low > 0
        falling = [name for name in RULES if self._falls(changes[name])]
        seen.checks += 1
        seen.streak = seen.streak + 1 if rises and falling else 0
        seen.last = {
            "step": step,
            "streak": seen.streak,
            "falling": falling,
            "changes": {name: change and change.as_dict() for name, change in changes.items()},
        }
        if seen.streak >= self.config.patience and seen.flagged_step is None:
            seen.flagged_step, seen.evidence = step, seen.last
        return {
            **_means(items),
            **{f"hacking/{name}_change": change and change.value for name, change in changes.items()},
            "hacking/streak": seen.streak,
            "hacking/flag": seen.flagged_step is not None,
        }

    def reason(self) -> str | None:
        """What was seen when the run was marked, in words; None while it is not."""
        seen = self._seen
        if seen.flagged_step is None:
            return None
        changes = seen.evidence["changes"]
        fallen = " and ".join(
            f"the rules' score of {name.removeprefix('rule_')} ones by {_signed(changes[name])}"
            for name in seen.evidence["falling"]
        )
        return (
            f"reward hacking at step {seen.flagged_step}, seen in {self.config.patience} checks in a row: since the "
            f"window's start at step {seen.start_step} the preference reward of held-out prompts changed by "
            f"{_signed(changes['preference'])}, and {fallen}. The policy pleases the reward model without being "
            "better. Take a shorter window, an earlier checkpoint, or a better reward model."
        )

    def figures(self) -> dict[str, Any]:
        """For the stage's manifest."""
        seen = self._seen
        return {
            "hacked": seen.flagged_step is not None,
            "step": seen.flagged_step,
            "checks": seen.checks,
            "start": {"step": seen.start_step, **{name: mean(values) for name, values in seen.start.items()}},
            "end": seen.last,
        }

    def _falls(self, change: Estimate | None) -> bool:
        return change is not None and change.high < 0 and change.value <= -self.config.min_drop


def _means(items: Items) -> dict[str, Any]:
    rules = [value for name in RULES for value in items[name]]
    return {
        "hacking/preference": mean(items["preference"]),
        "hacking/rule": mean(rules),
        **{f"hacking/{name}": mean(items[name]) for name in RULES},
    }


def _change(start: Sequence[float | None], now: Sequence[float | None]) -> Estimate | None:
    """Mean over prompts of now minus start, with its interval; None where too few prompts have both."""
    differences = [b - a for a, b in zip(start, now, strict=True) if a is not None and b is not None]
    return bootstrap(differences, 1) if len(differences) >= FEWEST else None


def _signed(change: Mapping[str, Any]) -> str:
    return f"{change['value']:+.3f} (95 % interval {change['low']:+.3f} to {change['high']:+.3f})"
