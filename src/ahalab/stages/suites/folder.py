"""The folder of an evaluation: what it began with, its shards, its summary. It is filled by one process at a time.

DIR/evaluation.json · evaluation.md     the figures of every suite in it
    answerer.json                       who answered
    <suite>/settings.json               suite, items and sampling
    <suite>/samples/shard-000000.jsonl  a row a sample
    <suite>/judgements.jsonl            of a comparison with reference answers
    replies/endpoint.jsonl              what a server said, as it came
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.stages.shards import read_shards

ANSWERER_NAME = "answerer.json"
SETTINGS_NAME = "settings.json"
SUMMARY_NAME = "evaluation.json"
MARKDOWN_NAME = "evaluation.md"
SAMPLES_NAME = "samples"
JUDGEMENTS_NAME = "judgements.jsonl"
REPLIES_NAME = "replies"


def suite_folders(folder: Path) -> list[Path]:
    """The folders of the suites in an evaluation, in order of name.

    Raises:
        UserError: the folder is no evaluation.
    """
    found = sorted(path.parent for path in folder.glob(f"*/{SETTINGS_NAME}")) if folder.is_dir() else []
    if not found:
        hint = (
            "a run folder is evaluated with `aha eval RUN`"
            if (folder / "run.json").is_file()
            else "check the path"
        )
        raise UserError(f"{folder} is no folder that `aha eval` filled: no suite is in it; {hint}.")
    return found


def suite_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a suite's folder, shard by shard."""
    return read_shards(folder / SAMPLES_NAME)


def default_folder(model: str) -> Path:
    """Where an evaluation of a model lies that nobody gave a place: evaluations/<the last of its name>."""
    path = Path(model)
    # "checkpoint" alone tells nothing: the stage and the run go before it.
    named = "-".join(path.absolute().parts[-4:]) if path.name == "checkpoint" else path.absolute().name
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", named if "://" not in model else model).strip("-.")
    return Path("evaluations") / (slug or "model")
