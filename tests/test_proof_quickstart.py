"""The quickstart's figures, reached by three seeds, each in a run of its own at full size."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from proof_tools import finish, write_result

SEEDS = (0, 1, 2)


def figures(run: Path, stage: str) -> dict[str, float]:
    """The values an evaluate stage measured."""
    measured = json.loads((run / "stages" / stage / "manifest.json").read_text())["figures"]
    return {
        name: entry["value"]
        for name, entry in measured.items()
        if isinstance(entry, dict) and "value" in entry
    }


@pytest.mark.proof
def test_three_seeds_each_turn_the_base_into_a_reasoning_model(tmp_path: Path) -> None:
    lines = [
        "| seed | pass@1 before | after | thinking tokens before | after | ratio | reflective words before | after "
        "| ratio | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    found = []
    for seed in SEEDS:
        started = time.monotonic()
        finish(
            ["run", "zero-quickstart", "--seed", str(seed), "--runs", str(tmp_path), "--name", f"seed-{seed}"]
        )
        seconds = time.monotonic() - started
        before, after = (figures(tmp_path / f"seed-{seed}", stage) for stage in ("before", "after"))
        found.append((before, after))
        longer = after["thinking_tokens"] / before["thinking_tokens"]
        more = after["reflective_per_answer"] / before["reflective_per_answer"]
        lines.append(
            f"| {seed} | {before['pass@1']:.3f} | {after['pass@1']:.3f} | {before['thinking_tokens']:.1f} "
            f"| {after['thinking_tokens']:.1f} | {longer:.2f} | {before['reflective_per_answer']:.2f} "
            f"| {after['reflective_per_answer']:.2f} | {more:.2f} | {seconds:.0f} |"
        )
        print(lines[-1], flush=True)
    write_result("three-seeds", "make proof", lines)
    for before, after in found:
        assert before["pass@1"] <= 0.30
        assert after["pass@1"] >= 0.85
        assert after["thinking_tokens"] >= 2 * before["thinking_tokens"]
        assert after["reflective_per_answer"] >= 5 * before["reflective_per_answer"]
