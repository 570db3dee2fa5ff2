"""The `sample` stage: answers of a model or a teacher, filtered, refined, de-duplicated: data to fine-tune on.

prompts ─► samples ─► grades ─► filters ─► choice ─► teacher ─► re-check ─► data/rows.jsonl       every drop counted
Cold-start data (paper B.3.2), rejection sampling and general data (B.3.3). It resumes by shards of prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ahalab.counter import make_key
from ahalab.errors import Interrupted, UserError
from ahalab.records import Prompt
from ahalab.runs.atomic import remove_leftovers
from ahalab.runs.hashing import file_hash
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.datasets import (
    FOLDER_NAME,
    describe_dropped,
    statistics,
    write_dropped,
    write_rows,
    write_statistics,
)
from ahalab.stages.evaluate import WALL_TIMEOUT
from ahalab.stages.filters import UNCHECKED, Candidate, Drop, candidate_id
from ahalab.stages.helpers import Helpers, build_judge, build_teacher, check_helpers
from ahalab.stages.review import Review, ReviewedRow, read_review
from ahalab.stages.sample_config import TEACHER, SampleConfig
from ahalab.stages.sampling_shards import (
    ModelSampler,
    build_pool,
    clock_decided,
    hold_to,
    response_of,
    token_counter,
)
from ahalab.stages.selection import Outcome, Selector, with_score, without_twins
from ahalab.stages.setup import build_prompts, settle_prompts
from ahalab.stages.shards import SHARD, cut, is_done, read_shards, write_shard, write_whole
from ahalab.teachers import Failure

VERSION = 3
"""Raised whenever the same inputs would give other bytes."""

SHARDS_NAME = "shards"
"""Folder of what became of each sample, a file a shard; `data/` is made of them at the end."""
DROPS_NAME = "dropped.jsonl"
DROPPED_IN_REVIEW, REMOVED_IN_REVIEW = "dropped in review", "removed in review"
AFTER_REVIEW = "after review: "


def check_sample(config: SampleConfig, context: StageContext) -> None:
    """What can be known before anything is spent.

    Raises:
        UserError: prompts that cannot be read, too few of them, an unknown teacher or judge, a missing or broken
            reviewed file.
    """
    prompts = build_prompts(config.prompts, context).take(0, config.n)
    if config.reviewed is not None:
        path = context.data_folder / Path(config.reviewed).expanduser()
        _reviewed(read_review(path), path, config, context, prompts)
    roles = _teachers(config)
    teachers = [one for one in roles.values() if one[0] != "self"]
    check_helpers(context, teachers, (config.judge, config.prompts_folder) if config.judge else None)


def run_sample(config: SampleConfig, context: StageContext) -> StageResult:
    """Sample, filter, refine; leaves `data/` and, where a model was sampled, `samples/shard-*.jsonl`.

    Raises:
        UserError: nothing is left (says which filter took how many), besides what `check_sample` raises.
        Interrupted: Ctrl-C; finished shards stay.
    """
    work = _Work(config, context)
    try:
        work.run()
        return work.finish()
    finally:
        work.close()


class _Work:
    """What all shards of one stage share."""

    def __init__(self, config: SampleConfig, context: StageContext) -> None:
        self.config, self.context = config, context
        self.prompts = settle_prompts(config.prompts, context).take(0, config.n)
        self.shards = cut(self.prompts, SHARD)
        self.folder = context.folder / SHARDS_NAME
        self.folder.mkdir(exist_ok=True)
        remove_leftovers(self.folder)
        self.pool = build_pool(config, context)
        self.sampler: ModelSampler | None = None
        if config.from_ != TEACHER and config.reviewed is None:
            self.sampler = ModelSampler(config, context, context.inputs["from"], self.pool)
        generate = self.sampler.complete if self.sampler else None
        made = {
            role: build_teacher(name, context, folder, generate)
            for role, (name, folder) in _teachers(config).items()
        }
        self.teacher, self.refiner = made.get("teacher"), made.get("refine")
        self.judge = build_judge(config.judge, context, config.prompts_folder) if config.judge else None
        self.helpers = Helpers(context, {**made, "judge": self.judge})
        self.earlier: Counter[str] = Counter()
        """Drops of the stage that a reviewed file was exported from."""
        self.key = make_key(context.seed, context.name)
        self.selector = Selector(
            config, self.pool, self.judge, self.refiner, self.key, _source(config, context)
        )

    def run(self) -> None:
        """Make every shard that is not there yet."""
        context, shards = self.context, self.shards
        if self.config.reviewed is not None:
            self._import(self.config.reviewed)
            return
        done = [is_done(self.folder, number) for number in range(len(shards))]
        finished = sum(len(shard) for shard, there in zip(shards, done, strict=True) if there)
        context.progress.begin(context.name, len(self.prompts), "prompt", finished)
        try:
            for number, shard in enumerate(shards):
                if done[number]:
                    continue
                outcomes = self._shard(number, shard)
                self._write(number, outcomes)
                kept = sum(one.row is not None for one in outcomes)
                context.progress.advance(
                    min((number + 1) * SHARD, len(self.prompts)), {"kept": kept, "of": len(outcomes)}
                )
                if context.interrupt.asked and number + 1 < len(shards):
                    raise Interrupted(f"{context.name}: {number + 1} of {len(shards)} shards are saved.")
        finally:
            context.progress.end()
            self.helpers.report_traffic()

    def finish(self) -> StageResult:
        """The data set of all shards."""
        lines = list(read_shards(self.folder))
        outcomes = [Outcome.read(line) for line in lines if "counts" not in line]
        if "unique" in self.config.keep:
            outcomes = without_twins(outcomes, self.config.thresholds.near_duplicate)
        rows = [one.row for one in outcomes if one.row is not None]
        dropped = Counter(one.drop.reason for one in outcomes if one.drop is not None)
        data = self.context.folder / FOLDER_NAME
        data.mkdir(exist_ok=True)
        write_whole(data / DROPS_NAME, _drop_lines(outcomes))
        write_dropped(data, dropped + self.earlier)
        if not rows:
            raise UserError(self._nothing_left(len(outcomes), dropped))
        table = statistics(rows, token_counter(next(iter(self.context.inputs.values()))))
        write_rows(data, rows)
        write_statistics(data, table)
        figures = {
            "prompts": len(self.prompts),
            "candidates": len(outcomes) + self.earlier.total(),
            "rows": len(rows),
            "prompts_with_rows": len({row.prompt_id for row in rows}),
            "dropped": dict(sorted((dropped + self.earlier).items())),
            "statistics": table,
            **self.helpers.figures(line["counts"] for line in lines if "counts" in line),
        }
        waited = any(one.drop and one.drop.detail.startswith(WALL_TIMEOUT) for one in outcomes)
        return StageResult(figures, reproducible=not (waited or clock_decided(self.context)))

    def close(self) -> None:
        """Stop the graders."""
        self.pool.close()

    def _shard(self, number: int, prompts: Sequence[Prompt]) -> list[Outcome]:
        if self.teacher is not None:
            return self._answered(prompts)
        assert self.sampler is not None

        def advance(done: int) -> None:
            self.context.progress.advance(number * SHARD + done, {})

        rows = self.sampler.rows(number, prompts, self.config.per_prompt, advance)
        return self.selector.decide([_sampled(row, prompt) for row, prompt in self._paired(rows, prompts)])

    def _paired(
        self, rows: Sequence[dict[str, Any]], prompts: Sequence[Prompt]
    ) -> Iterable[tuple[dict[str, Any], Prompt]]:
        every = (prompt for prompt in prompts for _ in range(self.config.per_prompt))
        return zip(rows, every, strict=True)

    def _answered(self, prompts: Sequence[Prompt]) -> list[Outcome]:
        """The teacher's answers, judged; a failure is a drop of its own."""
        assert self.teacher is not None
        asked = [(prompt, index) for prompt in prompts for index in range(self.config.per_prompt)]
        items = [(prompt, make_key(self.key, "answer", prompt.id, index)) for prompt, index in asked]
        replies = self.teacher.respond(items, self.config.thinking)
        outcomes: dict[str, Outcome] = {}
        candidates: list[Candidate] = []
        for (prompt, index), reply in zip(asked, replies, strict=True):
            if isinstance(reply, Failure):
                one = Candidate(prompt, index, "", "")
                outcomes[one.id] = Outcome.dropped(one, Drop(f"teacher: {reply.reason}", reply.detail))
            else:
                candidates.append(Candidate(prompt, index, reply.thinking, reply.answer))
        if "correct" in self.config.keep:
            candidates = self.selector.graded(candidates)
        outcomes.update((one.id, one) for one in self.selector.decide(candidates))
        return [outcomes[candidate_id(prompt.id, index)] for prompt, index in asked]

    def _write(self, number: int, outcomes: Sequence[Outcome]) -> None:
        counts = self.helpers.counts_since()
        last = [{"counts": counts}] if counts else []
        write_shard(self.folder, number, [*(one.line() for one in outcomes), *last])

    def _import(self, file: str) -> None:
        """A person's decisions in place of samples; what was edited is checked again, what is gone is counted."""
        path = self.context.data_folder / Path(file).expanduser()
        hold_to(self.context, "reviewed.json", {"sha256": file_hash(path)}, f"the reviewed file {path}")
        review = read_review(path)
        self.earlier.update(review.exported.dropped)
        if is_done(self.folder, 0):
            return
        entries, removed = _reviewed(review, path, self.config, self.context, self.prompts)
        candidates = [one for one, _ in entries] + removed
        edited = [one for one, entry in entries if entry.edited and not entry.dropped]
        checks = self.selector.recheck(edited, AFTER_REVIEW)
        drops = {one.id: drop for one, drop in zip(edited, checks, strict=True) if drop is not None}
        drops |= {one.id: Drop(DROPPED_IN_REVIEW, entry.note) for one, entry in entries if entry.dropped}
        drops |= {one.id: Drop(REMOVED_IN_REVIEW) for one in removed}
        self._write(
            0,
            [
                Outcome.dropped(one, drops[one.id]) if one.id in drops else self.selector.kept(one)
                for one in candidates
            ],
        )
        self.helpers.report_traffic()

    def _nothing_left(self, n_candidates: int, dropped: Counter[str]) -> str:
        what = "rows of the reviewed file" if self.config.reviewed else "answers"
        return (
            f"{self.context.name}: nothing is left of {n_candidates} {what} to {len(self.prompts)} prompts: "
            f"{describe_dropped(dropped)}. Each one is listed in {self.context.folder / FOLDER_NAME / DROPS_NAME}. "
            "Take a better model or easier prompts, raise `per_prompt`, or loosen `keep` and `thresholds`."
        )


