"""`teacher: <endpoint>`: a model behind an OpenAI-compatible endpoint refines and answers (paper B.3.2, B.3.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ahalab.records import Prompt
from ahalab.teachers.asking import Task
from ahalab.teachers.at_endpoint import AtEndpoint
from ahalab.teachers.checks import check_refined, check_response, final_answer
from ahalab.teachers.easy import is_simple
from ahalab.teachers.protocol import PARTS, Failure, Outcome, Part, Refined, RefineItem, ThinkingChoice
from ahalab.teachers.replies import read_sections, read_text
from ahalab.text.languages import LANGUAGE_CODES

WANTED: dict[ThinkingChoice, str] = {"where_useful": "where useful", "always": "always", "never": "never"}

_NAMES = ("refine_thinking", "summary", "simple_math", "general_response")


class EndpointTeacher(AtEndpoint):
    """See `Teacher`. Arguments as `make_teacher`."""

    prompt_files = _NAMES

    def refine(self, items: Sequence[RefineItem], parts: Collection[Part]) -> list[Outcome]:
        """See `Teacher.refine`: the thinking first, then a summary of the refined thinking; easy sums in one go, with
        the examples of `simple_math.txt`."""
        outcomes: list[Outcome] = [Refined(item.thinking, item.answer) for item in items]
        easy = [i for i, item in enumerate(items) if set(parts) == set(PARTS) and is_simple(item.prompt)]
        rest = [i for i in range(len(items)) if i not in set(easy)]
        self._work(outcomes, easy, lambda i: self._simple(items[i].prompt, items[i].key))
        if "thinking" in parts:
            self._work(outcomes, rest, lambda i: self._thinking(items[i]))
        if "summary" in parts:
            self._work(outcomes, rest, lambda i: self._summary(items[i], outcomes[i]))
        checked = [
            outcome if isinstance(outcome, Failure) else check_refined(item, outcome, parts)
            for item, outcome in zip(items, outcomes, strict=True)
        ]
        return self._counted("refined", checked)

    def respond(self, items: Sequence[tuple[Prompt, int]], thinking: ThinkingChoice) -> list[Outcome]:
        """See `Teacher.respond`; easy sums are answered briefly, with the examples of `simple_math.txt`."""
        tasks = [
            self._simple(prompt, key)
            if thinking != "never" and is_simple(prompt)
            else self._general(prompt, key, thinking)
            for prompt, key in items
        ]
        return self._answered(tasks, thinking)

    def respond_briefly(self, items: Sequence[tuple[Prompt, int]]) -> list[Outcome]:
        """See `Teacher.respond_briefly`."""
        tasks = [
            self._simple(prompt, key)
            if prompt.domain == "math"
            else self._general(prompt, key, "where_useful")
            for prompt, key in items
        ]
        return self._answered(tasks, "where_useful")

    def _answered(self, tasks: Sequence[Task], thinking: ThinkingChoice) -> list[Outcome]:
        outcomes: list[Outcome] = self._asker.ask(tasks)
        checked = [one if isinstance(one, Failure) else check_response(one, thinking) for one in outcomes]
        return self._counted("answered", checked)

    def _work(self, outcomes: list[Outcome], places: Sequence[int], make: Callable[[int], Task]) -> None:
        """Ask for `places` that have not failed, and put the results in."""
        places = [place for place in places if not isinstance(outcomes[place], Failure)]
        for place, result in zip(places, self._asker.ask([make(place) for place in places]), strict=True):
            outcomes[place] = result

    def _simple(self, prompt: Prompt, key: int) -> Task:
        return self._task("simple_math", prompt, key, {}, read_sections)

    def _general(self, prompt: Prompt, key: int, thinking: ThinkingChoice) -> Task:
        plain = {"thinking_wanted": WANTED[thinking]}
        return self._task("general_response", prompt, key, {}, read_sections, plain)

    def _thinking(self, item: RefineItem) -> Task:
        def read(text: str, nonce: str) -> Outcome:
            result = read_text(text, nonce)
            return result if isinstance(result, Failure) else Refined(result, item.answer)

        data = {"thought_process": item.thinking}
        return self._task("refine_thinking", item.prompt, item.key, data, read)

    def _summary(self, item: RefineItem, so_far: Outcome) -> Task:
        thinking = item.thinking if isinstance(so_far, Failure) else so_far.thinking

        def read(text: str, nonce: str) -> Outcome:
            result = read_text(text, nonce)
            return result if isinstance(result, Failure) else Refined(thinking, result)

        data = {"thought_process": thinking, "final_answer": final_answer(item.answer)}
        return self._task("summary", item.prompt, item.key, data, read)

    def _task(
        self,
        name: str,
        prompt: Prompt,
        key: int,
        data: Mapping[str, str],
        read: Callable[[str, str], Any],
        plain: Mapping[str, str] | None = None,
    ) -> Task:
        words = {"language": LANGUAGE_CODES.get(prompt.language, prompt.language), **(plain or {})}
        return Task(key, self._instructions[name], {"question": prompt.question, **data}, words, read)

    def _counted(self, done: str, outcomes: list[Outcome]) -> list[Outcome]:
        for outcome in outcomes:
            self._asker.counts[f"failed: {outcome.reason}" if isinstance(outcome, Failure) else done] += 1
        return outcomes
