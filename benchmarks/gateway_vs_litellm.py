"""Our gateway beside LiteLLM's proxy: requests a second from clients that ask again at once, by turns, in one run.

One process each, in front of the same upstream that answers at once. Ours runs the general policy with bundled terms
and its audit log; LiteLLM runs without guardrails, once with rows before and after each request (`litellm_logging.py`)
and once without any log. Who does not run is stopped. A ratio is made within a pair of neighbouring blocks.

    .venv/bin/python -m benchmarks.gateway_vs_litellm [--pairs 6] [--seconds 5] [--save]
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway import processes
from benchmarks.gateway_load import Figures, Load
from benchmarks.harness import arguments, note, ratio, report, table
from benchmarks.litellm_environment import PACKAGE, default_folder, prepare, proxy

LEAST = 3.0
"""Times LiteLLM's throughput with equal logging."""
OURS, LOGGING, BARE = "ahalab gateway", "LiteLLM, logging", "LiteLLM, no log"
KINDS = {"plain": "replies in one piece", "stream": "streams of 6 pieces"}


async def block(load: Load, clients: int, seconds: float, *, stream: bool) -> tuple[Figures, float]:
    """Figures of a block, and its requests a second."""
    loop = asyncio.get_running_loop()
    figures, began = Figures(), loop.time()

    async def client() -> None:
        while loop.time() < began + seconds:
            await load.ask(figures, loop.time(), stream=stream)

    await asyncio.gather(*(client() for _ in range(clients)))
    return figures, len(figures.stream if stream else figures.plain) / (loop.time() - began)


async def measure(options: Any, who: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """Contestant → kind → requests a second, median milliseconds and failures of each block."""
    loads = {name: Load(port) for name, (port, _) in who.items()}
    found: dict[str, Any] = {
        name: {kind: {"per_second": [], "median_ms": [], "failed": 0} for kind in KINDS} for name in who
    }
    for _, process in who.values():
        os.kill(process, signal.SIGSTOP)
    for pair in range(-1, options.pairs):
        for name in list(who)[:: 1 if pair % 2 == 0 else -1]:
            os.kill(who[name][1], signal.SIGCONT)
            for kind in KINDS:
                figures, each = await block(
                    loads[name], options.clients, options.seconds, stream=kind == "stream"
                )
                if pair >= 0:
                    place = found[name][kind]
                    place["per_second"].append(each)
                    place["median_ms"].append(median(getattr(figures, kind) or [float("inf")]))
                    place["failed"] += figures.failed
            loads[name].forget()
            await asyncio.sleep(0.5)  # rows that nobody waits for are its work too
            os.kill(who[name][1], signal.SIGSTOP)
        note(f"  {'warm-up' if pair < 0 else f'{pair + 1}/{options.pairs}'}")
    for _, process in who.values():
        os.kill(process, signal.SIGCONT)
    return found


def rows_of(log: Path) -> dict[str, int]:
    """Kind → rows that LiteLLM wrote: logging that does not happen would be cheap."""
    connection = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT kind, count(*) FROM rows GROUP BY kind"))
    finally:
        connection.close()


def main() -> None:
    parser = arguments(__doc__, pairs=6)
    parser.add_argument("--clients", type=int, default=32, help="that ask at the same time")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a block")
    parser.add_argument("--environment", type=Path, default=default_folder())
    options = parser.parse_args()
    python = prepare(options.environment)
    load_before = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory() as name,
        processes(["0", "6", "0"], "conclude_first: flagged\n") as (upstream, ours, process),
        proxy(python, upstream, Path(name), logging=True) as logging,
        proxy(python, upstream, Path(name), logging=False) as bare,
    ):
        who = {OURS: (ours, process), LOGGING: logging, BARE: bare}
        found = asyncio.run(measure(options, who))
        written = rows_of(Path(name, "litellm.sqlite"))
    ratios = {
        other: {
            kind: ratio(
                found[OURS][kind]["per_second"], found[other][kind]["per_second"], less_is_better=False
            )
            for kind in KINDS
        }
        for other in (LOGGING, BARE)
    }
    rows = [
        [
            KINDS[kind],
            one,
            f"{median(found[one][kind]['per_second']):.0f}",
            f"{median(found[one][kind]['median_ms']):.1f}",
            found[one][kind]["failed"],
            str(ratios[one][kind]) if one in ratios else "",
        ]
        for kind in KINDS
        for one in who
    ]
    met = all(ratios[LOGGING][kind].median >= LEAST for kind in KINDS)
    figures = {
        "found": found,
        "litellm": PACKAGE,
        "litellm_rows": written,
        "ratios": {one: {kind: each.median for kind, each in kinds.items()} for one, kinds in ratios.items()},
        "met": met,
        "load_average_before": round(load_before, 1),
    }
    text = (
        f"{options.clients} clients that ask again at once, {options.pairs} rounds of {options.seconds:g} s a kind; "
        f"one process each; {PACKAGE}.\n\n"
        + table(["", "", "requests a second", "median ms", "failed", "ours is"], rows)
        + f"\n\nRows that LiteLLM wrote: {written}.\n\nat least {LEAST:g} times the throughput of LiteLLM with equal "
        f"logging: {'met' if met else 'NOT met'}. Load average before: {figures['load_average_before']}."
    )
    report("gateway_vs_litellm", options.threads, text, figures, save=options.save)


if __name__ == "__main__":
    main()
