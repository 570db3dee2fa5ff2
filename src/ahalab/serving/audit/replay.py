"""Recorded traffic under another policy: what would be decided now that was decided differently then."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ahalab.guard.control import RiskControl
from ahalab.guard.history import RetractedReplies
from ahalab.guard.matcher import Matcher
from ahalab.guard.policy import Budget, Policy
from ahalab.guard.protocols import Reviewer
from ahalab.guard.records import Decision, Exchange, Review
from ahalab.guard.stream import StreamList
from ahalab.runs.hashing import config_hash
from ahalab.serving.audit.recorded import Recorded

NOT_RECORDED = "not recorded"
_UNLIMITED = Budget(reviews_per_minute=10**9, parallel=10**6, total_parallel=10**6)
_PARALLEL = 8


class RecordedVerdicts:
    """Answers with the verdict that the log has for an exchange; `error` where it was never reviewed.

    A rule that the new policy does not have is left out; where that leaves none of several, that is an error too.
    """

    def __init__(self, policy: Policy) -> None:
        self._ids = policy.ids
        self._verdicts: dict[str, Mapping[str, Any] | None] = {}

    def expect(self, one: Recorded) -> None:
        """Have its verdict ready."""
        self._verdicts[one.exchange] = one.done.get("review")

    def identity(self) -> dict[str, Any]:
        """It judges nothing itself."""
        return {"kind": "audit-log", "model": "", "prompt": "", "training_data": []}

    async def review(self, exchange: Exchange, _reply: str, _thinking: str) -> Review:
        """The recorded verdict, at no cost."""
        said = self._verdicts.pop(exchange.id, None)
        name = config_hash(self.identity())
        if not said or said["error"]:
            return Review(error=NOT_RECORDED, reviewer=name)
        rules = tuple(rule for rule in said["rules"] if rule in self._ids)
        if said["rules"] and not rules:
            return Review(error=f"{NOT_RECORDED}: its rules are not in this policy", reviewer=name)
        return Review(rules=rules, reviewer=said["reviewer"])


@dataclass(slots=True)
class Replay:
    """What changes. Counts are of dialogues that could be judged again."""

    judged: int = 0
    changed: int = 0
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Action recorded and action now → dialogues."""
    flags: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    rules: dict[int, list[int]] = field(default_factory=dict)
    """Rule → times violated then and now."""
    categories: dict[str, list[int]] = field(default_factory=dict)
    """Category of a dialogue acted against → then and now."""
    errors: Counter[str] = field(default_factory=Counter)
    """Reviews without a verdict now, by reason."""
    calls: int = 0
    """Of the reviewer."""
    changes: list[dict[str, Any]] = field(default_factory=list)
    """One for each dialogue whose action changes: id, key, time, then and now; no text."""
    lacking: dict[str, list[str]] = field(default_factory=dict)
    """Why it could not be judged again → ids."""


def replay_control(
    policy: Policy, matcher: Matcher, streams: StreamList, reviewer: Reviewer | None
) -> RiskControl:
    """The policy at work with its budgets lifted and no sampling: a replay asks what a policy decides, not when."""
    lifted = policy.model_copy(update={"budget": _UNLIMITED, "sample_unflagged": 0.0})
    if lifted.on_error == "queue":  # nothing is answered later than now
        lifted = lifted.model_copy(update={"on_error": "retract"})
    return RiskControl(
        lifted, matcher, streams, reviewer, RetractedReplies(secrets.token_bytes(32)), mode="enforce"
    )


async def replay(exchanges: Iterable[Recorded], control: RiskControl) -> Replay:
    """Judge again, a few at a time; memory holds the changes, not the dialogues."""
    result = Replay()
    reader = iter(exchanges)
    while batch := list(islice(reader, _PARALLEL)):
        readable = list(_readable(batch, result))
        for one in readable:
            if isinstance(control.reviewer, RecordedVerdicts):
                control.reviewer.expect(one)
        decisions = await asyncio.gather(*(_judged(control, one) for one in readable))
        for one, decision in zip(readable, decisions, strict=True):
            _compare(result, one, decision)
    return result


def _readable(batch: list[Recorded], result: Replay) -> Iterator[Recorded]:
    for one in batch:
        if one.text is None:
            result.lacking.setdefault(one.lacking or "no text", []).append(one.exchange)
        elif one.would == "refuse":
            # Refused before the model was asked (retracted history, an outage): there is no reply to judge.
            result.lacking.setdefault("refused before a reply", []).append(one.exchange)
        else:
            yield one


async def _judged(control: RiskControl, one: Recorded) -> Decision:
    assert one.text is not None
    return await control.check(one.as_exchange(), one.text.reply, one.text.thinking)


def _compare(result: Replay, one: Recorded, now: Decision) -> None:
    result.judged += 1
    result.actions[one.would, now.would] += 1
    result.flags[one.flagged, now.flagged] += 1
    then_rules = (one.done.get("review") or {}).get("rules", ())
    now_rules = now.review.rules if now.review else ()
    for at, rules in enumerate((then_rules, now_rules)):
        for rule in rules:
            result.rules.setdefault(rule, [0, 0])[at] += 1
    for at, (action, category) in enumerate(((one.would, one.done["category"]), (now.would, now.category))):
        if action != "release":
            result.categories.setdefault(category or "-", [0, 0])[at] += 1
    if now.review:
        result.calls += now.review.calls
        if now.review.error:
            result.errors[now.review.error] += 1
    if one.would != now.would:
        result.changed += 1
        result.changes.append(
            {
                "exchange": one.exchange,
                "key": one.key,
                "at": one.at,
                "then": one.would,
                "now": now.would,
                "rules_then": list(then_rules),
                "rules_now": list(now_rules),
                "category": now.category or one.done["category"],
            }
        )
