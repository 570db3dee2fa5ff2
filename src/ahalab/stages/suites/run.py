"""`aha eval`: suites answered, graded and summed up, shard by shard; what is there already is not asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab import __version__
from ahalab.errors import Interrupted, UserError
from ahalab.evaluation.suites import Chosen, Items, suite_items
from ahalab.evaluation.suites.items import choose
from ahalab.evaluation.suites.markdown import markdown
from ahalab.evaluation.suites.summary import suite_figures
from ahalab.grading.pool import GraderPool
from ahalab.runs.atomic import read_json, remove_leftovers, write_json, write_text
from ahalab.runs.hashing import config_hash
from ahalab.runs.held import hold
from ahalab.runs.lock import RunLock
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.sandbox.settings import SandboxSettings
from ahalab.stages.context import Interrupt
from ahalab.stages.isolation import check_isolation
from ahalab.stages.shards import cut, is_done, read_shard, write_shard
from ahalab.stages.suites.answerers import Answerer
from ahalab.stages.suites.config import EvalConfig
from ahalab.stages.suites.folder import (
    ANSWERER_NAME,
    MARKDOWN_NAME,
    SAMPLES_NAME,
    SETTINGS_NAME,
    SUMMARY_NAME,
    suite_folders,
    suite_rows,
)
from ahalab.stages.suites.preference import Comparing, judged_figures
from ahalab.stages.suites.rows import Unread, graded_rows, unread_rows

FORMAT = 1
"""Raised when rows or settings change so that a folder begun before could not be gone on with."""


@dataclass(slots=True)
class Evaluation:
    """One call of `aha eval`."""

    config: EvalConfig
    answerer: Answerer
    folder: Path
    threads: int | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    """Suite as written → file with its rows."""
    comparing: Comparing = field(default_factory=Comparing)
    skip_bad_rows: bool = False
    progress: Progress = field(default_factory=SilentProgress)
    interrupt: Interrupt = field(default_factory=Interrupt)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings.from_environment)
    """Where the programs of answers run."""

    def run(self, suites: Sequence[Chosen]) -> dict[str, Any]:
        """Answer, grade and sum up; returns what `evaluation.json` holds.

        Raises:
            UserError: the folder was begun with other settings, or holds something else; answers are programs, and this
                machine cannot run them.
            Interrupted: Ctrl-C; finished shards stay and are not sampled again.
        """
        # What is not there is said before anything is written.
        answerer = {"format": FORMAT, **self.answerer.identity(), "threads": self.threads}
        items = {one.text: self._items(one) for one in suites}
        for name, found in items.items():
            check_isolation(found.prompts, self.sandbox, name)
        with RunLock(self.folder):
            remove_leftovers(self.folder)
            hold(self.folder / ANSWERER_NAME, answerer)
            for one in suites:
                self._check(one, items[one.text])
            with self._graders() as pool:
                for one in suites:
                    self._answer(one, items[one.text], pool)
                    if one.suite.compared:
                        self.comparing.judge_all(one, self.folder / one.slug, self.interrupt)
            return summarise(self.folder, self.config.pass_at)

    def _graders(self) -> GraderPool:
        return GraderPool(self.config.grader_workers, self.config.grader_cpu_seconds, sandbox=self.sandbox)

    def _items(self, one: Chosen) -> Items:
        items = suite_items(
            one, self.config.n, file=self.files.get(one.text), skip_bad_rows=self.skip_bad_rows
        )
        skipped = items.description.get("skipped")
        if skipped:
            reasons = ", ".join(f"{count} × {reason}" for reason, count in skipped.items())
            self.progress.note(f"{one.text}: skipped {sum(skipped.values())} rows ({reasons})")
        return items

    def _check(self, one: Chosen, items: Items) -> None:
        """Hold the suite's folder to what decides its rows."""
        hold(
            self.folder / one.slug / SETTINGS_NAME,
            {
                "suite": one.text,
                "rule": one.suite.rule,
                "n": len(items.prompts),
                **self.config.sampling(),
                "source": items.description,
                "items": config_hash([prompt.id for prompt in items.prompts]),
            },
        )
        self.comparing.check(one, items)

    def _answer(self, one: Chosen, items: Items, pool: GraderPool) -> None:
        folder = self.folder / one.slug / SAMPLES_NAME
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        size, k = self.config.shard_items, self.config.k
        shards = cut(items.prompts, size)
        done = [is_done(folder, number) for number in range(len(shards))]
        before = sum(len(shard) for shard, finished in zip(shards, done, strict=True) if finished)
        self.progress.begin(one.text, len(items.prompts), "item", before)
        try:
            for number, shard in enumerate(shards):
                if done[number]:
                    continue
                if self.interrupt.asked:
                    raise Interrupted(f"{one.text}: {number} of {len(shards)} shards are saved.")

                def on_sample(samples: int, first: int = number * size) -> None:
                    if samples % k == 0:
                        self.progress.advance(first + samples // k, {})

                raw = self.answerer.answers(shard, one.text, number, on_sample)
                asked = [
                    Unread(prompt, index, answer)
                    for prompt, answers in zip(shard, raw, strict=True)
                    for index, answer in enumerate(answers)
                ]
                rows = graded_rows(one.suite.rule, asked, pool)
                write_shard(folder, number, rows)
                scores = [row["correct"] for row in rows if row["correct"] is not None]
                shown = {"pass@1": sum(scores) / len(scores)} if scores else {}
                self.progress.advance(min(number * size + len(shard), len(items.prompts)), shown)
        finally:
            self.progress.end()


def summarise(folder: Path, pass_at: Sequence[int] = ()) -> dict[str, Any]:
    """Write `evaluation.json` and `evaluation.md` from the rows of a folder; returns the former.

    Raises:
        UserError: the folder is no evaluation, or a file in it is broken.
    """
    suites: dict[str, Any] = {}
    for path in suite_folders(folder):
        settings = read_json(path / SETTINGS_NAME)
        config = {name: settings[name] for name in ("k", "temperature", "top_p", "max_new_tokens", "seed")}
        figures = suite_figures(
            suite_rows(path), settings["k"], [j for j in pass_at if j <= settings["k"]], config
        )
        suites[settings["suite"]] = {
            "wanted": settings["n"],
            **figures,
            **judged_figures(path, settings["k"]),
        }
    found = {
        "format": FORMAT,
        "ahalab": __version__,
        "pass_at": list(pass_at),
        "answerer": read_json(folder / ANSWERER_NAME),
        "suites": suites,
    }
    write_json(folder / SUMMARY_NAME, found)
    write_text(folder / MARKDOWN_NAME, markdown(found))
    return found


@dataclass(frozen=True, slots=True)
class Regraded:
    """What grading again changed."""

    samples: int
    changed: int
    """Samples whose answer, score or error is another one now."""
    summary: dict[str, Any]


def regrade(
    folder: Path,
    progress: Progress | None = None,
    workers: int = 2,
    sandbox: SandboxSettings | None = None,
) -> Regraded:
    """Read and grade the kept completions again, with the rules of this version; nothing is generated.

    Raises:
        UserError: the folder is no evaluation, was filled by another format, or holds answers that are programs, and
            this machine cannot run them.
    """
    progress = progress or SilentProgress()
    sandbox = sandbox or SandboxSettings.from_environment()
    samples = changed = 0
    suites = suite_folders(folder)
    with RunLock(folder), GraderPool(workers, sandbox=sandbox) as pool:
        for path in suites:
            rule = choose(read_json(path / SETTINGS_NAME)["suite"]).suite.rule
            shards = sorted((path / SAMPLES_NAME).glob("shard-*.jsonl"))
            progress.begin(f"{path.name} again", len(shards), "shard")
            try:
                for number in range(len(shards)):
                    before = read_shard(path / SAMPLES_NAME, number)
                    try:
                        kept = unread_rows(before)
                        check_isolation((one.prompt for one in kept), sandbox, path.name)
                        after = graded_rows(rule, kept, pool)
                    except KeyError as error:
                        raise UserError(
                            f"{shards[number]} has rows without {error}: another version of ahalab wrote it, and they "
                            "cannot be graded again."
                        ) from error
                    samples += len(after)
                    changed += sum(
                        _verdict(old) != _verdict(new) for old, new in zip(before, after, strict=True)
                    )
                    write_shard(path / SAMPLES_NAME, number, after)
                    progress.advance(number + 1, {})
            finally:
                progress.end()
        known = read_json(folder / SUMMARY_NAME)["pass_at"] if (folder / SUMMARY_NAME).is_file() else ()
        return Regraded(samples, changed, summarise(folder, known))


def _verdict(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in ("answer", "found", "correct", "error"))
