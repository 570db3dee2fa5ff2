"""A model's samples, shard by shard: a shard that is written is read back, not sampled again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from ahalab.counter import make_key
from ahalab.errors import UserError
from ahalab.grading.pool import GraderPool
from ahalab.policy.load import Policy, load_policy, model_folder
from ahalab.records import Prompt, Response
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.runs.atomic import read_json, remove_leftovers, write_json
from ahalab.stages.collect import Collector
from ahalab.stages.context import StageContext
from ahalab.stages.evaluate import EVALUATION_RULES, WALL_TIMEOUT
from ahalab.stages.sample_config import SamplingConfig
from ahalab.stages.setup import build_renderer
from ahalab.stages.shards import is_done, read_shard, read_shards, write_shard
from ahalab.text.parse import parse_response


class ModelSampler:
    """One model of a data stage. It is loaded when something is to be sampled, not before.

    Args:
        name: of the model among the stage's; "" where the stage has one. It keeps files and random numbers apart.
        model: the base's name or the checkpoint folder.
        pool: the stage's graders.
    """

    def __init__(
        self, config: SamplingConfig, context: StageContext, model: str, pool: GraderPool, name: str = ""
    ) -> None:
        self._config, self._context, self._model, self._pool, self._name = config, context, model, pool, name
        self._prefix = f"{name}-" if name else ""
        self._collector: Collector | None = None
        self.folder = context.folder / "samples"
        self.folder.mkdir(exist_ok=True)
        remove_leftovers(self.folder)

    def has(self, number: int) -> bool:
        """Whether a shard is written."""
        return is_done(self.folder, number, self._prefix)

    def rows(
        self,
        number: int,
        prompts: Sequence[Prompt],
        per_prompt: int,
        on_prompt: Callable[[int], None] = lambda _done: None,
    ) -> list[dict[str, Any]]:
        """The rows of `samples/` for one shard, `per_prompt` rows a prompt in order. `on_prompt` hears how many
        prompts' worth of samples are there."""
        if not self.has(number):
            collector = self._loaded()
            key = RolloutKey(self._context.seed, self._stage(), number)

            def count(samples: int) -> None:
                if samples % per_prompt == 0:
                    on_prompt(samples // per_prompt)

            groups = collector.collect(prompts, per_prompt, self._sampling(collector), key, count)
            rows = [graded.row(0, number, None) for group in groups for graded in group]
            write_shard(self.folder, number, rows, self._prefix)
        return read_shard(self.folder, number, self._prefix)

    def complete(self, texts: Sequence[str], keys: Sequence[int]) -> list[str]:
        """Completions of raw texts, one a key: what `teacher: self` asks of the model. "" (the teacher's failure to
        count) for a text that leaves no room for an answer in a model with a fixed number of positions."""
        collector = self._loaded()
        room = collector.policy.decoder.max_positions
        # Named by key and text, not by place: a request's random numbers do not depend on the batch it is in.
        names = [f"{make_key(key, text):016x}" for text, key in zip(texts, keys, strict=True)]
        prompts = {
            name: PromptTokens(name, tuple(collector.renderer.completion_ids(text)))
            for name, text in zip(names, texts, strict=True)
        }
        asked = [
            prompt
            for prompt in prompts.values()
            if room is None or len(prompt.token_ids) + self._config.max_new_tokens <= room
        ]
        key = RolloutKey(self._context.seed, f"{self._stage()}/self", 0)
        samples = collector.engine.generate(asked, 1, self._sampling(collector), key)
        found = {sample.prompt_id: collector.renderer.decode(sample.token_ids) for sample in samples}
        return [found.get(name, "") for name in names]

    def forget(self) -> None:
        """Let go of the model, so that the next one has room."""
        self._collector = None

    def _loaded(self) -> Collector:
        if self._collector is None:
            policy: Policy = load_policy(self._model)
            engine = EmbeddedEngine(policy.decoder, max_rows=self._config.max_rows)
            self._collector = Collector(
                policy, build_renderer(self._config, policy), engine, self._pool, EVALUATION_RULES
            )
        return self._collector

    def _stage(self) -> str:
        return f"{self._context.name}/{self._name}" if self._name else self._context.name

    def _sampling(self, collector: Collector) -> Sampling:
        return Sampling(
            max_new_tokens=self._config.max_new_tokens,
            temperature=self._config.temperature,
            top_p=self._config.top_p,
            stop_ids=collector.renderer.stop_ids,
        )


def clock_decided(context: StageContext) -> bool:
    """Whether a grader was cut off by the clock on any sample: such a stage need not come out the same again."""
    return any(
        str(row["error"]).startswith(WALL_TIMEOUT) for row in read_shards(context.folder / "samples", "*")
    )


def response_of(row: dict[str, Any]) -> Response:
    """The response that a row of `samples/` holds."""
    return parse_response(row["text"], row["finish"])


def build_pool(config: SamplingConfig, context: StageContext) -> GraderPool:
    """The graders of a data stage; close them when done."""
    return GraderPool(config.grader_workers, config.grader_cpu_seconds, sandbox=context.sandbox)


def token_counter(model: str) -> Callable[[str], int]:
    """Counts the tokens of a text by the model's tokenizer, without loading its weights.

    Raises:
        UserError: the model cannot be found, or has no tokenizer.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_folder(model))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"the tokenizer of {model} cannot be loaded: {str(error).splitlines()[0]}") from error
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else 0


def hold_to(context: StageContext, name: str, stated: Any, what: str) -> None:
    """Write down in the stage's folder what it began with; an interrupted stage may only go on with the same.

    Raises:
        UserError: `what` changed since the stage began.
    """
    path: Path = context.folder / name
    if not path.is_file():
        write_json(path, stated)
    elif read_json(path) != stated:
        raise UserError(
            f"{what} of {context.name} changed since it began ({path} says what was there). Put it back as it was and "
            "run the same command, or choose another folder for a new run."
        )
