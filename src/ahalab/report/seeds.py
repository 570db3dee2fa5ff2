"""Stage tables across runs: several seeds as one table, and rows that come from other runs (ablations)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.analysis.orderings import Ordering, Outcome, judge
from ahalab.analysis.seeds import Pooled, pool_tables, ranged
from ahalab.analysis.stage_table import (
    StageTable,
    cell_text,
    describe,
    markdown,
    markdown_cell,
    read_stage_table,
)
from ahalab.errors import UserError
from ahalab.runs.atomic import write_json, write_text
from ahalab.runs.folder import RUN_NAME, RunFolder
from ahalab.runs.manifest import Manifest
from ahalab.runs.readers import list_stages
from ahalab.stages.table import TableConfig, build_table, read_evaluation, read_table
from ahalab.validation import suggestion, validate


@dataclass(frozen=True, slots=True)
class RunTables:
    """One table a run, and what they say together."""

    contents: Mapping[str, Mapping[str, Any]]
    """By run: the content of its `table.json`, or of one made anew with rows of other runs."""
    pooled: Pooled
    by_run: Mapping[str, Sequence[Outcome]]
    outcomes: Sequence[Outcome]
    """The orderings over all runs; of one run they are its own."""

    @property
    def table(self) -> StageTable:
        """The table of all runs."""
        return self.pooled.table

    def cell(self, row: str, column: str, digits: int = 1) -> str:
        """What stands in the table: value and interval of one run, mean and range of several."""
        if len(self.contents) > 1:
            return ranged(self.pooled, row, column, digits)
        return cell_text(self.table, row, column, digits)

    def verdicts(self, place: int) -> list[str]:
        """The verdict of ordering `place` in each run."""
        return [outcomes[place].verdict for outcomes in self.by_run.values()]

    def description(self) -> str:
        """How the numbers came about."""
        if len(self.contents) == 1:
            return describe(self.table)
        runs = f"{len(self.contents)} runs ({', '.join(self.contents)})"
        return describe(
            self.table,
            f"Points of 100: mean over {runs} and, in brackets, the lowest and the highest of them. Orderings over all "
            "runs are judged by intervals in which a seed is a random effect.",
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        table = self.table
        return {
            "runs": {name: dict(content) for name, content in self.contents.items()},
            "pooled": {
                "columns": list(table.columns),
                "reference": table.reference,
                "prompts": dict(table.prompts),
                "rows": {
                    row: {
                        column: {
                            "value": cell.value,
                            "low": cell.low,
                            "high": cell.high,
                            "n": cell.n,
                            "range": list(self.pooled.ranges.get((row, column), (cell.value, cell.value))),
                        }
                        for column, cell in found.cells.items()
                    }
                    for row, found in table.rows.items()
                },
                "differences": [
                    {
                        "row": row,
                        "minus": other,
                        "column": column,
                        "value": one.value,
                        "low": one.low,
                        "high": one.high,
                        "n": one.n,
                    }
                    for (row, other, column), one in table.differences.items()
                ],
            },
            "orderings": [
                {**outcome.as_dict(), "by_run": dict(zip(self.by_run, self.verdicts(place), strict=True))}
                for place, outcome in enumerate(self.outcomes)
            ],
        }

    def markdown(self) -> str:
        """The table and the orderings as Markdown."""
        shown = markdown(self.table, self.cell, self.description())
        if not self.outcomes:
            return shown
        several = len(self.contents) > 1
        heads = ["ordering", "verdict", *(self.contents if several else ()), "decided by", "the paper"]
        lines = [_line(heads), f"|{'---|' * len(heads)}"]
        for place, outcome in enumerate(self.outcomes):
            seeds = self.verdicts(place) if several else []
            cells = [
                outcome.ordering.sentence,
                f"*{outcome.verdict}*",
                *seeds,
                outcome.why,
                outcome.ordering.source,
            ]
            lines.append(_line(cells))
        return "\n".join([shown, *lines, ""])


def read_tables(
    runs: Sequence[Path], rows: Sequence[tuple[str, Path]] = (), reference: str | None = None
) -> RunTables:
    """The tables of `runs` (a run folder, or a table stage in one) with further rows, as one.

    `rows` are (row name, evaluate stage's folder). A name that occurs several times has one row a run, in the order of
    `runs`; without `runs`, the tables are made of `rows` alone. `reference` replaces the tables' own.

    Raises:
        UserError: a run without a finished table, rows that cannot be compared, runs that cannot be pooled.
    """
    extra = _by_name(rows)
    counts = {len(folders) for folders in extra.values()}
    wanted = len(runs) or max(counts, default=0)
    if not wanted:
        raise UserError("nothing to show: name a run with a table, or rows as --row NAME=RUN/STAGE.")
    uneven = next((name for name, folders in extra.items() if len(folders) != wanted), None)
    if uneven is not None:
        raise UserError(
            f"--row {uneven}: given {len(extra[uneven])} times for {wanted} tables. Give each row once a run, in the "
            "order of the runs."
        )
    contents: dict[str, Mapping[str, Any]] = {}
    orderings: list[Ordering] = []
    for place in range(wanted):
        added = {name: folders[place] for name, folders in extra.items()}
        source = _table_stage(runs[place]) if runs else None
        config = _config(source) if source else None
        content = _content(source, config, added, reference)
        name = _run_name(source) if source else _run_name(next(iter(added.values())))
        contents[name if name not in contents else f"{name} ({place + 1})"] = content
        orderings = orderings or (config or _of_rows(added)).chosen_orderings()
    pooled = pool_tables({name: read_stage_table(content, name) for name, content in contents.items()})
    by_run = {name: judge(table, orderings) for name, table in pooled.tables.items()}
    return RunTables(contents, pooled, by_run, judge(pooled.table, orderings))


def write_tables(tables: RunTables, path: Path) -> Path:
    """Write Markdown or JSON by the file's ending and return its path.

    Raises:
        UserError: another ending, or no such folder.
    """
    if path.suffix not in (".md", ".json"):
        raise UserError(f"{path}: a table is written as .md (Markdown) or .json.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first or choose another place.")
    if path.suffix == ".md":
        write_text(path, tables.markdown())
    else:
        write_json(path, tables.as_dict())
    return path


def evaluation_folder(place: Path) -> Path:
    """The folder of a finished stage named as RUN/STAGE.

    Raises:
        UserError: no such run or stage, or one that has not finished.
    """
    run, stage = place.parent, place.name
    if run.name == "stages" and (run.parent / RUN_NAME).exists():
        run = run.parent
    if not (run / RUN_NAME).exists():
        raise UserError(
            f"{place}: expected RUN/STAGE, such as runs/r1-quickstart/eval_r1; {run} is no run folder."
        )
    folder = RunFolder.open(run)
    entries = {entry.name: entry for entry in list_stages(folder)}
    if stage not in entries:
        raise UserError(f"{run} has no stage {stage!r}; {suggestion(stage, list(entries))}")
    if not entries[stage].finished:
        raise UserError(f"{run}: stage {stage} has not finished: let the run end first.")
    return entries[stage].path


def _table_stage(place: Path) -> Path:
    """The table stage of a run, or the one named as RUN/STAGE."""
    if not (place / RUN_NAME).exists():
        return evaluation_folder(place)
    entries = list_stages(RunFolder.open(place))
    found = [entry for entry in entries if entry.manifest is not None and entry.manifest.kind == "table"]
    if len(found) == 1:
        return found[0].path
    if found:
        names = ", ".join(f"{place}/{entry.name}" for entry in found)
        raise UserError(f"{place} has several tables: name one of {names}.")
    raise UserError(
        f"{place} has no finished `table` stage: let the run end, or name its evaluations as --row NAME=RUN/STAGE."
    )


def _config(folder: Path) -> TableConfig:
    manifest = Manifest.read(folder)
    if manifest.kind != "table":
        raise UserError(f"{folder} is a stage of kind {manifest.kind}: a table was expected.")
    return validate(TableConfig, manifest.config, f"{folder}/manifest.json: config")


def _content(
    source: Path | None, config: TableConfig | None, added: Mapping[str, Path], reference: str | None
) -> Mapping[str, Any]:
    if source is not None and config is not None and not added and reference in (None, config.reference):
        return read_table(source)
    rows: dict[str, Path] = {}
    if source is not None and config is not None:
        rows = {name: source.parent / stage for name, stage in config.rows.items()}
    rows |= {name: evaluation_folder(folder) for name, folder in added.items()}
    settled = reference or (config.reference if config else None)
    if settled is not None and settled not in rows:
        raise UserError(f"reference: no row {settled!r}; {suggestion(settled, list(rows))}")
    orderings = (config or _of_rows(added)).chosen_orderings()
    resamples = {} if config is None else {"resamples": config.resamples}
    return build_table(
        {name: read_evaluation(folder) for name, folder in rows.items()}, settled, orderings, **resamples
    )


def _of_rows(rows: Mapping[str, Path]) -> TableConfig:
    return TableConfig(rows={name: folder.name for name, folder in rows.items()})


def _by_name(rows: Sequence[tuple[str, Path]]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for name, folder in rows:
        found.setdefault(name, []).append(folder)
    return found


def _run_name(stage_folder: Path) -> str:
    place = stage_folder.resolve().parent
    return place.parent.name if place.name == "stages" else place.name


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown_cell, cells))} |"
