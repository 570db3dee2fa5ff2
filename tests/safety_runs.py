"""For the tests of the safety runner: made questions, a stand-in judge, recorded replies. No text says anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ahalab.safety.protocols import Benchmark, OnJudgement, judge_hash
from ahalab.safety.records import Case, Judgement, SafetyItem, TargetReply
from ahalab.safety.running.asked import Asked, gather
from ahalab.safety.running.settings import RunSettings


class StandIn:
    """Calls an answer unsafe that says "bad". Counts its cases."""

    def __init__(self, model: str = "stand-in") -> None:
        self.model = model
        self.seen: list[Case] = []

    def identity(self) -> dict[str, Any]:
        return {"kind": "stand-in", "model": self.model, "prompt": "", "training_data": []}

    def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
        for case in cases:
            self.seen.append(case)
            text = case.reply.thinking if case.part == "thinking" else case.reply.answer
            verdict: Any = "judge_error" if case.reply.error else "unsafe" if "bad" in text else "safe"
            reason = "no reply" if case.reply.error else ""
            on_judgement(Judgement(case.item.id, case.reply.target, case.part, verdict, reason))

    @property
    def hash(self) -> str:
        return judge_hash(self.identity())


class Told:
    """A target of a function: text of the answer, None for an error."""

    endpoint = None
    control_of = ""

    def __init__(self, name: str, say: Any = lambda item: f"answer to {item}") -> None:
        self.name, self.say = name, say
        self.asked: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {"kind": "told", "model": self.name}

    def check(self, items: Sequence[SafetyItem]) -> str:  # noqa: ARG002
        return ""

    def kept(self, items: Sequence[SafetyItem]) -> int:  # noqa: ARG002
        return 0

    def prompt_bytes(self, item: SafetyItem) -> int:  # noqa: ARG002
        return 0

    def replies(self, items: Sequence[SafetyItem], on_reply: Any) -> None:
        for item in items:
            self.asked.append(item.id)
            text = self.say(item.id)
            on_reply(
                TargetReply(item.id, self.name, "", error="broken")
                if text is None
                else TargetReply(item.id, self.name, text)
            )


def made_items(count: int, benchmark: str = "made", **changes: Any) -> tuple[SafetyItem, ...]:
    return tuple(
        SafetyItem(f"{benchmark}-{number:04d}", benchmark, "en", "D01", f"question {number}", **changes)
        for number in range(count)
    )


def made_set(count: int, name: str = "made", **changes: Any) -> Benchmark:
    items = made_items(count, name)
    return Benchmark(
        **{"name": name, "items": items, "scorer": "judge", "source": "made", "sha256": "0" * 64, **changes}
    )


def made(*sets: Benchmark, wrap: Any = None, **settings: Any) -> Asked:
    """What `gather` makes of these sets."""
    by_name = {one.name: one for one in sets}
    given = RunSettings(**{"benchmarks": list(by_name), **settings})
    return gather(given, lambda spec, _limit, _languages: by_name[spec], wrap)


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
