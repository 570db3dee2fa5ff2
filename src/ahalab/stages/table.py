"""The `table` stage: evaluations of one run side by side, as the paper's Table 3, and the orderings it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ahalab.analysis.orderings import (
    PAPER_ORDERINGS,
    Ordering,
    judge,
    markdown_orderings,
    parse_ordering,
    table_with,
)
from ahalab.analysis.stage_table import TABLE_FORMAT, TABLE_NAME, markdown, read_stage_table
from ahalab.errors import UserError
from ahalab.evaluation.estimators import RESAMPLES
from ahalab.evaluation.measures import RowScores, read_scores
from ahalab.evaluation.table import table_numbers
from ahalab.runs.atomic import read_json, write_json, write_text
from ahalab.runs.manifest import Manifest
from ahalab.runs.readers import read_samples
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.inputs import InputRef, StageConfig
from ahalab.validation import suggestion, told

VERSION = 2

MARKDOWN_NAME = "table.md"

COMPARED = ("n", "k", "temperature", "top_p", "max_new_tokens", "template", "think_prefill")
"""Settings of an evaluation that change what it measures: equal in all rows of a table."""


class TableConfig(StageConfig):
    """Evaluations of the same prompts in one table, with paired differences and the paper's orderings."""

    rows: dict[str, str] = Field(
        min_length=1, description="Row name → `evaluate` stage, in the order in which they are shown."
    )
    reference: str | None = Field(
        None, description="Row whose answers the helpfulness win rate compares with; none is shown without."
    )
    orderings: Literal["paper"] | list[str] | None = Field(
        "paper",
        description="`paper`, or a list of its names and of sentences such as `dev2 above dev1 on reasoning`.",
    )
    resamples: Annotated[int, Field(ge=100, le=100_000)] = Field(
        RESAMPLES, description="Bootstrap resamples of the prompts."
    )

    @field_validator("orderings")
    @classmethod
    def _readable(cls, value: Literal["paper"] | list[str] | None) -> Literal["paper"] | list[str] | None:
        for text in value if isinstance(value, list) else ():
            try:
                parse_ordering(text)
            except UserError as error:
                raise told(str(error)) from error
        return value

    @model_validator(mode="after")
    def _check_together(self) -> TableConfig:
        if self.reference is not None and self.reference not in self.rows:
            raise told(f"reference: no row {self.reference!r}; {suggestion(self.reference, list(self.rows))}")
        return self

    def input_refs(self) -> dict[str, InputRef]:
        """One input a row: `rows[NAME]`."""
        return {f"rows[{name}]": InputRef(stage, ("evaluation",)) for name, stage in self.rows.items()}

    def chosen_orderings(self) -> list[Ordering]:
        """The orderings to judge."""
        if self.orderings == "paper":
            return list(PAPER_ORDERINGS.values())
        return [parse_ordering(text) for text in self.orderings or ()]


def run_table(config: TableConfig, context: StageContext) -> StageResult:
    """Read the evaluations, write `table.json` and `table.md`. It takes seconds: a killed one starts again.

    Raises:
        UserError: rows of different prompts or settings.
    """
    context.progress.begin(context.name, len(config.rows), "row")
    try:
        evaluations = {}
        for number, name in enumerate(config.rows, start=1):
            evaluations[name] = read_evaluation(Path(context.inputs[f"rows[{name}]"]))
            context.progress.advance(number, {})
        content = build_table(evaluations, config.reference, config.chosen_orderings(), config.resamples)
    finally:
        context.progress.end()
    write_json(context.folder / TABLE_NAME, content)
    write_text(context.folder / MARKDOWN_NAME, table_page(content))
    return StageResult(_figures(content))


@dataclass(frozen=True, slots=True)
class ReadEvaluation:
    """A finished evaluate stage, read for a table."""

    folder: Path
    stage: str
    of: str
    config: Mapping[str, Any]
    scores: RowScores