def _teachers(config: SampleConfig) -> dict[str, tuple[str, str | None]]:
    """Role → name and prompts folder."""
    found = {}
    if config.teacher is not None and config.reviewed is None:
        found["teacher"] = (config.teacher, config.prompts_folder)
    if config.refine is not None and config.reviewed is None:
        found["refine"] = (config.refine.teacher, config.refine.prompts_folder or config.prompts_folder)
    return found


def _source(config: SampleConfig, context: StageContext) -> str:
    made = config.teacher if config.from_ == TEACHER else config.from_
    refined = f", refined by {config.refine.teacher}" if config.refine else ""
    return f"{context.name}: {made}{refined}{', reviewed' if config.reviewed else ''}"


def _sampled(row: dict[str, Any], prompt: Prompt) -> Candidate:
    """The candidate that a row of `samples/` holds."""
    response = response_of(row)
    candidate = Candidate(
        prompt,
        row["sample"],
        response.thinking or "",
        response.answer or "",
        row["finish"],
        row["well_formed"],
        unscored=UNCHECKED,
    )
    return with_score(candidate, row["correct"], row["error"])


def _reviewed(
    review: Review, path: Path, config: SampleConfig, context: StageContext, prompts: Sequence[Prompt]
) -> tuple[list[tuple[Candidate, ReviewedRow]], list[Candidate]]:
    """The reviewed file's rows with their prompts, and what a person removed from it. UserError for a row that this
    stage cannot have made."""
    known = {
        candidate_id(prompt.id, index): (prompt, index)
        for prompt in prompts
        for index in range(config.per_prompt)
    }
    if strange := next((one for one in review.exported.ids if one not in known), None):
        raise UserError(
            f"{path}: the id {strange!r} is none of {context.name}. Export again if its prompts, n, per_prompt or seed "
            "changed since, and name the file in the stage that it was exported from."
        )
    found = []
    for entry in review.rows:
        prompt, index = known[entry.row.id]
        if entry.row.question != prompt.question:
            raise UserError(
                f"{path}, row {entry.number}: its question is not that of {prompt.id}. Only thinking, answer, status "
                "and note may be edited."
            )
        found.append((Candidate(prompt, index, entry.row.thinking, entry.row.answer), entry))
    return found, [Candidate(*known[one], "", "") for one in review.removed]


def _drop_lines(outcomes: Iterable[Outcome]) -> Iterable[dict[str, Any]]:
    for one in outcomes:
        if one.drop is not None:
            yield {
                "id": one.id,
                "prompt_id": one.prompt_id,
                "sample": one.sample,
                "reason": one.drop.reason,
                "detail": one.drop.detail,
            }
