"""Which items of a suite share a 10-gram with training prompts (paper D.1): a report, written beside the results."""

from __future__ import annotations

from pathlib import Path

from ahalab.evaluation.decontamination import OverlapReport, overlap
from ahalab.evaluation.suites import Chosen, suite_items
from ahalab.runs.atomic import explaining_disk_errors, write_json
from ahalab.stages.suites.training_texts import training_texts

REPORT_NAME = "decontamination.json"


def write_overlap(
    one: Chosen, source: Path, folder: Path, n: int | None, file: Path | None, skip_bad_rows: bool
) -> tuple[OverlapReport, Path]:
    """Look for the suite's questions and worked solutions in the training texts of `source`.

    Raises:
        UserError: as `suite_items` and `training_texts`.
    """
    items = suite_items(one, n, file=file, skip_bad_rows=skip_bad_rows)
    found = overlap(items.texts, training_texts(source))
    path = folder / one.slug / REPORT_NAME
    with explaining_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"suite": one.text, "training": str(source), **found.as_dict()})
    return found, path