def read_evaluation(folder: Path) -> ReadEvaluation:
    """The evaluation in a stage folder.

    Raises:
        UserError: no finished evaluate stage there, or damaged samples.
    """
    manifest = Manifest.read(folder)
    if manifest.kind != "evaluate":
        raise UserError(f"{folder} is a stage of kind {manifest.kind}; a table's rows are evaluate stages.")
    try:
        scores = read_scores(read_samples(folder))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder}/samples: a row is not what an evaluate stage writes ({error!r}). Put the file back."
        ) from error
    if not scores.domains:
        raise UserError(f"{folder}/samples holds no sample: put the files back, or evaluate again.")
    return ReadEvaluation(
        folder, manifest.stage, str(manifest.config.get("from", manifest.stage)), manifest.config, scores
    )


def build_table(
    evaluations: Mapping[str, ReadEvaluation],
    reference: str | None,
    orderings: Sequence[Ordering],
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """The content of `table.json`.

    Raises:
        UserError: rows of different prompts or settings, naming what differs.
    """
    _check_comparable(evaluations)
    numbers = table_numbers({name: one.scores for name, one in evaluations.items()}, reference, resamples)
    cells = numbers.pop("cells")
    first = next(iter(evaluations.values()))
    content = {
        "format": TABLE_FORMAT,
        "reference": reference,
        "resamples": resamples,
        "settings": {key: first.config.get(key) for key in COMPARED},
        **numbers,
        "rows": {
            name: {"of": one.of, "stage": one.stage, "cells": cells[name]}
            for name, one in evaluations.items()
        },
    }
    return table_with(content, judge(read_stage_table(content, "the table"), orderings))


def read_table(folder: Path) -> dict[str, Any]:
    """The content of a finished table stage's `table.json`. UserError when it is not there or broken."""
    path = folder / TABLE_NAME
    if not path.is_file():
        raise UserError(f"{path} is missing: put it back, or delete {folder} to have the stage made again.")
    content = read_json(path)
    read_stage_table(content, str(path))
    return dict(content)


def table_page(content: Mapping[str, Any]) -> str:
    """The table and its orderings as Markdown."""
    text = markdown(read_stage_table(content, "the table"))
    return f"{text}\n{markdown_orderings(content['orderings'])}" if content["orderings"] else text


def check_settings(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse rows (name → config of its evaluate stage, as plain data) that were sampled differently.

    Raises:
        UserError: naming the rows and the keys that differ.
    """
    (first_name, first), *others = configs.items()
    for name, one in others:
        differing = [key for key in COMPARED if first.get(key) != one.get(key)]
        if differing:
            said = ", ".join(f"{key} is {first.get(key)} and {one.get(key)}" for key in differing)
            raise UserError(
                f"rows {first_name} and {name} cannot stand in one table: {said}. Evaluate both with the same settings."
            )


def _check_comparable(evaluations: Mapping[str, ReadEvaluation]) -> None:
    check_settings({name: one.config for name, one in evaluations.items()})
    (first_name, first), *others = evaluations.items()
    for name, one in others:
        pair = f"rows {first_name} ({first.stage}) and {name} ({one.stage}) cannot stand in one table"
        if first.scores.domains != one.scores.domains:
            lost = len(first.scores.domains.keys() - one.scores.domains.keys())
            more = len(one.scores.domains.keys() - first.scores.domains.keys())
            why = (
                "their `prompts` differ"
                if first.config.get("prompts") != one.config.get("prompts")
                else "the seed or the data of their runs differ"
            )
            raise UserError(
                f"{pair}: they answer different prompts ({lost} only in the first, {more} only in the second): {why}. "
                "Evaluate both on the same `prompts` with the same `n`, in runs of the same seed."
            )


def _figures(content: Mapping[str, Any]) -> dict[str, Any]:
    verdicts = {one["name"]: one["verdict"] for one in content["orderings"]}
    return {
        "prompts": dict(content["prompts"]),
        "cells": {name: row["cells"] for name, row in content["rows"].items()},
        "orderings": verdicts,
        "orderings_hold": sum(verdict == "holds" for verdict in verdicts.values()),
        "orderings_measured": sum(verdict != "not measured" for verdict in verdicts.values()),
    }
