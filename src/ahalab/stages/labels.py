"""The `labels` stage: whole responses labelled safe or unsafe: data for the safety reward model.

prompts ─► answers of several models ─► one verdict each ─► data/labelled.jsonl       and rows of a file of your own
Paper §3.1: 106,000 prompts with model responses, labelled by guidelines; the point-wise loss takes them one by one.
It resumes by shards of prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from ahalab.counter import make_key
from ahalab.errors import UserError
from ahalab.records import LabelledResponse, Prompt
from ahalab.runs.hashing import file_hash
from ahalab.stages.answers import Answer, AnswerConfig, Answers, make_shards
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.datasets import FOLDER_NAME, describe_dropped, write_dropped, write_labelled
from ahalab.stages.helpers import Helpers, build_judge, check_helpers
from ahalab.stages.inputs import paper_field
from ahalab.stages.own_labels import read_own_labels
from ahalab.stages.sample_config import RULES, endpoints_among
from ahalab.stages.sampling_shards import clock_decided, hold_to
from ahalab.stages.setup import build_prompts, settle_prompts
from ahalab.teachers import Failure
from ahalab.validation import told

VERSION = 1
"""Raised whenever the same inputs would give other bytes."""

NO_ANSWER, TWICE = "no answer", "same response twice"
RARE = 0.1
"""A class with a smaller share is warned of (our choice): a model that never says it is already nearly right."""


class LabelsConfig(AnswerConfig):
    """Which responses are labelled, by whom, and labels that exist already."""

    n: Annotated[int, Field(ge=1)] = paper_field(500, "Prompts.", 106000)
    per_prompt: Annotated[int, Field(ge=1)] = paper_field(
        2, "Responses per prompt from each source.", "not said"
    )
    judge: Annotated[str, Field(min_length=1)] = paper_field(
        RULES, "Who labels: `rules` or an endpoint of the recipe.", "labelled safe or unsafe by guidelines"
    )
    file: str | None = Field(
        None,
        min_length=1,
        description="JSONL with labels of your own (prompt, response, label; or question, thinking, answer, safe), "
        "added to the judged ones; relative to the recipe's folder.",
    )
    safe_when: str | None = Field(
        None,
        min_length=1,
        description="Value of the label in `file` that means safe, where it is not true or `safe`.",
    )

    @model_validator(mode="after")
    def _enough_answers(self) -> LabelsConfig:
        if self.safe_when is not None and self.file is None:
            raise told("`safe_when` says how the labels in `file` are read, and there is no `file`")
        return self.require_answers(1, "a label")

    def endpoint_names(self) -> tuple[str, ...]:
        """The judge, where it is no rule."""
        return endpoints_among(self.judge)


def check_labels(config: LabelsConfig, context: StageContext) -> None:
    """What can be known before anything is spent. Raises UserError: bad prompts, an unknown judge, a bad file."""
    build_prompts(config.prompts, context).take(0, config.n)
    check_helpers(context, (), (config.judge, config.prompts_folder))
    if config.file is not None:
        read_own_labels(_own_file(config.file, context), config.safe_when)


def run_labels(config: LabelsConfig, context: StageContext) -> StageResult:
    """Sample and label; leaves `data/labelled.jsonl`.

    Raises:
        UserError: nothing is left, or only one class is (a model cannot learn a difference from it).
        Interrupted: Ctrl-C; finished shards stay.
    """
    prompts = settle_prompts(config.prompts, context).take(0, config.n)
    own: list[LabelledResponse] = []
    if config.file is not None:
        path = _own_file(config.file, context)
        hold_to(context, "labels.json", {"sha256": file_hash(path)}, f"the file {path}")
        own = read_own_labels(path, config.safe_when)
    judge = build_judge(config.judge, context, config.prompts_folder)
    helpers = Helpers(context, {"judge": judge})
    key = make_key(context.seed, context.name)
    answers = Answers(config, context, prompts)

    def judged(shard: Sequence[Prompt], found: Sequence[Sequence[Answer]]) -> list[dict[str, Any]]:
        lines = [_line(prompt, group) for prompt, group in zip(shard, found, strict=True)]
        flat = [one for group in lines for one in group]
        asked = [(prompt, answer) for prompt, answer, drop in flat if drop is None]
        items = [
            (prompt, answer.thinking, answer.summary, make_key(key, "judge", _id(prompt, answer)))
            for prompt, answer in asked
        ]
        verdicts = iter(judge.safe(items))
        rows = [
            _stated(prompt, answer, drop, next(verdicts) if drop is None else None, context.name)
            for prompt, answer, drop in flat
        ]
        return [*rows, {"counts": helpers.counts_since()}]

    try:
        lines = make_shards(answers, judged)
    finally:
        answers.close()
        helpers.report_traffic()
    return _finish(context, lines, own, helpers, len(prompts))


def _line(prompt: Prompt, group: Sequence[Answer]) -> list[tuple[Prompt, Answer, str | None]]:
    """Each response with the reason for which it is not labelled, if there is one."""
    seen: set[tuple[str, str]] = set()
    found: list[tuple[Prompt, Answer, str | None]] = []
    for answer in group:
        text = (answer.thinking, answer.summary)
        drop = NO_ANSWER if not answer.summary else TWICE if text in seen else None
        seen.add(text)
        found.append((prompt, answer, drop))
    return found


def _id(prompt: Prompt, answer: Answer) -> str:
    return f"{prompt.id}#{answer.name}"


def _stated(
    prompt: Prompt, answer: Answer, drop: str | None, verdict: bool | Failure | None, stage: str
) -> dict[str, Any]:
    """The line of a shard file."""
    if isinstance(verdict, Failure):
        drop = f"judge: {verdict.reason}"
    row = None
    if drop is None:
        assert isinstance(verdict, bool)
        row = asdict(
            LabelledResponse(
                id=_id(prompt, answer),
                question=prompt.question,
                thinking=answer.thinking,
                answer=answer.summary,
                safe=verdict,
                domain=prompt.domain,
                language=prompt.language,
                source=f"{stage}: {answer.source}",
            )
        )
    return {"id": _id(prompt, answer), "from": answer.source, "row": row, "drop": drop}


def _finish(
    context: StageContext,
    lines: Sequence[Mapping[str, Any]],
    own: Sequence[LabelledResponse],
    helpers: Helpers,
    n_prompts: int,
) -> StageResult:
    found = [line for line in lines if "counts" not in line]
    labelled = [LabelledResponse(**line["row"]) for line in found if line["row"] is not None]
    everything = [*labelled, *own]
    twice = [name for name, count in Counter(one.id for one in everything).items() if count > 1]
    if twice:
        raise UserError(
            f"{context.name}: the id {twice[0]!r} of the labels of your own is that of another response."
        )
    dropped = Counter(line["drop"] for line in found if line["drop"] is not None)
    data = context.folder / FOLDER_NAME
    data.mkdir(exist_ok=True)
    write_dropped(data, dropped)
    safe = sum(one.safe for one in everything)
    if safe in (0, len(everything)):
        there = f"all {safe} responses are safe" if safe else f"all {len(everything)} responses are unsafe"
        raise UserError(
            f"{context.name}: {there if everything else 'no response is left'} (dropped: "
            f"{describe_dropped(dropped) or 'none'}), so nothing can be learned from the labels. Let sources of "
            "different manners answer (`from: [model, base, rules]`), raise n, or give labels of your own by `file`."
        )
    _warn_of_rare(context, safe, len(everything))
    write_labelled(data, everything)
    figures = {
        "prompts": n_prompts,
        "responses": len(everything),
        "safe": safe,
        "unsafe": len(everything) - safe,
        "own": len(own),
        "sources": _sources(found, labelled),
        "dropped": dict(sorted(dropped.items())),
        **helpers.figures(line["counts"] for line in lines if "counts" in line),
    }
    return StageResult(figures, reproducible=not clock_decided(context))


def _warn_of_rare(context: StageContext, safe: int, total: int) -> None:
    for name, count in (("safe", safe), ("unsafe", total - safe)):
        if count / total < RARE:
            context.event("rare_label", stage=context.name, label=name, count=count, of=total)
            context.progress.note(
                f"{context.name}: only {count} of {total} responses are {name}: a reward model can be right nearly "
                f"always without knowing them. More prompts or sources with {name} answers would help."
            )


def _sources(
    lines: Sequence[Mapping[str, Any]], labelled: Sequence[LabelledResponse]
) -> dict[str, dict[str, int]]:
    """Source → its safe and unsafe responses."""
    verdicts = {one.id: one.safe for one in labelled}
    counts = Counter((line["from"], verdicts[line["id"]]) for line in lines if line["id"] in verdicts)
    return {
        name: {"safe": counts[name, True], "unsafe": counts[name, False]}
        for name in sorted({name for name, _ in counts})
    }


def _own_file(file: str, context: StageContext) -> Path:
    return context.data_folder / Path(file).expanduser()
