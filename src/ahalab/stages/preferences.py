"""The `preferences` stage: pairs of answers of which a judge preferred one: data for the helpful reward model.

prompts ─► answers of several models ─► random pairs ─► four verdicts each ─► mean above 1 ─► lengths balanced
Paper §3.1: DeepSeek-V3 as judge, asked four times with the places at random, pairs kept where the difference exceeds
1, lengths made comparable over the whole set. Only final summaries are compared. It resumes by shards of prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from ahalab.counter import make_key, permutation
from ahalab.errors import UserError
from ahalab.records import PreferencePair, Prompt
from ahalab.stages.answers import Answer, AnswerConfig, Answers, make_shards
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.datasets import FOLDER_NAME, describe_dropped, write_dropped, write_pairs
from ahalab.stages.helpers import Helpers, build_judge, check_helpers
from ahalab.stages.inputs import paper_field
from ahalab.stages.sample_config import RULES, endpoints_among
from ahalab.stages.sampling_shards import clock_decided
from ahalab.stages.setup import build_prompts, settle_prompts
from ahalab.teachers import Failure
from ahalab.teachers.balance import balance_lengths, length_figures
from ahalab.teachers.comparison import CALLS, KEEP_ABOVE, Comparison, compare_many, position_bias

VERSION = 1
"""Raised whenever the same inputs would give other bytes."""

EQUAL, TIE, UNBALANCED = "equal texts", "no clear preference", "lengths not balanced"
"""Reasons for which a pair is dropped; a judge's failure is counted under its own."""
NO_SUMMARY = "answer without a summary"
"""Counts answers, not pairs: they are dropped before pairs are drawn."""


class PreferencesConfig(AnswerConfig):
    """Which answers are compared, by whom, and which pairs are kept."""

    n: Annotated[int, Field(ge=1)] = paper_field(500, "Prompts.", "66,000 pairs")
    per_prompt: Annotated[int, Field(ge=1)] = paper_field(
        4, "Answers per prompt from each source.", "two responses are compared"
    )
    pairs_per_prompt: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Most pairs of one prompt. Pairs are drawn at random over all sources and share no answer; null "
        "uses every answer once.",
    )
    judge: Annotated[str, Field(min_length=1)] = paper_field(
        RULES,
        "Who compares: `rules` or an endpoint of the recipe.",
        "DeepSeek-V3",
        "with the arena-hard prompt",
    )
    keep_above: Annotated[float, Field(ge=0, lt=2)] = paper_field(
        KEEP_ABOVE,
        f"A pair is kept when the mean of its {CALLS} verdicts (-2 to 2) is further from 0 than this.",
        1.0,
        "the scale is not printed: five labels from -2 to 2 are our reading",
    )
    balance: bool = paper_field(
        True, "Balance the lengths of chosen and rejected answers over the whole set.", True
    )

    @model_validator(mode="after")
    def _enough_answers(self) -> PreferencesConfig:
        return self.require_answers(2, "a pair")

    def endpoint_names(self) -> tuple[str, ...]:
        """The judge, where it is no rule."""
        return endpoints_among(self.judge)


def check_preferences(config: PreferencesConfig, context: StageContext) -> None:
    """What can be known before anything is spent. Raises UserError: bad prompts, an unknown judge."""
    build_prompts(config.prompts, context).take(0, config.n)
    check_helpers(context, (), (config.judge, config.prompts_folder))


def run_preferences(config: PreferencesConfig, context: StageContext) -> StageResult:
    """Sample, pair, judge, balance; leaves `data/pairs.jsonl`.

    Raises:
        UserError: no pair is left (says what took how many).
        Interrupted: Ctrl-C; finished shards stay.
    """
    prompts = settle_prompts(config.prompts, context).take(0, config.n)
    judge = build_judge(config.judge, context, config.prompts_folder)
    helpers = Helpers(context, {"judge": judge})
    key = make_key(context.seed, context.name)
    answers = Answers(config, context, prompts)

    def judged(shard: Sequence[Prompt], found: Sequence[Sequence[Answer]]) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        drawn: list[_Pair] = []
        for prompt, group in zip(shard, found, strict=True):
            usable = [answer for answer in group if answer.summary]
            lines += [_unusable(prompt, answer) for answer in group if not answer.summary]
            drawn += _draw(prompt, usable, config.pairs_per_prompt, key)
        asked = [one for one in drawn if not one.equal]
        items = [
            (one.prompt, one.first.summary, one.second.summary, make_key(key, "judge", one.id))
            for one in asked
        ]
        verdicts = dict(zip([one.id for one in asked], compare_many(judge, items), strict=True))
        lines += [one.line(verdicts.get(one.id), config.keep_above, context.name) for one in drawn]
        return [*lines, {"counts": helpers.counts_since()}]

    try:
        lines = make_shards(answers, judged)
    finally:
        answers.close()
        helpers.report_traffic()
    return _finish(config, context, lines, helpers, len(prompts))


