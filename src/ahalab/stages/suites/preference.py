"""The suite `preference`: each answer is compared with a reference answer by a judge; lengths are controlled for.

Paper D.1: AlpacaEval 2.0 and Arena-Hard by GPT-4-Turbo, which sees the final summary only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ahalab.counter import make_key
from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import UserError
from ahalab.evaluation.estimators import estimate_mean
from ahalab.evaluation.extraction import summary_of
from ahalab.evaluation.suites import Chosen, Items
from ahalab.evaluation.win_rate import length_controlled, wins
from ahalab.policy.reward_model import RewardModel, load_reward_model
from ahalab.records import Prompt, Response
from ahalab.runs.atomic import read_json
from ahalab.runs.hashing import config_hash, folder_hash
from ahalab.runs.held import hold
from ahalab.runs.jsonl import read_jsonl
from ahalab.stages.context import Interrupt
from ahalab.stages.shards import write_whole
from ahalab.stages.suites.folder import JUDGEMENTS_NAME, REPLIES_NAME, suite_folders, suite_rows
from ahalab.teachers import make_judge
from ahalab.teachers.comparison import Comparison, compare_many
from ahalab.teachers.judge import Judge

JUDGE_NAME = "judge.json"
ENDPOINT = "judge"
"""Name of the judging endpoint in messages and for its file of replies."""


class Opinion(Protocol):
    """Compares pairs of answers."""

    def identity(self) -> dict[str, Any]:
        """What decides the verdicts, JSON-able; `name` is what the table says."""
        ...

    def margins(self, pairs: Sequence[tuple[Prompt, str, str]]) -> list[float | str]:
        """For each (prompt, ours, theirs) how much better ours is, above 0 for better; words where it failed."""
        ...


class _Asked:
    """A judge that is asked four times, in both orders (paper §3.1): the rules of the world, or an endpoint."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def identity(self) -> dict[str, Any]:
        return {"name": self._judge.name, **self._judge.identity()}

    def margins(self, pairs: Sequence[tuple[Prompt, str, str]]) -> list[float | str]:
        items = [
            (prompt, ours, theirs, make_key("preference", prompt.id, ours)) for prompt, ours, theirs in pairs
        ]
        found = compare_many(self._judge, items)
        return [one.mean if isinstance(one, Comparison) else one.reason for one in found]


class _Scored:
    """A reward model: the difference of its scores of the two answers."""

    def __init__(self, folder: Path, model: RewardModel) -> None:
        self._folder, self._model = folder, model

    def identity(self) -> dict[str, Any]:
        return {
            "name": f"reward model {self._folder}",
            "kind": self._model.kind,
            "hash": folder_hash(self._folder),
        }

    def margins(self, pairs: Sequence[tuple[Prompt, str, str]]) -> list[float | str]:
        questions = [prompt.question for prompt, _, _ in pairs]
        ours = self._model.rewards(questions, [_said(answer) for _, answer, _ in pairs])
        theirs = self._model.rewards(questions, [_said(answer) for _, _, answer in pairs])
        found = [mine - other for mine, other in zip(ours, theirs, strict=True)]
        return [one if math.isfinite(one) else "no finite score" for one in found]


def _said(summary: str) -> Response:
    return Response(summary, None, summary or None, True, None)


