"""Dialogues, a policy and scripted models for the tests of review."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ahalab.guard.policy import Policy, bundled_policy
from ahalab.guard.records import Exchange, Review, Turn
from ahalab.guard.review.config import EndpointReviewerConfig
from ahalab.guard.review.prompt import ReviewForm
from ahalab.guard.review.reviewer import Answer, AskFailed, ModelReviewer

POLICY = bundled_policy("general")
SLOT_TEXT = "Some plain words of a conversation that nobody could mind."


def exchange(query: str = SLOT_TEXT, *before: Turn, number: int = 1) -> Exchange:
    return Exchange(f"e{number}", "", (*before, Turn("user", query)), "model", False)


def dialogue(text: str, slot: str) -> tuple[Exchange, str, str]:
    """(exchange, reply, thinking) with `text` in one place."""
    said = {name: text if name == slot else SLOT_TEXT for name in ("history", "query", "thinking", "reply")}
    before = (Turn("user", said["history"]), Turn("assistant", SLOT_TEXT))
    return exchange(said["query"], *before), said["reply"], said["thinking"]


def mark_of(prompt: str) -> str:
    """The mark, from where an honest reviewer is told it: the last tag that is shown."""
    return re.findall(r"<target_rule ([0-9a-f]{8})>\[…\]</target_rule>", prompt)[-1]


def block(prompt: str, slot: str = "reply") -> str:
    mark = mark_of(prompt)
    return prompt.split(f"[begin {slot} {mark}]\n")[1].split(f"\n[end {slot} {mark}]")[0]


def says(prompt: str, rules: Any = "[-1]", reason: str = "I have read it.") -> str:
    """What a reviewer in good order says."""
    mark = mark_of(prompt)
    return f"<judge_reason {mark}>{reason}</judge_reason>\n<target_rule {mark}>{rules}</target_rule>"


Script = Callable[[str], "str | Answer | AskFailed"]


class Scripted:
    """A model whose answers are a function of the last turn."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.prompts: list[str] = []
        self.asked: list[tuple[list[dict[str, str]], dict[str, Any]]] = []

    def identity(self) -> dict[str, Any]:
        return {"kind": "scripted", "model": "script", "training_data": []}

    async def aclose(self) -> None:
        pass

    async def ask(self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> Answer:
        self.prompts.append(messages[-1]["content"])
        self.asked.append(([dict(one) for one in messages], dict(options)))
        await asyncio.sleep(0)
        made = self.script(messages[-1]["content"])
        if isinstance(made, AskFailed):
            raise made
        return made if isinstance(made, Answer) else Answer(made, "stop", 10)


def settings(**changes: Any) -> EndpointReviewerConfig:
    return EndpointReviewerConfig(**{"url": "http://127.0.0.1:1/v1", "model": "m", **changes})


def reviewer_of(asker: Any, form: Any = None, policy: Policy = POLICY, **changes: Any) -> ModelReviewer:
    return ModelReviewer(asker, form or ReviewForm(policy), settings(**changes))


def all_reviewed(reviewer: Any, dialogues: Sequence[tuple[Exchange, str, str]]) -> list[Review]:
    """In one event loop, which is quicker than one each."""

    async def main() -> list[Review]:
        return [await reviewer.review(*one) for one in dialogues]

    return asyncio.run(main())


def reviewed(reviewer: Any, exchange: Exchange, reply: str = "", thinking: str = "") -> Review:
    async def main() -> Review:
        found: Review = await reviewer.review(exchange, reply, thinking)
        return found

    return asyncio.run(main())
