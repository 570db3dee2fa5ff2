"""`aha safety validate-judge`: how well a judge agrees with labels, on published sets and on your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.console import errors, output
from ahalab.cli.safety_run import JudgeOption, carry_on


def validate_judge(
    judge: JudgeOption = "offline",
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME",
            help="chinese-replies, chinese-replies-all, pyrit-objective, pyrit-harm, pyrit-refusal.",
        ),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", help="Labelled replies: XSTest's labelled CSV, or prompt, reply and a label a row."
        ),
    ] = None,
    folder: Annotated[
        Path,
        typer.Option("--folder", help="Where judgements and figures are kept; a safety evaluation will do."),
    ] = Path("judge-validation"),
    skip_unlabelled: Annotated[
        bool, typer.Option("--skip-unlabelled", help="Leave out rows without a label, and count them.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry-errors", help="Ask again for what ended in a judge error.")
    ] = False,
) -> None:
    """Measure a judge: n, accuracy, kappa with its interval, recall of each class, confusion matrix. Resumable."""
    from ahalab.cli.progress import make_progress
    from ahalab.cli.safety_label_tables import print_validation
    from ahalab.safety.judging.opening import open_judge
    from ahalab.safety.labels.gold_sets import load_files, load_named
    from ahalab.safety.labels.validation import validate_judge as measure
    from ahalab.stages.context import Interrupt

    # With nothing named, what ships with the program is measured.
    names = sets or ([] if files else ["chinese-replies"])
    gold = [one for name in dict.fromkeys(names) for one in load_named(name)]
    gold += load_files(files or [], skip_unlabelled=skip_unlabelled)
    interrupt = Interrupt()
    opened = open_judge(judge, folder, lambda: interrupt.asked)

    def work() -> None:
        found = measure(
            opened,
            gold,
            folder,
            retry_errors=retry,
            progress=make_progress(errors),
            stopping=lambda: interrupt.asked,
        )
        print_validation(output, found)
        place = folder / "judges" / found.judge / "validation.md"
        output.print(f"figures: {place}", markup=False, highlight=False)

    with interrupt:
        carry_on(work)
