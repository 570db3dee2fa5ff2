"""`aha data rate`: how hard each prompt is for a model, as the share of its answers that are right. Resumable by shard.

DIR/settings.json               what decides the answers
    samples/shard-000000.jsonl  a row an answer, as `aha eval` writes them
    rated.jsonl                 the rows of the file with pass_rate, pass_samples, pass_low, pass_high
    kept.jsonl                  with --keep: those of them within the bounds
    summary.json
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import fsum
from pathlib import Path
from typing import Any

from ahalab.datatools.layouts import Layout, head_of, layout_of
from ahalab.datatools.reading import GoodRows, Watch
from ahalab.datatools.stream import Row, stem_of
from ahalab.datatools.writing import RowWriter
from ahalab.errors import Interrupted, UserError
from ahalab.evaluation.intervals import wilson
from ahalab.grading.pool import GraderPool
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.prompts.mapping import ColumnMapping
from ahalab.records import Prompt
from ahalab.runs.atomic import remove_leftovers, write_json
from ahalab.runs.hashing import file_hash
from ahalab.runs.held import hold
from ahalab.runs.lock import RunLock
from ahalab.sandbox.settings import SandboxSettings
from ahalab.stages.isolation import check_isolation
from ahalab.stages.shards import is_done, read_shards, write_shard
from ahalab.stages.suites.answerers import Answerer
from ahalab.stages.suites.config import EvalConfig
from ahalab.stages.suites.folder import SAMPLES_NAME, SETTINGS_NAME
from ahalab.stages.suites.rows import Unread, graded_rows

FORMAT = 1
"""Raised when settings or rows change so that a folder begun before could not be gone on with."""
RATED_NAME, KEPT_NAME, SUMMARY_NAME = "rated.jsonl", "kept.jsonl", "summary.json"
COLUMNS = ("pass_rate", "pass_samples", "pass_low", "pass_high")
BINS = ("0", "to 0.2", "to 0.4", "to 0.6", "to 0.8", "below 1", "1")
"""Of a pass rate; none and all right are bins of their own: such prompts teach nothing in RL."""
STAGE = "rate"


@dataclass(frozen=True, slots=True)
class Keep:
    """Bounds of the pass rate, both included."""

    low: float
    high: float

    @classmethod
    def read(cls, text: str) -> Keep:
        """From "0.1:0.9". UserError for anything else."""
        low, colon, high = text.partition(":")
        try:
            bounds = cls(float(low or 0), float(high or 1))
        except ValueError:
            bounds = cls(1, 0)
        if not colon or not 0 <= bounds.low <= bounds.high <= 1:
            raise UserError(f"--keep {text}: expected LOW:HIGH within 0 and 1, such as 0.1:0.9")
        return bounds

    def holds(self, rate: float | None) -> bool:
        """Whether a pass rate is within; a row without one is not."""
        return rate is not None and self.low <= rate <= self.high


@dataclass(slots=True)
class DomainRates:
    """The prompts of one domain."""

    bins: Counter[str] = field(default_factory=Counter)
    rates: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """[rows, sum of their rates]"""
    kept: int = 0
    unrated: int = 0
    """Rows of which no answer could be graded."""

    def as_dict(self, domain: str) -> dict[str, Any]:
        """JSON-able."""
        rows = int(self.rates[0])
        return {
            "domain": domain,
            "rows": rows,
            "mean": self.rates[1] / rows if rows else None,
            "histogram": {name: self.bins[name] for name in BINS},
            "kept": self.kept,
            "unrated": self.unrated,
        }


@dataclass(slots=True)
class Rating:
    """One call of `aha data rate`."""

    path: Path
    folder: Path
    config: EvalConfig
    answerer: Answerer
    watch: Watch
    threads: int | None = None
    mapping: ColumnMapping | None = None
    domain_column: str | None = None
    most_rows: int | None = None
    keep: Keep | None = None
    skip_bad_rows: bool = False
    sandbox: SandboxSettings = field(default_factory=SandboxSettings.from_environment)
    """Where the programs of answers run."""

    def run(self) -> dict[str, Any]:
        """Answer, grade, write; returns what summary.json holds.

        Raises:
            UserError: a file that cannot be read, bad rows, a layout that cannot be told, prompts that no rule can
                check, a folder that was begun with something else, programs that this machine cannot run.
            Interrupted: Ctrl-C; finished shards stay and are not answered again.
        """
        layout = layout_of(head_of(self.path), str(self.path), self.mapping, "--map")
        if layout.prompts is None:
            raise UserError(f"{layout.why_not}. Say so with --map, such as --map question=prompt")
        if layout.prompts.verifier == "none":
            raise UserError(
                f"{self.path}: its answers are checked by no rule (verifier none), so there is no pass rate. Say how "
                "they are checked, such as --map verifier=exact --map answer=COLUMN"
            )
        # Every row is read before a model is loaded: a bad one is said now and not after hours.
        counted = GoodRows(self.path, self.watch, "check rows", skip_bad_rows=self.skip_bad_rows)
        total = 0
        for _, prompts in self._prompts(counted, layout):
            check_isolation(prompts, self.sandbox, str(self.path))
            total += len(prompts)
        self.folder.mkdir(parents=True, exist_ok=True)
        with RunLock(self.folder):
            remove_leftovers(self.folder)
            hold(self.folder / SETTINGS_NAME, self._settings(layout))
            self._answer(layout, total)
            return self._finish(layout, dict(counted.skipped))

    def _settings(self, layout: Layout) -> dict[str, Any]:
        assert layout.prompts is not None
        return {
            "format": FORMAT,
            "sha256": file_hash(self.path),
            "mapping": layout.prompts.describe(),
            "rows": self.most_rows,
            "skip_bad_rows": self.skip_bad_rows,
            "shard": self.config.shard_items,
            **self.config.sampling(),
            **self.answerer.identity(),
            "threads": self.threads,
        }

    def _prompts(self, good: GoodRows, layout: Layout) -> Iterator[tuple[Row, list[Prompt]]]:
        """(row, the prompts it makes) of every good row, the first `most_rows`."""
        mapping = layout.prompts
        assert mapping is not None
        name = stem_of(self.path)
        given = 0
        for row in good:
            if given == self.most_rows:
                return
            try:
                made = mapping.prompts(row.values)
            except BadRow as bad:
                good.reject(row, bad)
                continue
            except LeftOut as left:
                good.skipped[left.reason] += 1
                continue
            given += 1
            prompts = [
                Prompt(
                    id=f"{name}/{fields.digest(mapping.domain)}",
                    question=fields.question,
                    answer=fields.answer,
                    domain=self._domain(row, mapping.domain),
                    source=name,
                    verifier=mapping.verifier,
                    language=fields.language,
                    level=fields.level,
                    extra=fields.extra,
                    messages=fields.messages,
                )
                for fields in made
            ]
            yield row, prompts

    def _domain(self, row: Row, fallback: str) -> str:
        named = row.values.get(self.domain_column or "domain")
        return named if isinstance(named, str) and named.strip() else fallback

    def _shards(self, layout: Layout) -> Iterator[tuple[int, list[Prompt]]]:
        """The prompts in shards; only one is in memory. Of equal prompts in one shard each has an id of its own."""
        good = GoodRows(
            self.path, Watch(interrupt=self.watch.interrupt), STAGE, skip_bad_rows=self.skip_bad_rows
        )
        shard: dict[str, Prompt] = {}
        number = 0
        for _, prompts in self._prompts(good, layout):
            for prompt in prompts:
                named, again = prompt.id, 1
                while named in shard:
                    again += 1
                    named = f"{prompt.id}-{again}"
                shard[named] = replace(prompt, id=named)
                if len(shard) == self.config.shard_items:
                    yield number, list(shard.values())
                    number, shard = number + 1, {}
        if shard:
            yield number, list(shard.values())

    def _answer(self, layout: Layout, total: int) -> None:
        folder = self.folder / SAMPLES_NAME
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        size, k = self.config.shard_items, self.config.k
        shards = -(-total // size)
        progress = self.watch.progress
        before = sum(min(size, total - number * size) for number in range(shards) if is_done(folder, number))
        progress.begin(STAGE, total, "prompt", before)
        try:
            with GraderPool(
                self.config.grader_workers, self.config.grader_cpu_seconds, sandbox=self.sandbox
            ) as pool:
                for number, prompts in self._shards(layout):
                    if is_done(folder, number):
                        continue
                    if self.watch.interrupt.asked:
                        raise Interrupted(f"{STAGE}: {number} of {shards} shards are saved.")

                    def on_sample(samples: int, first: int = number * size) -> None:
                        if samples % k == 0:
                            progress.advance(first + samples // k, {})

                    raw = self.answerer.answers(prompts, STAGE, number, on_sample)
                    asked = [
                        Unread(prompt, index, answer)
                        for prompt, answers in zip(prompts, raw, strict=True)
                        for index, answer in enumerate(answers)
                    ]
                    rows = graded_rows("final", asked, pool)
                    write_shard(folder, number, rows)
                    scores = [row["correct"] for row in rows if row["correct"] is not None]
                    shown = {"pass@1": sum(scores) / len(scores)} if scores else {}
                    progress.advance(min((number + 1) * size, total), shown)
        finally:
            progress.end()

    def _finish(self, layout: Layout, skipped: dict[str, int]) -> dict[str, Any]:
        """Put the answers beside their rows: the file and the shards are read side by side."""
        answers = read_shards(self.folder / SAMPLES_NAME)
        domains: dict[str, DomainRates] = {}
        errors: Counter[str] = Counter()
        replaced = 0
        good = GoodRows(self.path, self.watch, "write", skip_bad_rows=self.skip_bad_rows)
        kept_path = self.folder / KEPT_NAME
        if self.keep is None:
            kept_path.unlink(missing_ok=True)
        with ExitStack() as files:
            rated = files.enter_context(RowWriter(self.folder / RATED_NAME, overwrite=True))
            kept = files.enter_context(RowWriter(kept_path, overwrite=True)) if self.keep else None
            for row, prompts in self._prompts(good, layout):
                found = [next(answers) for _ in range(len(prompts) * self.config.k)]
                scores = [one["correct"] for one in found if one["correct"] is not None]
                errors.update(
                    str(one["error"]).partition(":")[0] for one in found if one["error"] is not None
                )
                replaced += any(name in row.values for name in COLUMNS)
                written = {**row.values, **_rate(scores)}
                domain = domains.setdefault(
                    self._domain(row, prompts[0].domain if prompts else ""), DomainRates()
                )
                rated.write(written)
                rate = written["pass_rate"]
                _count(domain, rate)
                if kept is not None and self.keep is not None and self.keep.holds(rate):
                    kept.write(written)
                    domain.kept += 1
        summary = {
            "file": str(self.path),
            "answerer": self.answerer.identity(),
            "settings": self.config.sampling(),
            "rows": rated.rows,
            "skipped": skipped,
            "errors": dict(errors),
            "replaced": replaced,
            "keep": None if self.keep is None else [self.keep.low, self.keep.high],
            "kept": None if kept is None else kept.rows,
            "domains": [domains[name].as_dict(name) for name in sorted(domains)],
            "output": str(self.folder / RATED_NAME),
            "kept_file": None if kept is None else str(kept_path),
        }
        write_json(self.folder / SUMMARY_NAME, summary)
        return summary


def _rate(scores: list[float]) -> dict[str, Any]:
    """The columns that a row gains: the mean score of its graded answers with Wilson's 95 % interval."""
    if not scores:
        return dict(zip(COLUMNS, (None, 0, None, None), strict=True))
    rate = fsum(scores) / len(scores)
    low, high = wilson(rate, len(scores))
    return dict(zip(COLUMNS, (rate, len(scores), low, high), strict=True))


def _count(domain: DomainRates, rate: float | None) -> None:
    if rate is None:
        domain.unrated += 1
        return
    domain.rates[0] += 1
    domain.rates[1] += rate
    domain.bins[bin_of(rate)] += 1


def bin_of(rate: float) -> str:
    """The bin of a pass rate; see `BINS`."""
    if rate in (0.0, 1.0):
        return BINS[0] if rate == 0.0 else BINS[-1]
    return next(
        (name for name, high in zip(BINS[1:5], (0.2, 0.4, 0.6, 0.8), strict=True) if rate <= high), BINS[5]
    )


def rows_of(summary: Mapping[str, Any]) -> Iterator[list[str]]:
    """The histogram by domain as table rows: domain, rows, mean, a cell a bin, kept."""
    for one in summary["domains"]:
        mean = "–" if one["mean"] is None else f"{one['mean']:.3f}"
        yield [
            one["domain"],
            f"{one['rows']:,}",
            mean,
            *(f"{one['histogram'][name]:,}" for name in BINS),
            "–" if summary["kept"] is None else f"{one['kept']:,}",
        ]
