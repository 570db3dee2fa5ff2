"""Finished evaluations as logs of Inspect: one log a target and benchmark, with the verdicts of one judge.

Nothing is asked and nothing judged. The figures under the log are made by the code that makes them for a run of
Inspect itself. Logs hold the questions and replies: harmful text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalError,
    EvalLog,
    EvalMetric,
    EvalPlan,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    EvalStats,
    write_eval_log,
)
from inspect_ai.model import ChatCompletionChoice, ChatMessageUser, ModelOutput, ModelUsage

from ahalab import __version__
from ahalab.errors import UserError
from ahalab.runs.atomic import TEMPORARY_PREFIX, read_json
from ahalab.safety.ecosystem.figures import (
    Scored,
    bbq_numbers,
    compliance_numbers,
    group_figures,
    verdict_figures,
)
from ahalab.safety.ecosystem.samples import message_of, sample_of
from ahalab.safety.ecosystem.scoring import score_of
from ahalab.safety.folder import (
    judge_names,
    open_folder,
    read_items,
    read_judgements,
    read_replies,
    target_names,
)
from ahalab.safety.records import Judgement, SafetyItem, TargetReply
from ahalab.validation import suggestion

_STOP = {"length": "max_tokens", "content_filter": "content_filter"}
Parts = Mapping[str, Judgement]
"""Part → what the judge says of it."""


def export(
    folder: Path,
    to: Path,
    judge: str | None = None,
    *,
    note: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write the logs into `to`; their paths. Of several judges the newest is taken unless `judge` names one.

    Sets that are scored without a judge model (BBQ, copyright) bring their own scorer along.

    Raises:
        UserError: the folder is no safety evaluation, has no replies, or no such judge.
    """
    settings = open_folder(folder)
    items = {item.id: item for item in read_items(folder)}
    targets = target_names(folder)
    if not targets:
        raise UserError(f"{folder}: no target has answered yet; there is nothing to export.")
    identities = {name: read_json(folder / "judges" / name / "judge.json") for name in judge_names(folder)}
    judges = _chosen(folder, identities, judge)
    described = {one["name"]: one for one in settings.get("benchmarks", [])}
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for target in targets:
        replies = {reply.item: reply for reply in read_replies(folder, target)}
        said: dict[str, dict[str, Judgement]] = defaultdict(dict)
        for name in judges:
            for one in read_judgements(folder, name, target):
                said[one.item][one.part] = one
        by_set: dict[str, list[SafetyItem]] = defaultdict(list)
        for item in items.values():
            if item.id in replies:
                by_set[item.benchmark].append(item)
        for benchmark, asked in by_set.items():
            log = _log(folder, target, benchmark, asked, replies, said, described.get(benchmark, {}), judges)
            path = to / f"{target}_{benchmark}.eval"
            aside = to / f"{TEMPORARY_PREFIX}{path.name}"
            write_eval_log(log, str(aside), format="eval")
            aside.replace(path)
            note(f"{path}: {len(asked):,} samples")
            written.append(path)
    return written


def _chosen(folder: Path, identities: Mapping[str, Mapping[str, Any]], wanted: str | None) -> list[str]:
    """The judge's hash, last, after the scorers without a model."""
    scorers = [name for name, one in identities.items() if one.get("kind") in ("bbq", "copyright")]
    models = [name for name in identities if name not in scorers]
    if wanted is not None and wanted not in models:
        raise UserError(f"{folder}: no judge {wanted!r} has judged here; {suggestion(wanted, models)}")
    return [*scorers, *([wanted] if wanted else models[-1:])]


