"""The dashboard over a large run: peak memory of the server and time of its answers, while it indexes and after.

    python -m benchmarks.dashboard_large --gigabytes 5

Writes a made-up run of that size to a temporary folder (removed at the end), starts `aha ui` on it, asks all that the
page asks, and ends with one JSON line. The first question after the start is counted too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from ahalab.runs.folder import RunFolder

ROWS_PER_FILE = 2_048
"""Samples of a rollout: 128 prompts × 16."""
TEXT = 1_400
"""Characters of a sample, about."""
COLUMNS = {
    "domain": "math",
    "language": "en",
    "level": 1,
    "thinking_tokens": 400,
    "tokens": 420,
    "finish": "stop",
    "well_formed": True,
    "fault": None,
    "advantage": 0.1,
    "error": None,
    "mixed": False,
}
"""Of every sample alike."""
METRICS = ("reward", "accuracy", "format", "thinking_tokens", "reflective_per_answer", "entropy", "grad_norm")
QUESTIONS = {
    "runs": "runs",
    "run": "run",
    "facets": "facets",
    "curves": "curves?stage=zero&names=accuracy,reward,format,thinking_tokens,reflective_per_answer,entropy",
    "first page": "samples?stage=zero&limit=25",
    "newest": "samples?stage=zero&order=newest&limit=25",
    "first right with wait": "samples?verdict=right&word=wait&limit=1",
    "rare word": "samples?word=mistake&limit=25",
    "no hit": "samples?verdict=right&max=0.5&limit=25",
    "text, frequent": "samples?q=let%20me%20check&limit=25",
    "text, nowhere": "samples?q=xyzzy&limit=25",
    "count right with wait": "count?verdict=right&word=wait",
    "prompts": "prompt",
    "one prompt": "prompt?prompt=world/0000000000000005",
}


def make_large(path: Path, gigabytes: float) -> int:
    """A run folder with one training of that size; how many samples it has."""
    recipe = {
        "name": "large",
        "base": "builtin:tiny",
        "seed": 0,
        "stages": {"zero": {"rl": {"from": "base"}}},
    }
    run = RunFolder.create_or_open(path, recipe, "0.1.0")
    work = run.begin_stage("zero")
    (work / "samples").mkdir()
    rng = random.Random(0)
    filler = [
        " ".join(
            f"{rng.randint(10, 99)} + {rng.randint(10, 99)} = {rng.randint(20, 198)}," for _ in range(90)
        )
        for _ in range(64)
    ]
    written = files = 0
    with (work / "metrics.jsonl").open("w", encoding="utf-8") as metrics:
        while written < gigabytes * 1e9:
            files += 1
            lines = []
            for number in range(ROWS_PER_FILE):
                right, waits = rng.random() < 0.5, rng.random() < 0.5
                words = {"wait": 1, "check": 1} if waits else {"mistake": 1} if rng.random() < 1e-6 else {}
                prompt = (files * 128 + number // 16) % 20_000
                said = filler[(files + number) % 64][:TEXT] + (" Wait, let me check." if waits else "")
                row = {
                    **COLUMNS,
                    "step": files,
                    "rollout": files,
                    "prompt_id": f"world/{prompt:016x}",
                    "sample": number % 16,
                    "question": f"What is {prompt} + 0?",
                    "gold": str(prompt),
                    "text": f" <think> {said} </think> <answer> {prompt} </answer>",
                    "answer": str(prompt),
                    "correct": float(right),
                    "reward": {"accuracy": float(right), "format": 1.0},
                    "total": 1.0 + right,
                    "reflective": words,
                }
                lines.append(json.dumps(row) + "\n")
            data = "".join(lines)
            written += len(data)
            (work / "samples" / f"rollout-{files:06d}.jsonl").write_text(data, encoding="utf-8")
            figures = {name: rng.random() for name in METRICS}
            metrics.write(json.dumps({"step": files, "rollout": files, **figures}) + "\n")
    return files * ROWS_PER_FILE


def peak_mb(process: int) -> float:
    """Highest resident size of a process so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def ask(address: str, question: str) -> tuple[float, dict[str, Any]]:
    """(milliseconds, answer)."""
    begun = time.perf_counter()
    with urllib.request.urlopen(f"{address}api/{question}") as answer:
        body = answer.read()
    return 1000 * (time.perf_counter() - begun), json.loads(body)


def rounds(address: str, until: float | None, least: int) -> dict[str, list[float]]:
    """Milliseconds of each question, asked in turn; until the index is whole, or `least` rounds."""
    found: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    done = 0
    while True:
        for name, question in QUESTIONS.items():
            milliseconds, _answer = ask(address, question)
            found[name].append(milliseconds)
        done += 1
        share = ask(address, "facets")[1]["index"]["share"]
        if (share >= 1 or (until is not None and time.monotonic() > until)) and done >= least:
            return found
        if until is not None:
            time.sleep(1.0)


def summary(times: dict[str, list[float]]) -> dict[str, Any]:
    """p50 and max, in all and by question."""
    everything = [one for ones in times.values() for one in ones]
    return {
        "answers": len(everything),
        "p50_ms": round(statistics.median(everything), 1),
        "max_ms": round(max(everything), 1),
        "over_300_ms": sum(one > 300 for one in everything),
        "by_question": {
            name: [round(statistics.median(ones), 1), round(max(ones), 1)] for name, ones in times.items()
        },
    }


def main() -> None:
    """Make, serve, ask, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=None, help="where the run is made; a temporary folder")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ahalab-large-", dir=options.folder))
    server: subprocess.Popen[str] | None = None
    try:
        begun = time.monotonic()
        samples = make_large(folder / "runs" / "large", options.gigabytes)
        size = sum(path.stat().st_size for path in (folder / "runs").rglob("*") if path.is_file())
        print(
            f"made {size / 1e9:.2f} GB, {samples:,} samples in {time.monotonic() - begun:.0f} s",
            file=sys.stderr,
        )
        server = subprocess.Popen(
            [sys.executable, "-m", "ahalab.cli", "ui", str(folder / "runs"), "--port", "0"],
            env={**os.environ, "AHALAB_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        line = server.stdout.readline()
        address = re.search(r"http://\S+", line)
        assert address is not None, line
        time.sleep(1.0)
        begun = time.monotonic()
        indexing = rounds(address[0], begun + 3_600, 1)
        indexed_seconds = time.monotonic() - begun
        peak_indexing = peak_mb(server.pid)
        after = rounds(address[0], None, 30)
        result = {
            "benchmark": "dashboard_large",
            "gigabytes": round(size / 1e9, 2),
            "samples": samples,
            "index_seconds": round(indexed_seconds, 1),
            "index_mb": round(
                sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file()) / 1e6
            ),
            "peak_mb_indexing": round(peak_indexing),
            "peak_mb": round(peak_mb(server.pid)),
            "while_indexing": summary(indexing),
            "indexed": summary(after),
            "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
            "load_average": round(os.getloadavg()[1], 1),
        }
        print(json.dumps(result))
    finally:
        if server is not None:
            server.terminate()
            server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
