"""Data stages run directly in a folder, as the pipeline does: a context, a fake teacher, and a judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.records import Prompt
from ahalab.runs.jsonl import read_jsonl
from ahalab.stages.context import Interrupt, StageContext
from ahalab.stages.inputs import StageConfig
from ahalab.teachers import Failure, Outcome, Part, Refined, RefineItem, ThinkingChoice
from ahalab.validation import validate

SAMPLING = {"max_new_tokens": 24, "max_rows": 32, "grader_workers": 1}


def make_config(model: type[StageConfig], **settings: Any) -> Any:
    """A stage's config from plain data, as a recipe gives it."""
    return validate(model, {**SAMPLING, **settings}, "test")


def make_context(folder: Path, base: Path | str | None = None, **inputs: str) -> StageContext:
    """A context whose stage is called "data"; `base` is its input "from"."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {} if base is None else {"from": str(base)}
    return StageContext("data", folder, {**given, **inputs}, seed=0)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return list(read_jsonl(path))


class Asking(Interrupt):
    """Ctrl-C after so many questions whether it was pressed."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    @property  # type: ignore[override]
    def asked(self) -> bool:
        self.left -= 1
        return self.left < 0

    @asked.setter
    def asked(self, value: bool) -> None:
        pass


class FakeTeacher:
    """Answers with what `work` makes of (prompt, thinking, answer); thinking and answer are "" in `respond`."""

    name = "fake"

    def __init__(self, work: Callable[[Prompt, str, str], Outcome], identity: str = "fake") -> None:
        self._work, self._identity = work, identity
        self._counts: Counter[str] = Counter()
        self.seen: list[tuple[str, int]] = []

    @property
    def counts(self) -> Mapping[str, int]:
        return dict(self._counts)

    @property
    def traffic(self) -> Mapping[str, int]:
        return {"calls": len(self.seen)}

    def identity(self) -> dict[str, Any]:
        return {"kind": self._identity}

    def refine(self, items: Sequence[RefineItem], parts: Collection[Part]) -> list[Outcome]:  # noqa: ARG002
        return [self._done(one.prompt, one.thinking, one.answer, one.key) for one in items]

    def respond(
        self,
        items: Sequence[tuple[Prompt, int]],
        thinking: ThinkingChoice,  # noqa: ARG002
    ) -> list[Outcome]:
        return [self._done(prompt, "", "", key) for prompt, key in items]

    def respond_briefly(self, items: Sequence[tuple[Prompt, int]]) -> list[Outcome]:
        return self.respond(items, "where_useful")

    def _done(self, prompt: Prompt, thinking: str, answer: str, key: int) -> Outcome:
        self.seen.append((prompt.id, key))
        made = self._work(prompt, thinking, answer)
        self._counts[f"failed: {made.reason}" if isinstance(made, Failure) else "refined"] += 1
        return made


class FakeJudge:
    """Finds right, better and safe what the functions say."""

    name = "fake"

    def __init__(
        self,
        right: Callable[[str], bool | Failure] = lambda _answer: True,
        better: Callable[[str, str], int | Failure] = lambda a, b: (a > b) - (a < b),
        safe: Callable[[str], bool | Failure] = lambda _answer: True,
    ) -> None:
        self._right, self._better, self._safe = right, better, safe
        self.asked = 0

    @property
    def counts(self) -> Mapping[str, int]:
        return {"judged": self.asked}

    @property
    def traffic(self) -> Mapping[str, int]:
        return {}

    def identity(self) -> dict[str, Any]:
        return {"kind": "fake"}

    def correctness(self, items: Sequence[tuple[Prompt, str, int]]) -> list[bool | Failure]:
        self.asked += len(items)
        return [self._right(answer) for _, answer, _ in items]

    def compare(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[int | Failure]:
        self.asked += len(items)
        return [self._better(a, b) for _, a, b, _ in items]

    def safe(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[bool | Failure]:
        self.asked += len(items)
        return [self._safe(f"{thinking}\n{answer}") for _, thinking, answer, _ in items]


def good(thinking: str = "I look at it and see it at once.", answer: str | None = None) -> Any:
    """Work of a teacher that keeps the answer unless one is given."""
    return lambda _prompt, _thinking, before: Refined(thinking, answer or before)
