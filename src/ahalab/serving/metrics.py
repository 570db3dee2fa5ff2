"""Counters and times for Prometheus: of the gateway itself, and what the control counts, by policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counted(Protocol):
    """What is asked of the policies at work (`guard.reload.Controls`)."""

    def snapshot(self) -> dict[str, dict[str, dict[str, int]]]:
        """Policy → counter → label → count."""
        ...

    def status(self) -> dict[str, Any]:
        """What serves."""
        ...


class Metrics:
    """Of one gateway, in a registry of its own."""

    def __init__(self, controls: Counted) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "aha_requests_total", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self._ended = Counter(
            "aha_exchanges_total", "Exchanges by how they ended.", ["ended"], registry=self.registry
        )
        self.tokens = Counter("aha_tokens_total", "Tokens by side.", ["side"], registry=self.registry)
        self.under_way = Gauge("aha_requests_under_way", "Requests under way.", registry=self.registry)
        self.first = Histogram(
            "aha_first_piece_seconds",
            "From the request to the first piece shown.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.whole = Histogram(
            "aha_exchange_seconds",
            "From the request to its last byte.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "aha_refused_total", "Requests refused, by code.", ["code"], registry=self.registry
        )
        self.bypasses = Counter(
            "aha_bypasses_total", "Replies that went out unreviewed.", ["why"], registry=self.registry
        )
        self.audit_failures = Counter(
            "aha_audit_failures_total",
            "Audit rows that could not be written.",
            ["step"],
            registry=self.registry,
        )
        self.registry.register(_OfControls(controls))
        self._known: dict[tuple[str, int], Counter] = {}

    def request(self, route: str, status: int) -> None:
        """A request was answered."""
        counter = self._known.get((route, status))
        if counter is None:
            counter = self._known[route, status] = self._requests.labels(route, str(status))
        counter.inc()

    def ended(self, how: str) -> None:
        """An exchange is over."""
        self._ended.labels(how).inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class _OfControls:
    """Read when Prometheus asks."""

    def __init__(self, controls: Counted) -> None:
        self._controls = controls

    def collect(self) -> Iterator[Metric]:
        counts = CounterMetricFamily(
            "aha_guard", "What the control did.", labels=["policy", "counter", "label"]
        )
        for policy, names in self._controls.snapshot().items():
            for name, labels in names.items():
                for label, count in labels.items():
                    counts.add_metric([policy, name, label], count)
        yield counts
        status = self._controls.status()
        broken = GaugeMetricFamily(
            "aha_guard_reload_failed", "1 while a changed policy or term file cannot be taken up."
        )
        broken.add_metric([], float(bool(status.get("error"))))
        yield broken
        for name, what in (
            ("reviews_under_way", "Reviews under way."),
            ("replies_queued", "Replies queued."),
        ):
            gauge = GaugeMetricFamily(f"aha_guard_{name}", what, labels=["policy"])
            for policy, described in status.get("policies", {}).items():
                gauge.add_metric([policy], float(described.get(name, 0)))
            yield gauge
