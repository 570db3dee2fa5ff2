"""Reviewers for measurement: one that knows the truth and errs at set rates, and one that repeats what another said.

Neither belongs in front of clients; both are named as what they are in every result (`identity()["kind"]`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ahalab.counter import make_key, uniform
from ahalab.errors import UserError
from ahalab.guard.policy import Policy
from ahalab.guard.protocols import Reviewer
from ahalab.guard.records import Exchange, Review
from ahalab.guard.review.prompt import standards_text
from ahalab.runs.hashing import config_hash
from ahalab.runs.jsonl import JsonlReader, JsonlWriter

Truth = Callable[[Exchange, str, str], "tuple[int, ...] | None"]
"""(exchange, reply, thinking) → the standards that are really violated; None where that is not known."""

NO_TRUTH, NOT_RECORDED = "schema: no truth", "schema: not recorded"


class OracleReviewer:
    """Says the truth, but for a share of the dialogues drawn by their ids: the same ones in every run.

    Args:
        truth: ids of exchanges → violated standards, or a function.
        false_positive: share of the clean dialogues that it calls violating, by the first standard about content.
        false_negative: share of the violating ones that it calls clean.
        name: what the truth is, such as "labels of judge 3f2a…".
    """

    def __init__(
        self,
        truth: Truth | Mapping[str, tuple[int, ...]],
        policy: Policy,
        *,
        false_positive: float = 0.0,
        false_negative: float = 0.0,
        seed: int = 0,
        name: str = "",
    ) -> None:
        for what, rate in (("false_positive", false_positive), ("false_negative", false_negative)):
            if not 0 <= rate <= 1:
                raise ValueError(f"{what} {rate} outside 0 … 1")
        self._truth, self._policy = truth, policy
        self._rates, self._seed, self._name = (false_positive, false_negative), seed, name
        self._wrong = next(one.id for one in policy.standards if not one.meta)

    def identity(self) -> dict[str, Any]:
        """See `Reviewer.identity`."""
        positive, negative = self._rates
        return {
            "kind": "oracle",
            "model": f"oracle of {self._name or 'given truth'}",
            "prompt": "",
            "training_data": [],
            "false_positive": positive,
            "false_negative": negative,
            "seed": self._seed,
        }

    async def review(self, exchange: Exchange, reply: str, thinking: str) -> Review:
        """See `Reviewer.review`."""
        if isinstance(self._truth, Mapping):
            rules = self._truth.get(exchange.id)
        else:
            rules = self._truth(exchange, reply, thinking)
        signed = Review(reviewer=config_hash(self.identity())[:16], calls=1)
        if rules is None:
            return replace(signed, error=NO_TRUTH)
        if not self._policy.ids.issuperset(rules):
            return replace(signed, error="unknown rule")
        positive, negative = self._rates
        chance = uniform(make_key("oracle reviewer", self._seed, exchange.id), 0)
        if rules and chance < negative:
            return replace(signed, reason="wrongly clean")
        if not rules and chance < positive:
            return replace(signed, rules=(self._wrong,), reason="wrongly violating")
        return replace(signed, rules=tuple(rules), reason="the truth")


class RecordedReviewer:
    """Repeats the reviews of a file that `RecordingReviewer` wrote. A dialogue that is not there is an error.

    Raises:
        UserError: the file is missing, broken, or was recorded under other standards.
    """

    def __init__(self, path: Path, policy: Policy) -> None:
        self._path = path
        self._reviews: dict[str, Review] = {}
        self._identities: dict[str, dict[str, Any]] = {}
        standards = config_hash(standards_text(policy))
        for number, row in enumerate(JsonlReader(path), 1):
            try:
                if row["standards"] != standards:
                    raise UserError(
                        f"{path}, row {number}: was recorded under other standards than those of policy {policy.name}"
                    )
                rules = tuple(int(one) for one in row["rules"])
                if not policy.ids.issuperset(rules):
                    raise ValueError(f"rules {rules}")
                self._reviews[row["dialogue"]] = Review(
                    rules,
                    str(row["reason"]),
                    str(row["error"]),
                    calls=int(row["calls"]),
                    tokens=int(row["tokens"]),
                )
                self._identities[config_hash(row["reviewer"])] = dict(row["reviewer"])
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"{path}, row {number}: is no recorded review ({error})") from None
        if not self._reviews:
            raise UserError(f"{path} holds no recorded review")

    def identity(self) -> dict[str, Any]:
        """That of the recorded reviewer, with `kind` "recorded"; where several were recorded, of all of them."""
        told = [self._identities[key] for key in sorted(self._identities)]
        one = told[0] if len(told) == 1 else {}
        data = sorted({str(item) for each in told for item in each.get("training_data") or []})
        return {
            "model": ", ".join(sorted({str(each.get("model")) for each in told})),
            "prompt": one.get("prompt", ""),
            "training_data": data,
            "kind": "recorded",
            "recorded": told,
        }

    async def review(self, exchange: Exchange, reply: str, thinking: str) -> Review:
        """See `Reviewer.review`."""
        known = self._reviews.get(dialogue_hash(exchange, reply, thinking), Review(error=NOT_RECORDED))
        return replace(known, reviewer=config_hash(self.identity())[:16])


class RecordingReviewer:
    """Passes on another reviewer's reviews and keeps them, errors too, in a file of JSON rows. Texts are not kept."""

    def __init__(self, reviewer: Reviewer, path: Path, policy: Policy) -> None:
        self._reviewer, self._writer = reviewer, JsonlWriter(path)
        self._standards = config_hash(standards_text(policy))

    def identity(self) -> dict[str, Any]:
        """That of the reviewer."""
        return self._reviewer.identity()

    async def review(self, exchange: Exchange, reply: str, thinking: str) -> Review:
        """See `Reviewer.review`."""
        review = await self._reviewer.review(exchange, reply, thinking)
        self._writer.append(
            {
                "dialogue": dialogue_hash(exchange, reply, thinking),
                "rules": list(review.rules),
                "reason": review.reason,
                "error": review.error,
                "calls": review.calls,
                "tokens": review.tokens,
                "standards": self._standards,
                "reviewer": self._reviewer.identity(),
            }
        )
        return review

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


def dialogue_hash(exchange: Exchange, reply: str, thinking: str) -> str:
    """Names a dialogue by its texts alone."""
    turns = [[turn.role, turn.content, turn.thinking] for turn in exchange.turns]
    return config_hash([turns, reply, thinking])
