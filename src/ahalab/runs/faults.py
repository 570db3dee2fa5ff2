"""Named points at which a test may kill the process, to prove that a run continues with the same bytes.

`AHALAB_KILL_AT="rollout:3"` sends this process SIGKILL when it passes the point "rollout" for the third time;
several are given as `name:k,name:k`. Without the variable a point costs one look into the environment.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

from ahalab.errors import UserError

VARIABLE = "AHALAB_KILL_AT"

FAULT_POINTS = (
    "rollout",
    "grading",
    "checkpoint.before_rename",
    "checkpoint.after_rename",
    "stage.before_rename",
    "stage.after_rename",
    "attempts.before_rename",
    "attempts.after_rename",
)

_passes: Counter[str] = Counter()


def fault_point(name: str) -> None:
    """Kill the process if `AHALAB_KILL_AT` asks for this pass of `name`; UserError when it is malformed."""
    if name not in FAULT_POINTS:
        raise ValueError(f"unknown fault point {name!r}, known: {', '.join(FAULT_POINTS)}")
    request = os.environ.get(VARIABLE)
    if not request:
        return
    _passes[name] += 1
    if _passes[name] in _parse(request).get(name, ()):
        os.kill(os.getpid(), signal.SIGKILL)


def _parse(request: str) -> dict[str, set[int]]:
    wanted: dict[str, set[int]] = {}
    for part in request.split(","):
        name, _, count = part.strip().partition(":")
        if name not in FAULT_POINTS or not (count.isascii() and count.isdigit()) or int(count) < 1:
            raise UserError(
                f'{VARIABLE}={request!r}: {part.strip()!r} is not "name:k" with k = 1, 2, … '
                f"and name one of {', '.join(FAULT_POINTS)}."
            )
        wanted.setdefault(name, set()).add(int(count))
    return wanted
