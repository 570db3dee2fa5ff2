"""Drawing the replies that people label: stratified by verdict, target, language and group; the same for everybody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ahalab.errors import UserError
from ahalab.runs.lock import RunLock
from ahalab.safety.folder import (
    judge_names,
    open_folder,
    read_items,
    read_judgements,
    read_replies,
    target_names,
)
from ahalab.safety.labels.plan import Key, Plan, Stratum, draw, read_plan, write_plan
from ahalab.safety.records import Part


def prepare(folder: Path, n: int | None, *, seed: int = 0, parts: Sequence[Part] = ("answer",)) -> Plan:
    """The folder's sample; drawn now where there is none yet.

    Raises:
        UserError: no safety evaluation, no replies, no sample yet and no `n`, or a sample of another size.
    """
    open_folder(folder)
    plan = read_plan(folder)
    if plan is not None:
        if n is not None and (n, seed) != (plan.asked, plan.seed):
            raise UserError(
                f"{folder}: a sample of {plan.asked} (seed {plan.seed}) is being labelled there. Leave --sample "
                "out to go on with it; for another one, move the folder labels/ away first."
            )
        return plan
    if n is None:
        raise UserError(f"{folder}: no sample was drawn there yet; say how many replies with --sample N")
    if n < 1:
        raise UserError(f"--sample {n}: at least 1 was expected")
    with RunLock(folder):
        plan = _draw(folder, n, seed, parts)
        write_plan(folder, plan)
    return plan


def _draw(folder: Path, n: int, seed: int, parts: Sequence[Part]) -> Plan:
    items = {item.id: item for item in read_items(folder)}
    judges = judge_names(folder)
    strata: dict[Stratum, list[Key]] = defaultdict(list)
    for target in target_names(folder):
        verdicts = {
            (one.item, one.part): one.verdict
            for judge in judges  # oldest first: the newest judge's word stands
            for one in read_judgements(folder, judge, target)
        }
        for reply in read_replies(folder, target):
            item = items.get(reply.item)
            if item is None or reply.error:
                continue
            for part in parts:
                text = reply.thinking if part == "thinking" else reply.answer
                verdict = verdicts.get((reply.item, part), "")
                # Where the judge gave no verdict, a label can tell nothing about it.
                if text.strip() and verdict != "judge_error":
                    strata[verdict, target, item.language, item.group].append((reply.item, target, part))
    if not strata:
        raise UserError(f"{folder}: no reply there can be labelled; has a target answered yet?")
    return Plan(seed, judges[-1] if judges else "", n, draw(strata, n, seed))
