"""The two phases of the paper (B.3.2): correct submissions throw out invalid inputs, wrong ones show which help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ahalab.datatools.testcases.case import Submission
from ahalab.datatools.testcases.inputs import Dropped, Made, last_line
from ahalab.datatools.testcases.submissions import Answer, Runner
from ahalab.grading.failure import GraderFailure

LEAST_TO_BLAME = 5
"""A submission that fails on every one of at least so many inputs is at fault itself, not the inputs. Our choice."""
HEADROOM = 0.5
"""A correct submission must need no more than this part of the time limit, or on a slower machine a right answer would
be a wrong one. Our choice."""
MOST_TIMEOUTS = 8
"""A wrong submission that ran out of time so often is not run on the rest: an endless one would cost minutes. Our
choice; the runs not made are counted."""


@dataclass(slots=True)
class Trials:
    """What running the submissions showed."""

    valid: list[Made] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    """Of the first correct submission, for each valid input."""
    dropped: list[Dropped] = field(default_factory=list)
    exposes: list[set[int]] = field(default_factory=list)
    """For each valid input, the wrong submissions (by place) that fail on it."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """(submission, why) of those that say nothing about inputs."""
    wrong: tuple[int, ...] = ()
    """Places of the wrong submissions that ran."""
    runs: int = 0
    not_run: int = 0
    """Runs of wrong submissions that were not made after `MOST_TIMEOUTS`."""
    not_checked: int = 0
    """Answers of wrong submissions on which the checker failed."""


def try_correct(runner: Runner, good: Sequence[Submission], inputs: Sequence[Made], trials: Trials) -> None:
    """Keep the inputs on which every correct submission ends in time and all of them agree; make the outputs.

    Raises:
        SandboxFailure: the sandbox itself failed.
    """
    left: list[tuple[Made, Answer | None]] = [(made, None) for made in inputs]
    for place, submission in enumerate(good):
        if not left:
            return
        answers = list(runner.answers(submission, [made.case for made, _ in left]))
        trials.runs += len(answers)
        if answers[0].kind == "compile error":
            trials.left_out.append((submission.name, f"does not compile: {answers[0].detail}"))
            continue
        faults = [_fault(answer) for answer in answers]
        others = len(good) > 1 and (place < len(good) - 1 or left[0][1] is not None)
        if others and len(left) >= LEAST_TO_BLAME and all(faults):
            trials.left_out.append(
                (submission.name, f"fails on every input: {answers[0].detail or faults[0]}")
            )
            continue
        agreed: list[tuple[Made, Answer | None]] = []
        for (made, first), answer, fault in zip(left, answers, faults, strict=True):
            found = (fault, answer.detail) if fault else _disagreement(runner, made, first, answer)
            if found is None:
                agreed.append((made, first or answer))
            else:
                reason, detail = found
                detail = f"{submission.name}: {detail}" if detail else submission.name
                trials.dropped.append(Dropped(reason, made.origin, detail))
        left = agreed
    for made, first in left:
        if first is not None:  # None: no correct submission ran
            trials.valid.append(made)
            trials.answers.append(first)


def try_wrong(runner: Runner, bad: Sequence[Submission], trials: Trials, most_timeouts: int) -> None:
    """Find which valid inputs expose which wrong submissions: any end but a right answer in time does.

    Raises:
        SandboxFailure: the sandbox itself failed.
    """
    trials.exposes = [set() for _ in trials.valid]
    ran = []
    cases = [made.case for made in trials.valid]
    for place, submission in enumerate(bad):
        timeouts, tried = 0, 0
        for number, answer in enumerate(runner.answers(submission, cases)):
            if answer.kind == "compile error" and number == 0:
                trials.left_out.append((submission.name, f"does not compile: {answer.detail}"))
                break
            tried += 1
            try:
                right = answer.kind == "ok" and runner.agree(cases[number], trials.answers[number], answer)
            except GraderFailure:
                trials.not_checked += 1  # nobody knows: the case does not count as exposing
                right = True
            if not right:
                trials.exposes[number].add(place)
            timeouts += answer.kind == "time limit"
            if most_timeouts and timeouts >= most_timeouts:
                break
        trials.runs += tried
        if tried:
            ran.append(place)
            trials.not_run += len(cases) - tried
    trials.wrong = tuple(ran)


def _fault(answer: Answer) -> str | None:
    """Why an input on which a correct submission ended like this is dropped."""
    if answer.kind == "ok":
        return "correct submission: close to the time limit" if answer.share_of_time > HEADROOM else None
    ends = {"time limit": "time limit", "memory limit": "memory limit"}
    return f"correct submission: {ends.get(answer.kind, 'crashed')}"


def _disagreement(runner: Runner, made: Made, first: Answer | None, answer: Answer) -> tuple[str, str] | None:
    """Why an input is dropped that a correct submission answered, and its details."""
    try:
        if first is not None:
            return None if runner.agree(made.case, first, answer) else ("correct submissions disagree", "")
        if made.case.given is not None and not runner.agree(made.case, runner.expected(made.case), answer):
            return "given output: a correct submission answers otherwise", ""
        if runner.checked and not runner.agree(made.case, answer, answer):
            return "checker: refuses a correct submission", ""
    except GraderFailure as failure:
        return "checker: failed", last_line(str(failure))
    return None
