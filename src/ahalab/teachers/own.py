"""`teacher: self`: the sampled model itself, shown a few examples (paper B.3.2 had humans and a larger model do it)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ahalab.counter import make_key
from ahalab.records import Prompt
from ahalab.teachers.checks import check_refined, check_response, final_answer
from ahalab.teachers.easy import is_simple
from ahalab.teachers.protocol import (
    PARTS,
    Failure,
    Generate,
    Outcome,
    Part,
    Refined,
    RefineItem,
    ThinkingChoice,
)
from ahalab.teachers.templates import hashes, load_instructions

_NAMES = ("own_thinking", "own_summary", "own_response", "own_simple")
_RULE = "---"
_ANSWER = "Answer:"
_NONE = "(none)"
_ENDS = (*".?!。？！…", *"\"'”’」』)]}）$`")
"""A text that the model ended itself has no rule after it, and one cut off by the length limit has none either: the
latter seldom ends like a sentence (our choice)."""


class OwnTeacher:
    """See `Teacher`. The prompts are raw text that ends where the model is to go on, so a base model will do."""

    name = "self"

    def __init__(self, generate: Generate, prompts_folder: Path | None) -> None:
        self._generate = generate
        self._instructions = load_instructions(_NAMES, prompts_folder)
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """See `Teacher.counts`; tokens are counted by the stage, whose model it is."""
        return dict(self._counts)

    @property
    def traffic(self) -> Mapping[str, int]:
        """Nothing is sent anywhere."""
        return {}

    def identity(self) -> dict[str, Any]:
        """See `Teacher.identity`."""
        return {"kind": "self", "prompt_files": hashes(self._instructions)}

    def refine(self, items: Sequence[RefineItem], parts: Collection[Part]) -> list[Outcome]:
        """See `Teacher.refine`: the thinking first, then a summary of the refined thinking; easy sums in one go, with
        the examples of `own_simple.txt`."""
        easy = [set(parts) == set(PARTS) and is_simple(item.prompt) for item in items]
        outcomes = _in_order(
            easy,
            self._sections("own_simple", [(item.prompt, item.key) for item in _only(items, easy, True)]),
            self._rewritten(_only(items, easy, False), parts),
        )
        checked = [
            outcome if isinstance(outcome, Failure) else check_refined(item, outcome, parts)
            for item, outcome in zip(items, outcomes, strict=True)
        ]
        return self._counted("refined", checked)

    def respond(self, items: Sequence[tuple[Prompt, int]], thinking: ThinkingChoice) -> list[Outcome]:
        """See `Teacher.respond`; easy sums are answered briefly, with the examples of `own_simple.txt`."""
        return self._respond(
            items, [thinking != "never" and is_simple(prompt) for prompt, _ in items], thinking
        )

    def respond_briefly(self, items: Sequence[tuple[Prompt, int]]) -> list[Outcome]:
        """See `Teacher.respond_briefly`."""
        return self._respond(items, [prompt.domain == "math" for prompt, _ in items], "where_useful")

    def _respond(
        self, items: Sequence[tuple[Prompt, int]], easy: Sequence[bool], thinking: ThinkingChoice
    ) -> list[Outcome]:
        begun = f" {_NONE}\n{_ANSWER}" if thinking == "never" else ""
        outcomes = _in_order(
            easy,
            self._sections("own_simple", _only(items, easy, True)),
            self._sections("own_response", _only(items, easy, False), begun),
        )
        checked = [one if isinstance(one, Failure) else check_response(one, thinking) for one in outcomes]
        return self._counted("answered", checked)

    def _sections(self, name: str, items: Sequence[tuple[Prompt, int]], begun: str = "") -> list[Outcome]:
        """Thinking and answer of each (prompt, key); `begun` is what of the reply stands there already."""
        texts = self._complete(name, [_data(prompt) for prompt, _ in items], [key for _, key in items], begun)
        outcomes: list[Outcome] = []
        for text in texts:
            said, found, answer = ("", _ANSWER, text) if begun else text.partition(f"\n{_ANSWER}")
            thought = "" if said.strip() == _NONE else said.strip()
            outcomes.append(
                Refined(thought, answer.strip())
                if found
                else Failure("reply not in form", f"no line begins with {_ANSWER}")
            )
        return outcomes

    def _rewritten(self, items: Sequence[RefineItem], parts: Collection[Part]) -> list[Outcome]:
        outcomes: list[Outcome] = [Refined(item.thinking, item.answer) for item in items]
        if "thinking" in parts:
            data = [_data(item.prompt, thought_process=item.thinking) for item in items]
            texts = self._complete("own_thinking", data, [item.key for item in items])
            outcomes = [
                Refined(text, item.answer) if text else _EMPTY
                for text, item in zip(texts, items, strict=True)
            ]
        return self._summarised(items, outcomes) if "summary" in parts else outcomes

    def _summarised(self, items: Sequence[RefineItem], outcomes: Sequence[Outcome]) -> list[Outcome]:
        pairs = [(item, one) for item, one in zip(items, outcomes, strict=True) if isinstance(one, Refined)]
        data = [
            _data(item.prompt, thought_process=one.thinking, final_answer=final_answer(item.answer))
            for item, one in pairs
        ]
        texts = iter(self._complete("own_summary", data, [item.key for item, _ in pairs]))
        summarised: list[Outcome] = []
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                summarised.append(outcome)
            else:
                text = next(texts)
                summarised.append(Refined(outcome.thinking, text) if text else _EMPTY)
        return summarised

    def _complete(
        self, name: str, data: Sequence[Mapping[str, str]], keys: Sequence[int], begun: str = ""
    ) -> list[str]:
        """What the model writes up to the rule that ends an example."""
        if not data:
            return []
        prompts = [self._instructions[name].fill(one).rstrip() + begun for one in data]
        texts = self._generate(prompts, [make_key(key, name) for key in keys])
        return [_until_rule(text) for text in texts]

    def _counted(self, done: str, outcomes: list[Outcome]) -> list[Outcome]:
        for outcome in outcomes:
            self._counts[f"failed: {outcome.reason}" if isinstance(outcome, Failure) else done] += 1
        return outcomes


Item = TypeVar("Item")


def _only(items: Sequence[Item], easy: Sequence[bool], wanted: bool) -> list[Item]:
    return [item for item, one in zip(items, easy, strict=True) if one is wanted]


def _in_order(easy: Sequence[bool], simple: Sequence[Item], others: Sequence[Item]) -> list[Item]:
    """What `_only` took apart, together again."""
    first, second = iter(simple), iter(others)
    return [next(first) if one else next(second) for one in easy]


_EMPTY = Failure("empty", "the model wrote nothing, or did not come to an end")


def _data(prompt: Prompt, **more: str) -> dict[str, str]:
    """Data with no line that looks like the rule between examples."""
    return {
        slot: "\n".join("- - -" if line.strip() == _RULE else line for line in text.splitlines())
        for slot, text in {"question": prompt.question, **more}.items()
    }


def _until_rule(text: str) -> str:
    """What stands before the rule; "" where there is no rule and the text breaks off inside a sentence."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip() == _RULE:
            return "\n".join(lines).strip()
        lines.append(line)
    whole = text.strip()
    return whole if whole.endswith(_ENDS) else ""
