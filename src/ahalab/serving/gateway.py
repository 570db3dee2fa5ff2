"""What all requests of a gateway share, and its end: replies under way, then conclusions, then reviewers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ahalab.guard.control import RiskControl
from ahalab.guard.protocols import AuditStore, Model
from ahalab.guard.reload import Controls
from ahalab.serving.errors import unavailable
from ahalab.serving.keys import Key, Keys
from ahalab.serving.limits import Limits
from ahalab.serving.metrics import Metrics
from ahalab.serving.settings import GatewaySettings

if TYPE_CHECKING:
    from ahalab.serving.flow import Flow

_LOG = logging.getLogger(__name__)


class Gateway:
    """What all requests share."""

    def __init__(
        self,
        settings: GatewaySettings,
        model: Model,
        controls: Controls,
        audit: AuditStore,
        keys: Keys | None,
    ) -> None:
        self.settings, self.model, self.controls, self.audit, self.keys = (
            settings,
            model,
            controls,
            audit,
            keys,
        )
        self.limits, self.metrics = Limits(settings), Metrics(controls)
        self.started = int(time.time())
        self.draining = False
        self.flows: set[Flow] = set()
        self._concluding: set[asyncio.Task[None]] = set()

    def control_of(self, key: Key) -> RiskControl:
        """The control for a key, as it is now."""
        try:
            return self.controls.get(key.policy, key.mode)
        except KeyError:
            _LOG.error("key %r names policy %r, which is not served", key.id, key.policy)
            raise unavailable("The policy of this key is not served.", "no_policy") from None

    async def drain(self) -> None:
        """Nothing new is taken. Replies under way may end in `shutdown_seconds`; then they are ended, and audited."""
        self.draining = True
        await self._until_idle(self.settings.shutdown_seconds)
        for flow in tuple(self.flows):
            flow.stop("shutdown")
        await self._until_idle(5.0)
        for flow in tuple(self.flows):
            flow.abort()
        await self._until_idle(5.0)

    def conclude_later(self, writing: Coroutine[Any, Any, None]) -> None:
        """A conclusion that nobody waits for but the end of the gateway."""
        task = asyncio.ensure_future(writing)
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)

    async def aclose(self) -> None:
        """After `drain`: every conclusion is written, every reviewer closed."""
        await self.settled()
        await self.controls.aclose()

    async def settled(self) -> None:
        """Every conclusion under way is written, or has failed and is counted."""
        while self._concluding:
            await asyncio.gather(*self._concluding)

    async def _until_idle(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (self.flows or self._concluding) and time.monotonic() < end:
            await asyncio.sleep(0.02)
