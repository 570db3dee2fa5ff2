"""Who answers the prompts: an endpoint, recorded replies of a file, a model on this machine. Each is a `Target`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.endpoints.client import ChatRequest
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.prompts.lines import bad_row_error
from ahalab.runs.atomic import TEMPORARY_PREFIX, remove_tree, replace_dir, write_json
from ahalab.runs.jsonl import JsonlReader, encode_row, read_jsonl
from ahalab.safety.protocols import OnReply, Target
from ahalab.safety.records import SafetyItem, TargetReply
from ahalab.safety.rewarding.gathering import PromptRow, Watch, text_key
from ahalab.safety.rewarding.job import ReplierConfig
from ahalab.safety.rewarding.reading import stream_rows
from ahalab.safety.rewarding.rules import LoadedRule, check_columns, convert
from ahalab.safety.running.served import Served
from ahalab.safety.running.targets import ServedTarget

BENCHMARK = "reward prompts"
SORTED_NAME = "sorted.json"
BUFFERED = 4096
"""Recorded rows that wait in memory before they go to their shards' files."""

OpenLocal = Callable[[ReplierConfig, int, Callable[[], bool]], Target]
"""(config, seed, stopping) → a model on this machine as a target: lent by whoever may import torch."""


@dataclass(frozen=True, slots=True)
class Response:
    """What one model said to one prompt, or why there is nothing to label."""

    thinking: str
    answer: str
    drop: str = ""


def as_items(prompts: Sequence[PromptRow]) -> list[SafetyItem]:
    """The prompts as targets take them."""
    return [
        SafetyItem(
            id=one.id,
            benchmark=BENCHMARK,
            language=one.language,
            group=one.source,
            prompt=one.question,
            extra={"messages": [list(turn) for turn in one.messages]} if one.messages else {},
        )
        for one in prompts
    ]


def replies_of(target: Target, prompts: Sequence[PromptRow]) -> tuple[dict[str, Response], int]:
    """(prompt → what the target said, tokens used)."""
    replies: dict[str, TargetReply] = {}

    def keep(reply: TargetReply) -> None:
        replies.setdefault(reply.item, reply)

    target.replies(as_items(prompts), keep)
    tokens = sum(one.tokens_in + one.tokens_out for one in replies.values())
    return {one.id: _response(replies.get(one.id)) for one in prompts}, tokens


def _response(reply: TargetReply | None) -> Response:
    if reply is None:
        return Response("", "", "no reply: none came")
    if reply.error:
        return Response("", "", f"no reply: {re.split(r'[(,;]', reply.error)[0].strip()}")
    if reply.control:
        return Response("", "", "withheld by a control")
    if reply.finish == "length":
        return Response("", "", "cut off")
    return Response(reply.thinking, reply.answer)


class EndpointReplies(Served):
    """A model behind an endpoint; a dialogue is sent as its turns."""

    def __init__(
        self, config: ReplierConfig, folder: Path, stopping: Callable[[], bool], budget: int | None
    ) -> None:
        assert config.endpoint is not None
        settings = ServedTarget(**{**config.endpoint.model_dump(), "budget_tokens": budget})
        super().__init__(config.name, settings, folder, 0, stopping)

    def _request(self, item: SafetyItem) -> ChatRequest:
        turns = tuple((role, said) for role, said in item.extra.get("messages", ()))
        return ChatRequest(turns, 0) if turns else super()._request(item)


class RecordedReplies:
    """Recorded replies, sorted to the shards beforehand so that each is read with its shard alone."""

    def __init__(self, name: str, path: Path, identity: Mapping[str, Any]) -> None:
        self.name, self._path, self._identity = name, path, dict(identity)

    def identity(self) -> dict[str, Any]:
        """See `Target`."""
        return {"kind": "recorded", "model": self.name, **self._identity}

    def replies(self, items: Sequence[SafetyItem], on_reply: OnReply) -> None:
        """See `Target`. A prompt that the file does not have is an error of that item."""
        rows = {row["item"]: row for row in JsonlReader(self._path)} if self._path.is_file() else {}
        for item in items:
            row = rows.get(item.id)
            if row is None:
                on_reply(TargetReply(item.id, self.name, "", error="not in the recorded file"))
            else:
                on_reply(TargetReply(item.id, self.name, row["answer"], row["thinking"]))


def sort_recorded(
    config: ReplierConfig,
    loaded: LoadedRule,
    base: Path,
    folder: Path,
    prompts: Path,
    shard: int,
    watch: Watch,
    *,
    skip_bad_rows: bool,
) -> dict[str, int]:
    """Sort the rows of a recorded file into `folder/<shard>.jsonl`; what was not used, by reason.

    In memory: a number and a place for each prompt, and some thousand rows.

    Raises:
        UserError: a file or row that cannot be read, a rule that yields no replies.
    """
    if not loaded.rule.responses:
        raise UserError(f"replies.{config.name}: the rule {loaded.rule.name} yields no replies")
    path = base / Path(config.file or "").expanduser()
    places = {text_key(row["question"]): place for place, row in enumerate(read_jsonl(prompts))}
    names = [row["id"] for row in read_jsonl(prompts)]
    aside = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}")
    remove_tree(aside)
    aside.mkdir(parents=True)
    seen: set[int] = set()
    unused: dict[str, int] = {}
    waiting: dict[int, list[bytes]] = {}
    held = 0
    watch.progress.begin(f"sort {config.name}", 0, "row")
    try:
        for count, (number, row) in enumerate(stream_rows(path, f"replies.{config.name}"), 1):
            if count % BUFFERED == 0:
                watch.check()
                watch.progress.advance(count, {})
            try:
                if isinstance(row, BadRow):
                    raise row
                if count == 1:
                    check_columns(loaded.rule, list(row), str(path))
                made = convert(loaded.rule, row)
            except LeftOut as out:
                unused[out.reason] = unused.get(out.reason, 0) + 1
                continue
            except BadRow as bad:
                if not skip_bad_rows:
                    raise bad_row_error(str(path), number, bad) from None
                reason = f"bad row: {bad.reason}"
                unused[reason] = unused.get(reason, 0) + 1
                continue
            place = places.get(text_key(made.question))
            reason = (
                "recorded for another prompt" if place is None else "recorded twice" if place in seen else ""
            )
            if reason or place is None:
                unused[reason] = unused.get(reason, 0) + 1
                continue
            seen.add(place)
            said = made.responses[0]
            line = encode_row({"item": names[place], "thinking": said.thinking, "answer": said.answer})
            waiting.setdefault(place // shard, []).append(line)
            held += 1
            if held >= BUFFERED:
                _put(aside, waiting)
                held = 0
        _put(aside, waiting)
    finally:
        watch.progress.end()
    write_json(aside / SORTED_NAME, unused)
    replace_dir(aside, folder)
    return unused


def _put(folder: Path, waiting: dict[int, list[bytes]]) -> None:
    for shard, lines in waiting.items():
        with (folder / f"{shard:05d}.jsonl").open("ab") as file:
            file.writelines(lines)
    waiting.clear()
