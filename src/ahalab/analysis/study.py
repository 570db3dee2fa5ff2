"""The analysis of samples: a run folder's stages, one stage, or somebody else's files, each read once and streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ahalab.analysis.curves import read_curves
from ahalab.analysis.samples import Dates
from ahalab.analysis.sources import Columns, RowReader, SampleFile, find_columns, natural_order
from ahalab.analysis.tally import Seen, Tally, seen_row
from ahalab.errors import AhaError, UserError
from ahalab.runs.folder import PARTIAL
from ahalab.runs.readers import SAMPLES_NAME, list_stages
from ahalab.text.reflection import DEFAULT_REFLECTIVE, ReflectiveWords, count_reflective, first_reflective

ENDS = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
SHOWN_AROUND = 200
"""Characters of an example before and after its first reflective word."""
_MEGABYTE = 1_000_000
_BETWEEN_SIGNS = 2_000
"""Samples between two signs of life."""


class Progress(Protocol):
    """Where signs of life go, see `ahalab.cli.progress`."""

    def begin(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """A stream begins."""

    def advance(self, done: int, figures: Mapping[str, float | int | str | None]) -> None:
        """`done` of `total` are read."""

    def end(self) -> None:
        """It is read."""


@dataclass(slots=True)
class Study:
    """One stream of samples and what was counted in it."""

    name: str
    """A stage, or a file."""
    tally: Tally = field(default_factory=Tally)
    columns: Columns | None = None
    """None for a run folder, which has fixed ones."""
    notices: list[str] = field(default_factory=list)
    example: str | None = None
    """Part of the first right answer with a reflective word: untrusted text."""
    example_step: int | None = None

    @property
    def first_step(self) -> int:
        """The first step there is; 0 is the model before any update."""
        return min(self.tally.steps)


def analyse(
    path: Path,
    words: ReflectiveWords | None = None,
    columns: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> list[Study]:
    """Read a run folder, a stage folder, a folder of JSONL files or one such file.

    `words` counts the texts with another list than the one a run was counted with. Damage in a run folder becomes a
    notice of its stage; of a file it is an error, since there it may be the wrong file.

    Raises:
        UserError: nothing to read there; says what was looked for.
    """
    given = dict(columns or {})
    if path.is_file():
        return [_read_files(path.name, [path], words, given, progress)]
    if not path.is_dir():
        raise UserError(
            f"{path} is not there: a run folder, a stage's folder or a JSONL file of samples was expected."
        )
    if (path / SAMPLES_NAME).is_dir():
        stages = [(path.name.removesuffix(PARTIAL), path)]
    elif (path / "stages").is_dir() or (path / "run.json").exists():
        stages = _stages(path)
    else:
        files = sorted((one for one in path.iterdir() if one.name.endswith(ENDS)), key=natural_order)
        if not files:
            raise UserError(
                f"{path} holds no samples: a run folder (with stages/), a stage's folder (with samples/) or files that "
                f"end in {', '.join(ENDS)} were looked for."
            )
        return [_read_files(path.resolve().name, files, words, given, progress)]
    if given:
        raise UserError(f"{path} is ahalab's own folder: its columns are fixed, leave --columns out.")
    studies = [_read_stage(name, folder, words, progress) for name, folder in stages]
    found = [study for study in studies if study.tally.samples]
    if not found:
        why = "; ".join(notice for study in studies for notice in study.notices)
        begun = ", ".join(name for name, _ in stages) or "none"
        raise UserError(
            f"{path}: no stage has written samples yet (stages begun: {begun}). {why or 'Try again when it has.'}"
        )
    return found


def _stages(run: Path) -> list[tuple[str, Path]]:
    """(name, folder) of the stages, in the recipe's order where it can be read."""
    try:
        return [(entry.name, entry.path) for entry in list_stages(run)]
    except (AhaError, OSError, ValueError, TypeError):
        folders = sorted((run / "stages").glob("[!.]*")) if (run / "stages").is_dir() else []
        return [(one.name.removesuffix(PARTIAL), one) for one in folders if one.is_dir()]


