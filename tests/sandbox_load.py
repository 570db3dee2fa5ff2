"""Good and hostile programs in a random mixture, over a pool: right verdicts, and nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ahalab.sandbox.local import LocalExecutor
from ahalab.sandbox.pool import ExecutorPool, Job
from ahalab.sandbox.records import Limits, Outcome, Program, SandboxFailure
from ahalab.sandbox.settings import SandboxSettings
from sandbox_attacks import ATTACKS
from sandbox_tools import HELLO, processes, resident_megabytes

LIMITS = Limits(
    cpu_seconds=0.5,
    wall_seconds=10.0,
    memory_megabytes=64,
    processes=8,
    file_megabytes=2,
    output_bytes=50_000,
)
HOSTILE_SHARE, SLOW_SHARE = 0.25, 0.03


@dataclass(frozen=True)
class Expected:
    name: str
    statuses: tuple[str, ...]
    stdout: str | None


@dataclass
class Tally:
    """What a load came to."""

    runs: int = 0
    wrong: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    leaks: list[str] = field(default_factory=list)
    grown_megabytes: dict[str, float] = field(default_factory=dict)


def good(rng: random.Random) -> tuple[Program, str, Expected]:
    """A small contest program, its input, and what it must print."""
    numbers = [rng.randrange(-1000, 1000) for _ in range(rng.randrange(1, 50))]
    text = f"{len(numbers)}\n{' '.join(map(str, numbers))}\n"
    read = "n = int(input())\nx = list(map(int, input().split()))\n"
    kind, source, answer = rng.choice(
        [
            ("sum", "print(sum(x))", f"{sum(numbers)}\n"),
            ("sort", "print(*sorted(x))", " ".join(map(str, sorted(numbers))) + "\n"),
            ("heap", "import heapq\nheapq.heapify(x)\nprint(x[0])", f"{min(numbers)}\n"),
            ("files", "open('a', 'w').write(str(max(x)))\nprint(open('a').read())", f"{max(numbers)}\n"),
            (
                "fork",
                "import os\nif os.fork() == 0:\n    os._exit(0)\nos.wait()\nprint(n)",
                f"{len(numbers)}\n",
            ),
        ]
    )
    return Program("python", read + source), text, Expected(f"good: {kind}", ("ok",), answer)


def failing(rng: random.Random) -> tuple[Program, str, Expected]:
    """An honest program with a mistake."""
    kind, source, status = rng.choice(
        [
            ("exception", "print(1 / 0)", "runtime error"),
            ("no input", "print(input())", "runtime error"),
            ("exit code", "import sys\nsys.exit(3)", "runtime error"),
            ("syntax", "print(1", "compile error"),
        ]
    )
    return Program("python", source), "", Expected(f"failing: {kind}", (status,), None)


def mixture(count: int, seed: int) -> Iterator[tuple[Job, Expected]]:
    """`count` jobs of one run each; `seed` decides which."""
    rng = random.Random(seed)
    attacks = {name: attack for name, attack in ATTACKS.items() if attack.language == "python"}
    slow = [name for name, attack in attacks.items() if attack.slow]
    quick = [name for name, attack in attacks.items() if not attack.slow]
    for _ in range(count):
        draw = rng.random()
        if draw < SLOW_SHARE + HOSTILE_SHARE:
            name = rng.choice(slow if draw < SLOW_SHARE else quick)
            attack = attacks[name]
            limits = dataclasses.replace(LIMITS, **attack.limits)
            program = Program("python", attack.source, arguments=attack.arguments)
            yield Job(program, [""], limits), Expected(name, attack.statuses, attack.stdout)
        else:
            program, text, expected = (good if draw < 0.9 else failing)(rng)
            yield Job(program, [text], LIMITS), expected


def right(outcome: Outcome, expected: Expected) -> bool:
    return outcome.status in expected.statuses and (
        expected.stdout is None or outcome.stdout == expected.stdout
    )


def bear(count: int, seed: int, workers: int = 2) -> Tally:
    """Run the mixture over a pool; count verdicts, and what is left of it at the end."""
    tally = Tally()
    with ExecutorPool(SandboxSettings(), workers) as pool:
        executors = [executor for executor in pool._all if isinstance(executor, LocalExecutor)]
        for executor in executors:
            # Each has started all it has and has had some work: what comes later should not grow.
            list(executor.run(HELLO, [""] * 20, LIMITS))
        before = _standing(executors)
        descriptors = _descriptors()
        trees = [processes(executor) for executor in executors]
        memory = _memory(executors)
        began = time.monotonic()
        pairs = list(mixture(count, seed))
        for result, (_, expected) in zip(pool.map(job for job, _ in pairs), pairs, strict=True):
            tally.runs += 1
            tally.kinds[expected.name] += 1
            if isinstance(result, SandboxFailure):
                tally.failures.append(f"{expected.name}: {result}")
                continue
            tally.statuses[result[0].status] += 1
            if not right(result[0], expected):
                tally.wrong.append(f"{expected.name}: {result[0]}"[:500])
        tally.seconds = time.monotonic() - began
        if trees != [processes(executor) for executor in executors]:
            tally.leaks.append(f"processes: {trees} became {[processes(e) for e in executors]}")
        after = _standing(executors)
        tally.leaks += [
            f"{name}: {before[name]} became {after[name]}" for name in before if before[name] != after[name]
        ]
        if opened := _descriptors() - descriptors:
            tally.leaks.append(f"descriptors of the trainer: {sorted(opened)} were opened and left")
        tally.grown_megabytes = {name: now - memory[name] for name, now in _memory(executors).items()}
    return tally


def _standing(executors: list[LocalExecutor]) -> dict[str, object]:
    pids = sorted(pid for executor in executors for pid in processes(executor))
    return {
        "descriptors within": {pid: len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids},
        "mounts of the trainer": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "mounts within": {pid: len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()) for pid in pids},
        "files": sorted(path.name for path in Path(tempfile.gettempdir()).glob("ahalab-run-*")),
    }


def _descriptors() -> set[tuple[str, str]]:
    """This process's open descriptors with what each leads to. Whatever else runs here may close its own meanwhile."""
    found = set()
    for entry in list(os.scandir("/proc/self/fd")):
        with suppress(FileNotFoundError):  # the descriptor of this very listing
            found.add((entry.name, str(Path(entry.path).readlink())))
    return found


def _memory(executors: list[LocalExecutor]) -> dict[str, float]:
    found = {"trainer": resident_megabytes(os.getpid())}
    for number, executor in enumerate(executors):
        for role, pid in zip(("keeper", "builder", "zygote"), sorted(processes(executor)), strict=False):
            found[f"{role} {number}"] = resident_megabytes(pid)
    return found
