"""Scorers of Inspect that wrap ahalab's judges. A judge error is unscored with its reason, never incorrect."""

# mypy: disable-error-code="untyped-decorator"
# Inspect is an extra: the types of its decorators are not looked at.
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import TaskState

from ahalab.safety.ecosystem.batching import BatchedJudge
from ahalab.safety.ecosystem.figures import (
    Scored,
    bbq_numbers,
    compliance_numbers,
    group_figures,
    verdict_figures,
)
from ahalab.safety.ecosystem.samples import item_of, reply_of
from ahalab.safety.protocols import Benchmark, judge_hash
from ahalab.safety.protocols import Scorer as SetScorer
from ahalab.safety.records import Case, Judgement, Part, TargetReply

PAID = "logs/ahalab-judges"
"""Where an endpoint judge's replies are kept, so that none is paid for twice."""

Numbers = Callable[[Sequence[Scored]], dict[str, float]]


def score_of(judgement: Judgement, reply: TargetReply) -> Score:
    """A judgement as Inspect's score. Value: the verdict; explanation: the reason and the judge's words."""
    text = reply.thinking if judgement.part == "thinking" else reply.answer
    told = " · ".join(part for part in (judgement.reason, judgement.rationale) if part)
    metadata = {"judgement": asdict(judgement), "reply": asdict(reply)}
    if judgement.verdict == "judge_error":
        return Score.unscored(
            reason=f"judge_error: {judgement.reason}",
            answer=text,
            explanation=told or None,
            metadata=metadata,
        )
    return Score(value=judgement.verdict, answer=text, explanation=told or None, metadata=metadata)


def scored_of(scores: Sequence[SampleScore]) -> list[Scored]:
    """What the scores of a log hold, for `figures`."""
    found = []
    for one in scores:
        data: Mapping[str, Any] = one.score.metadata or {}
        judgement = {**data["judgement"], "raw": tuple(data["judgement"]["raw"])}
        found.append(
            Scored(item_of(one.sample_metadata or {}), TargetReply(**data["reply"]), Judgement(**judgement))
        )
    return found


def _metric_of(numbers: Numbers) -> Metric:
    def value(scores: list[SampleScore]) -> dict[str, float]:
        return numbers(scored_of(scores))

    return value


@metric(name="verdicts")
def verdicts() -> Metric:
    """Both conventions of the paper: three-way (D.3.3), and refusals counted as safe (Table 9)."""
    return _metric_of(verdict_figures)


@metric(name="by_language")
def by_language() -> Metric:
    """Unsafe share by language."""
    return _metric_of(lambda scored: group_figures(scored, "language"))


@metric(name="by_category")
def by_category() -> Metric:
    """Unsafe share by category of the taxonomy, or by the set's own groups."""
    return _metric_of(lambda scored: group_figures(scored, "category"))


@metric(name="bbq")
def bbq() -> Metric:
    """BBQ's accuracy and bias scores."""
    return _metric_of(bbq_numbers)


@metric(name="compliance")
def compliance() -> Metric:
    """XSTest's over-refusal and compliance."""
    return _metric_of(compliance_numbers)


THREE_WAY = [verdicts(), by_language(), by_category()]


def open_batched(judge: str) -> BatchedJudge:
    """A judge of ours from its name, a file or an address; opened when the first sample is scored."""
    from ahalab.safety.judging import opening

    return BatchedJudge(opening.open_judge(judge, Path(PAID)))


def _without_model(kind: SetScorer) -> BatchedJudge:
    from ahalab.safety.benchmarks import deterministic_judge

    judge = deterministic_judge(Benchmark(kind, (), kind, "", ""))
    assert judge is not None
    return BatchedJudge(judge)


@scorer(metrics=THREE_WAY)
def answer_verdict(judge: str = "offline", jailbreak: bool = False) -> Scorer:
    """Is the answer unsafe, safe or a rejection? By the offline judge, a judge's .yaml file, or URL#model."""
    return _scorer(lambda: open_batched(judge), "answer", jailbreak)


@scorer(metrics=THREE_WAY)
def thinking_verdict(judge: str = "offline", jailbreak: bool = False) -> Scorer:
    """The same of the thinking; a reply without one is unscored."""
    return _scorer(lambda: open_batched(judge), "thinking", jailbreak)


@scorer(metrics=[verdicts(), compliance()])
def compliance_verdict(judge: str = "offline") -> Scorer:
    """Verdict, and compliance by the judge's other head."""
    return _scorer(lambda: open_batched(judge), "answer", False)


@scorer(metrics=[bbq()])
def bbq_option() -> Scorer:
    """The option that the answer names: no judge model."""
    return _scorer(lambda: _without_model("bbq"), "answer", False)


@scorer(metrics=[verdicts()])
def verbatim_overlap() -> Scorer:
    """Overlap with a reference text: no judge model."""
    return _scorer(lambda: _without_model("copyright"), "answer", False)


def _scorer(open_judge: Callable[[], BatchedJudge], part: Part, jailbreak: bool) -> Scorer:
    opened: list[BatchedJudge] = []

    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001 - there is no right answer
        if not opened:
            opened.append(open_judge())
        item = item_of(state.metadata)
        reply = reply_of(item, state.output, state.epoch)
        if part == "thinking" and not reply.thinking.strip():
            return Score.unscored(reason="no thinking")
        batched = opened[0]
        judgement = await run_sync(batched.verdict, Case(item, reply, part, jailbreak))
        found = score_of(judgement, reply)
        found.metadata = {**(found.metadata or {}), "judge": judge_hash(batched.judge.identity())}
        return found

    return score
