"""One problem: inputs made, tried on its submissions, the smallest useful set kept, all of it told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ahalab.datatools.testcases.case import submissions
from ahalab.datatools.testcases.inputs import Dropped, Generator, MakingLimits, all_inputs
from ahalab.datatools.testcases.selection import Candidate, Selection, select
from ahalab.datatools.testcases.submissions import Runner
from ahalab.datatools.testcases.trials import MOST_TIMEOUTS, Trials, try_correct, try_wrong
from ahalab.prompts.contest.problem import Problem
from ahalab.sandbox.records import Executor

GivenTests = Literal["candidates", "keep", "ignore"]
MOST_EXAMPLES = 3
"""Dropped inputs of one reason that the report tells with their details."""


@dataclass(frozen=True, slots=True)
class Making:
    """How test cases are made: what decides them, besides the generators."""

    limits: MakingLimits = field(default_factory=MakingLimits)
    given: GivenTests = "candidates"
    """Tests that came with the problem: as good as others, kept whatever they expose, or not looked at."""
    further: int = 0
    """Cases to keep beyond the smallest set."""
    without_wrong: int = 5
    """Cases to keep of a problem without wrong submissions, or where none is exposed."""
    most_timeouts: int = MOST_TIMEOUTS
    """Time-outs after which a wrong submission is not run on the rest; 0: on all."""
    no_cpp: str | None = None
    """Why no C++ can be compiled here: such submissions are left out; None where it can."""


def make_tests(
    problem: Problem, generators: Sequence[Generator], executor: Executor, making: Making
) -> dict[str, Any]:
    """{"tests": [...], "report": {...}}: the kept tests in the problem's layout, and what became of everything else.

    `tests` is empty where the problem has to be left out; the report's "left_out" says why.

    Raises:
        SandboxFailure: the sandbox itself failed.
    """
    if reason := hopeless(problem, generators, making):
        return {"tests": [], "report": {"left_out": reason}}
    runner = Runner(problem, executor, making.no_cpp)
    inputs, dropped = all_inputs(
        problem, generators, executor, making.limits, with_given=making.given != "ignore"
    )
    trials = Trials(dropped=dropped)
    tried = len(inputs)
    try_correct(runner, submissions(problem.good, "good"), inputs, trials)
    bad = submissions(problem.bad, "bad")
    try_wrong(runner, bad, trials, making.most_timeouts)
    report: dict[str, Any] = {
        "generators": len(generators),
        "inputs": tried,
        "valid": len(trials.valid),
        "runs": trials.runs,
        "runs_not_made": trials.not_run,
        "answers_not_checked": trials.not_checked,
        "submissions_left_out": [f"{name}: {why}" for name, why in trials.left_out],
    }
    if not trials.valid:
        report["left_out"] = _why_none(trials.dropped)
        return {"tests": [], "report": {**report, "dropped": _by_reason(trials.dropped)}}
    selection = select(
        [
            Candidate(
                frozenset(exposes),
                made.group,
                made.case.size,
                runner.shown(answer),
                forced=made.case.given is not None and making.given == "keep",
            )
            for made, answer, exposes in zip(trials.valid, trials.answers, trials.exposes, strict=True)
        ],
        making.further,
        making.without_wrong,
    )
    exposed = set().union(*trials.exposes)
    tests = [runner.test(trials.valid[place].case, trials.answers[place]) for place, _ in selection.kept]
    return {
        "tests": tests,
        "report": {
            **report,
            "dropped": _by_reason([*trials.dropped, *_not_needed(trials, selection)]),
            "kept": _kept(trials, selection, [one.name for one in bad]),
            "cover": {
                "method": selection.method,
                "cases": selection.cover,
                "at_least": selection.at_least,
            },
            "wrong": len(trials.wrong),
            "exposed": len(exposed),
            "not_exposed": [bad[place].name for place in trials.wrong if place not in exposed],
        },
    }


def hopeless(problem: Problem, generators: Sequence[Generator], making: Making) -> str | None:
    """Why nothing can be made for a problem, before anything is run; None where something can."""
    if not problem.good:
        return "no correct submission"
    if not generators and (making.given == "ignore" or not problem.tests):
        return "no generator"
    return None


def _why_none(dropped: Sequence[Dropped]) -> str:
    """The commonest reason for which inputs went."""
    reasons = Counter(one.reason for one in dropped if one.reason != "duplicate input")
    common = reasons.most_common(1)
    return f"no valid input ({common[0][0]})" if common else "no correct submission could be run"


def _by_reason(dropped: Sequence[Dropped]) -> dict[str, Any]:
    """Reason → how many, and the first of them with their details."""
    found: dict[str, list[Dropped]] = {}
    for one in dropped:
        found.setdefault(one.reason, []).append(one)
    return {
        reason: {
            "count": len(some),
            "first": [
                f"{one.origin}: {one.detail}" if one.detail else one.origin for one in some[:MOST_EXAMPLES]
            ],
        }
        for reason, some in sorted(found.items())
    }


def _not_needed(trials: Trials, selection: Selection) -> list[Dropped]:
    kept = {place for place, _ in selection.kept}
    return [
        Dropped("not needed", made.origin, "exposes nothing" if not trials.exposes[place] else "")
        for place, made in enumerate(trials.valid)
        if place not in kept
    ]


def _kept(trials: Trials, selection: Selection, names: Sequence[str]) -> list[Mapping[str, Any]]:
    return [
        {
            "from": trials.valid[place].origin,
            "why": why,
            "bytes": trials.valid[place].case.size,
            "exposes": [names[one] for one in sorted(trials.exposes[place])],
        }
        for place, why in selection.kept
    ]
