"""One PNG of a run for a README: accuracy, length of thinking, reflective words."""

from __future__ import annotations

from pathlib import Path

from ahalab.errors import UserError
from ahalab.report.figures import Mark, PicturePanel, draw_picture
from ahalab.report.summary import summarise
from ahalab.report.wording import change
from ahalab.runs.atomic import write_bytes


def write_picture(run_folder: Path, png_path: Path) -> Path:
    """Draw the last training stage of a run over its steps, step 0 included, and return `png_path`.

    UserError when the run has no metrics to draw.
    """
    summary = summarise(Path(run_folder))
    training = next((each for each in reversed(summary.training) if each.curves.rows), None)
    if training is None:
        raise UserError(
            f"{run_folder} has no metrics to draw: run its training stage first, then ask for the picture again."
        )
    curves = training.curves
    steps = max(curve.steps[-1] for curve in curves.by_name.values()) + 1
    marks = [
        Mark(steps if evaluation.of == training.stage else 0, evaluation.figures["pass@1"], 1)
        for evaluation in next(iter(summary.comparisons), [])
        if evaluation.of in (training.source, training.stage) and "pass@1" in evaluation.figures
    ]
    asked = (
        (
            "accuracy",
            "Accuracy",
            "share of samples right (diamonds: held-out pass@1)" if marks else "share of samples right",
        ),
        ("thinking_tokens", "Thinking length", "tokens per answer"),
        ("reflective_per_answer", "Reflective words", "words per answer"),
    )
    panels = [
        PicturePanel(
            heading, y_label, curve, share=name == "accuracy", marks=marks if name == "accuracy" else ()
        )
        for name, heading, y_label in asked
        if (curve := curves.get(name))
    ]
    told = "   ".join(f"{panel.heading.lower()} {change(panel.curve)}" for panel in panels)
    title = f"{summary.title} · base {summary.base} · stage {training.stage}:   {told}"
    png_path = Path(png_path)
    png_path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(png_path, draw_picture(panels, title))
    return png_path
