"""Answers graded per second: our pool against math-verify called in-line; and grading's share of a step.

Three tables. (1) Answers to golds of GSM8K and to LaTeX golds, none of them pathological: our pool with 2 workers, the
same pool with every answer sent to a worker, and math-verify in-line with its own time-outs. (2) The same with a share
of expressions that take for ever. (3) Real RL steps on `builtin:tiny`: what grading adds to a step, and the steps' own
answers graded by all of them. Verdicts are held against what is known of each answer; where ours and math-verify's
differ, the report says how often, why, and on what. Answers differ from round to round.

    .venv/bin/python -m benchmarks.grading [--tiny] [--share-pathological 0.02] [--save]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.grading_answers import DATA, Row, gsm8k_golds, make_rows, write_rows
from benchmarks.harness import (
    Arena,
    Contestant,
    Figures,
    arguments,
    median,
    per_second,
    ratio,
    report,
    table,
)

OURS, WORKERS_ONLY, IN_LINE = "ahalab", "ahalab, workers only", "math-verify in-line"
LIMIT = 0.03
"""Of a step on `builtin:tiny`, that grading may add."""


def contestants(folder: Path, workers: int, cpu_seconds: float) -> list[Contestant]:
    options = {"folder": str(folder), "workers": workers, "cpu_seconds": cpu_seconds}
    spec = "grading_contestants.py:PoolGrading"
    return [
        Contestant(OURS, spec, options),
        Contestant(WORKERS_ONLY, spec, {**options, "at_once": False}),
        Contestant(IN_LINE, "grading_contestants.py:InLine", {"folder": str(folder)}),
    ]


@dataclass(frozen=True)
class Difference:
    """Where two graders differ: what each said, and what kind of answer it was."""

    shape: str
    pathological: bool
    ours: float | None
    theirs: float | None
    right: bool | None

    @property
    def cause(self) -> str:
        if self.pathological and self.ours is None:
            return "time-out: we give no verdict and the sample leaves its group; in-line it counts as wrong"
        if self.right is not None and self.ours == float(self.right):
            if self.shape == "bare":
                return "LaTeX without delimiters: in-line the last number in it counts; ours reads it whole"
            return "in-line misreads it"
        if self.right is not None and self.theirs == float(self.right):
            return "ours misreads it"
        return "unexplained"


def differences(
    rows: Sequence[Row], ours: Sequence[float | None], theirs: Sequence[float | None]
) -> dict[Difference, list[Row]]:
    """Answers whose verdicts differ, by kind."""
    found: dict[Difference, list[Row]] = {}
    for row, a, b in zip(rows, ours, theirs, strict=True):
        if a != b:
            shape = "pathological" if row.pathological else row.shape
            found.setdefault(Difference(shape, row.pathological, a, b, row.right), []).append(row)
    return found


def wrong_verdicts(rows: Sequence[Row], scores: Sequence[float | None]) -> int:
    """Verdicts against what is known of the answer; an answer without a verdict is none."""
    return sum(
        score is not None and row.right is not None and score != float(row.right)
        for row, score in zip(rows, scores, strict=True)
    )


def share_of_step(figures: Figures) -> dict[str, float]:
    """What grading takes of a step's time: by the caller (submitting, waiting), and by the workers' processors."""
    step = figures["seconds"]
    caller = figures["seconds_submitting"] + figures["seconds_waiting"]
    return {
        "step_seconds": step / figures["steps"],
        "adds": caller / step,
        "waiting": figures["seconds_waiting"] / step,
        "workers_cpu": figures["workers_cpu_seconds"] / step,
    }


def compare(
    rows_of: Sequence[Sequence[Row]], options: argparse.Namespace, title: str, *, tell: bool = True
) -> tuple[str, Figures]:
    """One table: the contestants over the same rounds of answers; the first round is the warm-up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, rows in enumerate(rows_of, start=-1):
            write_rows(folder / f"rows_{number}.jsonl", rows)
        with Arena(
            contestants(folder, options.workers, options.cpu_seconds), threads=options.threads
        ) as arena:
            rounds = arena.alternate(options.pairs)
            idle = {who: facts["resident_mb"] for who, facts in arena.facts.items()}
    measured = rows_of[1 : options.pairs + 1]
    speeds = {who: per_second(found, "answers") for who, found in rounds.items()}
    lines, figures = [], dict[str, Any]()
    for who, found in rounds.items():
        faster = ratio(speeds[who], speeds[IN_LINE], less_is_better=False)
        wrong = sum(wrong_verdicts(rows, f["scores"]) for rows, f in zip(measured, found, strict=True))
        answers, time_outs = (sum(f[key] for f in found) for key in ("answers", "time_outs"))
        at_once = sum(f["at_once"] for f in found) / answers
        peak = max(f["peak_mb"] + f.get("workers_peak_mb", 0.0) for f in found)
        cpu = median([{"cpu": 1000 * f["cpu_seconds"] / f["answers"]} for f in found], "cpu")
        speed = sorted(speeds[who])[len(found) // 2]
        lines.append(
            [
                who,
                f"{speed:,.0f}",
                str(faster),
                f"{cpu:.2f}",
                f"{at_once:.0%}",
                time_outs,
                wrong,
                f"{peak:.0f}",
            ]
        )
        figures[who] = {
            "answers_per_second": speed,
            "ratio": [faster.median, faster.lowest, faster.highest],
            "cpu_ms_per_answer": cpu,
            "at_once": at_once,
            "time_outs": time_outs,
            "wrong_verdicts": wrong,
            "peak_mb": peak,
            "resident_mb_at_start": idle[who],
            "errors": Counter(error.partition(":")[0] for f in found for error in f["errors"]),
        }
    header = [
        "who",
        "answers/s",
        "against in-line",
        "CPU ms/answer",
        "at once",
        "time-outs",
        "wrong",
        "peak MB",
    ]
    text = f"## {title}\n\n{describe(measured)}\n\n{table(header, lines)}"
    if tell:
        scores = {who: [score for f in found for score in f["scores"]] for who, found in rounds.items()}
        rows = [row for each in measured for row in each]
        for other in (WORKERS_ONLY, IN_LINE):
            told, counted = tell_differences(differences(rows, scores[OURS], scores[other]), other, len(rows))
            text += f"\n\n{told}"
            figures[f"differences from {other}"] = counted
    return text, figures


def describe(measured: Sequence[Sequence[Row]]) -> str:
    """How many answers, and what they are, in shares."""
    rows = [row for each in measured for row in each]
    shapes = Counter("pathological" if row.pathological else row.shape for row in rows)
    shares = ", ".join(f"{shape} {count / len(rows):.0%}" for shape, count in shapes.most_common())
    right = sum(bool(row.right) for row in rows) / len(rows)
    known = f"; {right:.0%} right" if any(row.right is not None for row in rows) else ""
    return f"{len(measured)} rounds of {len(measured[0])} answers{known}. {shares}."


def tell_differences(
    found: dict[Difference, list[Row]], other: str, total: int
) -> tuple[str, list[dict[str, Any]]]:
    """The differing verdicts as a table with one example each, and as figures."""
    amount = sum(map(len, found.values()))
    counted = [
        {
            "cause": d.cause,
            "shape": d.shape,
            "ours": d.ours,
            "theirs": d.theirs,
            "right": d.right,
            "answers": len(rows),
        }
        for d, rows in sorted(found.items(), key=lambda item: -len(item[1]))
    ]
    head = f"Verdicts of {OURS} that differ from {other}: {amount} of {total}."
    if not found:
        return head, counted
    lines = [
        [
            len(rows),
            d.shape,
            d.ours,
            d.theirs,
            d.right,
            d.cause,
            f"`{rows[0].answer[:60]}` to `{rows[0].gold[:30]}`",
        ]
        for d, rows in sorted(found.items(), key=lambda item: -len(item[1]))
    ]
    header = ["answers", "kind", "ours", "theirs", "is right", "why", "for example"]
    return f"{head}\n\n{table(header, lines)}", counted


def tiny_steps(options: argparse.Namespace) -> tuple[str, Figures, list[list[Row]]]:
    """The share of a step, and the steps' own answers: those of the warm-up, then of each round."""
    given: dict[str, Any] = {"steps": options.steps, "domains": options.domains}
    spec = "grading_contestants.py:TinySteps"
    both = [Contestant(OURS, spec, given), Contestant(WORKERS_ONLY, spec, {**given, "at_once": False})]
    with Arena(both, threads=options.threads) as arena:
        rounds = arena.alternate(options.pairs)
    lines, figures = [], dict[str, Any]()
    for who, found in rounds.items():
        shares = [share_of_step(f) for f in found]
        middle = {key: median(shares, key) for key in shares[0]}
        worst = max(share["adds"] for share in shares)
        at_once = sum(f["at_once"] for f in found) / sum(f["answers"] for f in found)
        peak = max(f["workers_peak_mb"] for f in found)
        percent = [f"{middle[key]:.2%}" for key in ("adds", "waiting", "workers_cpu")]
        lines.append(
            [who, f"{middle['step_seconds']:.3f}", *percent, f"{worst:.2%}", f"{at_once:.0%}", f"{peak:.0f}"]
        )
        figures[who] = {**middle, "adds_at_most": worst, "at_once": at_once, "workers_peak_mb": peak}
    total = figures[OURS]["adds"] + figures[OURS]["workers_cpu"]
    met = "met" if total <= LIMIT else "NOT met"
    figures["limit"], figures["met"] = LIMIT, total <= LIMIT
    header = [
        "who",
        "s/step",
        "caller adds",
        "of it waiting",
        "workers' CPU",
        "worst round adds",
        "at once",
        "workers MB",
    ]
    text = (
        f"## A step on builtin:tiny ({', '.join(options.domains)}; {options.steps} steps a round)\n\n"
        f"{table(header, lines)}\n\nGrading takes {total:.2%} of a step, its caller's time and its workers' CPU "
        f"together; the limit of {LIMIT:.0%} is {met}."
    )
    rows = [
        [
            Row(str(answer), str(gold), None, "sampled", verifier, extra)
            for verifier, answer, gold, extra in f["requests"]
        ]
        for f in rounds[OURS]
    ]
    return text, figures, rows


def main() -> None:
    parser = arguments(__doc__, pairs=5)
    parser.add_argument(
        "--tiny", action="store_true", help="only the steps on builtin:tiny and their answers"
    )
    parser.add_argument("--answers", type=int, default=500, help="a round")
    parser.add_argument(
        "--share-pathological", type=float, default=0.02, help="of the second table's answers"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes of our pool")
    parser.add_argument(
        "--cpu-seconds", type=float, default=5.0, help="our limit for an answer; in-line has 5 s, too"
    )
    parser.add_argument("--steps", type=int, default=5, help="RL steps in a round of the last table")
    parser.add_argument("--domains", nargs="+", default=["math"], help="of the tiny world, for the steps")
    parser.add_argument("--gsm8k", type=Path, default=DATA, help="train.jsonl of GSM8K")
    options = parser.parse_args()
    texts, figures = [], dict[str, Any]()
    if not options.tiny:
        golds = gsm8k_golds(options.gsm8k)
        for share in dict.fromkeys([0.0, options.share_pathological]):
            seeds = range(-1, options.pairs)
            # A warm-up need not wait for expressions without end.
            rows = [
                make_rows(golds, options.answers, share if seed >= 0 else 0.0, seed + 1) for seed in seeds
            ]
            title = f"Mathematics, {share:.0%} pathological"
            text, figures[title] = compare(rows, options, title)
            texts.append(text)
    text, figures["step on builtin:tiny"], rounds = tiny_steps(options)
    texts.append(text)
    if options.domains == ["math"]:
        rows = [rounds[0], *rounds]
        text, figures["its answers"] = compare(rows, options, "The answers of those steps")
        texts.append(text)
    report("grading", options.threads, "\n\n".join(texts), figures, save=options.save)


if __name__ == "__main__":
    main()
