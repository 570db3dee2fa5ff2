"""`aha safety`: measure how safely a model answers. One file a verb; this one only gathers them."""

from __future__ import annotations

import typer

from ahalab.cli import (
    safety_benchmarks,
    safety_compare,
    safety_export,
    safety_judge,
    safety_label,
    safety_lint,
    safety_rewards,
    safety_run,
    safety_templates,
    safety_translate,
    safety_validate_judge,
)

app = typer.Typer(no_args_is_help=True, help="Ask, judge, label and compare: how safely models answer.")
app.command("lint")(safety_lint.lint)
app.command("benchmarks")(safety_benchmarks.benchmarks)
app.command("templates")(safety_templates.templates)
app.command("compare")(safety_compare.compare)
app.add_typer(safety_rewards.app, name="rewards")
app.command("run")(safety_run.run)
app.command("judge")(safety_judge.judge)
app.command("translate")(safety_translate.translate)
app.command("export")(safety_export.export)
app.command("validate-judge")(safety_validate_judge.validate_judge)
app.command("label")(safety_label.label)
