"""The translation job: every question into every language through one endpoint, each call paid for once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import yaml

from ahalab.counter import make_key
from ahalab.endpoints.client import ChatClient, request_key
from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import UserError
from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.lock import RunLock
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.safety.languages.checks import can_identify, check_translation, is_refusal
from ahalab.safety.languages.codes import language_name
from ahalab.safety.languages.plan import TranslationPlan, Wanted
from ahalab.teachers.asking import Asker, Task
from ahalab.teachers.protocol import Failure
from ahalab.teachers.templates import Instruction
from ahalab.validation import validate

PROMPT = Path(__file__).with_name("prompts") / "translate.txt"
BATCH = 8
"""Requests that are given to the client at a time, for each that may be under way."""
HOW = "An endpoint is URL#MODEL, such as http://127.0.0.1:8000/v1#qwen3, or a YAML file with `url:` and `model:`."


@dataclass(frozen=True, slots=True)
class Translated:
    """One translation that passed, or why there is none."""

    wanted: Wanted
    text: str
    problem: str = ""
    share: float | None = None


@dataclass(slots=True)
class Translation:
    """All of them, in the plan's order, and what they cost."""

    done: list[Translated]
    prompt: str
    """Hash of the prompt file."""
    endpoint: dict[str, Any]
    counts: Counter[str] = field(default_factory=Counter)
    cost: float | None = None


def read_endpoint(spec: str) -> EndpointConfig:
    """The endpoint of a command line. UserError: no such file, or a key breaks a rule."""
    if re.match(r"https?://", spec):
        url, _, model = spec.partition("#")
        if not model:
            raise UserError(f"endpoint {spec}: the model's name is missing. {HOW}")
        return validate(EndpointConfig, {"url": url, "model": model, "temperature": 0.0}, f"endpoint {spec}")
    path = Path(spec)
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"endpoint {spec!r}: there is no such endpoint. {HOW}")
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). {HOW}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is no YAML in UTF-8: {error}") from error
    return validate(EndpointConfig, data, str(path))


def load_prompt(path: Path = PROMPT) -> Instruction:
    """The prompt file. UserError: unreadable, or a slot is missing."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: the prompt file cannot be read ({error}). It must be text in UTF-8"
        ) from error
    slots = set(re.findall(r"\$(?:\{)?([a-z_]+)", text))
    needed = {"source_language", "target_language", "text", "nonce"}
    if slots != needed:
        wrong = ", ".join(f"${name}" for name in sorted(slots ^ needed))
        raise UserError(
            f"{path}: expected the slots $source_language, $target_language, $text, $nonce; wrong: {wrong}"
        )
    return Instruction("translate", text, sha256(text.encode()).hexdigest())


def read_reply(reply: str, nonce: str) -> str | Failure:
    """The text between the two marked lines, which must stand alone and once."""
    line = rf"(?m)^[ \t]*===[ \t]*(translation|end)[ \t]+{nonce}[ \t]*===[ \t]*$"
    before, *parts = re.split(line, reply.strip())
    if parts[0::2] != ["translation", "end"]:
        if not parts and is_refusal(reply):
            return Failure("translator refused", "the reply begins as a refusal")
        return Failure("reply not in form", f"marked lines found: {', '.join(parts[0:8:2]) or 'none'}")
    text, after = parts[1::2]
    if before.strip() or after.strip() or nonce in text:
        return Failure("reply not in form", "text or a mark stands outside its place")
    return text.strip()


class Translator:
    """A plan at an endpoint.

    Args:
        paid: folder in which every reply is kept.
        stopping: asked while waiting; True (a Ctrl-C) ends `run` with `Interrupted`.
        transport: for tests.
    """

    def __init__(
        self,
        plan: TranslationPlan,
        endpoint: EndpointConfig,
        paid: Path,
        stopping: Callable[[], bool] = lambda: False,
        *,
        prompt: Instruction | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.plan, self.endpoint, self.paid = plan, endpoint, paid
        self.prompt = prompt or load_prompt()
        self._stopping, self._transport = stopping, transport

    def calls(self) -> tuple[int, int]:
        """(wanted, kept already): what a dry run shows. Nothing is sent, and no key is needed.

        An unreadable reply is asked for again, up to `MOST_ASKS` times in all: those are not counted here.
        """
        keys = {row["key"] for path in self.paid.glob("*.jsonl") for row in read_jsonl(path)}
        tasks = map(self._task, self.plan.wanted)
        kept = sum(request_key(self.endpoint, task.request(0)[0]) in keys for task in tasks)
        return len(self.plan.wanted), kept

    def run(self, progress: Progress | None = None) -> Translation:
        """Translate, read and check. What fails is counted, never left unsaid.

        Errors as `ChatClient.complete`; the replies so far are kept, and the same call goes on from there.
        UserError where another process translates into the same file.
        """
        with RunLock(self.paid):
            return self._run(progress or SilentProgress())

    def _run(self, shown: Progress) -> Translation:
        client = ChatClient("translator", self.endpoint, self.paid, self._stopping, transport=self._transport)
        asker = Asker(client)
        identified = {one.language: can_identify(one.language) for one in self.plan.into}
        found = Translation([], self.prompt.sha256, self.endpoint.identity())
        size = BATCH * self.endpoint.parallel
        shown.begin("translate", len(self.plan.wanted), "question")
        try:
            for start in range(0, len(self.plan.wanted), size):
                batch = self.plan.wanted[start : start + size]
                results = asker.ask([self._task(one) for one in batch])
                found.done += [
                    _checked(one, result, identified[one.language])
                    for one, result in zip(batch, results, strict=True)
                ]
                bad = sum(bool(one.problem) for one in found.done)
                shown.advance(len(found.done), {"left out": bad, **_cost(client.cost)})
        finally:
            shown.end()
        found.counts = Counter({**asker.counts, **client.traffic})
        found.cost = client.cost
        return found

    def _task(self, wanted: Wanted) -> Task:
        plain = {
            "source_language": language_name(self.plan.source),
            "target_language": language_name(wanted.language),
        }
        key = make_key("translate", wanted.id, wanted.item.prompt)
        return Task(key, self.prompt, {"text": wanted.item.prompt}, plain, read_reply)


def _checked(wanted: Wanted, result: Any, identify: bool) -> Translated:
    if isinstance(result, Failure):
        return Translated(wanted, "", result.reason)
    checked = check_translation(wanted.item.prompt, result, wanted.language, identify)
    return Translated(wanted, result, checked.problem, checked.share)


def _cost(cost: float | None) -> Mapping[str, float]:
    return {} if cost is None else {"cost": cost}


def problems(done: Sequence[Translated]) -> Counter[str]:
    """How many were left out, by reason."""
    return Counter(one.problem for one in done if one.problem)
