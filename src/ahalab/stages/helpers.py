"""The teachers and judges of a data stage: set up, held to what the stage began with, and counted shard by shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ahalab.stages.context import StageContext
from ahalab.stages.sampling_shards import hold_to
from ahalab.teachers import Generate, Judge, Teacher, make_judge, make_teacher

REPLIES_NAME = "replies"
"""Folder in the stage's own where the replies of endpoints are kept: a resumed stage pays for none twice."""
IDENTITY_NAME = "helpers.json"


def build_teacher(
    name: str, context: StageContext, prompts_folder: str | None, generate: Generate | None = None
) -> Teacher:
    """The teacher that a key of the stage's config names. Errors as `make_teacher`."""
    return make_teacher(
        name,
        context.endpoints,
        generate,
        context.folder / REPLIES_NAME,
        _prompts(context, prompts_folder),
        stopping=lambda: context.interrupt.asked,
    )


def build_judge(name: str, context: StageContext, prompts_folder: str | None) -> Judge:
    """The judge that a key of the stage's config names. Errors as `make_judge`."""
    return make_judge(
        name,
        context.endpoints,
        context.folder / REPLIES_NAME,
        _prompts(context, prompts_folder),
        stopping=lambda: context.interrupt.asked,
    )


def check_helpers(
    context: StageContext, teachers: Iterable[tuple[str, str | None]], judge: tuple[str, str | None] | None
) -> None:
    """Set up (name, prompts folder) teachers and a judge for a look, and ask them nothing.

    Raises:
        UserError: as `make_teacher` and `make_judge`.
    """
    with TemporaryDirectory() as folder:
        aside = replace(context, folder=Path(folder))
        for name, prompts in teachers:
            build_teacher(name, aside, prompts)
        if judge is not None:
            build_judge(judge[0], aside, judge[1])


class Helpers:
    """Whoever helps a stage, by role ("teacher", "refine", "judge").

    Raises:
        UserError: the stage began with other ones: another model, other prompt files.
    """

    def __init__(self, context: StageContext, by_role: Mapping[str, Teacher | Judge | None]) -> None:
        self._context = context
        self._helpers = {role: helper for role, helper in by_role.items() if helper is not None}
        self.identities = {role: helper.identity() for role, helper in self._helpers.items()}
        self._seen = self._counts()
        if self._helpers:
            hold_to(context, IDENTITY_NAME, self.identities, "the teacher or judge, or its prompt files,")

    def counts_since(self) -> dict[str, dict[str, int]]:
        """What each did since this was last asked: the counts of one shard, the same after a resume."""
        now, before = self._counts(), self._seen
        self._seen = now
        return {
            role: {name: n - before[role][name] for name, n in counts.items() if n > before[role][name]}
            for role, counts in now.items()
        }

    def report_traffic(self) -> None:
        """What was really sent, retries included, goes to the run's events: it is not the same after a resume."""
        for role, helper in self._helpers.items():
            if any(helper.traffic.values()):
                self._context.event(
                    "endpoint_traffic",
                    stage=self._context.name,
                    role=role,
                    endpoint=helper.name,
                    **dict(helper.traffic),
                )

    def figures(self, counts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, Any]:
        """For the manifest: who helped, and the sums of the shards' `counts`."""
        sums = {role: Counter[str]() for role in self.identities}
        for shard in counts:
            for role, one in shard.items():
                sums[role].update(one)
        return {
            role: {"identity": identity, "counts": dict(sorted(sums[role].items()))}
            for role, identity in self.identities.items()
        }

    def _counts(self) -> dict[str, Counter[str]]:
        return {role: Counter(helper.counts) for role, helper in self._helpers.items()}


def _prompts(context: StageContext, folder: str | None) -> Path | None:
    return None if folder is None else context.data_folder / Path(folder).expanduser()
