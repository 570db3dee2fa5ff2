"""Memory does not grow with the file: every tool on a big file takes hardly more than on one ten times smaller."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_files import write_lines
from data_memory import run_measured
from synthetic_data import LEAK, write_synthetic

BIG, SMALL = 100_000_000, 10_000_000
GROWTH, MOST = 50, 400
"""Megabytes: more than this between the two files, or at all, is no constant memory. All rows kept would be 100."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("big")
    write_synthetic(folder / "big.jsonl", BIG)
    write_synthetic(folder / "small.jsonl", SMALL)
    held_out = write_lines(folder / "test.jsonl", [{"question": LEAK, "answer": "x"}])
    return folder / "big.jsonl", folder / "small.jsonl", held_out


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "tool", ["inspect", "convert", "convert to parquet", "dedup exact", "dedup", "decontaminate", "stats"]
)
def test_peak_memory_is_that_of_a_small_file(
    files: tuple[Path, Path, Path], tool: str, tmp_path: Path
) -> None:
    big, small, held_out = files
    words = {
        "inspect": ("inspect", "{}"),
        "convert": ("convert", "{}", tmp_path / "a.jsonl.gz", "--overwrite"),
        "convert to parquet": ("convert", "{}", tmp_path / "a.parquet", "--overwrite"),
        "dedup exact": ("dedup", "{}", "--exact", "--output", tmp_path / "a.jsonl", "--overwrite"),
        "dedup": ("dedup", "{}", "--output", tmp_path / "a.jsonl", "--overwrite"),
        "decontaminate": (
            "decontaminate",
            "{}",
            "--against",
            held_out,
            "--output",
            tmp_path / "a.jsonl",
            "--overwrite",
        ),
        "stats": ("stats", "{}"),
    }[tool]
    peaks = {}
    for path in (small, big):
        done = run_measured(*(path if word == "{}" else word for word in words), folder=tmp_path)
        peaks[path.name] = done.megabytes
        print(
            f"{tool}: {path.name} {done.megabytes:.0f} MB, {path.stat().st_size / 1e6 / done.seconds:.0f} MB/s"
        )
    assert peaks["big.jsonl"] - peaks["small.jsonl"] < GROWTH, peaks
    assert peaks["big.jsonl"] < MOST, peaks
