"""Who writes input generators: a model at an endpoint, a model on this machine, or replies recorded earlier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ahalab.counter import make_key
from ahalab.endpoints.cache import open_cache
from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import RunStopped, UserError
from ahalab.grading.code.extraction import TAGS, fenced_blocks
from ahalab.prompts.contest.problem import Problem
from ahalab.prompts.contest.wording import headed, text_in
from ahalab.records import Prompt
from ahalab.runs.hashing import file_hash
from ahalab.runs.jsonl import JsonlReader
from ahalab.stages.context import Interrupt
from ahalab.teachers.asking import MOST_ASKS, Task
from ahalab.teachers.at_endpoint import AtEndpoint
from ahalab.teachers.protocol import Failure
from ahalab.teachers.replies import without_own_thinking
from ahalab.teachers.templates import Instruction, hashes, load_instructions

PROMPT_FILE = "test_generators"
MOST_PROGRAMS = 24
"""Programs of one reply that are taken. Our choice: the prompt asks for about ten."""
LONGEST_PROGRAM = 20_000
"""Characters."""
AT_ONCE = 16
"""Problems asked about together, at least: what a kill may cost of a model on this machine."""

Written = tuple[str, ...] | Failure


class Writer(Protocol):
    """Writes generators for problems; the same for the same problem after a resume."""

    name: str
    """What the report names as the origin of its generators."""
    at_once: int
    """How many problems to hand to `write` together."""

    def identity(self) -> dict[str, Any]:
        """What decides the replies, JSON-able."""
        ...

    def write(self, problems: Sequence[tuple[str, Problem]]) -> list[Written]:
        """The sources of several generators for each (name, problem), or why there are none."""
        ...

    @property
    def traffic(self) -> Mapping[str, int]:
        """What this process really sent and got: for the person watching, not for the report."""
        ...


def read_programs(text: str, _nonce: str = "") -> Written:
    """The fenced Python blocks of a reply, in order. Blank, doubled and too long ones are no programs; nor is a block
    that is never closed, for the reply was cut off there."""
    found = dict.fromkeys(
        f"{source}\n"
        for block in fenced_blocks(text.replace("\r\n", "\n"))
        if block.complete and TAGS.get(block.tag, "python" if not block.tag else None) == "python"
        if (source := block.text.strip("\n")).strip() and len(source) <= LONGEST_PROGRAM
    )
    return tuple(found)[:MOST_PROGRAMS] or Failure("no program", "the reply has no fenced Python block")


def statement(problem: Problem) -> str:
    """What a writer is shown of a problem: English where there is a choice, for the instruction is English."""
    language = next(iter(sorted(problem.statements)))  # "" and "en" come before "zh"
    text = headed(text_in(problem.titles, language), problem.statements[language].strip())
    signature = f"\n\nSignature:\n{problem.signature.strip()}" if problem.signature else ""
    return (
        f"{text}{signature}\n\n"
        f"Time limit: {problem.cpu_seconds:g} seconds. Memory limit: {problem.memory_megabytes} MB."
    )


def input_form(problem: Problem) -> str:
    """What a generator of this problem is to print."""
    if problem.function is None:
        return "exactly the text that a solution reads from standard input."
    return (
        "one line of JSON, the list of the arguments that the function of the signature is called with, "
        'such as [[1, 2, 3], "ab"] for two arguments. Print it with json.dumps.'
    )


def asking(instruction: Instruction, name: str, problem: Problem) -> Task:
    """The question for one problem."""
    return Task(
        make_key(PROMPT_FILE, name),
        instruction,
        {"question": statement(problem)},
        {"input_form": input_form(problem)},
        read_programs,
    )


@dataclass(frozen=True, slots=True)
class CallBudget:
    """The most replies that may be paid for."""

    calls: int | None
    replies: Path
    """The file of kept replies: its rows are what was paid for."""

    def check(self, wanted: int) -> int:
        """How many of `wanted` problems may be asked about; each may take `MOST_ASKS` replies.

        Raises:
            RunStopped: not even one.
        """
        if self.calls is None:
            return wanted
        used = len(open_cache(self.replies))
        affordable = (self.calls - used) // MOST_ASKS
        if affordable < 1:
            raise RunStopped(
                f"{used:,} replies are paid for, --budget-calls is {self.calls:,}, and one problem may take "
                f"{MOST_ASKS}. Nothing is lost: the same command with a higher figure goes on from here."
            )
        return min(wanted, affordable)


class EndpointWriter(AtEndpoint):
    """A model behind an OpenAI-compatible endpoint. Every reply is kept before it is used."""

    prompt_files: ClassVar[tuple[str, ...]] = (PROMPT_FILE,)

    def __init__(
        self,
        config: EndpointConfig,
        cache_folder: Path,
        prompts_folder: Path | None,
        stopping: Callable[[], bool],
        budget_calls: int | None = None,
    ) -> None:
        super().__init__("endpoint", config, cache_folder, prompts_folder, stopping)
        self.name = config.model
        self.at_once = max(AT_ONCE, 4 * config.parallel)
        self._budget = CallBudget(budget_calls, cache_folder / "endpoint.jsonl")

    def write(self, problems: Sequence[tuple[str, Problem]]) -> list[Written]:
        """See `Writer`. Errors as `ChatClient.complete`; RunStopped when the budget of calls is used up."""
        tasks = [asking(self._instructions[PROMPT_FILE], name, problem) for name, problem in problems]
        found: list[Written] = []
        while len(found) < len(tasks):
            some = self._budget.check(len(tasks) - len(found))
            found += self._asker.ask(tasks[len(found) : len(found) + some])
        return found


class LocalWriter:
    """A model folder, a run folder or a Hugging Face id on this machine."""

    def __init__(
        self,
        model: str,
        max_new_tokens: int,
        temperature: float,
        prompts_folder: Path | None,
        interrupt: Interrupt,
    ) -> None:
        from ahalab.stages.suites.answerers import make_answerer
        from ahalab.stages.suites.config import EvalConfig
        from ahalab.validation import validate

        given = {"k": 1, "max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": 1.0}
        config = validate(EvalConfig, {**given, "system_prompt": False}, "aha data tests")
        self.name, self.at_once = model, AT_ONCE
        self._answerer = make_answerer(model, None, config, Path(), interrupt)
        self._instruction = load_instructions((PROMPT_FILE,), prompts_folder)[PROMPT_FILE]

    @property
    def traffic(self) -> Mapping[str, int]:
        """Nothing is sent anywhere."""
        return {}

    def identity(self) -> dict[str, Any]:
        """See `Writer`."""
        return {**self._answerer.identity(), "prompt_files": hashes({PROMPT_FILE: self._instruction})}

    def write(self, problems: Sequence[tuple[str, Problem]]) -> list[Written]:
        """See `Writer`; what cannot be read is asked again, like a reply of an endpoint."""
        results: list[Written] = [Failure("not asked")] * len(problems)
        left = list(range(len(problems)))
        for attempt in range(MOST_ASKS):
            prompts = [self._prompt(*problems[place], attempt) for place in left]
            answers = self._answerer.answers(prompts, PROMPT_FILE, attempt, lambda _: None)
            for place, (answer,) in zip(left, answers, strict=True):
                cut = answer.finish == "length"
                results[place] = (
                    Failure("reply cut off", "the reply reached --max-tokens")
                    if cut
                    else read_programs(without_own_thinking(answer.text))
                )
            left = [place for place in left if isinstance(results[place], Failure)]
            if not left:
                break
        return results

    def _prompt(self, name: str, problem: Problem, attempt: int) -> Prompt:
        request, _ = asking(self._instruction, name, problem).request(attempt)
        return Prompt(name, request.messages[0][1], None, "code", PROMPT_FILE, "none")


class RecordedWriter:
    """Replies got elsewhere: rows {"id", "reply"}; several rows of one problem are read together."""

    name, at_once = "recorded", 1000

    def __init__(self, path: Path) -> None:
        self._path = path
        self._replies: dict[str, list[str]] = {}
        for row in (reader := JsonlReader(path)):
            name, reply = row.get("id"), row.get("reply")
            if not isinstance(name, str) or not isinstance(reply, str):
                raise UserError(
                    f'{path}, row {reader.row}: expected {{"id": "the problem\'s id", "reply": "the model\'s text"}}'
                )
            self._replies.setdefault(name, []).append(reply)

    @property
    def traffic(self) -> Mapping[str, int]:
        """Nothing is sent anywhere."""
        return {}

    def identity(self) -> dict[str, Any]:
        """See `Writer`."""
        return {"kind": "recorded", "sha256": file_hash(self._path)}

    def write(self, problems: Sequence[tuple[str, Problem]]) -> list[Written]:
        """See `Writer`."""
        return [self._read(name) for name, _ in problems]

    def _read(self, name: str) -> Written:
        replies = self._replies.get(name)
        if replies is None:
            return Failure("no reply recorded", f"{self._path} has no row with this id")
        found = [read_programs(without_own_thinking(one)) for one in replies]
        programs = dict.fromkeys(one for some in found if not isinstance(some, Failure) for one in some)
        return tuple(programs)[:MOST_PROGRAMS] or found[0]
