"""Answers of several sources to the same prompts, shard by shard: what `preferences` and `labels` stages judge.

A source is a model (a stage, `base`, `small_base`) or `rules`: the tiny world's people, who answer well and badly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field

from ahalab.counter import make_key
from ahalab.errors import Interrupted, UserError
from ahalab.records import Prompt
from ahalab.runs.atomic import remove_leftovers
from ahalab.stages.context import StageContext
from ahalab.stages.inputs import InputRef
from ahalab.stages.sample_config import RULES, SamplingConfig
from ahalab.stages.sampling_shards import ModelSampler, build_pool, response_of
from ahalab.stages.shards import SHARD, cut, is_done, read_shards, write_shard
from ahalab.validation import told

FOLDER = "shards"
"""Folder of what was judged, a file a shard."""


class AnswerConfig(SamplingConfig):
    """Whose answers are judged, and how they are drawn."""

    from_: list[Annotated[str, Field(min_length=1)]] = Field(
        alias="from",
        min_length=1,
        description="Stages whose models answer, `base`, `small_base`, and `rules` (the tiny world's good and bad "
        "answers).",
    )
    n: Annotated[int, Field(ge=1)] = Field(500, description="Prompts.")
    per_prompt: Annotated[int, Field(ge=1)] = Field(1, description="Answers per prompt from each source.")

    def input_refs(self) -> dict[str, InputRef]:
        """The models, numbered as in the list; `rules` needs none."""
        return {f"from[{place}]": InputRef(name) for place, name in enumerate(self.from_) if name != RULES}

    def require_answers(self, fewest: int, what: str) -> Self:
        """Refuse a source that is named twice, and fewer answers a prompt than `fewest`."""
        if len(set(self.from_)) < len(self.from_):
            raise told("`from` names a source twice: it would give the same answers twice")
        if len(self.from_) * self.per_prompt < fewest:
            raise told(f"{what} needs {fewest} answers a prompt: raise per_prompt or name more sources")
        models = [name for name in self.from_ if name != RULES]
        if models and self.temperature == 0 and self.per_prompt > 1:
            raise told("temperature 0 gives equal answers: set per_prompt to 1, or a temperature above 0")
        return self


@dataclass(frozen=True, slots=True)
class Answer:
    """One response of one source."""

    source: str
    index: int
    thinking: str
    summary: str
    """The final answer; "" where the response has none."""

    @property
    def name(self) -> str:
        """Unique among the answers to one prompt."""
        return f"{self.source}/{self.index}"


class Answers:
    """All sources' answers to a stage's prompts. One model is in memory at a time, so models are sampled in turn."""

    def __init__(self, config: AnswerConfig, context: StageContext, prompts: Sequence[Prompt]) -> None:
        self.context = context
        self.shards = cut(prompts, SHARD)
        self._config = config
        self._key = make_key(context.seed, context.name)
        self._pool = build_pool(config, context)
        self._samplers = {
            name: ModelSampler(config, context, context.inputs[f"from[{place}]"], self._pool, name)
            for place, name in enumerate(config.from_)
            if name != RULES
        }

    def sample(self) -> None:
        """Sample whatever is not written yet.

        Raises:
            Interrupted: Ctrl-C; finished shards stay.
        """
        progress, sizes = self.context.progress, [len(shard) for shard in self.shards]
        for name, sampler in self._samplers.items():
            there = sum(size for number, size in enumerate(sizes) if sampler.has(number))
            progress.begin(f"{self.context.name}: {name}", sum(sizes), "prompt", there)
            try:
                for number, shard in enumerate(self.shards):
                    if sampler.has(number):
                        continue
                    sampler.rows(number, shard, self._config.per_prompt)
                    progress.advance(sum(sizes[: number + 1]), {})
                    if self.context.interrupt.asked:
                        raise Interrupted(
                            f"{self.context.name}: {number + 1} of {len(sizes)} shards of {name} are saved."
                        )
            finally:
                progress.end()
                sampler.forget()

    def of(self, number: int) -> list[list[Answer]]:
        """The answers to each prompt of a shard, sources in the order of the config."""
        shard, k = self.shards[number], self._config.per_prompt
        found: list[list[Answer]] = [[] for _ in shard]
        for name in self._config.from_:
            if name == RULES:
                for place, prompt in enumerate(shard):
                    found[place] += [self._by_rules(prompt, index) for index in range(k)]
            else:
                rows = self._samplers[name].rows(number, shard, k)
                for place in range(len(shard)):
                    found[place] += [_answer(name, row) for row in rows[place * k : (place + 1) * k]]
        return found

    def close(self) -> None:
        """Stop the graders."""
        self._pool.close()

    def _by_rules(self, prompt: Prompt, index: int) -> Answer:
        from ahalab.world.domain import CannotRefine
        from ahalab.world.teacher import respond_variously

        try:
            thinking, summary = respond_variously(prompt, make_key(self._key, RULES, prompt.id, index))
        except CannotRefine as error:
            raise UserError(
                f"{self.context.name}: `rules` in `from` knows the tiny world only, and the prompt {prompt.id} is none "
                f"of it ({error}). Take prompts from `{{world: …}}`, or leave `rules` out."
            ) from error
        return Answer(RULES, index, thinking, summary)


def make_shards(
    answers: Answers,
    judge: Callable[[Sequence[Prompt], Sequence[Sequence[Answer]]], Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Sample, then write what `judge` makes of each shard; all lines, those of finished shards included.

    Raises:
        Interrupted: Ctrl-C; finished shards stay.
    """
    context, shards = answers.context, answers.shards
    folder = context.folder / FOLDER
    folder.mkdir(exist_ok=True)
    remove_leftovers(folder)
    done = [is_done(folder, number) for number in range(len(shards))]
    if not all(done):
        answers.sample()
    sizes = [len(shard) for shard in shards]
    context.progress.begin(
        context.name, sum(sizes), "prompt", sum(s for s, d in zip(sizes, done, strict=True) if d)
    )
    try:
        for number, shard in enumerate(shards):
            if done[number]:
                continue
            write_shard(folder, number, judge(shard, answers.of(number)))
            context.progress.advance(sum(sizes[: number + 1]), {})
            if context.interrupt.asked and number + 1 < len(shards):
                raise Interrupted(
                    f"{context.name}: {number + 1} of {len(shards)} shards are judged and saved."
                )
    finally:
        context.progress.end()
    return list(read_shards(folder))


def _answer(source: str, row: dict[str, Any]) -> Answer:
    response = response_of(row)
    # A summary cut off by the length limit is no final answer.
    summary = response.answer if row["finish"] == "stop" else None
    return Answer(source, row["sample"], response.thinking or "", summary or "")
