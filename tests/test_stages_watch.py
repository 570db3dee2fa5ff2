"""The watch ends a run that cannot learn any more, says why, and remembers across a resume."""

from __future__ import annotations

import json

from ahalab.stages.rl_config import StopRules
from ahalab.stages.watch import DeadRunWatch


def feed(watch: DeadRunWatch, times: int, **changes: float | int | None) -> None:
    seen = {"effective_groups": 3, "accuracy": 0.5, "format_rate": 0.9, "truncated": 0.0, **changes}
    for _ in range(times):
        watch.saw(**seen)  # type: ignore[arg-type]


def test_a_learning_run_is_never_stopped() -> None:
    watch = DeadRunWatch(StopRules())
    for accuracy in (0.1, 0.3, 0.2, 0.8, 0.95):
        feed(watch, 50, accuracy=accuracy, format_rate=1.0)
    assert watch.reason() is None


def test_a_run_without_effective_groups_is_stopped_at_the_rule_and_not_before() -> None:
    watch = DeadRunWatch(StopRules(dead_rollouts=4))
    feed(watch, 3, effective_groups=0)
    assert watch.reason() is None
    feed(watch, 1, effective_groups=0)
    reason = watch.reason()
    assert reason is not None
    assert "no effective group in 4 rollouts" in reason
    assert "best accuracy so far 0.50" in reason


def test_one_effective_group_starts_the_count_again() -> None:
    watch = DeadRunWatch(StopRules(dead_rollouts=4))
    feed(watch, 3, effective_groups=0)
    feed(watch, 1, effective_groups=1)
    feed(watch, 3, effective_groups=0)
    assert watch.reason() is None


def test_a_solved_run_is_told_apart_from_a_hopeless_one() -> None:
    watch = DeadRunWatch(StopRules(dead_rollouts=2))
    feed(watch, 2, effective_groups=0, accuracy=1.0, format_rate=1.0)
    assert "every group is solved" in str(watch.reason())


def test_a_base_that_never_ends_a_reply_is_told_apart() -> None:
    watch = DeadRunWatch(StopRules(dead_rollouts=2))
    feed(watch, 2, effective_groups=0, accuracy=0.0, format_rate=0.0, truncated=1.0)
    assert "every sample was cut at max_new_tokens" in str(watch.reason())
    assert "never emits its stop token" in str(watch.reason())
    watch = DeadRunWatch(StopRules(dead_rollouts=2))
    feed(watch, 1, effective_groups=0, accuracy=0.0, format_rate=0.0, truncated=1.0)
    feed(watch, 1, effective_groups=0, accuracy=0.0, format_rate=0.0, truncated=0.99)
    assert "every sample was cut" not in str(watch.reason())


def test_a_collapse_of_accuracy_at_perfect_format_is_stopped() -> None:
    watch = DeadRunWatch(StopRules(collapse_accuracy=0.1, collapse_rollouts=3))
    feed(watch, 5, accuracy=0.6)
    feed(watch, 2, accuracy=0.05, format_rate=1.0)
    assert watch.reason() is None
    feed(watch, 1, accuracy=0.05, format_rate=1.0)
    reason = str(watch.reason())
    assert "accuracy collapsed: in the last 3 rollouts below 10% of its best (0.60)" in reason
    assert "learning rate is too high" in reason


def test_low_accuracy_is_no_collapse_while_the_format_fails_or_nothing_was_ever_right() -> None:
    watch = DeadRunWatch(StopRules(collapse_rollouts=1))
    feed(watch, 3, accuracy=0.6)
    feed(watch, 9, accuracy=0.0, format_rate=0.94)
    assert watch.reason() is None
    watch = DeadRunWatch(StopRules(collapse_rollouts=1))
    feed(watch, 9, accuracy=0.0, format_rate=1.0)
    assert watch.reason() is None


def test_a_rollout_without_grades_counts_neither_way() -> None:
    watch = DeadRunWatch(StopRules(collapse_rollouts=2, dead_rollouts=3))
    feed(watch, 1, accuracy=0.6)
    feed(watch, 1, accuracy=0.0, format_rate=1.0)
    feed(watch, 1, accuracy=None, format_rate=None, truncated=None)
    assert watch.reason() is None
    feed(watch, 1, accuracy=0.0, format_rate=1.0)
    assert watch.reason() is not None


def test_a_resumed_watch_goes_on_counting() -> None:
    rules = StopRules(dead_rollouts=4)
    watch = DeadRunWatch(rules)
    feed(watch, 3, effective_groups=0)
    resumed = DeadRunWatch(rules, json.loads(json.dumps(watch.state)))
    feed(resumed, 1, effective_groups=0)
    assert resumed.reason() is not None
    assert resumed.state != watch.state
