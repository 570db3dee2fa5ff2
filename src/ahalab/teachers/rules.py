"""`teacher: rules`: the tiny world teaches itself, offline and without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ahalab.errors import UserError
from ahalab.records import Prompt
from ahalab.teachers.checks import check_refined, check_response, final_answer
from ahalab.teachers.protocol import Failure, Outcome, Part, Refined, RefineItem, ThinkingChoice
from ahalab.world import teacher
from ahalab.world.domain import CannotRefine


class RulesTeacher:
    """Adapts `ahalab.world.teacher`; its results pass the same checks as any other teacher's."""

    name = "rules"

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """See `Teacher.counts`."""
        return dict(self._counts)

    @property
    def traffic(self) -> Mapping[str, int]:
        """Nothing is sent anywhere."""
        return {}

    def identity(self) -> dict[str, Any]:
        """The rules belong to the installed version of ahalab."""
        return {"kind": "rules"}

    def refine(self, items: Sequence[RefineItem], parts: Collection[Part]) -> list[Outcome]:
        """See `Teacher.refine`. UserError for a prompt that is not of the tiny world."""
        return [self._counted("refined", self._refine(item, parts)) for item in items]

    def respond(self, items: Sequence[tuple[Prompt, int]], thinking: ThinkingChoice) -> list[Outcome]:
        """See `Teacher.respond`. UserError for a prompt that is not of the tiny world."""
        return [self._counted("answered", self._respond(prompt, key, thinking)) for prompt, key in items]

    def respond_briefly(self, items: Sequence[tuple[Prompt, int]]) -> list[Outcome]:
        """See `Teacher.respond_briefly`: the world's own answers are short already."""
        return self.respond(items, "where_useful")

    def _refine(self, item: RefineItem, parts: Collection[Part]) -> Outcome:
        answer = item.answer if item.prompt.verifier == "function" else final_answer(item.answer)
        made = _asked(lambda: teacher.refine(item.prompt, item.thinking, answer, item.key), item.prompt)
        if isinstance(made, Failure):
            return made
        thinking = made.thinking if "thinking" in parts else item.thinking
        answer = made.answer if "summary" in parts else item.answer
        return check_refined(item, Refined(thinking, answer), parts)

    def _respond(self, prompt: Prompt, key: int, thinking: ThinkingChoice) -> Outcome:
        made = _asked(lambda: teacher.respond(prompt, key), prompt)
        return made if isinstance(made, Failure) else check_response(made, thinking)

    def _counted(self, done: str, outcome: Outcome) -> Outcome:
        self._counts[f"failed: {outcome.reason}" if isinstance(outcome, Failure) else done] += 1
        return outcome


def require_world(prompt: Prompt, role: str) -> None:
    """UserError unless `prompt` is of the tiny world; `role` is the recipe's key, such as "teacher: rules"."""
    if "world" not in prompt.extra:
        raise UserError(
            f"{role} knows the tiny world only, and the prompt {prompt.id} of {prompt.source} is none of it. "
            "Name an endpoint of the recipe there, or take prompts from `{world: …}`."
        )


def _asked(ask: Callable[[], tuple[str, str]], prompt: Prompt) -> Outcome:
    require_world(prompt, "teacher: rules")
    try:
        thinking, answer = ask()
    except CannotRefine as error:
        return Failure(error.reason)
    return Refined(thinking, answer)
