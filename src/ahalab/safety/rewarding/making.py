"""`aha safety rewards make`: prompts × models' replies × a judge's votes → rows for the reward model.

DIR/rewards.json          what it was begun with: the job, hashes of guideline, rules, files, benchmarks
    judge/safety_label.txt    the judge's prompt file, made of the guideline
    prompts.jsonl · given.jsonl · dropped.jsonl · gathered.json        first step: see `gathering`
    recorded/<name>/          recorded replies, sorted to the shards
    shards/<n>/targets/…      replies of the models' endpoints as they came: no call is paid for twice
    shards/<n>/paid/…         and those of the judge
    shards/<n>/rows.jsonl     one line a response: its row or the reason it was left out; written when all are known
    data/labelled.jsonl · summary.json                                 last step: see `assembling`

The unit of memory and of progress is the shard: a killed run goes on with the shard it was in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ahalab.counter import make_key
from ahalab.errors import RunStopped, UserError
from ahalab.records import LabelledResponse
from ahalab.runs.atomic import TEMPORARY_PREFIX, read_json, write_json, write_text
from ahalab.runs.hashing import config_hash, file_hash
from ahalab.runs.jsonl import JsonlWriter, read_jsonl
from ahalab.runs.lock import RunLock
from ahalab.safety.protocols import Target
from ahalab.safety.rewarding.assembling import assemble
from ahalab.safety.rewarding.exclusion import Exclusion
from ahalab.safety.rewarding.gathering import (
    DOMAIN,
    GATHERED_NAME,
    PROMPTS_NAME,
    PromptRow,
    Watch,
    gather,
    prompt_shards,
)
from ahalab.safety.rewarding.guideline import BUNDLED, PROMPT_NAME, LoadedGuideline, load_guideline
from ahalab.safety.rewarding.job import Job, ReplierConfig, source_name
from ahalab.safety.rewarding.replying import (
    SORTED_NAME,
    EndpointReplies,
    OpenLocal,
    RecordedReplies,
    Response,
    replies_of,
    sort_recorded,
)
from ahalab.safety.rewarding.rules import LoadedRule, load_rule
from ahalab.safety.rewarding.voting import Asked, vote
from ahalab.teachers.endpoint_judge import EndpointJudge
from ahalab.teachers.judge import Judge

SETTINGS_NAME = "rewards.json"
ROWS_NAME, SPENT_NAME = "rows.jsonl", "spent.json"
JUDGE = "judge"

OpenJudge = Callable[[Path, Path, int | None], Judge]
"""(folder of paid replies, folder of prompt files, tokens left) → the judge of one shard."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job with its files read: what can be known before anything is spent."""

    job: Job
    base: Path
    """Folder that the job's files are relative to."""
    guideline: LoadedGuideline
    rules: Mapping[str, LoadedRule]
    """Source's name → its rule."""
    reply_rules: Mapping[str, LoadedRule]

    def identity(self) -> dict[str, Any]:
        """What decides the rows, JSON-able: a folder goes on only with the same."""
        job = self.job
        sources = {
            source_name(one): {
                "sha256": file_hash(self.base / Path(one.file).expanduser()),
                "rule": self.rules[source_name(one)].identity(),
                "rows": one.rows,
            }
            for one in (*job.prompts, *job.labelled)
        }
        return {
            "guideline": self.guideline.identity(),
            "sources": sources,
            "replies": {one.name: self._replier(one) for one in job.replies},
            "judge": job.judge
            and {**job.judge.endpoint.identity(), "votes": job.judge.votes, "agree": job.judge.agree},
            "shortest": job.shortest,
            "longest": job.longest,
            "shard": job.shard,
            "seed": job.seed,
        }

    def _replier(self, one: ReplierConfig) -> dict[str, Any]:
        if one.endpoint is not None:
            return {"kind": "endpoint", **one.endpoint.identity()}
        if one.file is not None:
            rule = self.reply_rules[one.name].identity()
            return {
                "kind": "recorded",
                "sha256": file_hash(self.base / Path(one.file).expanduser()),
                "rule": rule,
            }
        return {"kind": "local", "model": one.local, "max_new_tokens": one.max_new_tokens}


