"""What a model was trained on, as texts to look for evaluation questions in: a file's rows, or a run's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, texts
from ahalab.prompts.files import open_table
from ahalab.runs.folder import RUN_NAME
from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.readers import list_stages, read_samples

LEARNS = ("rl", "sample", "preferences", "labels")
"""Kinds of stages whose samples answer training prompts; those of `evaluate` do not."""


def training_texts(source: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of every training prompt of a run folder, or of every row of a .jsonl or .parquet file.

    Of a row all texts are taken, wherever they stand in it. Of a run: the questions of its training stages' samples,
    each once, and the rows of the data sets that it made.

    Raises:
        UserError: nothing of the kind is there, or a row cannot be read.
    """
    if not source.is_dir():
        yield from _rows(source)
        return
    if not (source / RUN_NAME).is_file():
        raise UserError(f"--decontaminate {source}: expected a run folder, or a .jsonl or .parquet file")
    seen: set[str] = set()
    for stage in list_stages(source):
        if stage.manifest is not None and stage.manifest.kind in LEARNS:
            for row in read_samples(stage.path):
                if row["prompt_id"] not in seen:
                    seen.add(row["prompt_id"])
                    yield f"{stage.name}/{row['prompt_id']}", str(row["question"])
        for path in sorted((stage.path / "data").glob("*.jsonl")):
            for number, row in enumerate(read_jsonl(path), start=1):
                yield f"{stage.name}/{path.name}:{number}", "\n\n".join(texts(row))


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    table = open_table(path, "--decontaminate")
    for index in range(len(table)):
        try:
            row = table.row(index)
        except BadRow as bad:
            raise UserError(
                f"{path}, row {table.number(index)}: expected {bad.expected}, but {bad.found}. "
                "Correct or remove the row"
            ) from None
        yield f"{path.name}:{table.number(index)}", "\n\n".join(texts(row))
