"""One contestant in a process of its own, told by JSON lines on stdin when to run.

Standard library only, so that it also runs in another environment (vLLM's). The contestant is a class in a file:
`worker.py FILE.py:CLASS OPTIONS-AS-JSON`. It is made with the options; its `describe()` gives facts for the table
(dtype, versions), its `run(round)` does one round of work and returns figures (generated tokens …), and `close()`,
where there is one, ends it. What is measured around `run`: wall seconds, CPU seconds of the process and of the
children it waited for, and the peak of resident memory during the round.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any


def _megabytes(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak() -> None:
    with suppress(OSError):  # then the peak includes loading
        Path("/proc/self/clear_refs").write_text("5")


def _cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _load(spec: str) -> Any:
    path, _, name = spec.rpartition(":")
    sys.path.insert(0, str(Path(path).resolve().parents[1]))
    module_spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module
    module_spec.loader.exec_module(module)
    return getattr(module, name)


def main() -> None:
    # What libraries print must not get between the replies.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(reply: dict[str, Any]) -> None:
        replies.write(json.dumps(reply) + "\n")

    try:
        contestant = _load(sys.argv[1])(**json.loads(sys.argv[2]))
        say({"ready": contestant.describe(), "resident_mb": _megabytes("VmRSS")})
        for line in sys.stdin:
            _forget_peak()
            cpu, wall = _cpu_seconds(), time.perf_counter()
            figures = contestant.run(json.loads(line)["round"])
            seconds = time.perf_counter() - wall
            say(
                {
                    "seconds": seconds,
                    "cpu_seconds": _cpu_seconds() - cpu,
                    "peak_mb": _megabytes("VmHWM"),
                    **figures,
                }
            )
        if hasattr(contestant, "close"):
            contestant.close()
    except BaseException:
        say({"failed": traceback.format_exc()})
        raise
    finally:
        replies.flush()
        os._exit(0)  # peers' threads may hang in their exit handlers


if __name__ == "__main__":
    main()
