"""First step: prompts and labelled responses out of files, without doubles and without evaluation prompts.

Rows go from file to file one by one. What stays in memory is a number for each text that was seen (about 100 bytes a
row, most of it Python's) and the evaluation items.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from ahalab.errors import Interrupted, UserError
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.prompts.lines import bad_row_error
from ahalab.prompts.source import content_hash, detect_language
from ahalab.records import LabelledResponse, Messages
from ahalab.runs.atomic import TEMPORARY_PREFIX, write_json
from ahalab.runs.jsonl import JsonlWriter
from ahalab.safety.rewarding.exclusion import Exclusion, Hit
from ahalab.safety.rewarding.job import Job, SourceConfig, source_name
from ahalab.safety.rewarding.reading import stream_rows
from ahalab.safety.rewarding.rules import Converted, Given, LoadedRule, Yields, check_columns, convert

PROMPTS_NAME, GIVEN_NAME, DROPPED_NAME = "prompts.jsonl", "given.jsonl", "dropped.jsonl"
GATHERED_NAME = "gathered.json"
"""Counts; written last, so that a killed step begins anew."""
NOTE_EVERY = 500
DOMAIN = "safety"


class Progress(Protocol):
    """What long work tells; the terminal's and the plain one of `ahalab.cli.progress` fit."""

    def begin(self, stage: str, total: int, unit: str, done: int = 0) -> None: ...
    def advance(self, done: int, figures: Mapping[str, float | int | str | None]) -> None: ...
    def note(self, text: str) -> None: ...
    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told, and who says stop."""

    progress: Progress
    stopping: Callable[[], bool] = lambda: False

    def check(self) -> None:
        """Raises Interrupted when the user asked to stop."""
        if self.stopping():
            raise Interrupted("stopped: every paid reply is kept, the same command goes on from here.")


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A row of `prompts.jsonl`."""

    id: str
    question: str
    language: str
    source: str
    messages: Messages = ()


