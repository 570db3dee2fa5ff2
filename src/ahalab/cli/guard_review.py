"""`aha guard review`: put one dialogue to a reviewer and see what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ahalab.cli.console import errors, output

if TYPE_CHECKING:
    from ahalab.guard.records import Review

NO_VERDICT = 3
"""Exit code where the reviewer gave none."""


def review(
    dialogue: Annotated[
        Path,
        typer.Argument(help='JSON file {"messages": [{"role", "content"}, …]}; - reads standard input.'),
    ],
    reviewer: Annotated[
        str,
        typer.Option(help="URL#MODEL, a YAML file, a model's folder, rm:FOLDER or recorded:FILE."),
    ],
    policy: Annotated[str, typer.Option(help="Profile (general, paper, …) or policy file.")] = "general",
    record: Annotated[
        Path | None, typer.Option(help="Also append the review to this file, for recorded:FILE.")
    ] = None,
) -> None:
    """Review a dialogue by a policy's standards. Exit code 0: none violated, 1: some are, 3: no verdict.

    A last turn of the assistant is the reply that is judged, its reasoning_content the thinking.
    """
    import asyncio
    import sys

    from ahalab.guard.policy import open_policy
    from ahalab.guard.review.files import parse_dialogue, read_dialogue
    from ahalab.guard.review.measured import RecordingReviewer
    from ahalab.guard.review.opening import open_reviewer
    from ahalab.guard.reviewers import close_reviewer
    from ahalab.text.hostile import make_visible

    judged_by = open_policy(policy)
    if str(dialogue) == "-":
        exchange, reply, thinking = parse_dialogue(sys.stdin.buffer.read(), "standard input")
    else:
        exchange, reply, thinking = read_dialogue(dialogue)
    made = open_reviewer(reviewer, judged_by)
    recording = RecordingReviewer(made, record, judged_by) if record else None

    async def reviewed() -> Review:
        try:
            return await (recording or made).review(exchange, reply, thinking)
        finally:
            await close_reviewer(made)

    found = asyncio.run(reviewed())
    if recording is not None:
        recording.close()
    titles = {one.id: one.title for one in judged_by.standards}
    if found.error:
        errors.print(f"no verdict: {make_visible(found.error)}", highlight=False, markup=False)
    elif found.violates:
        named = ", ".join(f"{rule} ({titles[rule]})" for rule in found.rules)
        output.print(f"violates {named}", highlight=False, markup=False)
    else:
        output.print("violates no standard", highlight=False)
    if found.reason:
        output.print(f"reason: {make_visible(found.reason)}", highlight=False, markup=False)
    identity = made.identity()
    calls = f"{found.calls} call{'' if found.calls == 1 else 's'}"
    windows = f"{found.windows} window{'' if found.windows == 1 else 's'}"
    output.print(
        f"policy {judged_by.name} {judged_by.version}; reviewer {identity['kind']}, {identity['model']} "
        f"({found.reviewer}); {windows}, {calls}, {found.tokens} tokens, {found.seconds:.2f} s",
        highlight=False,
        markup=False,
    )
    if found.error or found.violates:
        raise typer.Exit(NO_VERDICT if found.error else 1)
