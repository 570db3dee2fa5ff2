"""`judge: <endpoint>`: verdicts of a model behind an OpenAI-compatible endpoint (paper B.2, B.3.3, §3.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ahalab.records import Prompt
from ahalab.teachers.asking import Task
from ahalab.teachers.at_endpoint import AtEndpoint
from ahalab.teachers.protocol import Failure
from ahalab.teachers.replies import read_comparison, read_verdict

_NAMES = ("judge_correctness", "arena", "safety_label")


class EndpointJudge(AtEndpoint):
    """See `Judge`. Arguments as `make_judge`."""

    prompt_files = _NAMES

    def correctness(self, items: Sequence[tuple[Prompt, str, int]]) -> list[bool | Failure]:
        """See `Judge.correctness`. A prompt without a reference answer is a failure: nothing to compare with."""
        read = partial(read_verdict, name="correctness", words=("correct", "incorrect"))
        judged = [item for item in items if item[0].answer]
        tasks = [
            self._task(
                "judge_correctness", prompt, key, {"reference": prompt.answer or "", "answer": answer}, read
            )
            for prompt, answer, key in judged
        ]
        verdicts = iter(self._asker.ask(tasks))
        return self._counted(
            [next(verdicts) if prompt.answer else Failure("no reference", prompt.id) for prompt, *_ in items]
        )

    def compare(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[int | Failure]:
        """See `Judge.compare`."""
        tasks = [
            self._task("arena", prompt, key, {"answer_a": a, "answer_b": b}, read_comparison)
            for prompt, a, b, key in items
        ]
        return self._counted(self._asker.ask(tasks))

    def safe(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[bool | Failure]:
        """See `Judge.safe`."""
        read = partial(read_verdict, name="safety", words=("safe", "unsafe"))
        tasks = [
            self._task("safety_label", prompt, key, {"thinking": thinking, "answer": answer}, read)
            for prompt, thinking, answer, key in items
        ]
        return self._counted(self._asker.ask(tasks))

    def _task(
        self, name: str, prompt: Prompt, key: int, data: Mapping[str, str], read: Callable[[str, str], Any]
    ) -> Task:
        return Task(key, self._instructions[name], {"question": prompt.question, **data}, {}, read)

    def _counted(self, verdicts: list[Any]) -> list[Any]:
        for verdict in verdicts:
            self._asker.counts[f"failed: {verdict.reason}" if isinstance(verdict, Failure) else "judged"] += 1
        return verdicts
