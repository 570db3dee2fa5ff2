"""`--dry-run`: what a run would ask and judge, what is done already, and what the rest would cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.endpoints.config import EndpointConfig
from ahalab.safety.folder import REPLIES_NAME, read_rows
from ahalab.safety.judging.shortcut import settled
from ahalab.safety.protocols import Judge, judge_hash
from ahalab.safety.records import Case, Judgement, Part, SafetyItem, TargetReply
from ahalab.safety.running.asked import Asked
from ahalab.safety.running.judging import Counting
from ahalab.safety.running.rows import done_keys
from ahalab.safety.running.targets import RunTarget

VERDICT_TOKENS = 200
"""Of a judge's reply, for estimates where none came yet: our choice, a verdict and two sentences of reason."""

_AWAITED: Any = "awaited"
"""Marks the stand-in for a reply that is not there yet."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of a server, without retries."""

    calls: int = 0
    tokens_in: int = 0
    """By a quarter of the bytes."""
    tokens_out: int = 0
    at_most: bool = False
    """Counted for replies as long as they can be (`max_tokens` each); else an estimate."""
    cost: float | None = None
    """At its prices; None without."""


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """What one target has done and has to do."""

    name: str
    kind: str
    items: int
    answered: int
    """Items with a reply."""
    paid: int
    """Items whose reply came and was paid for, but got no row (a kill): not asked again."""
    asking: Calls
    """Of its server; none for a target that is none."""
    judged: int
    """Judgements that this judge has given already, over the parts."""
    to_judge: int
    """Judgements still to be given; of thinking that is not known yet, at most."""
    judging: Calls
    """Of the judge's server; longer replies take several calls."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do."""

    benchmarks: tuple[tuple[str, int, str], ...]
    """(name, items, source)."""
    wrapped: int
    """Items in a jailbreak template."""
    targets: tuple[TargetPlan, ...]
    judge: str
    """Hash; "" for none."""
    judge_kind: str
    parts: tuple[Part, ...]

    @property
    def asking(self) -> Calls:
        """Of all targets."""
        return _sum(one.asking for one in self.targets)

    @property
    def judging(self) -> Calls:
        """Of the judge."""
        return _sum(one.judging for one in self.targets)

    @property
    def to_judge(self) -> int:
        """Judgements to be given."""
        return sum(one.to_judge for one in self.targets)


def plan(
    asked: Asked,
    targets: Sequence[RunTarget],
    judge: Judge | None,
    parts: Sequence[Part],
    folder: Path,
    counting: Counting,
) -> Plan:
    """Count without asking anybody; nothing is written.

    Raises:
        UserError: a file of the folder is broken.
    """
    counted = {one.name for one in asked.benchmarks if counting(one) is not None}
    read = {item.id: item for item in asked.items if item.benchmark not in counted}
    identity = judge.identity() if judge is not None else {}
    name = judge_hash(identity) if judge is not None else ""
    found = []
    for target in targets:
        path = folder / "targets" / target.name / REPLIES_NAME
        replies = {row.item: row for row in read_rows(path, TargetReply)} if path.is_file() else {}
        left = [item for item in asked.items if item.id not in replies]
        paid = target.kept(left)
        done = done_keys(folder / "judges" / name / f"{target.name}.jsonl", Judgement) if name else set()
        each, at_most = _reply_tokens(target.endpoint, list(replies.values()))
        cases = [
            case
            for case in _cases(read, replies, target.name, parts, round(4 * each))
            if (case.item.id, case.part) not in done
        ]
        found.append(
            TargetPlan(
                target.name,
                str(target.identity().get("kind", "")),
                len(asked.items),
                len(asked.items) - len(left),
                paid,
                _asking(target, left, len(left) - paid, each, at_most),
                len(done),
                len(cases) if judge is not None else 0,
                _judging(judge, cases, at_most and bool(left)),
            )
        )
    return Plan(
        tuple((one.name, len(one.items), one.source) for one in asked.benchmarks),
        sum(bool(item.extra.get("template")) for item in asked.items),
        tuple(found),
        name,
        str(identity.get("kind", "")),
        tuple(parts),
    )


def _cases(
    items: dict[str, SafetyItem],
    replies: dict[str, TargetReply],
    target: str,
    parts: Sequence[Part],
    length: int,
) -> Iterator[Case]:
    """What there will be to judge; a reply that is not there yet stands as `length` bytes of nothing."""
    awaited = "word " * max(1, length // 5)
    for name, item in items.items():
        reply = replies.get(name) or TargetReply(name, target, awaited, awaited, _AWAITED)
        for part in parts:
            if part == "answer" or reply.thinking.strip():
                yield Case(item, reply, part, bool(item.extra.get("template")))


def _asking(target: RunTarget, left: Sequence[SafetyItem], calls: int, each: float, at_most: bool) -> Calls:
    if target.endpoint is None or not calls:
        return Calls()
    size = sum((target.prompt_bytes(item) + 3) // 4 for item in left)
    tokens_in, tokens_out = round(size * calls / len(left)), round(each * calls)
    return Calls(calls, tokens_in, tokens_out, at_most, target.endpoint.cost(tokens_in, tokens_out))


def _judging(judge: Judge | None, cases: Sequence[Case], at_most: bool) -> Calls:
    """Of a judge that tells what a case takes: `estimate(case)` gives (calls, bytes of the prompts)."""
    estimate, config = getattr(judge, "estimate", None), getattr(judge, "config", None)
    if not callable(estimate) or not isinstance(config, EndpointConfig):
        return Calls()
    told = [estimate(case) for case in cases if case.reply.finish == _AWAITED or settled(case) is None]
    calls = sum(one for one, _ in told)
    tokens_in, tokens_out = sum((size + 3) // 4 for _, size in told), calls * VERDICT_TOKENS
    return Calls(calls, tokens_in, tokens_out, at_most, config.cost(tokens_in, tokens_out))


def _reply_tokens(endpoint: EndpointConfig | None, answered: Sequence[TargetReply]) -> tuple[float, bool]:
    """Tokens of a reply, and whether that is the most there can be."""
    told = [row.tokens_out for row in answered if row.tokens_out]
    if told:
        return sum(told) / len(told), False
    return float(endpoint.max_tokens or 0) if endpoint is not None else 0.0, True


def _sum(many: Iterator[Calls]) -> Calls:
    found = list(many)
    costs = [one.cost for one in found if one.cost is not None]
    return Calls(
        sum(one.calls for one in found),
        sum(one.tokens_in for one in found),
        sum(one.tokens_out for one in found),
        any(one.at_most for one in found),
        sum(costs) if costs else None,
    )