def _read_stage(name: str, folder: Path, words: ReflectiveWords | None, progress: Progress | None) -> Study:
    study = Study(name)
    paths = sorted((folder / SAMPLES_NAME).glob("*.jsonl"))
    files: list[SampleFile] = []
    curves = read_curves(folder)
    dates = Dates(curves.rollouts)
    sizes = [path.stat().st_size for path in paths]

    def samples() -> Iterator[tuple[Seen, str, int]]:
        before = 0
        for path, size in zip(paths, sizes, strict=True):
            files.append(SampleFile(path))
            for row in files[-1]:
                text = str(row.get("text") or "")
                counted = None if words is None else count_reflective(text, words)
                yield seen_row(row, dates.step_of(row), counted), text, before + files[-1].position
            before += size

    if curves.trouble:
        study.notices.append(
            f"metrics were read only in part, so steps may be dated by their first row. {curves.trouble}"
        )
    try:
        _count(study, samples(), sum(sizes), words or DEFAULT_REFLECTIVE, progress)
    except UserError as error:
        study.notices.append(f"samples were read only in part. {error}")
    _note_truncated(study, files)
    return study


def _read_files(
    name: str,
    paths: list[Path],
    words: ReflectiveWords | None,
    given: Mapping[str, str],
    progress: Progress | None,
) -> Study:
    used = words or DEFAULT_REFLECTIVE
    # An empty file in front, such as that of a step that was killed, says nothing of the columns.
    first = next((path for path in paths if path.stat().st_size), paths[0])
    study = Study(name, columns=find_columns(first, given))
    assert study.columns is not None
    reader = RowReader(study.columns, used)
    files: list[SampleFile] = []
    sizes = [path.stat().st_size for path in paths]

    def samples() -> Iterator[tuple[Seen, str, int]]:
        before = 0
        for path, size in zip(paths, sizes, strict=True):
            files.append(SampleFile(path))
            for row in files[-1]:
                for sample in reader.samples(row):
                    yield sample, reader.text, before + files[-1].position
            before += size

    _count(study, samples(), sum(sizes), used, progress)
    if not study.tally.samples:
        raise UserError(
            f"{first}: no text in column {study.columns.names['text']} of any row; name another with --columns text=…"
        )
    _note_truncated(study, files)
    _note_columns(study, reader)
    return study


def _count(
    study: Study,
    samples: Iterable[tuple[Seen, str, int]],
    size: int,
    words: ReflectiveWords,
    progress: Progress | None,
) -> None:
    """Count every sample, with a sign of life now and then and at the end."""
    if progress is not None:
        progress.begin(study.name, max(1, -(-size // _MEGABYTE)), "megabyte")
    position = 0
    try:
        for seen, text, position in samples:
            study.tally.add(seen)
            if study.example is None and seen.correct and seen.words:
                study.example, study.example_step = _around_first(text, words), seen.step
            if progress is not None and study.tally.samples % _BETWEEN_SIGNS == 0:
                progress.advance(position // _MEGABYTE, {"samples": study.tally.samples})
        if progress is not None:
            progress.advance(max(1, -(-size // _MEGABYTE)), {"samples": study.tally.samples})
    finally:
        if progress is not None:
            progress.end()


def _around_first(text: str, words: ReflectiveWords) -> str:
    """The text around its first reflective word."""
    place = first_reflective(text, words) or 0
    start, end = max(0, place - SHOWN_AROUND), min(len(text), place + SHOWN_AROUND)
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


def _note_truncated(study: Study, files: Iterable[SampleFile]) -> None:
    cut = [file.path.name for file in files if file.truncated]
    if cut:
        study.notices.append(
            f"a half-written last line was left out of {', '.join(cut[:3])}"
            + (f" and {len(cut) - 3} more files" if len(cut) > 3 else "")
            + " (still being written, or its writer was killed)."
        )


def _note_columns(study: Study, reader: RowReader) -> None:
    """What could not be measured for want of a column, and what was left out."""
    names = reader.columns.names
    missing = {
        "correct": "right and wrong answers are not told apart",
        "step": "all samples count as one step, and there is no onset",
        "tokens": "nothing is said per 1,000 tokens",
        "prompt": "answers to the same prompt are not compared",
    }
    study.notices += [
        f"no column for {what}: {loss} (--columns {what}=COLUMN)."
        for what, loss in missing.items()
        if what not in names
    ]
    if reader.without_text:
        study.notices.append(f"{reader.without_text:,} rows without a text in {names['text']} were left out.")
    if reader.without_step:
        study.notices.append(
            f"{reader.without_step:,} rows without a whole number in {names['step']} count as step 0."
        )
    if reader.highest_score is not None and reader.highest_score < 1:
        study.notices.append(
            f"no value of {names['correct']} reaches 1 (highest {reader.highest_score:g}): no answer counts as right."
        )
