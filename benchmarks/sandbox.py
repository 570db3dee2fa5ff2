"""Trivial programs run per second: our sandbox, warm and cold, against a plain subprocess without any wall.

Every contestant runs the same trivial Python programs (read a number, print its double) over two threads. Warm: a
zygote within the walls forks each run. Cold: walls and interpreter are built anew for each run. Plain: `subprocess.run`
of `python -I`, with no isolation and no limits: not an alternative, a measure of what starting Python costs here.

    .venv/bin/python -m benchmarks.sandbox [--runs 400] [--save]
"""

from __future__ import annotations

import os
from typing import Any

from benchmarks.harness import Arena, Contestant, arguments, median, per_second, ratio, report, table

WARM, COLD, PLAIN = "ahalab, warm", "ahalab, cold", "plain subprocess, no walls"
SPEC = "sandbox_contestants.py"
LIMIT = 25.0
"""Trivial programs a second that a warm sandbox must reach on two cores."""


def main() -> None:
    parser = arguments(__doc__, pairs=5)
    parser.add_argument("--runs", type=int, default=400, help="programs in a round")
    parser.add_argument("--cold-runs", type=int, default=40, help="programs in a round of the cold sandbox")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    contestants = [
        Contestant(WARM, f"{SPEC}:Sandbox", {"runs": options.runs, "workers": options.workers, "warm": True}),
        Contestant(
            COLD, f"{SPEC}:Sandbox", {"runs": options.cold_runs, "workers": options.workers, "warm": False}
        ),
        Contestant(PLAIN, f"{SPEC}:Plain", {"runs": options.runs, "workers": options.workers}),
    ]
    with Arena(contestants, threads=options.threads) as arena:
        rounds = arena.alternate(options.pairs)
    speeds = {who: per_second(found, "programs") for who, found in rounds.items()}
    lines, figures = [], dict[str, Any]()
    for who, found in rounds.items():
        against = ratio(speeds[who], speeds[PLAIN], less_is_better=False)
        speed = sorted(speeds[who])[len(found) // 2]
        milliseconds = 1000 * options.workers / speed
        peak = max(f["peak_mb"] for f in found)
        lines.append(
            [
                who,
                f"{speed:.0f}",
                f"{milliseconds:.1f}",
                str(against),
                f"{median(found, 'wrong'):.0f}",
                f"{peak:.0f}",
            ]
        )
        figures[who] = {
            "programs_per_second": speed,
            "ratio_to_plain": [against.median, against.lowest, against.highest],
            "wrong": sum(f["wrong"] for f in found),
        }
    reached = figures[WARM]["programs_per_second"]
    met = "met" if reached >= LIMIT else "NOT met"
    figures["limit"], figures["met"] = LIMIT, reached >= LIMIT
    figures["load_average"] = round(os.getloadavg()[1], 1)
    header = ["who", "programs/s", "ms each", "against plain", "wrong", "peak MB of the caller"]
    text = (
        f"## Trivial Python programs, {options.workers} workers\n\n{table(header, lines)}\n\n"
        f"At least {LIMIT:.0f} a second with warm workers: {met} ({reached:.0f}). "
        f"Load average of the machine over five minutes, ours included: {figures['load_average']}."
    )
    report("sandbox", options.threads, text, figures, save=options.save)


if __name__ == "__main__":
    main()