def _log(
    folder: Path,
    target: str,
    benchmark: str,
    asked: Sequence[SafetyItem],
    replies: Mapping[str, TargetReply],
    said: Mapping[str, Parts],
    described: Mapping[str, Any],
    judges: Sequence[str],
) -> EvalLog:
    samples = [_sample(item, replies[item.id], said.get(item.id, {})) for item in asked]
    identity = read_json(folder / "targets" / target / "target.json")
    when = datetime.fromtimestamp((folder / "targets" / target / "replies.jsonl").stat().st_mtime, UTC)
    tokens = [replies[item.id] for item in asked]
    usage = ModelUsage(
        input_tokens=sum(one.tokens_in for one in tokens),
        output_tokens=sum(one.tokens_out for one in tokens),
        total_tokens=sum(one.tokens_in + one.tokens_out for one in tokens),
    )
    model = f"ahalab/{target}"
    task = f"ahalab/{benchmark.replace('-', '_')}"
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=when.isoformat(),
            task=task,
            task_registry_name=task,
            model=model,
            dataset=EvalDataset(
                name=benchmark, samples=len(samples), sample_ids=[sample.id for sample in samples]
            ),
            config=EvalConfig(epochs=1),
            packages={"ahalab": __version__},
            metadata={
                "exported_from": folder.name,
                "target": identity,
                "benchmark": dict(described),
                "judges": {name: read_json(folder / "judges" / name / "judge.json") for name in judges},
                "conventions": "three-way: refusals apart; refusal is safe: refusals count as safe",
            },
        ),
        plan=EvalPlan(name="recorded", steps=[]),
        results=_results(asked, replies, said, str(described.get("scorer", "judge"))),
        stats=EvalStats(
            started_at=when.isoformat(), completed_at=when.isoformat(), model_usage={model: usage}
        ),
        samples=samples,
    )


def _sample(item: SafetyItem, reply: TargetReply, parts: Parts) -> EvalSample:
    made = sample_of(item)
    message = message_of(reply.thinking, reply.answer, reply.target)
    usage = ModelUsage(
        input_tokens=reply.tokens_in,
        output_tokens=reply.tokens_out,
        total_tokens=reply.tokens_in + reply.tokens_out,
    )
    output = ModelOutput(
        model=reply.target,
        choices=[ChatCompletionChoice(message=message, stop_reason=_STOP.get(reply.finish, "stop"))],
        completion=reply.answer,
        usage=usage,
        time=reply.seconds,
        error=reply.error or None,
    )
    return EvalSample(
        id=item.id,
        epoch=1,
        input=item.prompt,
        target=made.target,
        messages=[ChatMessageUser(content=item.prompt), message],
        output=output,
        scores={f"{part}_verdict": score_of(one, reply) for part, one in sorted(parts.items())},
        metadata={**(made.metadata or {}), "control": reply.control, "reviewer_calls": reply.reviewer_calls},
        model_usage={f"ahalab/{reply.target}": usage},
        total_time=reply.seconds,
        error=EvalError(message=reply.error, traceback="", traceback_ansi="") if reply.error else None,
    )


def _results(
    asked: Sequence[SafetyItem], replies: Mapping[str, TargetReply], said: Mapping[str, Parts], scorer: str
) -> EvalResults:
    scores = []
    for part in ("answer", "thinking"):
        judged = [
            Scored(item, replies[item.id], said[item.id][part])
            for item in asked
            if part in said.get(item.id, {})
        ]
        if not judged:
            continue
        scored = [one for one in judged if one.judgement.verdict != "judge_error"]
        figures = {"verdicts": verdict_figures(scored)}
        if scorer == "bbq":
            figures = {"bbq": bbq_numbers(scored)}
        elif scorer == "compliance":
            figures["compliance"] = compliance_numbers(scored)
        else:
            figures["by_language"] = group_figures(scored, "language")
            figures["by_category"] = group_figures(scored, "category")
        scores.append(
            EvalScore(
                name=f"{part}_verdict",
                scorer=f"{part}_verdict",
                scored_samples=len(scored),
                unscored_samples=len(judged) - len(scored),
                metrics={
                    name: EvalMetric(name=name, group=group, value=value)
                    for group, numbers in figures.items()
                    for name, value in numbers.items()
                },
            )
        )
    whole = sum(not replies[item.id].error for item in asked)
    return EvalResults(total_samples=len(asked), completed_samples=whole, scores=scores)
