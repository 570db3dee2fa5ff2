"""Check-only: what the control says of texts that no model of ours is asked about. Each text is an exchange of its own,
audited like any other."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from ahalab.guard.control import RiskControl
from ahalab.guard.records import Decision, Exchange, Turn
from ahalab.serving.errors import unavailable
from ahalab.serving.exchanges import new_exchange
from ahalab.serving.gateway import Gateway
from ahalab.serving.keys import Key

_LOG = logging.getLogger(__name__)
OPENAI = {
    "harassment": "harassment",
    "harassment/threatening": "",
    "hate": "hate",
    "hate/threatening": "",
    "illicit": "",
    "illicit/violent": "weapons",
    "self-harm": "self-harm",
    "self-harm/intent": "",
    "self-harm/instructions": "",
    "sexual": "sexual",
    "sexual/minors": "",
    "violence": "violence",
    "violence/graphic": "",
}
"""OpenAI's categories and the one of ours that means the same. Clients in typed languages want all of them."""
ILLICIT = frozenset(
    {"animals", "cybercrime", "drugs", "extremism", "fraud", "gambling", "illegal-medicine", "weapons"}
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What the control says of one text."""

    exchange: Exchange
    decision: Decision

    @property
    def flagged(self) -> bool:
        """Whether it would be withheld; in shadow mode too."""
        return self.decision.would != "release"


async def check(
    gateway: Gateway,
    control: RiskControl,
    key: Key,
    turns: tuple[Turn, ...],
    route: str,
    began: float,
    *,
    reply: str = "",
    thinking: str = "",
) -> Checked:
    """One check, audited. Refusal 503 where it cannot be made or recorded."""
    exchange = new_exchange(key, turns, "", False)
    await _recorded(gateway, "intent", exchange, gateway.audit.intent(exchange, control.policy.version))
    decision = await control.check(exchange, reply, thinking)
    extra = {"route": route, "ended": decision.action, "seconds": round(time.monotonic() - began, 4)}
    concluding = gateway.audit.conclude(exchange, decision, reply, thinking, extra)
    await _recorded(gateway, "conclude", exchange, concluding)
    gateway.metrics.ended(f"check: {decision.would}")
    if decision.bypass:
        gateway.metrics.bypasses.labels(decision.bypass).inc()
    if decision.reason == "unavailable":
        raise unavailable("Texts cannot be checked now.")
    return Checked(exchange, decision)


async def moderate(gateway: Gateway, key: Key, texts: tuple[str, ...], began: float) -> dict[str, Any]:
    """OpenAI's moderation of each text."""
    control = gateway.control_of(key)
    checked = [
        await check(gateway, control, key, (Turn("user", text),), "moderations", began) for text in texts
    ]
    gateway.metrics.request("moderations", 200)
    return {
        "id": f"modr-{checked[0].exchange.id}",
        "model": f"aha-guard-{control.policy.name}",
        "results": [_result(one) for one in checked],
    }


def categories_of(decision: Decision) -> dict[str, bool]:
    """Of a text that is withheld: OpenAI's names, and ours beside them."""
    ours = {one.category for one in decision.spans} | {decision.category}
    ours -= {"", "default", "unavailable", "retracted_history"}
    if decision.would == "release":
        ours = set()
    named = {name: bool(own) and own in ours for name, own in OPENAI.items()}
    named["illicit"] = bool(ours & ILLICIT)
    return named | {name: True for name in sorted(ours) if name not in named}


def _result(checked: Checked) -> dict[str, Any]:
    categories = categories_of(checked.decision)
    return {
        "flagged": checked.flagged,
        "categories": categories,
        "category_scores": {name: float(found) for name, found in categories.items()},
        "category_applied_input_types": {name: ["text"] for name in categories},
        "ahalab": {
            "verdict_id": checked.exchange.id,
            "action": checked.decision.action,
            "would": checked.decision.would,
            "keywords": checked.decision.flagged,
            "rules": list(checked.decision.review.rules) if checked.decision.review else [],
        },
    }


async def _recorded(gateway: Gateway, step: str, exchange: Exchange, writing: Any) -> None:
    try:
        await writing
    except Exception as error:
        gateway.metrics.audit_failures.labels(step).inc()
        _LOG.error("exchange %s: the audit row could not be written (%s): %s", exchange.id, step, error)
        if not gateway.settings.insecure:
            raise unavailable("This check cannot be recorded, so it is not made.") from None
        gateway.metrics.bypasses.labels("insecure").inc()
