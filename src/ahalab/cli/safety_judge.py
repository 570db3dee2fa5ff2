"""`aha safety judge`: judge a folder's replies again, with another judge or of another part; nothing is generated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.console import errors, output
from ahalab.cli.safety_run import JudgeOption, PartOption, RetryOption, carry_on, print_tables


def judge(
    folder: Annotated[Path, typer.Argument(help="What `aha safety run` filled.")],
    spec: JudgeOption = "offline",
    part: PartOption = "both",
    targets: Annotated[
        list[str] | None, typer.Option("--target", metavar="NAME", help="Only these targets' replies.")
    ] = None,
    retry: RetryOption = False,
) -> None:
    """Judge the replies in FOLDER; what this judge has judged already stays. No target is asked anything."""
    from ahalab.cli.progress import make_progress
    from ahalab.safety.benchmarks import deterministic_judge
    from ahalab.safety.folder import open_folder
    from ahalab.safety.judging.opening import open_judge
    from ahalab.safety.running.run import SafetyRun
    from ahalab.safety.running.settings import read_part
    from ahalab.stages.context import Interrupt

    open_folder(folder)
    interrupt = Interrupt()
    work = SafetyRun(
        folder,
        open_judge(spec, folder, lambda: interrupt.asked),
        read_part(part),
        deterministic_judge,
        retry_errors=retry,
        progress=make_progress(errors),
        stopping=lambda: interrupt.asked,
    )
    with interrupt:
        carry_on(lambda: work.judge_again(targets))
    print_tables(folder)
    output.print(f"evaluation folder: {folder}", highlight=False, markup=False)
