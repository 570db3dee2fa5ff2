"""Contestants side by side: alternating rounds in one run, medians, ratios pair by pair, one JSON line last.

Each contestant lives in a process of its own (`worker.py`), so that its peak memory is its own. All are warmed up,
then rounds alternate, A B, B A, A B …; who does not run is stopped (SIGSTOP) and takes no processor time. A ratio is
made within a pair of neighbouring rounds, so that a slow spell of a shared machine hits both.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"

Figures = dict[str, Any]


class ContestantFailed(RuntimeError):
    """A contestant ended with an error; the message holds its traceback."""


@dataclass(frozen=True)
class Contestant:
    """Who runs: `spec` is "file.py:Class" in this folder, `options` its keyword arguments."""

    name: str
    spec: str
    options: Mapping[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)


class _Process:
    def __init__(self, contestant: Contestant, threads: int) -> None:
        self.name = contestant.name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `close`
        # The same thread settings for all: those that ahalab sets for itself.
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "passive",
            "GOMP_SPINCOUNT": "3000",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            **contestant.environment,
        }
        command = [contestant.python, str(HERE / "worker.py"), str(HERE / contestant.spec)]
        self._process = subprocess.Popen(
            [*command, json.dumps(dict(contestant.options))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            start_new_session=True,
        )
        ready = self._reply()
        self.facts: Figures = ready["ready"]
        self.resident_mb: float = ready["resident_mb"]
        self._signal(signal.SIGSTOP)

    def run(self, number: int) -> Figures:
        self._signal(signal.SIGCONT)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"round": number}) + "\n")
        self._process.stdin.flush()
        figures = self._reply()
        self._signal(signal.SIGSTOP)
        return figures

    def close(self) -> None:
        if self._process.poll() is None:
            self._signal(signal.SIGCONT)
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        self._log.close()

    def _reply(self) -> Figures:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        reply: Figures = json.loads(line) if line else {"failed": "the process ended without a word"}
        if "failed" in reply:
            self._log.seek(0)
            tail = self._log.read()[-3000:]
            raise ContestantFailed(f"{self.name}: {reply['failed']}\n--- its output ends:\n{tail}")
        return reply

    def _signal(self, which: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, which)


class Arena:
    """Starts the contestants one after the other, then lets them run in turn. Use as a context manager."""

    def __init__(self, contestants: Sequence[Contestant], *, threads: int) -> None:
        self._contestants, self._threads = contestants, threads
        self._processes: list[_Process] = []

    def __enter__(self) -> Arena:
        try:
            for contestant in self._contestants:
                note(f"starting {contestant.name} …")
                self._processes.append(_Process(contestant, self._threads))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.close()

    @property
    def facts(self) -> dict[str, Figures]:
        """What each contestant says of itself, and its resident memory once loaded."""
        return {p.name: {**p.facts, "resident_mb": p.resident_mb} for p in self._processes}

    def alternate(self, pairs: int, warmups: int = 1) -> dict[str, list[Figures]]:
        """`pairs` rounds of each contestant, in turn; those of the warm-up are not kept."""
        rounds: dict[str, list[Figures]] = {process.name: [] for process in self._processes}
        for number in range(-warmups, pairs):
            order = self._processes if number % 2 == 0 else self._processes[::-1]
            for process in order:
                figures = process.run(number)
                label = "warm-up" if number < 0 else f"{number + 1}/{pairs}"
                note(f"  {label} {process.name}: {figures['seconds']:.3f} s")
                if number >= 0:
                    rounds[process.name].append(figures)
        return rounds


def median(rounds: Sequence[Figures], key: str) -> float:
    return statistics.median(float(figures[key]) for figures in rounds)


def per_second(rounds: Sequence[Figures], key: str) -> list[float]:
    """`key` per second of each round: tokens per second, answers per second."""
    return [float(figures[key]) / figures["seconds"] for figures in rounds]


@dataclass(frozen=True)
class Ratio:
    """How many times as good ours is, made within each pair."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} × [{self.lowest:.2f} – {self.highest:.2f}]"


def ratio(ours: Sequence[float], theirs: Sequence[float], *, less_is_better: bool) -> Ratio:
    """Pair by pair; the spread is the whole range, which says more of few pairs than a deviation does."""
    each = [b / a if less_is_better else a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


def hardware(threads: int) -> Figures:
    """What a figure depends on: processor, cores, memory, versions, date."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    pairs = (line.split(":") for line in info.splitlines() if line.count(":") == 1)
    fields = {key.strip(): value.strip() for key, value in pairs}
    flags = set(fields.get("flags", "").split())
    noted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = {}
    for name in ("torch", "transformers", "trl", "math-verify", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": fields.get("model name", platform.processor()),
        "instructions": [flag for flag in noted if flag in flags],
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gib": round(memory, 1),
        "python": platform.python_version(),
        **versions,
        "date": datetime.date.today().isoformat(),
    }


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table that also reads well on a terminal."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def note(line: str) -> None:
    """Progress, on stderr, so that stdout is the tables and the JSON line."""
    print(line, file=sys.stderr, flush=True)


def arguments(description: str | None, *, pairs: int = 5) -> argparse.ArgumentParser:
    """The options that all benchmarks have: --pairs, --threads, --save."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", type=int, default=pairs, help="rounds of each contestant, at least 5 for a claim"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="for every contestant alike")
    parser.add_argument(
        "--save", action="store_true", help="also write tables and figures to benchmarks/results"
    )
    return parser


def report(name: str, threads: int, text: str, figures: Figures, *, save: bool) -> None:
    """Print the tables, then one JSON line with hardware and figures; `save` keeps both in `results/`."""
    machine = hardware(threads)
    line = json.dumps({"benchmark": name, "hardware": machine, **figures}, ensure_ascii=False)
    print(f"{text}\n\n{line}", flush=True)
    if save:
        RESULTS.mkdir(exist_ok=True)
        words = ", ".join(f"{key} {value}" for key, value in machine.items())
        command = " ".join(["python -m", f"benchmarks.{name.partition('-')[0]}", *sys.argv[1:]])
        for suffix, content in (
            (".json", json.dumps(json.loads(line), indent=1, ensure_ascii=False) + "\n"),
            (".md", f"# {name}\n\n`{command}`\n\n{words}\n\n{text}\n"),
        ):
            target = RESULTS / f"{name}{suffix}"
            aside = target.with_suffix(suffix + ".tmp")
            aside.write_text(content, encoding="utf-8")
            aside.replace(target)
