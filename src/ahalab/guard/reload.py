"""Several policies at work by name, taken up again when their files change. A broken file never replaces a good one.

A change is taken up whole or not at all: policy and terms are read, validated and tested aside (`checked_terms`), then
one assignment swaps them. Exchanges under way end under what they began with; a reviewer that was replaced is closed
when the last of them has ended. Budgets, circuits, counts and the memory of retractions live on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.guard.budget import Clock
from ahalab.guard.checks import checked_terms
from ahalab.guard.control import Ready, RiskControl, always_ready
from ahalab.guard.desk import ReviewDesk
from ahalab.guard.history import RetractedReplies
from ahalab.guard.matcher import Matcher
from ahalab.guard.policy import Policy, open_policy
from ahalab.guard.protocols import Reviewer
from ahalab.guard.records import Mode
from ahalab.guard.reviewers import ReviewersInUse
from ahalab.guard.shadow import Counts
from ahalab.guard.stream import StreamList
from ahalab.guard.term import BUNDLED

_LOG = logging.getLogger(__name__)
MakeReviewer = Callable[[Policy], Reviewer | None]
Signature = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of every file."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read and tested under one name."""

    policy: Policy
    reviewer: Reviewer | None
    matcher: Matcher
    streams: StreamList


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What serves now under one name."""

    policy: Policy
    reviewer: Reviewer | None
    controls: Mapping[Mode, RiskControl]


@dataclass(slots=True)
class _Failure:
    error: str = ""
    since: float = 0.0


@dataclass(slots=True)
class _Kept:
    """What lives on when a policy is taken up again."""

    spec: str
    desk: ReviewDesk
    counts: Counts = field(default_factory=Counts)


class Controls:
    """The policies of a server; the first is the default.

    Args:
        policies: profile names or policy files; each is known by the `name` in it.
        make_reviewer: called for each policy, and again when it changes; None where it has no reviewer.
        terms: folder or file of terms for all policies.
        terms_of: by policy name, terms of its own.
        mode: instead of each policy's own.

    Raises:
        UserError: a file is broken, or a name stands twice. Later such failures only show in `status` and the log.
    """

    def __init__(
        self,
        policies: Iterable[str],
        make_reviewer: MakeReviewer,
        history: RetractedReplies,
        *,
        terms: Path = BUNDLED,
        terms_of: Mapping[str, Path] | None = None,
        mode: Mode | None = None,
        ready: Ready = always_ready,
        insecure: bool = False,
        clock: Clock = time.monotonic,
    ) -> None:
        self._make_reviewer, self._history, self._clock = make_reviewer, history, clock
        self._terms, self._terms_of = terms, dict(terms_of or {})
        self._ready, self._insecure, self._mode = ready, insecure, mode
        self._kept: dict[str, _Kept] = {}
        self._failure = _Failure()
        self._reloading = asyncio.Lock()
        self.reloads = self.failed_reloads = 0
        if insecure:
            _LOG.warning("insecure: traffic goes on unchecked when terms, filter or audit store fail")
        for spec in policies:
            policy = open_policy(spec)
            if policy.name in self._kept:
                raise UserError(f"policy {policy.name!r} is given twice; each needs a `name` of its own")
            self._kept[policy.name] = _Kept(spec, ReviewDesk(clock))
        if not self._kept:
            raise UserError("no policy is given: name a profile (general, paper) or a policy file")
        unknown = sorted(set(self._terms_of) - set(self._kept))
        if unknown:
            raise UserError(f"terms are given for policy {unknown[0]!r}, which is not served")
        self._reviewers, self._closed = ReviewersInUse(), False
        self._signature = self._signed()
        self._loaded: dict[str, _Loaded] = self._serving(self._read({}, []))
        self._keep_reviewers()

    @property
    def names(self) -> tuple[str, ...]:
        """The default first."""
        return tuple(self._kept)

    def get(self, name: str = "", mode: Mode | None = None) -> RiskControl:
        """The control of a policy, as it is now; hold on to it for the whole of one exchange.

        `mode` is the key's own; the server's or else the policy's when left out. KeyError: no such policy.
        """
        loaded = self._loaded[name or self.names[0]]
        return loaded.controls[mode or self._mode or loaded.policy.mode]

    async def reload(self) -> bool:
        """Take up what has changed; whether it worked. What failed leaves everything as it was."""
        async with self._reloading:
            if self._closed:
                return False
            made: list[Reviewer] = []
            try:
                return await self._taken_up(made)
            finally:
                for reviewer in made:
                    self._reviewers.add(reviewer)
                await self._reviewers.close_unused()

    async def _taken_up(self, made: list[Reviewer]) -> bool:
        signature = self._signed()
        # No controls go to the thread: it may hold on to what it was given for a moment longer than they are used.
        known = {name: (one.policy, one.reviewer) for name, one in self._loaded.items()}
        try:
            read = await asyncio.to_thread(self._read, known, made)
            if self._signed() != signature:
                raise UserError("the files changed while they were read; they are read again when they rest")
        except Exception as error:
            self.failed_reloads += 1
            words = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self._failure = _Failure(words, time.time())
            self._signature = signature
            _LOG.error("the policies stay as they were: %s", words)
            return False
        loaded = self._serving(read)
        self._signature, self._loaded, self._failure = signature, loaded, _Failure()
        self._keep_reviewers()
        self.reloads += 1
        versions = ", ".join(f"{name} {one.policy.version}" for name, one in loaded.items())
        _LOG.info("policies taken up: %s", versions)
        return True

    async def follow(self, seconds: float = 2.0) -> None:
        """Looks at the files for ever. A change counts once it rested for one look: nothing half written is read."""
        seen = self._signature
        while True:
            await asyncio.sleep(seconds)
            now = await asyncio.to_thread(self._signed)
            if now != self._signature and now == seen:
                await self.reload()
            seen = now
            await self._reviewers.close_unused()

    async def aclose(self) -> None:
        """No exchange follows: every reviewer is closed, and nothing is taken up any more. Twice does no harm."""
        async with self._reloading:
            self._closed = True
            await self._reviewers.close_all()

    def status(self) -> dict[str, Any]:
        """What serves, and what could not be taken up."""
        return {
            "error": self._failure.error,
            "error_since": self._failure.since,
            "reloads": self.reloads,
            "failed_reloads": self.failed_reloads,
            "insecure": self._insecure,
            "retractions_remembered": self._history.size,
            "policies": {name: self._described(name) for name in self.names},
        }

    def snapshot(self) -> dict[str, dict[str, dict[str, int]]]:
        """Policy → counter → label → count, as `Counts.snapshot`."""
        return {name: kept.counts.snapshot() for name, kept in self._kept.items()}

    def _described(self, name: str) -> dict[str, Any]:
        loaded, kept = self._loaded[name], self._kept[name]
        matcher = loaded.controls[loaded.policy.mode].matcher
        return {
            "version": loaded.policy.version,
            "mode": self._mode or loaded.policy.mode,
            "on_error": loaded.policy.on_error,
            "streaming": loaded.policy.streaming,
            "terms": len(matcher.terms.terms) if matcher else 0,
            "terms_sha256": matcher.terms.sha256 if matcher else "",
            "circuit": kept.desk.breakers.state(),
            "reviews_under_way": kept.desk.busy,
            "replies_queued": kept.desk.queued,
        }

    def _signed(self) -> Signature:
        files: list[Path] = []
        for place in [self._terms, *self._terms_of.values()]:
            try:
                files += sorted(place.iterdir())
            except OSError:  # one file; or a folder that is being replaced, which its own entry tells
                files.append(place)
        files += [Path(kept.spec) for kept in self._kept.values() if kept.spec.endswith((".yaml", ".yml"))]
        signature = []
        for path in files:
            try:
                state = path.stat()
            except OSError:
                signature.append((str(path), 0, 0, 0))
            else:
                signature.append((str(path), state.st_ino, state.st_size, state.st_mtime_ns))
        return tuple(signature)

    def _keep_reviewers(self) -> None:
        for one in self._loaded.values():
            self._reviewers.add(one.reviewer, *one.controls.values())

    def _read(
        self, before: Mapping[str, tuple[Policy, Reviewer | None]], made: list[Reviewer]
    ) -> dict[str, _Read]:
        """Everything read and tested; what serves is not touched. `made` gets the new reviewers, also on failure."""
        lists: dict[Path, tuple[Matcher, StreamList]] = {}
        read: dict[str, _Read] = {}
        for name, kept in self._kept.items():
            policy = open_policy(kept.spec)
            if policy.name != name:
                raise UserError(
                    f"{kept.spec}: its name is now {policy.name!r}; keys refer to {name!r}: rename it back, or restart"
                )
            place = self._terms_of.get(name, self._terms)
            if place not in lists:
                terms, matcher = checked_terms(place)
                lists[place] = matcher, StreamList(terms)
            known_policy, reviewer = before.get(name, (None, None))
            if known_policy != policy:
                reviewer = self._make_reviewer(policy)
                made += [reviewer] if reviewer is not None else []
            read[name] = _Read(policy, reviewer, *lists[place])
        return read

    def _serving(self, read: Mapping[str, _Read]) -> dict[str, _Loaded]:
        return {
            name: _Loaded(
                one.policy,
                one.reviewer,
                {"enforce": self._control(one, "enforce"), "shadow": self._control(one, "shadow")},
            )
            for name, one in read.items()
        }

    def _control(self, read: _Read, mode: Mode) -> RiskControl:
        kept = self._kept[read.policy.name]
        return RiskControl(
            read.policy,
            read.matcher,
            read.streams,
            read.reviewer,
            self._history,
            self._clock,
            mode=mode,
            ready=self._ready,
            insecure=self._insecure,
            desk=kept.desk,
            counts=kept.counts,
        )
