"""The reviewers of a server and who may still ask them. One that nobody can ask any more is closed.

A reload replaces reviewers, but exchanges under way keep theirs until they end, and each holds on to its control for
as long. So a reviewer is in use while any of its controls is alive; controls are held weakly here. That also covers an
exchange that ends in a way nobody foresaw.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from weakref import WeakSet

from ahalab.guard.protocols import Reviewer

if TYPE_CHECKING:
    from ahalab.guard.control import RiskControl

_LOG = logging.getLogger(__name__)


class ReviewersInUse:
    """Call from one event loop; each reviewer is closed once."""

    def __init__(self) -> None:
        self._users: dict[int, tuple[Reviewer, WeakSet[RiskControl]]] = {}

    def add(self, reviewer: Reviewer | None, *controls: RiskControl) -> None:
        """A reviewer that was made, and controls that may ask it."""
        if reviewer is not None:
            self._users.setdefault(id(reviewer), (reviewer, WeakSet()))[1].update(controls)

    async def close_unused(self) -> None:
        """Close those whose controls are all gone."""
        await self._close([key for key, (_, users) in self._users.items() if not users])

    async def close_all(self) -> None:
        """Close every one, in use or not."""
        await self._close(list(self._users))

    async def _close(self, keys: list[int]) -> None:
        for reviewer in [self._users.pop(key)[0] for key in keys]:
            await close_reviewer(reviewer)


async def close_reviewer(reviewer: Reviewer) -> None:
    """Lets go of connections and threads, where the reviewer has any. A failure is logged: nobody waits for it."""
    close = getattr(reviewer, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except Exception:
        _LOG.exception("a reviewer could not be closed")
