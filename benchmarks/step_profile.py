"""Where each per cent of a GRPO step goes, and what Python itself costs per decoded token.

    python -m benchmarks.step_profile tiny
    python -m benchmarks.step_profile smollm2

First whole steps, timed from outside: sampling, grading, bookkeeping, and of learning the forward pass, the backward
pass and the optimizer. Then one rollout under torch's profiler: which operations its time goes to. What is left of
the rollout's wall time when all operations are taken off is Python's share: it is taken from the mean of two rollouts
without the profiler, since the profiler slows Python down.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from benchmarks.grpo_ours import OurStep
from benchmarks.grpo_setting import DATA, smollm2, tiny
from benchmarks.harness import arguments, note, report, table

GROUPS: dict[str, tuple[str, ...]] = {
    "matrix products": ("mm", "addmm", "_int_mm", "linear", "matmul"),
    "attention's products": ("bmm", "baddbmm", "_scaled_dot_product"),
    "softmax, and drawing tokens": (
        "softmax",
        "log_softmax",
        "cumsum",
        "searchsorted",
        "exp",
        "gather",
        "argmax",
    ),
    "gathers and copies": ("index", "copy", "cat", "clone", "contiguous", "stack"),
}
"""Group → beginnings of the names of its operations (without "aten::_"); all others are element-wise."""


def group_of(operation: str) -> str:
    """The group of GROUPS that an operation of the profiler belongs to."""
    name = operation.removeprefix("aten::").lstrip("_")
    for group, beginnings in GROUPS.items():
        if any(name == one or name.startswith(one.lstrip("_")) for one in beginnings):
            return group
    return "norms, rotation, activations"


class _Clock:
    """Adds up the seconds spent in functions that it wraps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def wrap(self, name: str, owner: Any, attribute: str) -> None:
        function: Callable[..., Any] = getattr(owner, attribute)

        def timed(*given: Any, **more: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*given, **more)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

        setattr(owner, attribute, timed)


def step_parts(step: OurStep, steps: int) -> dict[str, float]:
    """Part of a step → its share, over some steps after one to warm up."""
    trainer, clock = step._trainer, _Clock()
    step.run(0)
    clock.wrap("forward", trainer.learner, "_forward")
    clock.wrap("learning", trainer.learner, "update")
    clock.wrap("optimizer", trainer.learner.optimization, "step")
    clock.wrap("collecting", trainer.collector, "collect")
    sampling = waiting = 0.0
    started = time.perf_counter()
    for number in range(steps):
        figures = step.run(number)
        sampling += figures["seconds_rollout"]
        waiting += figures["seconds_grading_wait"]
    total = time.perf_counter() - started
    seconds = clock.seconds
    parts = {
        "sampling (reading and grading at once included)": sampling,
        "waiting for graders": waiting,
        "rewards and counts of words": seconds["collecting"] - sampling - waiting,
        "learning: forward": seconds["forward"],
        "learning: backward": seconds["learning"] - seconds["forward"] - seconds["optimizer"],
        "learning: clipping and AdamW": seconds["optimizer"],
        "advantages, logs, metrics": total - seconds["collecting"] - seconds["learning"],
    }
    return {name: value / total for name, value in parts.items()}


def rollout_parts(step: OurStep) -> dict[str, float]:
    """What a rollout's wall time goes to: groups of operations, and Python."""
    trainer = step._trainer
    renderer, engine = trainer.collector.renderer, trainer.collector.engine
    prompts = [
        PromptTokens(prompt.id, tuple(renderer.prompt_ids(prompt.question)))
        for prompt in trainer.feed.take(0)
    ]
    config = trainer.config
    sampling = Sampling(config.max_new_tokens, config.temperature, stop_ids=renderer.stop_ids)

    def rollout() -> float:
        started = time.perf_counter()
        for _ in engine.generate(prompts, config.samples_per_prompt, sampling, RolloutKey(0, "profile", 0)):
            pass
        return time.perf_counter() - started

    before = rollout()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        rollout()
    wall = (before + rollout()) / 2
    groups: dict[str, float] = {}
    for event in profiler.key_averages():
        group = group_of(event.key)
        groups[group] = groups.get(group, 0.0) + event.self_cpu_time_total / 1e6
    shares = {name: seconds / wall for name, seconds in sorted(groups.items(), key=lambda item: -item[1])}
    return {**shares, "Python and torch's own calls": 1 - sum(shares.values())}


def per_cent(title: str, parts: Mapping[str, float]) -> str:
    return table([title, "%"], [[name, f"{100 * share:.1f}"] for name, share in parts.items()])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("setting", choices=("tiny", "smollm2"))
    parser.add_argument("--steps", type=int, help="steps timed (tiny: 10, smollm2: 2)")
    parser.add_argument("--rollout-weights", default="fp32", choices=("fp32", "bf16", "int8"))
    parser.add_argument("--gsm8k", type=Path, default=DATA, help="GSM8K's train.jsonl")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        if given.setting == "tiny":
            setting, steps = tiny(Path(folder), 16, 8, 200), given.steps or 10
        else:
            setting, steps = smollm2(Path(folder), 4, 8, 128, given.gsm8k), given.steps or 2
        step = OurStep(setting.options(), {"rollout_weights": given.rollout_weights})
        note("timing steps …")
        whole = step_parts(step, steps)
        note("profiling a rollout …")
        rollout = rollout_parts(step)
        step.close()
    text = per_cent(f"a step of {given.setting}, {given.rollout_weights}", whole)
    text += "\n\n" + per_cent("of the sampling", rollout)
    name = f"step_profile-{given.setting}"
    report(name, given.threads, text, {"step": whole, "rollout": rollout}, save=given.save)


if __name__ == "__main__":
    main()