def prepare(job: Job, base: Path) -> Prepared:
    """Read guideline and rules. UserError for whatever is wrong with them, before anything is spent."""
    guideline = load_guideline(base / Path(job.guideline).expanduser() if job.guideline else BUNDLED)
    rules: dict[str, LoadedRule] = {}
    for kind, sources in (("prompts", job.prompts), ("labelled", job.labelled)):
        for one in sources:
            rules[source_name(one)] = load_rule(one.rule or kind, base)
    reply_rules = {one.name: load_rule(one.rule, base) for one in job.replies if one.file is not None}
    return Prepared(job, base, guideline, rules, reply_rules)


def make(
    prepared: Prepared,
    folder: Path,
    exclusion: Exclusion,
    watch: Watch,
    *,
    skip_bad_rows: bool = False,
    open_local: OpenLocal | None = None,
    open_judge: OpenJudge | None = None,
) -> dict[str, Any]:
    """Make the data set in `folder`, or go on with it; the summary.

    Raises:
        UserError: a file or row that cannot be read; a folder that was begun with something else.
        Interrupted, EnvironmentFailure, RunStopped: as `ChatClient.complete`. Nothing that was paid for is lost.
    """
    with RunLock(folder):
        _settle(prepared, exclusion, folder)
        if not (folder / GATHERED_NAME).is_file():
            gather(
                prepared.job,
                prepared.rules,
                prepared.base,
                folder,
                exclusion,
                watch,
                skip_bad_rows=skip_bad_rows,
            )
        _Making(prepared, folder, watch, open_local, open_judge).run(skip_bad_rows)
        return assemble(folder)


def _settle(prepared: Prepared, exclusion: Exclusion, folder: Path) -> None:
    """Write what the folder begins with, or refuse one that was begun with something else."""
    begun = {**prepared.identity(), "excluded": exclusion.identity()}
    path = folder / SETTINGS_NAME
    if path.is_file():
        before = read_json(path)
        changed = [key for key in begun if config_hash(begun[key]) != config_hash(before.get(key))]
        if changed:
            raise UserError(
                f"{folder} was begun with other settings ({', '.join(changed)}; {path} says which). Put them back as "
                "they were, or choose another folder."
            )
        return
    others = [one.name for one in folder.iterdir() if not one.name.startswith(".")]
    if others:
        raise UserError(
            f"{folder} is no folder of `aha safety rewards` and is not empty; choose another one."
        )
    (folder / JUDGE).mkdir()
    write_text(folder / JUDGE / PROMPT_NAME, prepared.guideline.prompt())
    write_json(path, begun)


