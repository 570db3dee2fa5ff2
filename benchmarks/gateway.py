"""What the gateway adds to an upstream: open-loop load, 200 requests a second, direct and through it by turns.

Three processes on one machine: an upstream of scripted latency, `aha guard serve` in front of it (general policy,
bundled terms, audit log with texts in SQLite, no reviewer), and the load. Blocks alternate (direct, gateway, gateway,
direct, …); half the requests are streams. A difference is made within a pair of neighbouring blocks, of the medians and
of the 99th percentiles, and printed as median [lowest – highest] of all pairs. Then 500 streams are open at once.

    .venv/bin/python -m benchmarks.gateway [--pairs 6] [--seconds 5] [--save]
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway_load import Figures, Load
from benchmarks.harness import HERE, arguments, report, table

KINDS = {"first": "first token", "stream": "whole stream", "plain": "reply in one piece"}
MEDIAN_MS, TAIL_MS, FIRST_MS = 3.0, 15.0, 5.0
_PUBLIC = re.compile(r"http://127\.0\.0\.1:(\d+)/v1")


@contextmanager
def processes(script: Sequence[str], settings: str) -> Iterator[tuple[int, int, int]]:
    """Upstream and gateway; ports of both, and the gateway's process id."""
    with tempfile.TemporaryDirectory() as folder:
        upstream = subprocess.Popen(
            [sys.executable, str(HERE / "gateway_upstream.py"), *script], stdout=subprocess.PIPE, text=True
        )
        gateway: subprocess.Popen[bytes] | None = None
        try:
            assert upstream.stdout is not None
            port = int(upstream.stdout.readline())
            said, limits = Path(folder, "output"), Path(folder, "settings.yaml")
            limits.write_text(settings, "utf-8")
            command = ["-m", "ahalab.cli", "guard", "serve", "--upstream", f"http://127.0.0.1:{port}/v1"]
            options = [
                "--model",
                "m",
                "--port",
                "0",
                "--admin-port",
                "0",
                "--no-page",
                "--settings",
                str(limits),
            ]
            with said.open("wb") as output:
                gateway = subprocess.Popen(
                    [sys.executable, *command, *options, "--folder", str(Path(folder, "guard"))],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            while not (found := _PUBLIC.search(said.read_text("utf-8"))):
                if gateway.poll() is not None:
                    raise SystemExit(f"the gateway did not start:\n{said.read_text('utf-8')}")
                time.sleep(0.05)
            yield port, int(found[1]), gateway.pid
        finally:
            for one in (gateway, upstream):
                if one is not None:
                    one.terminate()
                    one.wait(60)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def differences(direct: Sequence[Figures], through: Sequence[Figures]) -> dict[str, dict[str, list[float]]]:
    """Kind → share → milliseconds more through the gateway, of each pair of blocks."""
    return {
        kind: {
            name: [
                quantile(getattr(ours, kind), share) - quantile(getattr(plain, kind), share)
                for plain, ours in zip(direct, through, strict=True)
            ]
            for name, share in (("median", 0.5), ("p99", 0.99))
        }
        for kind in KINDS
    }


async def measure(options: Any, upstream: int, gateway: int, process: int) -> dict[str, Any]:
    """All blocks, then the open streams."""
    loads = {"direct": Load(upstream), "gateway": Load(gateway)}
    found: dict[str, list[Figures]] = {"direct": [], "gateway": []}
    for load in loads.values():
        await load.at_rate(options.rate, 2.0)  # warm: connections, caches, code
    for pair in range(options.pairs):
        for who in ("direct", "gateway")[:: 1 if pair % 2 == 0 else -1]:
            found[who].append(await loads[who].at_rate(options.rate, options.seconds))
    streams: dict[str, Any] = {}
    for who, load in loads.items():
        load.most_open = 0
        figures = await load.together(options.streams, "@50,24,500", over=6.0)
        streams[who] = {
            "most_open": load.most_open,
            "whole": len(figures.stream),
            "failed": figures.failed,
            "first_median_ms": median(figures.first),
            "first_p99_ms": quantile(figures.first, 0.99),
        }
    status = Path(f"/proc/{process}/status").read_text()
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return {"blocks": found, "streams": streams, "gateway_peak_mb": peak}


def main() -> None:
    parser = arguments(__doc__, pairs=6)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a block")
    parser.add_argument("--streams", type=int, default=500, help="open at once")
    parser.add_argument("--script", nargs=3, default=["40", "6", "10"], metavar="MS", help="of the upstream")
    parser.add_argument("--conclude-first", choices=["flagged", "always"], default="flagged")
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    settings = f"conclude_first: {options.conclude_first}\n"
    with processes(options.script, settings) as (upstream, gateway, process):
        measured = asyncio.run(measure(options, upstream, gateway, process))
    blocks: dict[str, list[Figures]] = measured["blocks"]
    more = differences(blocks["direct"], blocks["gateway"])
    rows = []
    for kind, name in KINDS.items():
        for share in ("median", "p99"):
            at = 0.5 if share == "median" else 0.99
            each = more[kind][share]
            plain, ours = (
                median(quantile(getattr(one, kind), at) for one in blocks[who])
                for who in ("direct", "gateway")
            )
            span = f"{median(each):+.1f} [{min(each):+.1f} – {max(each):+.1f}]"
            rows.append([name, share, f"{plain:.1f}", f"{ours:.1f}", span])
    failed = {who: sum(one.failed for one in blocks[who]) for who in blocks}
    met = {
        "median": max(median(more[kind]["median"]) for kind in ("stream", "plain")) <= MEDIAN_MS,
        "p99": max(median(more[kind]["p99"]) for kind in ("stream", "plain")) <= TAIL_MS,
        "first": median(more["first"]["median"]) <= FIRST_MS,
        "none failed": not any(failed.values()),
        "streams": measured["streams"]["gateway"]["whole"] == options.streams
        and measured["streams"]["gateway"]["most_open"] == options.streams,
    }
    figures = {
        "more_ms": more,
        "failed": failed,
        "streams": measured["streams"],
        "gateway_peak_mb": measured["gateway_peak_mb"],
        "conclude_first": options.conclude_first,
        "met": met,
        "load_average_before": round(load_before, 1),
        "load_average_after": round(os.getloadavg()[0], 1),
    }
    streams = [
        [
            who,
            one["most_open"],
            one["whole"],
            one["failed"],
            f"{one['first_median_ms']:.1f}",
            f"{one['first_p99_ms']:.1f}",
        ]
        for who, one in measured["streams"].items()
    ]
    words = {
        "median": f"at most {MEDIAN_MS:g} ms more at the median",
        "p99": f"at most {TAIL_MS:g} ms more at the 99th percentile",
        "first": f"first token at most {FIRST_MS:g} ms later",
        "none failed": "no request failed",
        "streams": f"{options.streams} open streams",
    }
    first, pieces, each_ms = options.script
    text = (
        f"## {options.rate:g} requests a second, open loop, {options.pairs} pairs of {options.seconds:g} s\n\n"
        f"Upstream: first piece after {first} ms, {pieces} pieces, {each_ms} ms between. Gateway: general policy, "
        f"bundled terms, `conclude_first: {options.conclude_first}`, audit with texts.\n\n"
        + table(["", "", "direct, ms", "through, ms", "more, ms"], rows)
        + f"\n\nRequests that failed: {failed['direct']} direct, {failed['gateway']} through the gateway.\n\n"
        f"## {options.streams} streams at once\n\n"
        + table(["", "most open", "whole", "failed", "first token: median ms", "p99"], streams)
        + f"\n\nThe gateway's peak memory: {measured['gateway_peak_mb']:.0f} MB.\n\n"
        + "; ".join(f"{words[key]}: {'met' if met[key] else 'NOT met'}" for key in words)
        + f". Load average of the machine over the last minute: {figures['load_average_before']} before, "
        f"{figures['load_average_after']} after, ours included."
    )
    report("gateway", options.threads, text, figures, save=options.save)


if __name__ == "__main__":
    main()