class _Pair:
    """Two answers to one prompt, before the verdict."""

    def __init__(self, prompt: Prompt, first: Answer, second: Answer) -> None:
        self.prompt, self.first, self.second = prompt, first, second
        self.id = f"{prompt.id}#{first.name}+{second.name}"

    @property
    def equal(self) -> bool:
        """There is nothing to prefer."""
        return self.first.summary == self.second.summary

    def line(self, verdict: Comparison | Failure | None, keep_above: float, stage: str) -> dict[str, Any]:
        """The line of a shard file: the pair, or why there is none; the four verdicts where they were given."""
        stated: dict[str, Any] = {"id": self.id, "pair": None, "drop": EQUAL if self.equal else None}
        if isinstance(verdict, Failure):
            stated["drop"] = f"judge: {verdict.reason}"
        elif verdict is not None:
            stated |= {"shown": list(verdict.shown), "swapped": list(verdict.swapped)}
            if abs(verdict.mean) > keep_above:
                stated["pair"] = self._pair(verdict.mean, stage)
                better, worse = self._ordered(verdict.mean)
                stated |= {"chosen_from": better.source, "rejected_from": worse.source}
            else:
                stated["drop"] = TIE
        return stated

    def _ordered(self, mean: float) -> tuple[Answer, Answer]:
        return (self.first, self.second) if mean > 0 else (self.second, self.first)

    def _pair(self, mean: float, stage: str) -> dict[str, Any]:
        better, worse = self._ordered(mean)
        return {
            "id": self.id,
            "question": self.prompt.question,
            "chosen": better.summary,
            "rejected": worse.summary,
            "domain": self.prompt.domain,
            "language": self.prompt.language,
            "source": f"{stage}: {better.source} over {worse.source}",
            "margin": abs(mean),
        }


def _unusable(prompt: Prompt, answer: Answer) -> dict[str, Any]:
    return {"id": f"{prompt.id}#{answer.name}", "pair": None, "drop": NO_SUMMARY}


def _draw(prompt: Prompt, group: Sequence[Answer], most: int | None, key: int) -> list[_Pair]:
    """Random pairs of a prompt's answers that share none."""
    order = permutation(make_key(key, "pairs", prompt.id), len(group))
    count = len(group) // 2 if most is None else min(most, len(group) // 2)
    return [_Pair(prompt, group[order[2 * number]], group[order[2 * number + 1]]) for number in range(count)]


def _finish(
    config: PreferencesConfig,
    context: StageContext,
    lines: Sequence[dict[str, Any]],
    helpers: Helpers,
    n_prompts: int,
) -> StageResult:
    found = [line for line in lines if "counts" not in line]
    judged = [PreferencePair(**line["pair"]) for line in found if line["pair"] is not None]
    pairs = balance_lengths(judged) if config.balance else judged
    dropped = Counter(line["drop"] for line in found if line["drop"] is not None)
    dropped[UNBALANCED] = len(judged) - len(pairs)
    data = context.folder / FOLDER_NAME
    data.mkdir(exist_ok=True)
    write_dropped(data, dropped)
    drawn = len(found) - dropped[NO_SUMMARY]
    if not pairs:
        raise UserError(
            f"{context.name}: no pair is left of {drawn} drawn from {n_prompts} prompts: "
            f"{describe_dropped(+dropped)}. Let sources of different strength answer (`from: [model, base, rules]`), "
            "raise n or per_prompt, or lower keep_above."
        )
    write_pairs(data, pairs)
    comparisons = [Comparison(tuple(one["shown"]), tuple(one["swapped"])) for one in found if "shown" in one]
    kept = {pair.id for pair in pairs}
    figures = {
        "prompts": n_prompts,
        "pairs_drawn": drawn,
        **length_figures(pairs),
        "before_balancing": length_figures(judged),
        "position_bias": position_bias(comparisons),
        "margin": sum(pair.margin for pair in pairs) / len(pairs),
        "sources": _sources([line for line in found if line["id"] in kept]),
        "domains": dict(sorted(Counter(pair.domain for pair in pairs).items())),
        "dropped": dict(sorted((+dropped).items())),
        **helpers.figures(line["counts"] for line in lines if "counts" in line),
    }
    return StageResult(figures, reproducible=not clock_decided(context))


def _sources(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Source → in how many pairs its answer was chosen, and rejected."""
    chosen = Counter(line["chosen_from"] for line in lines)
    rejected = Counter(line["rejected_from"] for line in lines)
    return {
        name: {"chosen": chosen[name], "rejected": rejected[name]} for name in sorted({*chosen, *rejected})
    }
