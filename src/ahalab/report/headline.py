"""The top of the report: four tiles and one paragraph in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from ahalab.analysis.curves import ratio
from ahalab.analysis.evaluations import Figure
from ahalab.report.markup import Safe, element, join
from ahalab.report.summary import BASE, Summary, Training
from ahalab.report.wording import (
    counted,
    listing,
    minutes,
    movement,
    multiple,
    number,
    times,
    whole,
)

CURVE_OF = {"pass@1": "accuracy"}
"""Training curve that stands in for a held-out figure where no evaluation exists; else the figure's own name."""


@dataclass(frozen=True, slots=True)
class Change:
    """One quantity before and after, held out or from the training samples."""

    before: Figure
    after: Figure

    @property
    def ratio(self) -> float | None:
        return ratio(self.before.value, self.after.value)


def main_training(summary: Summary) -> Training | None:
    """The last stage with metrics: what the run was for."""
    return next((training for training in reversed(summary.training) if training.curves.rows), None)


def find_change(summary: Summary, name: str) -> Change | None:
    """Held out where the run has both evaluations, else step 0 against the mean of the last training steps."""
    pair = summary.before_after
    if pair:
        before, after = pair[0].figures.get(name), pair[1].figures.get(name)
        return Change(before, after) if before and after else None
    training = main_training(summary)
    curve = training.curves.get(CURVE_OF.get(name, name)) if training else None
    if curve is None or len(curve) < 2 or not curve.starts_at_step_0:
        return None
    return Change(Figure(curve.first), Figure(curve.end))


def tiles(summary: Summary) -> Safe:
    """Four numbers a reader should take away; none before there is something to compare."""
    held_out = summary.before_after is not None
    accuracy = "Held-out pass@1" if held_out else "Accuracy in training"
    asked = (
        ("pass@1", accuracy, False),
        ("thinking_tokens", "Thinking length", True),
        ("reflective_per_answer", "Reflective words per answer", True),
        ("format", "Format followed", False),
    )
    made = []
    for name, label, as_ratio in asked:
        change = find_change(summary, name)
        if change is None:
            continue
        before, after = number(change.before.value), number(change.after.value)
        if as_ratio and change.ratio is not None:
            big, small = times(change.ratio).replace(" times", "×"), f"{before} → {after}"
        else:
            big, small = f"{before} → {after}", times(change.ratio)
        made.append(
            element(
                "div",
                element("dt", label),
                element("dd", element("div", big, class_="big"), element("div", small, class_="small")),
                class_="tile",
            )
        )
    return element("dl", made, class_="tiles") if made else Safe("")


def lead(summary: Summary) -> Safe:
    """The run in one paragraph."""
    return join(" ".join([*_what_ran(summary), *_what_came(summary)]))


def _what_ran(summary: Summary) -> list[str]:
    training = main_training(summary)
    if training is None:
        return ["No training step has been recorded in this run yet."]
    if sum(bool(each.curves.rows) for each in summary.training) > 1:
        return [_all_that_ran(summary)]
    curves = training.curves
    stage = next((stage for stage in summary.stages if stage.name == training.stage), None)
    drawn = [f"{whole(training.samples.rows)} samples"] if training.samples.rows else []
    tokens = curves.totals["generated_tokens"]
    drawn += [f"{whole(tokens)} generated tokens"] if tokens else []
    where = _where(summary) if stage and stage.seconds else ""
    took = f" in {minutes(stage.seconds)}" if stage and stage.seconds else ""
    steps = counted(curves.updates, "step", "steps") + ("" if stage and stage.finished else " so far")
    start = f"the base {summary.base}" if training.source == BASE else f"stage {training.source}"
    errors = counted(curves.totals["grader_errors"], "grader error", "grader errors")
    return [
        f"Stage {training.stage} trained {start} for {steps}{took}{where}"
        f"{f' ({listing(drawn)})' if drawn else ''}, with {errors}."
    ]


def _all_that_ran(summary: Summary) -> str:
    """A run of several trainings: how many stages, how long, how many steps."""
    done = [stage for stage in summary.stages if stage.finished]
    seconds = sum(stage.seconds for stage in summary.stages if stage.seconds)
    trained = [each for each in summary.training if each.curves.rows]
    steps = counted(sum(each.curves.updates for each in trained), "step", "steps")
    tokens = sum(each.curves.totals["generated_tokens"] for each in trained)
    drawn = f" and {whole(tokens)} generated tokens" if tokens else ""
    errors = counted(
        sum(each.curves.totals["grader_errors"] for each in trained), "grader error", "grader errors"
    )
    took = f" in {minutes(seconds)}{_where(summary)}" if seconds else ""
    return (
        f"{counted(len(done), 'stage', 'stages')} of {len(summary.stages)} finished{took}. "
        f"Trained were {listing([each.stage for each in trained])}: {steps}{drawn} in all, and {errors}."
    )


def _where(summary: Summary) -> str:
    cores = summary.environment.get("cores")
    return f" on {cores} {summary.environment.get('machine', '')} cores" if isinstance(cores, int) else ""


def _what_came(summary: Summary) -> list[str]:
    pair = summary.before_after
    sentences = []
    accuracy = find_change(summary, "pass@1")
    if accuracy:
        grown = times(accuracy.ratio)
        what = "Held-out pass@1" if pair else "Accuracy on the training samples"
        until = "" if pair else ", comparing step 0 with the mean of the last steps"
        sentences.append(
            f"{what} {movement(accuracy.before, accuracy.after)}: {_ranged(accuracy.before)} before, "
            f"{_ranged(accuracy.after)} after{f' ({grown})' if grown else ''}{until}."
        )
    thinking, words = find_change(summary, "thinking_tokens"), find_change(summary, "reflective_per_answer")
    both = []
    if thinking:
        both.append(f"thinking {multiple(thinking.before.value, thinking.after.value)} tokens")
    if words:
        both.append(f"reflective words per answer {_verb(words)}")
    if both:
        text = ", and ".join(both)
        sentences.append(f"{text[:1].upper()}{text[1:]}.")
    return sentences


def _verb(words: Change) -> str:
    return multiple(words.before.value, words.after.value).replace("grew", "rose")


def _ranged(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return number(figure.value)
    return f"{number(figure.value)} (95 % interval {number(figure.low)} to {number(figure.high)})"
