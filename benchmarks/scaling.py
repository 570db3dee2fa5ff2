"""Scaling: how the time and the memory of one GRPO step grow with its size.

One step is sampling and learning on a model with random weights, every answer of the same length. Four sweeps, each
changing one thing: samples per prompt, prompt tokens, new tokens, parameters. Exponents are fitted by least squares
on logarithms; the local one is that of the last two points, since a small step is ruled by what does not grow.
Memory is the peak of a round without what the libraries take. --save also draws benchmarks/results/scaling.png.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import scaling_plot
from benchmarks.harness import RESULTS, Arena, Contestant, Figures, arguments, median, note, report, table

SHAPES: dict[str, dict[str, int]] = {
    name: {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
    }
    for name, hidden, layers, heads, key_value_heads, inner, vocabulary in (
        ("0.3M", 64, 4, 2, 2, 192, 2048),
        ("2M", 128, 8, 4, 4, 384, 2048),
        ("9M", 256, 10, 4, 4, 768, 2048),
        ("40M", 448, 15, 7, 7, 1344, 2048),
        ("135M", 576, 30, 9, 3, 1536, 49_152),  # SmolLM2-135M's
    )
}
BODY = {**SHAPES["2M"], "num_hidden_layers": 4}
"""Of the sweeps over lengths: about the size of builtin:tiny."""
BASE = {"prompts": 4, "samples": 8, "prompt_tokens": 128, "new_tokens": 128}
QUANTITIES = {
    "seconds": "step",
    "seconds_sample": "sampling",
    "seconds_learn": "learning",
    "memory_mb": "memory",
}


@dataclass(frozen=True)
class PowerFit:
    """`y = c · x^exponent`."""

    exponent: float
    error: float | None
    """Standard error of the exponent; None for two points, which any power fits."""
    local: float
    """Exponent between the last two points."""
    factor: float
    """c"""

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.2f}"
        return f"{self.exponent:.2f}{error} (last {self.local:.2f})"


def fit_power(x: Sequence[float], y: Sequence[float]) -> PowerFit:
    """Least squares on the logarithms of points in the order of x.

    Raises:
        ValueError: fewer than two points, a value that is not above 0, or x that do not differ.
    """
    if len(x) != len(y) or len(x) < 2 or min(*x, *y) <= 0 or len(set(x)) < 2:
        raise ValueError(f"no power can be fitted to {list(x)} and {list(y)}")
    log_x, log_y = np.log(x), np.log(y)
    deviations = log_x - log_x.mean()
    spread = float(deviations @ deviations)
    exponent = float(deviations @ log_y) / spread
    intercept = float(log_y.mean() - exponent * log_x.mean())
    residuals = log_y - intercept - exponent * log_x
    free = len(x) - 2
    error = math.sqrt(float(residuals @ residuals) / free / spread) if free else None
    local = float((log_y[-1] - log_y[-2]) / (log_x[-1] - log_x[-2]))
    return PowerFit(exponent, error, local, math.exp(intercept))


@dataclass(frozen=True)
class Sweep:
    """One thing that is changed."""

    name: str
    axis: str
    points: Mapping[str, dict[str, Any]]
    """Label → options of the contestant."""
    key: str
    """The option that is x; "parameters" is counted by the contestant."""


def sweeps(quick: bool) -> list[Sweep]:
    """The four sweeps; `quick` takes the three smallest points of each."""

    def over(name: str, axis: str, key: str, values: Sequence[int]) -> Sweep:
        return Sweep(name, axis, {f"{v:,}": {"shape": BODY, **BASE, key: v} for v in values}, key)

    small = {"prompts": 2, "samples": 4, "prompt_tokens": 64, "new_tokens": 64}
    sizes = list(SHAPES.items())[: 3 if quick else None]
    lengths = (64, 128, 256) if quick else (64, 128, 256, 512, 1024)
    groups = (4, 8, 16) if quick else (4, 8, 16, 32, 64)
    return [
        over("samples", "samples per prompt", "samples", groups),
        over("prompt", "prompt tokens", "prompt_tokens", lengths),
        over("new", "new tokens", "new_tokens", lengths),
        Sweep("size", "parameters", {name: {"shape": shape, **small} for name, shape in sizes}, "parameters"),
    ]


@dataclass(frozen=True)
class Measured:
    """A sweep's points in the order of x, and what was fitted to their medians."""

    sweep: Sweep
    x: list[float]
    rounds: list[list[Figures]]
    """Of each point; each round has all `QUANTITIES`."""
    fits: dict[str, PowerFit]

    def medians(self, quantity: str) -> list[float]:
        return [median(rounds, quantity) for rounds in self.rounds]

    def figures(self) -> Figures:
        return {
            "x": self.x,
            **{
                quantity: [
                    [round(float(figures[quantity]), 4) for figures in rounds] for rounds in self.rounds
                ]
                for quantity in QUANTITIES
            },
            "fits": {quantity: asdict(fit) for quantity, fit in self.fits.items()},
        }

    def text(self) -> str:
        rows = [
            [
                f"{x:,.0f}",
                *(f"{median(rounds, key):.3f}" for key in ("seconds_sample", "seconds_learn")),
                f"{median(rounds, 'seconds'):.3f} [{min(f['seconds'] for f in rounds):.3f} – "
                f"{max(f['seconds'] for f in rounds):.3f}]",
                f"{median(rounds, 'tokens') / median(rounds, 'seconds'):,.0f}",
                f"{median(rounds, 'memory_mb'):,.0f}",
            ]
            for x, rounds in zip(self.x, self.rounds, strict=True)
        ]
        header = [self.sweep.axis, "sampling s", "learning s", "step s", "new tokens/s", "memory MiB"]
        return f"## {self.sweep.axis}\n\n{table(header, rows)}"


