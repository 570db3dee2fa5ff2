"""The `evaluate` stage: k samples for each of n prompts, graded, estimated. It resumes by shards of prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ahalab.errors import Interrupted
from ahalab.evaluation.estimators import bootstrap, pass_at_k
from ahalab.policy.load import load_policy
from ahalab.prompts.config import PromptEntry
from ahalab.rollout.engine import RolloutKey, Sampling
from ahalab.runs.atomic import remove_leftovers
from ahalab.runs.jsonl import JsonlWriter, read_jsonl
from ahalab.stages.collect import RewardRules
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.inputs import StageConfig
from ahalab.stages.sample_metrics import mean
from ahalab.stages.setup import build_collector, settle_prompts
from ahalab.validation import told

VERSION = 1

EVALUATION_RULES = RewardRules({"accuracy": 1.0, "format": 1.0}, accuracy_needs_format=False)
"""Both parts are measured, each on its own."""

WALL_TIMEOUT = "wall time-out"
"""How the graders begin the error of an answer that the clock cut off: such a run need not come out the same."""

SHARD = 50
"""Prompts per shard: the unit that restarts after a kill."""


class EvaluateConfig(StageConfig):
    """pass@1 as the mean over k samples, unbiased pass@k, and how long and how reflective the thinking is."""

    from_: str = Field("base", alias="from", description="Stage whose checkpoint is evaluated, or `base`.")
    prompts: list[PromptEntry] = Field(min_length=1, description="Prompt sources with their weights.")
    n: Annotated[int, Field(ge=1)] = Field(200, description="Prompts.")
    k: Annotated[int, Field(ge=1)] = Field(
        16, description="Samples per prompt.", json_schema_extra={"paper": "4 to 64; AIME 64, MATH 16"}
    )
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(
        0.6, description="Sampling temperature.", json_schema_extra={"paper": 0.6}
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        0.95, description="Nucleus sampling.", json_schema_extra={"paper": 0.95}
    )
    max_new_tokens: Annotated[int, Field(ge=1)] = Field(
        256, description="Longest completion.", json_schema_extra={"paper": 32768}
    )
    template: Literal["auto", "chat", "table1"] = Field("auto", description="Prompt template.")
    think_prefill: bool = Field(False, description="Put `<think>` at the end of the prompt.")
    max_rows: Annotated[int, Field(ge=1)] = Field(128, description="Rows sampled side by side.")
    grader_workers: Annotated[int, Field(ge=1, le=64)] = Field(2, description="Grader processes.")
    grader_cpu_seconds: Annotated[float, Field(gt=0)] = Field(
        5.0, description="CPU time one answer may take."
    )

    @model_validator(mode="after")
    def _check_together(self) -> EvaluateConfig:
        if self.temperature == 0 and self.k > 1:
            raise told("temperature 0 gives k equal samples: set k to 1, or a temperature above 0")
        return self


def run_evaluate(config: EvaluateConfig, context: StageContext) -> StageResult:
    """Sample, grade, estimate; leaves `samples/shard-*.jsonl` and the figures.

    Raises:
        Interrupted: Ctrl-C; finished shards stay and are not sampled again.
    """
    mixture = settle_prompts(config.prompts, context)
    prompts = mixture.take(0, config.n)
    shards = [prompts[start : start + SHARD] for start in range(0, len(prompts), SHARD)]
    folder = context.folder / "samples"
    folder.mkdir(exist_ok=True)
    remove_leftovers(folder)
    # Only the shard's rename makes it a shard; a half-written one is overwritten.
    done = [(folder / _name(number)).is_file() for number in range(len(shards))]
    context.progress.begin(context.name, len(prompts), "prompt", sum(map(len, _where(shards, done))))
    try:
        if not all(done):
            policy = load_policy(context.inputs["from"])
            collector = build_collector(config, policy, EVALUATION_RULES)
            sampling = Sampling(
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                top_p=config.top_p,
                stop_ids=collector.renderer.stop_ids,
            )
            try:
                for number, shard in enumerate(shards):
                    if done[number]:
                        continue
                    key = RolloutKey(context.seed, context.name, number)
                    groups = collector.collect(
                        shard, config.k, sampling, key, _counter(context, number * SHARD, config.k)
                    )
                    _write_shard(folder, number, [g.row(0, number, None) for group in groups for g in group])
                    accuracy = mean([graded.verdict.score for group in groups for graded in group])
                    context.progress.advance(min((number + 1) * SHARD, len(prompts)), {"accuracy": accuracy})
                    if context.interrupt.asked and number + 1 < len(shards):
                        raise Interrupted(f"{context.name}: {number + 1} of {len(shards)} shards are saved.")
            finally:
                collector.pool.close()
    finally:
        context.progress.end()
    figures = evaluation_figures(_rows(folder), config)
    waited = any(str(row["error"]).startswith(WALL_TIMEOUT) for row in _rows(folder))
    return StageResult(figures, reproducible=not waited)


def _counter(context: StageContext, before: int, k: int) -> Callable[[int], None]:
    """Shows whole prompts' worth of samples as they come; which prompts they are of, nobody needs to know."""

    def count(samples: int) -> None:
        if samples % k == 0:
            context.progress.advance(before + samples // k, {})

    return count


def evaluation_figures(rows: Iterator[dict[str, Any]], config: EvaluateConfig) -> dict[str, Any]:
    """The estimates from sample rows, `config.k` rows a prompt in order.

    A sample whose grader failed leaves its prompt's mean; a prompt with no graded sample leaves the estimate.
    Both are counted.
    """
    items: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        items[row["prompt_id"]].append({key: row[key] for key in _KEPT})
    graded = {
        name: [row["correct"] for row in samples if row["correct"] is not None]
        for name, samples in items.items()
    }
    kept = {name: scores for name, scores in graded.items() if scores}
    everything = [row for samples in items.values() for row in samples]
    figures: dict[str, Any] = {
        "settings": {
            "temperature": config.temperature,
            "top_p": config.top_p,
            "max_new_tokens": config.max_new_tokens,
        },
        "pass@1": _estimate([sum(scores) / len(scores) for scores in kept.values()], config.k),
        **{name: _over_items(items, value, config.k) for name, value in _MEANS.items()},
        "reflective_per_1k": bootstrap(
            [sum(1000.0 * _words(row) for row in samples) for samples in items.values()],
            config.k,
            [sum(row["tokens"] for row in samples) for samples in items.values()],
        ).as_dict(),
        "truncated": mean([row["finish"] == "length" for row in everything]),
        "grader_errors": sum(row["error"] is not None for row in everything),
        "prompts_not_graded": len(items) - len(kept),
        "by_level": _by_level(items, config.k),
    }
    if config.k > 1:
        # Only prompts with all k samples graded: pass@k needs k.
        full = [scores for scores in kept.values() if len(scores) == config.k]
        figures[f"pass@{config.k}"] = _estimate(
            [pass_at_k(config.k, sum(score >= 1.0 for score in scores), config.k) for scores in full],
            config.k,
        )
    return figures


_KEPT = (
    "level",
    "correct",
    "tokens",
    "thinking_tokens",
    "well_formed",
    "mixed",
    "finish",
    "error",
    "reflective",
)


def _words(row: dict[str, Any]) -> int:
    return sum(row["reflective"].values())


_MEANS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "thinking_tokens": lambda row: row["thinking_tokens"],
    "tokens_per_answer": lambda row: row["tokens"],
    "reflective_per_answer": _words,
    "format": lambda row: row["well_formed"],
    "language_mixing": lambda row: row["mixed"],
}
"""Figures that are means over samples; None leaves a sample out (a thinking without words mixes nothing)."""


