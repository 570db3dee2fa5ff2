"""`python sandbox_as_user.py KIND`: the quick attacks behind walls of a kind, as whoever runs it. JSON on stdout.

Imports nothing but the standard library, ahalab.sandbox and the attacks, so that any interpreter can run it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from ahalab.sandbox import probe  # noqa: E402
from ahalab.sandbox.jail.watch import Watch  # noqa: E402
from ahalab.sandbox.local import LocalExecutor  # noqa: E402
from ahalab.sandbox.records import Limits, Program  # noqa: E402
from sandbox_attacks import ATTACKS  # noqa: E402

LIMITS = Limits(
    cpu_seconds=1.0,
    wall_seconds=4.0,
    memory_megabytes=128,
    processes=8,
    file_megabytes=4,
    output_bytes=100_000,
)


def main(kind: str) -> None:
    reason = probe._cannot() or probe.try_walls(kind)
    report = {"user": os.getuid(), "reason": reason, "wrong": {}, "left": [], "runs": 0}
    if reason is None:
        executor = LocalExecutor(kind)
        list(executor.run(Program("python", "print('hello')"), [""], LIMITS))
        standing = Watch(executor.pids[0]).pids()
        for name, attack in ATTACKS.items():
            if attack.language != "python" or attack.slow:
                continue
            limits = dataclasses.replace(LIMITS, **attack.limits)
            program = Program("python", attack.source, arguments=attack.arguments)
            outcome = next(executor.run(program, [""], limits))
            report["runs"] += 1
            if outcome.status not in attack.statuses or (
                attack.stdout is not None and outcome.stdout != attack.stdout
            ):
                report["wrong"][name] = str(outcome)[:500]
            if Watch(executor.pids[0]).pids() != standing:
                report["left"].append(name)
        executor.close()
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
