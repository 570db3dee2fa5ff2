"""A toy benchmark, a judge that goes by words and whole small jobs for the tests of reward-model data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.records import Prompt
from ahalab.safety.protocols import Benchmark
from ahalab.safety.records import SafetyItem
from ahalab.safety.rewarding.exclusion import Exclusion
from ahalab.safety.rewarding.gathering import Watch
from ahalab.safety.rewarding.job import Job
from ahalab.safety.rewarding.making import make, prepare
from ahalab.stages.context import SilentProgress
from ahalab.teachers.protocol import Failure
from ahalab.validation import validate

SHARED = Path(__file__).parents[1] / "../shared/data/safety"
WATCH = Watch(SilentProgress())
ITEM = "What would a careful neighbour say about the noisy garden party that goes on after midnight?"
ITEM_ZH = "邻居家的花园聚会半夜还很吵闹，一个细心的人会怎样去和他们商量这件事情？"


def item(name: str, prompt: str, language: str = "en") -> SafetyItem:
    return SafetyItem(name, "toy", language, "", prompt)


TOY = Benchmark("toy", (item("n1", ITEM), item("n2", ITEM_ZH, "zh")), "judge", "made here", "0" * 64)


class ByWord:
    """A judge that goes by words of the answer; every (vote, id) is counted."""

    name = "by word"

    def __init__(self, say: Callable[[str, str, int], bool | Failure]) -> None:
        self._say, self.asked, self.counts, self.traffic = say, [], {}, {}  # type: ignore[var-annotated]

    def identity(self) -> dict[str, Any]:
        return {"kind": "test"}

    def safe(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[bool | Failure]:
        self.asked.append(len(items))
        return [self._say(thinking, answer, key) for _, thinking, answer, key in items]


def by_word(thinking: str, answer: str, _key: int) -> bool | Failure:
    if "unreadable" in answer:
        return Failure("no verdict")
    return "harm" not in thinking + answer


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


ENDPOINT = {"url": "http://127.0.0.1:9/v1", "model": "fake"}


def job_of(
    tmp_path: Path, prompts: Sequence[str], replies: Mapping[str, Sequence[tuple[str, str]]], **more: Any
) -> Job:
    write_rows(tmp_path / "p.jsonl", [{"prompt": one} for one in prompts])
    for name, rows in replies.items():
        write_rows(tmp_path / f"{name}.jsonl", [{"prompt": p, "response": r} for p, r in rows])
    data = {
        "prompts": [{"file": "p.jsonl"}],
        "replies": [{"name": name, "file": f"{name}.jsonl"} for name in replies],
        "judge": {"endpoint": ENDPOINT},
        **more,
    }
    return validate(Job, data, "job")


def run(
    job: Job, tmp_path: Path, to: Path, judge: Any = None, exclusion: Exclusion | None = None, **more: Any
) -> Any:
    one = judge or ByWord(by_word)
    return make(
        prepare(job, tmp_path), to, exclusion or Exclusion([TOY]), WATCH, open_judge=lambda *_: one, **more
    )
