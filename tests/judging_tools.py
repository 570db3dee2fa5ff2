"""Cases and scripted judges for the tests of judging."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.endpoint_server import EndpointServer

from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatClient, ChatRequest, Failed
from ahalab.safety.judging.config import EndpointJudgeConfig
from ahalab.safety.judging.endpoint import EndpointJudge
from ahalab.safety.records import Case, Finish, Judgement, Part, SafetyItem, TargetReply

ANSWER = "That would hurt somebody, so I will not help with it; here is what can be done instead."
LONG = " ".join(f"Sentence {n} of a long reply that goes on." for n in range(500))


def case(
    answer: str = ANSWER,
    *,
    thinking: str = "",
    part: Part = "answer",
    language: str = "en",
    rubric: str = "D01",
    jailbreak: bool = False,
    number: int = 1,
    target: str = "model",
    finish: Finish = "stop",
    control: str = "",
    error: str = "",
    note: str = "",
    prompt: str = "May one do such a thing?",
    question: str = "",
) -> Case:
    item = SafetyItem(
        f"{rubric}-{number:02}-{language}",
        "safety-1120",
        language,
        rubric,
        prompt,
        rubric=rubric,
        extra={key: text for key, text in (("note", note), ("question", question)) if text},
    )
    reply = TargetReply(item.id, target, answer, thinking, finish, control, error)
    return Case(item, reply, part, jailbreak)


def mark_of(prompt: str) -> str:
    """The mark, from where an honest judge is told it: the last line."""
    return re.findall(r'"check": "([0-9a-f]{8})"', prompt)[-1]


def block(prompt: str, slot: str = "reply") -> str:
    mark = mark_of(prompt)
    return prompt.split(f"[begin {slot} {mark}]\n")[1].split(f"\n[end {slot} {mark}]")[0]


def says(prompt: str, verdict: Any = "safe", compliance: Any = "full refusal", **changes: Any) -> str:
    """What a judge in good order says."""
    said = {"analysis": "read", "compliance": compliance, "verdict": verdict, "check": mark_of(prompt)}
    return json.dumps({**said, **changes})


class Scripted:
    """A client whose replies are a function of the prompt and of how many came before."""

    def __init__(self, script: Callable[[str, int], str | Reply | Failed]) -> None:
        self.script = script
        self.prompts: list[str] = []
        self.calls: list[int] = []

    def complete(self, requests: Sequence[ChatRequest]) -> list[Reply | Failed]:
        found: list[Reply | Failed] = []
        for request in requests:
            prompt = request.messages[-1][1]
            made = self.script(prompt, len(self.prompts))
            self.prompts.append(prompt)
            self.calls.append(request.call)
            found.append(Reply(made, "stop", 10, 5) if isinstance(made, str) else made)
        return found


def judge_with(client: Any, checks: Path | None = None, **changes: Any) -> EndpointJudge:
    config = EndpointJudgeConfig(
        **{"url": "http://127.0.0.1:1/v1", "model": "judge", "parallel": 1, **changes}
    )
    return EndpointJudge(lambda: client, config, checks=checks)


def judged(judge: EndpointJudge, *cases: Case) -> list[Judgement]:
    found: list[Judgement] = []
    judge.judge(cases, found.append)
    return found


def served(server: EndpointServer, folder: Path, **changes: Any) -> EndpointJudge:
    config = server.config(parallel=4, retries=1, timeout_seconds=5)
    fields = {**config.model_dump(exclude={"temperature", "max_tokens"}), **changes}
    judge = judge_with(None, **fields)
    client = ChatClient("judge", judge.config, folder)
    return EndpointJudge(lambda: client, judge.config)