class _Making:
    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        watch: Watch,
        open_local: OpenLocal | None,
        open_judge: OpenJudge | None,
    ) -> None:
        self._prepared, self._job, self._folder, self._watch = prepared, prepared.job, folder, watch
        self._open_local, self._open_judge = open_local, open_judge
        self._key = make_key(self._job.seed, "rewards")
        self._locals: dict[str, Target] = {}

    def run(self, skip_bad_rows: bool) -> None:
        """Every shard that is not done yet."""
        job, prompts = self._job, self._folder / PROMPTS_NAME
        for one in job.replies:
            sorted_folder = self._folder / "recorded" / one.name
            if one.file is not None and not (sorted_folder / SORTED_NAME).is_file():
                sorted_folder.parent.mkdir(exist_ok=True)
                sort_recorded(
                    one,
                    self._prepared.reply_rules[one.name],
                    self._prepared.base,
                    sorted_folder,
                    prompts,
                    job.shard,
                    self._watch,
                    skip_bad_rows=skip_bad_rows,
                )
        total = sum(read_json(self._folder / GATHERED_NAME)["prompts"].values())
        spent: Counter[str] = Counter()
        done = 0
        self._watch.progress.begin("reply and label", total, "prompt")
        try:
            for number, shard in enumerate(prompt_shards(read_jsonl(prompts), job.shard)):
                path = self._folder / "shards" / f"{number:05d}"
                if not (path / ROWS_NAME).is_file():
                    self._watch.check()
                    self._shard(number, path, shard, spent)
                spent.update(read_json(path / SPENT_NAME)["tokens"])
                done += len(shard)
                self._watch.progress.advance(done, {"tokens": spent.total()})
        finally:
            self._watch.progress.end()

    def _shard(self, number: int, path: Path, prompts: Sequence[PromptRow], spent: Mapping[str, int]) -> None:
        path.mkdir(parents=True, exist_ok=True)
        tokens: dict[str, int] = {}
        lines: list[dict[str, Any]] = []
        asked: list[Asked] = []
        places: list[int] = []
        seen: set[tuple[str, str, str]] = set()
        for replier in self._job.replies:
            target = self._target(replier, number, path / "paid", spent)
            replies, tokens[replier.name] = replies_of(target, prompts)
            for prompt in prompts:
                said = replies[prompt.id]
                name = f"{prompt.id}#{replier.name}"
                reason = said.drop or self._reason(prompt, said, seen)
                if not reason:
                    places.append(len(lines))
                    asked.append(Asked(name, prompt, said.thinking, said.answer))
                lines.append({"id": name, "from": replier.name, "row": None, "drop": reason, "votes": []})
        assert self._job.judge is not None
        judge = self._judge(path / "paid", spent)
        voted = vote(judge, asked, self._job.judge.votes, self._job.judge.agree, self._key)
        for place, one, result in zip(places, asked, voted, strict=True):
            lines[place]["votes"] = result.votes
            lines[place]["drop"] = result.drop
            if not result.drop:
                lines[place]["row"] = _row(one, lines[place]["from"], result.safe)
        tokens[JUDGE] = judge.counts.get("tokens_in", 0) + judge.counts.get("tokens_out", 0)
        write_json(path / SPENT_NAME, {"tokens": tokens, "judge": dict(judge.counts)})
        aside = path / f"{TEMPORARY_PREFIX}{ROWS_NAME}"
        aside.unlink(missing_ok=True)
        with JsonlWriter(aside) as writer:
            for line in lines:
                writer.append(line)
        aside.replace(path / ROWS_NAME)

    def _reason(self, prompt: PromptRow, said: Response, seen: set[tuple[str, str, str]]) -> str:
        text = (prompt.id, said.thinking, said.answer)
        if not said.answer.strip():
            return "empty reply"
        if len(prompt.question) + len(said.thinking) + len(said.answer) > self._job.longest:
            return "too long"
        if text in seen:
            return "same response twice"
        seen.add(text)
        return ""

    def _target(self, config: ReplierConfig, number: int, paid: Path, spent: Mapping[str, int]) -> Target:
        if config.endpoint is not None:
            left = _left(config.name, config.endpoint.budget_tokens, spent)
            return EndpointReplies(config, paid.parent, self._watch.stopping, left)
        if config.file is not None:
            path = self._folder / "recorded" / config.name / f"{number:05d}.jsonl"
            return RecordedReplies(config.name, path, {})
        if config.name not in self._locals:
            if self._open_local is None:
                raise UserError(f"replies.{config.name}: no model of this machine can be opened here")
            self._locals[config.name] = self._open_local(config, self._job.seed, self._watch.stopping)
        return self._locals[config.name]

    def _judge(self, paid: Path, spent: Mapping[str, int]) -> Judge:
        assert self._job.judge is not None
        endpoint = self._job.judge.endpoint
        left = _left(JUDGE, endpoint.budget_tokens, spent)
        if self._open_judge is not None:
            return self._open_judge(paid, self._folder / JUDGE, left)
        settings = endpoint.model_copy(update={"budget_tokens": left})
        return EndpointJudge(JUDGE, settings, paid, self._folder / JUDGE, self._watch.stopping)


def _left(name: str, budget: int | None, spent: Mapping[str, int]) -> int | None:
    """Tokens that a shard may use: the budget holds for all shards together."""
    if budget is None:
        return None
    used = spent.get(name, 0)
    if used >= budget:
        raise RunStopped(
            f"{name}: {used:,} tokens are used, budget_tokens is {budget:,}. Raise it to go on: nothing is lost."
        )
    return budget - used


def _row(one: Asked, source: str, safe: bool) -> dict[str, Any]:
    return asdict(
        LabelledResponse(
            id=one.id,
            question=one.prompt.question,
            thinking=one.thinking,
            answer=one.answer,
            safe=safe,
            domain=DOMAIN,
            language=one.prompt.language,
            source=source,
        )
    )
