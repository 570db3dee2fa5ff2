"""The watch over a run: says in words when going on is pointless."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ahalab.stages.rl_config import StopRules


@dataclass(slots=True)
class _Seen:
    dead: int = 0
    collapsed: int = 0
    best_accuracy: float = 0.0
    cut: int = 0
    """Rollouts in a row of which every sample was cut at the length limit."""


class DeadRunWatch:
    """Counts rollouts without an effective group, and collapses of accuracy at perfect format.

    The second was measured: at learning rate 3e-4 a prototype of the tiny base forgot its arithmetic within
    40 steps and kept only the format, the easy reward (our observation; the rule is our choice).
    """

    def __init__(self, rules: StopRules, state: dict[str, Any] | None = None) -> None:
        self.rules = rules
        self._seen = _Seen(**(state or {}))

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the watch."""
        return asdict(self._seen)

    def saw(
        self,
        *,
        effective_groups: int,
        accuracy: float | None,
        format_rate: float | None,
        truncated: float | None,
    ) -> None:
        """Take note of one rollout; shares are None where nothing was graded."""
        seen, rules = self._seen, self.rules
        seen.dead = seen.dead + 1 if effective_groups == 0 else 0
        seen.cut = seen.cut + 1 if truncated == 1.0 else 0
        if accuracy is None or format_rate is None:
            return
        collapsed = format_rate >= 0.95 and accuracy < rules.collapse_accuracy * seen.best_accuracy
        seen.collapsed = seen.collapsed + 1 if collapsed else 0
        seen.best_accuracy = max(seen.best_accuracy, accuracy)

    def reason(self) -> str | None:
        """Why the run should stop, or None."""
        seen, rules = self._seen, self.rules
        if seen.collapsed >= rules.collapse_rollouts:
            return (
                f"accuracy collapsed: in the last {seen.collapsed} rollouts below {rules.collapse_accuracy:.0%} of its "
                f"best ({seen.best_accuracy:.2f}) while the format stayed right. Usually the learning rate is too "
                "high: what the model knew is forgotten and the easy reward is left. Start again with a lower one."
            )
        if seen.dead >= rules.dead_rollouts:
            if seen.best_accuracy >= 0.99:
                return (
                    f"no effective group in {seen.dead} rollouts: every group is solved. "
                    "Use harder prompts, or be done."
                )
            if seen.cut >= seen.dead:
                return (
                    f"no effective group in {seen.dead} rollouts: every sample was cut at max_new_tokens, so none was "
                    "ever well formed. Either the base never emits its stop token (see `--dry-run`; the end token in "
                    "its tokenizer_config.json or generation_config.json may be the wrong one), or the limit is too "
                    "short for it."
                )
            return (
                f"no effective group in {seen.dead} rollouts: in each group all rewards are equal, so nothing can be "
                f"learned (best accuracy so far {seen.best_accuracy:.2f}). The prompts are too hard or too easy for "
                "this base, or a reward rule never fires: look at the samples (`aha report`) and at `--dry-run`."
            )
        return None
