"""Promise 1 after `kill -9`: one run killed over and over ends with the bytes of an undisturbed run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from proof_tools import finish, kill_after, moments, start, write_result
from small_runs import hashes

POINTS = (
    "stage.before_rename:1",
    "stage.after_rename:1",
    "rollout:200",
    "grading:2",
    "checkpoint.before_rename:1",
    "checkpoint.after_rename:1",
)
"""A pass of each named point; `kill_at` counts passes from the start of the killed process."""

SETTINGS = [
    "--set", "stages.zero.rl.steps=45",
    "--set", "stages.zero.rl.checkpoint_every=3",
    "--set", "stages.before.evaluate.n=60",
    "--set", "stages.before.evaluate.k=8",
    "--set", "stages.after.evaluate.n=60",
    "--set", "stages.after.evaluate.k=8",
    "--threads", "1",
    "--no-reuse",
]  # fmt: skip


@pytest.mark.proof
def test_a_run_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    command = ["run", "zero-quickstart", "--runs", str(tmp_path), *SETTINGS]
    started = time.monotonic()
    finish([*command, "--name", "calm"])
    calm_seconds = time.monotonic() - started
    expected = hashes(tmp_path / "calm")
    assert any("optimizer" in name for name in expected)
    assert any("samples" in name for name in expected)

    killed = [*command, "--name", "killed"]
    lines = [f"- undisturbed run: {calm_seconds:.0f} s, {len(expected)} files hashed", ""]
    for point in POINTS:
        process = start(killed, kill_at=point)
        text, _ = process.communicate()
        assert process.returncode == -9, f"{point} was never reached:\n{text}"
        lines.append(f"- killed at {point}")
    random_kills = 0
    for seconds in moments(20, 2.0, 12.0, seed=7):
        if kill_after(start(killed), seconds):
            random_kills += 1
            lines.append(f"- killed {seconds:.1f} s after its start")
    finish(killed)
    assert hashes(tmp_path / "killed") == expected
    assert random_kills == 20, f"only {random_kills} of 20 kills met a running process"
    lines += [
        "",
        f"All {len(expected)} hashes (weights, optimizer, metrics, samples) equal the undisturbed run's.",
    ]
    write_result("kill-proof", "make proof", lines)
    print("\n".join(lines))


@pytest.mark.proof
def test_each_named_point_killed_in_a_run_of_its_own(tmp_path: Path) -> None:
    """Here every point is certainly reached: a fresh run is killed there once, then goes on."""
    command = [
        "run",
        "zero-quickstart",
        "--runs",
        str(tmp_path),
        *SETTINGS,
        "--set",
        "stages.zero.rl.steps=6",
    ]
    finish([*command, "--name", "calm"])
    expected = hashes(tmp_path / "calm")
    lines = []
    for number, point in enumerate(POINTS):
        killed = [*command, "--name", f"killed-{number}"]
        process = start(killed, kill_at=point)
        text, _ = process.communicate()
        assert process.returncode == -9, f"{point} was never reached:\n{text}"
        finish(killed)
        assert hashes(tmp_path / f"killed-{number}") == expected, point
        lines.append(f"- {point}: killed, went on, {len(expected)} of {len(expected)} hashes equal")
    write_result("kill-points", "make proof", lines)
    print("\n".join(lines))