def _estimate(items: Sequence[float], k: int) -> dict[str, float | int] | None:
    return bootstrap(items, k).as_dict() if items else None


def _over_items(
    items: dict[str, list[dict[str, Any]]], value: Callable[[dict[str, Any]], float | None], k: int
) -> dict[str, float | int] | None:
    means = (mean([value(row) for row in samples]) for samples in items.values())
    return _estimate([figure for figure in means if figure is not None], k)


def _by_level(items: dict[str, list[dict[str, Any]]], k: int) -> dict[str, Any]:
    levels: dict[int, list[float]] = defaultdict(list)
    for samples in items.values():
        scores = [row["correct"] for row in samples if row["correct"] is not None]
        if samples[0]["level"] is not None and scores:
            levels[samples[0]["level"]].append(sum(scores) / len(scores))
    return {str(level): {"pass@1": _estimate(levels[level], k)} for level in sorted(levels)}


def _write_shard(folder: Path, number: int, rows: Sequence[dict[str, Any]]) -> None:
    temporary = folder / f".tmp-{_name(number)}"
    temporary.unlink(missing_ok=True)
    with JsonlWriter(temporary) as writer:
        for row in rows:
            writer.append(row)
    temporary.rename(folder / _name(number))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("shard-*.jsonl")):
        yield from read_jsonl(path)


def _where(shards: Sequence[Sequence[Any]], done: Sequence[bool]) -> list[Sequence[Any]]:
    return [shard for shard, finished in zip(shards, done, strict=True) if finished]


def _name(number: int) -> str:
    return f"shard-{number:06d}.jsonl"
