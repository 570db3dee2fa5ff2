"""The data tools at 10 GB: peak memory and speed of each, kept under docs/results.

AHALAB_PROOF_GB makes the file smaller, AHALAB_PROOF_FOLDER puts it where there is room.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from data_files import write_lines
from data_memory import run_measured
from proof_tools import write_result
from synthetic_data import LEAK, write_synthetic

COMMAND = "pytest -m proof -s --timeout=0 tests/test_proof_data_tools.py"
MOST_MEGABYTES = 600
NEEDED = 3.0
"""Times the file's size: the file, the larger of the outputs, and the work of `dedup`."""


@pytest.mark.proof
def test_every_tool_takes_constant_memory_at_10_gb(tmp_path: Path) -> None:
    size = float(os.environ.get("AHALAB_PROOF_GB", "10"))
    folder = Path(os.environ.get("AHALAB_PROOF_FOLDER", tmp_path)) / "data-tools"
    folder.mkdir()
    try:
        free = shutil.disk_usage(folder).free / 1e9
        if free < NEEDED * size:
            pytest.skip(f"{NEEDED * size:.0f} GB of disk are needed, {free:.0f} GB are free")
        _measure(folder, size)
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, size: float) -> None:
    source, output = folder / "big.jsonl", folder / "out.jsonl"
    made = write_synthetic(source, round(size * 1e9))
    held_out = write_lines(folder / "test.jsonl", [{"question": LEAK, "answer": "x"}])
    tools = {
        "dedup": ("dedup", source, "--output", output),
        "decontaminate": ("decontaminate", source, "--against", held_out, "--output", output),
        "stats": ("stats", source),
        "convert to .parquet": ("convert", source, folder / "out.parquet"),
        "inspect": ("inspect", source),
        "dedup --exact": ("dedup", source, "--exact", "--output", output),
        "convert to .jsonl.gz": ("convert", source, folder / "out.jsonl.gz"),
    }
    head = [
        f"A file of {source.stat().st_size / 1e9:.1f} GB, {made.rows:,} rows: {made.exact:,} exact twins, "
        f"{made.near:,} near ones and {made.leaked:,} leaked rows were planted.",
        "",
        "| tool | peak memory | time | processor time | MB a processor second |",
        "|---|---:|---:|---:|---:|",
    ]
    lines: list[str] = []
    said: list[str] = []
    for name, words in tools.items():
        done = run_measured(*words, folder=folder)
        speed = source.stat().st_size / 1e6 / done.cpu_seconds
        lines.append(
            f"| `{name}` | {done.megabytes:.0f} MB | {done.seconds / 60:.1f} min | {done.cpu_seconds / 60:.1f} min | "
            f"{speed:.1f} |"
        )
        print(lines[-1])
        said += [f"`{name}`:", "", "```text", *_counts(done.out, folder), "```", ""]
        # After each: the whole takes an hour and more.
        write_result("data-tools-10gb", COMMAND, [*head, *lines, "", "What they said:", "", *said])
        for path in (output, folder / "out.dropped.jsonl", folder / "out.parquet", folder / "out.jsonl.gz"):
            path.unlink(missing_ok=True)
        assert done.megabytes < MOST_MEGABYTES, (name, done.megabytes)


def _counts(out: str, folder: Path) -> list[str]:
    """The lines that count, without the folder's name."""
    telling = ("rows", "twins", "pairs", "items", "total", "samples")
    kept = [line for line in out.splitlines() if any(word in line for word in telling)]
    return [line.replace(f"{folder}/", "").rstrip()[:160] for line in kept[:14]]
