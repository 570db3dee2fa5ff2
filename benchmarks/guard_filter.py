"""One message through the keyword filter: all views and offsets, against what others do, and the stream per chunk.

10,000 made-up terms, half of them Chinese; a message of 2,700 characters in both languages, once without a hit and
once with eight. Beside it, in one run: the plain loop `term in text` (what LLM Guard's BanSubstrings does), `re` with
all terms as one alternation, pyahocorasick and ahocorasick_rs on the raw text alone. Only ours reads through disguise
and maps hits back. pyahocorasick must be installed by name; it is used here only.

    nice -n 0 .venv/bin/python -m benchmarks.guard_filter [--messages 400] [--save]
"""

from __future__ import annotations

import os
from typing import Any

from benchmarks.harness import Arena, Contestant, arguments, report, table

SPEC = "guard_filter_contestants.py"
OURS, STREAM = "ahalab, all views", "ahalab, stream, a chunk of 4"
MEDIAN_MS, TAIL_MS, MEMORY_MB = 0.5, 1.5, 100.0


def main() -> None:
    parser = arguments(__doc__, pairs=7)
    parser.add_argument("--terms", type=int, default=10_000)
    parser.add_argument(
        "--messages", type=int, default=400, help="in a round, of each kind; slow ones take fewer"
    )
    options = parser.parse_args()
    sizes: dict[str, Any] = {"terms": options.terms, "messages": options.messages}
    slow = {**sizes, "messages": max(20, options.messages // 10)}
    contestants = [
        Contestant(OURS, f"{SPEC}:Whole", sizes),
        Contestant("ahocorasick_rs, raw text only", f"{SPEC}:RawRust", sizes),
        Contestant("pyahocorasick, raw text only", f"{SPEC}:RawC", sizes),
        Contestant("`term in text` for each term", f"{SPEC}:Loop", slow),
        Contestant("`re`, one alternation", f"{SPEC}:Expression", {**sizes, "messages": 20}),
        Contestant(STREAM, f"{SPEC}:Chunks", {**sizes, "messages": 8}),
    ]
    with Arena(contestants, threads=options.threads) as arena:
        rounds = arena.alternate(options.pairs)
        facts = arena.facts
    rows, figures = [], dict[str, Any]()
    for who, found in rounds.items():
        figures[who] = one = {"structures_mb": facts[who]["structures_mb"]}
        for kind in ("without", "with"):
            each = sorted(value for figure in found for value in figure[kind])
            one[kind] = {
                "median_ms": each[len(each) // 2],
                "p99_ms": each[int(len(each) * 0.99)],
                "n": len(each),
            }
        one["resident_mb"] = max(figure["peak_mb"] for figure in found)
        rows.append(
            [
                who,
                *(f"{one[kind][key]:.3f}" for kind in ("without", "with") for key in ("median_ms", "p99_ms")),
                one["without"]["n"],
                f"{one['structures_mb']:.0f}",
                f"{one['resident_mb']:.0f}",
            ]
        )
    ours = figures[OURS]
    met = {
        "median": max(ours[kind]["median_ms"] for kind in ("with", "without")) <= MEDIAN_MS,
        "p99": max(ours[kind]["p99_ms"] for kind in ("with", "without")) <= TAIL_MS,
        "memory": figures[STREAM]["resident_mb"] < MEMORY_MB,
    }
    figures["met"], figures["load_average"] = met, round(os.getloadavg()[0], 1)
    header = [
        "who",
        "no hit: median ms",
        "p99",
        "8 hits: median ms",
        "p99",
        "messages",
        "structures MB",
        "process MB",
    ]
    text = (
        f"## A message of 2,700 characters, {options.terms} terms\n\n{table(header, rows)}\n\n"
        "Milliseconds of CPU time of the thread. The stream's are for one chunk; its process holds the structures for "
        "messages and for streams. `p99` over all rounds.\n\n"
        + "; ".join(
            f"{what}: {'met' if met[key] else 'NOT met'}"
            for key, what in (
                ("median", f"at most {MEDIAN_MS} ms at the median"),
                ("p99", f"at most {TAIL_MS} ms at the 99th percentile"),
                ("memory", f"under {MEMORY_MB:.0f} MB"),
            )
        )
        + f". Load average of the machine over the last minute, ours included: {figures['load_average']}."
    )
    report("guard_filter", options.threads, text, figures, save=options.save)


if __name__ == "__main__":
    main()
