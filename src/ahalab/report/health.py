"""Small figures that tell whether a training itself is well."""

from __future__ import annotations

from collections.abc import Sequence

from ahalab.analysis.curves import VERDICTS, Curve, Curves, share_curve
from ahalab.report.figures import Line, draw_lines
from ahalab.report.panel import Panel, identifier, line_key, sentence_case
from ahalab.report.summary import Training
from ahalab.report.wording import counted, course, number, whole

_MOST_VERDICTS = 6
"""There are six colours."""


def health_panels(training: Training) -> list[Panel]:
    """Whether the training itself is well: small figures of what varies; what never does is in `unchanging`."""
    curves = training.curves
    made = [
        _small(training, name, heading, y_label, lines, logarithmic=name == "mismatch")
        for name, heading, y_label, lines in _health_lines(curves)
        if any(curve and _varies(curve) for _, curve in lines)
    ]
    return [panel for panel in made if panel]


def unchanging(training: Training) -> list[str]:
    """Health figures that have the same value at every step, in words instead of flat lines."""
    sentences = []
    for _, _, _, lines in _health_lines(training.curves):
        flat = [(label, curve) for label, curve in lines if curve]
        if flat and not any(_varies(curve) for _, curve in flat):
            sentences += [f"{label} {number(curve.first)}" for label, curve in flat]
    return sentences


def _varies(curve: Curve) -> bool:
    return min(curve.values) < max(curve.values)


def _health_lines(curves: Curves) -> list[tuple[str, str, str, list[tuple[str, Curve | None]]]]:
    """(name, heading, unit, [(label, curve)]) of the health figures, the most telling first."""
    effective = share_curve("effective groups", curves.get("effective_groups"), curves.get("groups"))
    return [
        ("entropy", "Entropy", "nats per token", [("entropy", curves.get("entropy"))]),
        (
            "effective",
            "Effective groups",
            "share of groups with unequal rewards",
            [("effective groups", effective)],
        ),
        (
            "truncated",
            "Truncated samples",
            "share cut at the length limit",
            [("truncated samples", curves.get("truncated"))],
        ),
        (
            "mismatch",
            "Sampler mismatch",
            "|learner − sampler| log-probability",
            [
                ("largest mismatch", curves.get("sampler_mismatch_max")),
                ("mean mismatch", curves.get("sampler_mismatch_mean")),
            ],
        ),
        (
            "graders",
            "Grader errors",
            "count per step",
            [
                ("grader errors", curves.get("grader_errors")),
                ("ungraded groups", curves.get("ungraded_groups")),
            ],
        ),
        ("verdicts", "Verdicts on programs", "share of graded answers", _verdict_lines(curves)),
        ("norm", "Gradient norm", "before clipping", [("gradient norm", curves.get("grad_norm"))]),
        (
            "clip",
            "Clipped tokens",
            "share of tokens",
            [("upper bound", curves.get("clip_high")), ("lower bound", curves.get("clip_low"))],
        ),
        ("kl", "KL to the reference", "nats per token (k3)", [("KL to the reference", curves.get("kl"))]),
        (
            "mixing",
            "Language mixing",
            "share of samples",
            [("language mixing", curves.get("language_mixing"))],
        ),
        ("rate", "Learning rate", "of the optimizer", [("learning rate", curves.get("learning_rate"))]),
    ]


def _verdict_lines(curves: Curves) -> list[tuple[str, Curve | None]]:
    """The outcomes of programs, "accepted" first, then the most frequent."""
    found = {name.removeprefix(VERDICTS): curve for name, curve in curves.starting_with(VERDICTS).items()}
    ordered = sorted(found, key=lambda name: (name != "accepted", -found[name].mean, name))
    return [(f"verdict {name}", found[name]) for name in ordered[:_MOST_VERDICTS]]


def _small(
    training: Training,
    name: str,
    heading: str,
    y_label: str,
    lines: Sequence[tuple[str, Curve | None]],
    *,
    logarithmic: bool = False,
) -> Panel | None:
    counts = name == "graders"
    drawn = [
        Line(label, curve, colour, dashed=colour > 1, smooth=not counts)
        for colour, (label, curve) in enumerate(lines, start=1)
        if curve
    ]
    if not drawn:
        return None
    caption = [course(sentence_case(line.label), line.curve) for line in drawn]
    if name == "effective":
        caption += _groups_sentence(training.curves)
    if counts:
        caption = [_errors_sentence(training.curves), *caption]
    svg = draw_lines(
        f"{identifier(training.stage)}-{name}",
        f"{heading} over policy updates. {' '.join(caption)}",
        drawn,
        y_label=y_label,
        share=name in ("effective", "verdicts"),
        logarithmic=logarithmic,
        small=True,
    )
    key = line_key(drawn) if len(drawn) > 1 else ()
    return Panel(name, heading, svg, key, caption, [line.curve for line in drawn], stage=training.stage)


def _groups_sentence(curves: Curves) -> list[str]:
    total, effective = curves.totals["groups"], curves.totals["effective_groups"]
    dropped = counted(curves.totals["dropped_groups"], "group was dropped", "groups were dropped")
    sentence = f"{whole(effective)} of {whole(total)} groups taught something; the others had equal rewards"
    return [f"{sentence} ({dropped} before the update)."]


def _errors_sentence(curves: Curves) -> str:
    errors = counted(curves.totals["grader_errors"], "grader error", "grader errors")
    ungraded = counted(curves.totals["ungraded_groups"], "group", "groups")
    return f"In all: {errors}; {ungraded} left without a grade."