def measure(sweep: Sweep, pairs: int, threads: int) -> Measured:
    """Every point in a process of its own; rounds go up and down the sweep in turn."""
    contestants = [
        Contestant(f"{sweep.axis} {label}", "scaling_contestant.py:ScalingStep", options)
        for label, options in sweep.points.items()
    ]
    with Arena(contestants, threads=threads) as arena:
        facts, measured = arena.facts, arena.alternate(pairs)
    x: list[float] = []
    rounds = []
    for contestant in contestants:
        about = facts[contestant.name]
        x.append(float(about["parameters"] if sweep.key == "parameters" else contestant.options[sweep.key]))
        rounds.append(
            [
                {**figures, "memory_mb": figures["peak_mb"] - about["libraries_mb"]}
                for figures in measured[contestant.name]
            ]
        )
    fits = {key: fit_power(x, [median(of_point, key) for of_point in rounds]) for key in QUANTITIES}
    return Measured(sweep, x, rounds, fits)


def main() -> None:
    """Run the four sweeps, print tables, exponents and the JSON line, draw them where they are saved."""
    parser = arguments(__doc__, pairs=3)
    parser.add_argument("--quick", action="store_true", help="the three smallest points of each sweep")
    options = parser.parse_args()
    found = []
    for sweep in sweeps(options.quick):
        note(f"{sweep.axis}:")
        found.append(measure(sweep, options.pairs, options.threads))
    exponents = table(
        ["exponent of", *(measured.sweep.axis for measured in found)],
        [[title, *(str(measured.fits[key]) for measured in found)] for key, title in QUANTITIES.items()],
    )
    legend = (
        f"Default step: {BASE['prompts']} prompts × {BASE['samples']} samples, {BASE['prompt_tokens']} prompt and "
        f"{BASE['new_tokens']} new tokens; the sweep over parameters has 2 × 4 and 64 of each. "
        "Memory: the peak of a round without the libraries."
    )
    text = "\n\n".join([*(measured.text() for measured in found), f"## Exponents\n\n{exponents}", legend])
    figures: Figures = {measured.sweep.name: measured.figures() for measured in found}
    figures["settings"] = {"pairs": options.pairs, "quick": options.quick, "body": BODY, "step": BASE}
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        scaling_plot.draw(found, RESULTS / "scaling.png", options.threads)
    report("scaling", options.threads, text, figures, save=options.save)


if __name__ == "__main__":
    main()
