"""The dashboard over made-up runs: asked directly, over HTTP, and served for a browser."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ahalab.dashboard.api import Dashboard
from ahalab.dashboard.catalog import Catalog
from app_server import running
from synthetic_run import make_run, metric_row, sample_row

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202eabc\u202c \x1b[31mred\x07 &lt;b&gt;"
"""Markup, a bidi override, an escape sequence, a bell, an entity."""


def small_run(path: Path, **changes: Any) -> Path:
    """A run of seconds: 12 steps, 3 prompts × 2 samples, evaluations before and after."""
    return make_run(path, **{"steps": 12, "prompts": 3, "samples": 2, **changes})


def small_dashboard(*roots: Path, cache: Path) -> Dashboard:
    """A dashboard whose indexes are complete; its indexer does not run."""
    dashboard = Dashboard(Catalog(list(roots)), cache)
    dashboard.indexer.look()
    return dashboard


def look_again(dashboard: Dashboard) -> None:
    """One more look of the indexer, new runs included."""
    dashboard.catalog._looked = 0.0
    dashboard.indexer.look()


def samples_of(dashboard: Dashboard, **query: str) -> list[dict[str, Any]]:
    """All samples that a filter leaves, page after page, as the page asks for them."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = dashboard.samples({**query, **({"after": after} if after else {})})
        found += page["samples"]
        if page["next"] is None:
            return found
        after = page["next"]


def rollout(
    step: int, *, prompts: int = 3, samples: int = 2, skill: float = 0.9, seed: int = 1
) -> list[dict[str, Any]]:
    """The sample rows of one more rollout."""
    rng = random.Random(seed * 1000 + step)
    return [
        sample_row(step, prompt, sample, skill, rng) for prompt in range(prompts) for sample in range(samples)
    ]


def append_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """More rows at the end of a file, as a run at work writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def one_more_step(stage: Path, step: int) -> None:
    """What a running training writes at one step."""
    append_rows(stage / "samples" / f"rollout-{step:06d}.jsonl", rollout(step))
    append_rows(stage / "metrics.jsonl", [metric_row(step, 1.0, random.Random(step))])


@contextmanager
def served(dashboard: Dashboard) -> Iterator[str]:
    """The page on a free port of this machine, its indexer at work; the address."""
    pytest.importorskip("uvicorn", reason="the extra `ui` is not installed")
    from ahalab.dashboard.server import make_app

    with running(make_app(dashboard)) as address:
        yield address