@dataclass(slots=True)
class Gathered:
    """What the step found."""

    rows: Counter[str] = field(default_factory=Counter)
    """Source → rows read."""
    prompts: Counter[str] = field(default_factory=Counter)
    """Source → prompts that stay."""
    given: Counter[str] = field(default_factory=Counter)
    """Source → labelled responses that stay."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason → rows or responses left out."""
    contradictory: list[str] = field(default_factory=list)
    """Ids of labelled responses that stand again with the other label: none of the two is used."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        counts = {name: dict(getattr(self, name)) for name in ("rows", "prompts", "given", "dropped")}
        return {**counts, "contradictory": self.contradictory}


def text_key(*texts: str) -> int:
    """A number that is the same for texts that differ in case, full width and white space only."""
    digest = blake2b(digest_size=8)
    for text in texts:
        folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        plain = folded.encode("utf-8", "backslashreplace")
        digest.update(len(plain).to_bytes(8, "big") + plain)
    return int.from_bytes(digest.digest(), "big")


def gather(
    job: Job,
    rules: Mapping[str, LoadedRule],
    base: Path,
    folder: Path,
    exclusion: Exclusion,
    watch: Watch,
    *,
    skip_bad_rows: bool,
) -> Gathered:
    """Write `prompts.jsonl`, `given.jsonl` and `dropped.jsonl` of `folder`. Text of what is dropped is not repeated.

    Raises:
        UserError: a file that cannot be read, a row that its rule cannot read (counted with `skip_bad_rows`).
        Interrupted: by the user; the step begins anew then.
    """
    found = Gathered()
    names = (PROMPTS_NAME, GIVEN_NAME, DROPPED_NAME)
    for name in names:
        (folder / f"{TEMPORARY_PREFIX}{name}").unlink(missing_ok=True)
    writers = {name: JsonlWriter(folder / f"{TEMPORARY_PREFIX}{name}") for name in names}
    try:
        step = _Gathering(job, found, writers, exclusion, watch, skip_bad_rows)
        for source in job.prompts:
            step.read(source, rules[source_name(source)], base, "prompts", step.prompt)
        for source in job.labelled:
            step.read(source, rules[source_name(source)], base, "labelled", step.labelled)
    finally:
        for writer in writers.values():
            writer.close()
        watch.progress.end()
    for name in names:
        (folder / f"{TEMPORARY_PREFIX}{name}").replace(folder / name)
    write_json(folder / GATHERED_NAME, found.as_dict())
    return found


class _Gathering:
    def __init__(
        self,
        job: Job,
        found: Gathered,
        writers: Mapping[str, JsonlWriter],
        exclusion: Exclusion,
        watch: Watch,
        skip_bad_rows: bool,
    ) -> None:
        self._job, self._found, self._writers = job, found, writers
        self._exclusion, self._watch, self._skip = exclusion, watch, skip_bad_rows
        self._prompts: set[int] = set()
        self._given: dict[int, bool] = {}
        self._done = 0

    def read(
        self,
        source: SourceConfig,
        loaded: LoadedRule,
        base: Path,
        wanted: Yields,
        take: Callable[[str, int, Converted], None],
    ) -> None:
        """Every row of a source through its rule to `take`."""
        rule, name = loaded.rule, source_name(source)
        if wanted == "labelled" and rule.yields != "labelled":
            raise UserError(
                f"labelled: {source.file}: the rule {rule.name} yields {rule.yields}, not labelled responses. Put the "
                "file under `prompts`, or name a rule that says which column is the label."
            )
        path = base / Path(source.file).expanduser()
        self._watch.progress.begin(f"gather {name}", source.rows or 0, "row")
        first = True
        for number, row in stream_rows(path, f"{wanted}.{name}"):
            if source.rows is not None and self._found.rows[name] >= source.rows:
                break
            self._found.rows[name] += 1
            self._done += 1
            if self._done % NOTE_EVERY == 0:
                self._watch.check()
                self._watch.progress.advance(
                    self._found.rows[name], {"left out": self._found.dropped.total()}
                )
            try:
                if isinstance(row, BadRow):
                    raise row
                if first:
                    check_columns(rule, list(row), str(path))
                    first = False
                take(name, number, convert(rule, row))
            except LeftOut as out:
                self.drop(name, number, "", out.reason)
            except BadRow as bad:
                if not self._skip:
                    raise bad_row_error(str(path), number, bad) from None
                self.drop(name, number, "", f"bad row: {bad.reason}")
        self._watch.progress.end()

    def prompt(self, source: str, number: int, row: Converted) -> None:
        """Take a prompt, or count why not."""
        name = f"{source}/{content_hash(row.question, None, DOMAIN)}"
        key = text_key(row.question)
        if key in self._prompts:
            self.drop(source, number, name, "duplicate prompt")
            return
        self._prompts.add(key)
        if not self._fits(source, number, name, row):
            return
        one = PromptRow(name, row.question, detect_language(row.question), source, row.messages)
        self._writers[PROMPTS_NAME].append(asdict(one))
        self._found.prompts[source] += 1

    def labelled(self, source: str, number: int, row: Converted) -> None:
        """Take the labelled responses of a row, or count why not."""
        fits: bool | None = None
        for place, given in enumerate(row.responses, 1):
            text = f"{given.thinking}\x1f{given.answer}"
            name = f"{source}/{content_hash(row.question, text, DOMAIN)}"
            reason = given.unreadable or ("empty reply" if not given.answer else "")
            if not reason and len(row.question) + len(text) > self._job.longest:
                reason = "too long"
            if reason:
                self.drop(source, number, name, reason, place)
                continue
            assert given.safe is not None
            key = text_key(row.question, given.thinking, given.answer)
            if key in self._given:
                same = self._given[key] == given.safe
                if not same:
                    self._found.contradictory.append(name)
                self.drop(
                    source, number, name, "same response twice" if same else "contradictory labels", place
                )
                continue
            self._given[key] = given.safe
            if fits is None:
                fits = self._fits(source, number, name, row)
            elif not fits:
                self.drop(source, number, name, "prompt left out", place)
            if fits:
                self._writers[GIVEN_NAME].append(asdict(_response(name, row, given, source)))
                self._found.given[source] += 1

    def drop(
        self, source: str, number: int, name: str, reason: str, response: int | None = None, **more: Any
    ) -> None:
        """Count and list what is left out, without its text."""
        self._found.dropped[reason] += 1
        which = {} if response is None else {"response": response}
        self._writers[DROPPED_NAME].append(
            {"source": source, "row": number, **which, "id": name, "reason": reason, **more}
        )

    def _fits(self, source: str, number: int, name: str, row: Converted) -> bool:
        if len(row.question.strip()) < self._job.shortest:
            self.drop(source, number, name, "too short")
            return False
        if len(row.question) > self._job.longest:
            self.drop(source, number, name, "too long")
            return False
        turns = [said for role, said in row.messages if role == "user"] or [row.question]
        hit = self._exclusion.find(turns)
        if hit is not None:
            self.drop(source, number, name, f"contaminated: {hit.by}", **_told(hit))
        return hit is None


def _told(hit: Hit) -> dict[str, Any]:
    cosine = {} if hit.cosine is None else {"cosine": round(hit.cosine, 3)}
    return {"items": list(hit.items), "items_found": hit.found, **cosine}


def _response(name: str, row: Converted, given: Given, source: str) -> LabelledResponse:
    assert given.safe is not None
    return LabelledResponse(
        id=name,
        question=row.question,
        thinking=given.thinking,
        answer=given.answer,
        safe=given.safe,
        domain=DOMAIN,
        language=detect_language(row.question),
        source=source,
    )


def prompt_shards(prompts: Iterator[dict[str, Any]], size: int) -> Iterator[Sequence[PromptRow]]:
    """The rows of `prompts.jsonl`, `size` at a time."""
    shard: list[PromptRow] = []
    for row in prompts:
        turns = tuple((role, said) for role, said in row.pop("messages"))
        shard.append(PromptRow(**row, messages=turns))
        if len(shard) == size:
            yield shard
            shard = []
    if shard:
        yield shard
