"""The `evaluate` stage: k samples for each of n prompts, graded, estimated. It resumes by shards of prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ahalab.errors import Interrupted
from ahalab.evaluation.figures import evaluation_figures
from ahalab.policy.load import load_policy
from ahalab.prompts.config import PromptEntry
from ahalab.rewards import RewardRules
from ahalab.rollout.engine import RolloutKey, Sampling
from ahalab.runs.atomic import remove_leftovers
from ahalab.stages.collect import GradedSample
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.inputs import StageConfig
from ahalab.stages.sample_metrics import reasoning_accuracy
from ahalab.stages.setup import build_collector, settle_prompts
from ahalab.stages.shards import SHARD, cut, is_done, read_shards, write_shard
from ahalab.validation import told

VERSION = 4

EVALUATION_RULES = RewardRules({"accuracy": 1.0, "format": 1.0}, accuracy_needs_format=False)
"""Both parts are measured, each on its own."""

WALL_TIMEOUT = "wall time-out"
"""How the graders begin the error of an answer that the clock cut off: such a run need not come out the same."""


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
    shards = cut(prompts, SHARD)
    folder = context.folder / "samples"
    folder.mkdir(exist_ok=True)
    remove_leftovers(folder)
    # Only the shard's rename makes it a shard; a half-written one is overwritten.
    done = [is_done(folder, number) for number in range(len(shards))]
    context.progress.begin(context.name, len(prompts), "prompt", sum(map(len, _where(shards, done))))
    try:
        if not all(done):
            policy = load_policy(context.inputs["from"])
            collector = build_collector(config, policy, EVALUATION_RULES, sandbox=context.sandbox)
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
                    write_shard(
                        folder, number, [evaluation_row(one, number) for group in groups for one in group]
                    )
                    accuracy = reasoning_accuracy([graded for group in groups for graded in group])
                    context.progress.advance(min((number + 1) * SHARD, len(prompts)), {"accuracy": accuracy})
                    if context.interrupt.asked and number + 1 < len(shards):
                        raise Interrupted(f"{context.name}: {number + 1} of {len(shards)} shards are saved.")
            finally:
                collector.pool.close()
    finally:
        context.progress.end()
    settings = {name: getattr(config, name) for name in ("temperature", "top_p", "max_new_tokens")}
    figures = evaluation_figures(read_shards(folder), config.k, settings)
    waited = any(str(row["error"]).startswith(WALL_TIMEOUT) for row in read_shards(folder))
    return StageResult(figures, reproducible=not waited)


def _counter(context: StageContext, before: int, k: int) -> Callable[[int], None]:
    """Shows whole prompts' worth of samples as they come; which prompts they are of, nobody needs to know."""

    def count(samples: int) -> None:
        if samples % k == 0:
            context.progress.advance(before + samples // k, {})

    return count


def evaluation_row(graded: GradedSample, number: int) -> dict[str, Any]:
    """The line of `samples/*.jsonl`; with what the world's rules need to judge the answer again later."""
    row = graded.row(0, number, None)
    if "world" in graded.prompt.extra:
        row["extra"] = dict(graded.prompt.extra)
    return row


def _where(shards: Sequence[Sequence[Any]], done: Sequence[bool]) -> list[Sequence[Any]]:
    return [shard for shard, finished in zip(shards, done, strict=True) if finished]