@dataclass(slots=True)
class Comparing:
    """What `preference` suites are compared with, and by whom."""

    judge: str = "rules"
    """"rules", or the folder of a reward model; ignored where `endpoint` is given."""
    endpoint: EndpointConfig | None = None
    reference: Path | None = None
    """An evaluation folder whose answers (the first sample each) are the references; else the source's own."""
    _references: dict[str, dict[str, str]] = field(default_factory=dict)
    _prompts: dict[str, list[Prompt]] = field(default_factory=dict)

    def check(self, one: Chosen, items: Items) -> None:
        """Find the reference answers before anything is sampled. Nothing for suites that are graded.

        Raises:
            UserError: there are none, or only for some of the items.
        """
        if not one.suite.compared:
            return
        found = (
            {prompt.id: prompt.answer for prompt in items.prompts if prompt.answer}
            if self.reference is None
            else self._answers_of(one, self.reference)
        )
        missing = [prompt.id for prompt in items.prompts if prompt.id not in found]
        if len(missing) == len(items.prompts):
            raise UserError(
                f"--suite {one.text}: there are no answers to compare with. Give a file with a column `output` (or "
                "`?answer=COLUMN`), or --reference DIR, a folder that `aha eval` filled with another model's answers."
            )
        if missing:
            raise UserError(
                f"--suite {one.text}: {len(missing)} of {len(items.prompts)} items have no reference answer "
                f"(the first is {missing[0]}). Evaluate the reference on as many items, or lower --n."
            )
        self._references[one.text] = found
        self._prompts[one.text] = items.prompts

    def judge_all(self, one: Chosen, folder: Path, interrupt: Interrupt) -> None:
        """Compare every answer of a suite's folder and write `judgements.jsonl`. Errors as `make_judge`."""
        opinion = self._opinion(folder.parent, interrupt)
        references = self._references[one.text]
        hold(
            folder / JUDGE_NAME,
            {**opinion.identity(), "references": config_hash(sorted(references.items()))},
        )
        prompts = {prompt.id: prompt for prompt in self._prompts[one.text]}
        asked = [
            (row, prompts[row["prompt_id"]], row["answer"] or "", references[row["prompt_id"]])
            for row in suite_rows(folder)
            if row["answerer_error"] is None
        ]
        # An answer that is not there loses without anybody being asked.
        present = [(prompt, ours, theirs) for _, prompt, ours, theirs in asked if ours.strip()]
        margins = iter(opinion.margins(present))
        write_whole(
            folder / JUDGEMENTS_NAME,
            (
                _judgement(row, ours, theirs, next(margins) if ours.strip() else -math.inf)
                for row, _, ours, theirs in asked
            ),
        )

    def _opinion(self, folder: Path, interrupt: Interrupt) -> Opinion:
        replies = folder / REPLIES_NAME

        def stopping() -> bool:
            return interrupt.asked

        if self.endpoint is not None:
            return _Asked(make_judge(ENDPOINT, {ENDPOINT: self.endpoint}, replies, stopping=stopping))
        if self.judge == "rules":
            return _Asked(make_judge("rules", {}, replies))
        path = Path(self.judge)
        path = path / "checkpoint" if (path / "checkpoint").is_dir() else path
        if not path.is_dir():
            raise UserError(
                f"--judge {self.judge}: expected `rules`, or the folder of a reward model; a server is named with "
                "--judge-endpoint and --judge-model"
            )
        return _Scored(path, load_reward_model(path))

    def _answers_of(self, one: Chosen, folder: Path) -> dict[str, str]:
        found = next((path for path in suite_folders(folder) if path.name == one.slug), None)
        if found is None:
            raise UserError(f"--reference {folder}: the suite {one.text} is not in it")
        answers: dict[str, str] = {}
        for row in suite_rows(found):
            if row["sample"] == 0:
                answers[row["prompt_id"]] = summary_of(row["text"], row["finish"]) or ""
        return answers


def _judgement(row: Mapping[str, Any], ours: str, theirs: str, margin: float | str) -> dict[str, Any]:
    failed = isinstance(margin, str)
    return {
        "prompt_id": row["prompt_id"],
        "sample": row["sample"],
        "win": None if isinstance(margin, str) else 0.5 if margin == 0 else float(margin > 0),
        "margin": margin if isinstance(margin, float) and math.isfinite(margin) else None,
        "error": margin if failed else None,
        "characters": len(ours),
        "reference_characters": len(theirs),
    }


def judged_figures(folder: Path, k: int) -> dict[str, Any]:
    """Win rates from a suite's `judgements.jsonl`; nothing where there is none."""
    path = folder / JUDGEMENTS_NAME
    if not path.is_file():
        return {}
    ours: dict[str, list[tuple[float, int]]] = {}
    theirs: dict[str, list[tuple[float, int]]] = {}
    failed = 0
    for row in read_jsonl(path):
        if row["win"] is None:
            failed += 1
            continue
        # Only which is the better counts: 1, one half or 0 against one half.
        ours.setdefault(row["prompt_id"], []).append((row["win"], row["characters"]))
        theirs[row["prompt_id"]] = [(0.5, row["reference_characters"])]
    won = list(wins(ours, theirs).values())
    controlled = length_controlled(ours, theirs, k)
    return {
        "judge": read_json(folder / JUDGE_NAME)["name"],
        "win_rate": estimate_mean(won, k).as_dict() if won else None,
        "win_rate_equal_length": controlled.as_dict() if controlled else None,
        "judge_errors": failed,
    }
