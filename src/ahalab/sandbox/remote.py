"""Programs run by a service elsewhere, over a published sandbox API.

Two APIs, told apart by the URL's end: Piston's `…/api/v2/execute` (engineer-man/piston, docs/api-v2.md) and
SandboxFusion's `…/run_code` (bytedance/SandboxFusion, API reference "Run Code"). What walls stand there is the
service's affair.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from ahalab.errors import UserError
from ahalab.sandbox.local import COMPILE_LIMITS, check
from ahalab.sandbox.records import Limits, Outcome, Program, SandboxFailure, Status
from ahalab.sandbox.verdict import STDERR_CHARACTERS, by_last_words

RETRIES = 4
FIRST_WAIT = 0.5
"""Seconds before the first retry; doubled each time."""
_CONNECT_SECONDS = 10.0
_SLACK_SECONDS = 30.0
"""What a busy service may need on top of compiling and running."""
_MEGABYTE = 2**20
_STEMS = ("main", "the_main", "the_main_program")


@dataclass(frozen=True, slots=True)
class Api:
    """One published API: how to ask, how to read the answer."""

    request: Callable[[Program, str, Limits], dict[str, Any]]
    outcome: Callable[[Mapping[str, Any], Limits, float], Outcome]
    """Of the decoded answer and the seconds it took. KeyError, TypeError, ValueError: it is no answer of this API."""


def open_remote(url: str) -> RemoteExecutor:
    """An executor for the service at `url`.

    Raises:
        UserError: it is no URL of a known API.
    """
    parts = urlsplit(url)
    api = next((api for end, api in APIS.items() if parts.path.rstrip("/").endswith(end)), None)
    if parts.scheme not in ("http", "https") or not parts.hostname or api is None:
        raise UserError(
            f'sandbox executor {url!r}: expected "local", the address of a Piston (http://HOST:2000/api/v2/execute) '
            "or of a SandboxFusion (http://HOST:8080/run_code)."
        )
    return RemoteExecutor(url, api)


class RemoteExecutor:
    """An executor of `records.Executor`: one request per run; compiling is part of each.

    Args:
        transport: for tests.
    """

    def __init__(self, url: str, api: Api, transport: httpx2.BaseTransport | None = None) -> None:
        self._url, self._api = url, api
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        self._http = httpx2.Client(transport=transport, headers=headers, follow_redirects=False)

    def run(self, program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Outcome]:
        """See `records.Executor.run`. Raises ValueError as `LocalExecutor.run` does."""
        check(program)
        for number, text in enumerate(inputs):
            started = time.monotonic()
            answer = self._ask(self._api.request(program, text, limits), limits)
            try:
                outcome = self._api.outcome(answer, limits, time.monotonic() - started)
            except (KeyError, TypeError, ValueError) as error:
                raise self._failure(
                    f"the answer is not of this API ({type(error).__name__}: {error})"
                ) from error
            yield outcome
            if outcome.status == "compile error":
                yield from (outcome for _ in inputs[number + 1 :])
                return

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, body: dict[str, Any], limits: Limits) -> Mapping[str, Any]:
        trouble, wait = "", FIRST_WAIT
        for attempt in range(RETRIES + 1):
            if attempt:
                time.sleep(wait)
                wait *= 2
            try:
                status, data = self._post(body, limits)
            except httpx2.HTTPError as error:
                trouble = f"{type(error).__name__}: {error}"
                continue
            if status == 429 or status >= 500:
                trouble = f"HTTP {status}: {_message(data)}"
                continue
            if status != 200:
                raise self._failure(f"HTTP {status}: {_message(data)}")
            try:
                answer = json.loads(data)
            except ValueError:
                raise self._failure("the answer is not JSON") from None
            if not isinstance(answer, dict):
                raise self._failure("the answer is not a JSON object")
            return answer
        raise self._failure(f"no answer in {RETRIES + 1} tries; the last: {trouble}")

    def _post(self, body: dict[str, Any], limits: Limits) -> tuple[int, bytes]:
        """Status and body, which is not read further than two full outputs and their frame can reach."""
        seconds = COMPILE_LIMITS.wall_seconds + limits.wall_seconds + _SLACK_SECONDS
        most = 16 * limits.output_bytes + _MEGABYTE  # both streams, a third time as "output", escaped
        data = bytearray()
        timeout = httpx2.Timeout(seconds, connect=_CONNECT_SECONDS)
        deadline = time.monotonic() + seconds
        with self._http.stream(
            "POST", self._url, content=json.dumps(body).encode(), timeout=timeout
        ) as response:
            for piece in response.iter_bytes():
                data += piece
                if len(data) > most:
                    raise self._failure(f"the answer has more than {most} bytes")
                if time.monotonic() > deadline:
                    raise self._failure(f"the answer took more than {seconds:.0f} s")
            return response.status_code, bytes(data)

    def _failure(self, why: str) -> SandboxFailure:
        return SandboxFailure(f"sandbox at {self._url}: {why}")


def _message(data: bytes) -> str:
    text = data[:2000].decode("utf-8", "replace")
    try:
        found = json.loads(data)["message"]
    except (ValueError, KeyError, TypeError):
        return text[:300]
    return str(found)[:300]


def _piston_request(program: Program, text: str, limits: Limits) -> dict[str, Any]:
    cpp = program.language == "cpp"
    names = (f"{stem}.{'cpp' if cpp else 'py'}" for stem in _STEMS)
    main = next(name for name in names if name not in program.files)
    files = {main: program.source, **program.files}  # the first is what runs
    return {
        "language": "c++" if cpp else "python",
        "version": "*",
        "files": [{"name": name, "content": content} for name, content in files.items()],
        "stdin": text,
        "args": list(program.arguments),
        "run_timeout": int(limits.wall_seconds * 1000),
        "run_cpu_time": int(limits.cpu_seconds * 1000),
        "compile_timeout": int(COMPILE_LIMITS.wall_seconds * 1000),
        "run_memory_limit": limits.memory_megabytes * _MEGABYTE,
        "compile_memory_limit": COMPILE_LIMITS.memory_megabytes * _MEGABYTE,
    }


def _piston_outcome(answer: Mapping[str, Any], limits: Limits, seconds: float) -> Outcome:
    """`status`, `cpu_time`, `wall_time` (ms) and `memory` (bytes) come from Piston since its version of 2024."""
    compiled, ran = answer.get("compile"), answer["run"]
    if compiled and (compiled["code"] != 0 or compiled["signal"]):
        return _outcome(
            "compile error", "", str(compiled["stderr"] or compiled["output"]), None, 0.0, seconds
        )
    if ran.get("status") == "XX":
        raise ValueError(f"its own failure: {ran.get('message')}")
    wall, memory = float(ran.get("wall_time") or seconds * 1000) / 1000, ran.get("memory")
    cpu = float(ran.get("cpu_time") or 0.0) / 1000
    stdout, stderr = str(ran["stdout"]), str(ran["stderr"])
    known: dict[str | None, Status] = {"TO": "time limit", "OL": "output limit", "EL": "output limit"}
    status = known.get(ran.get("status"))
    if status is None and ran["signal"] == "SIGKILL" and wall >= limits.wall_seconds:
        status = "time limit"  # an older Piston, which does not say
    if status is None and cpu > limits.cpu_seconds:
        status = "time limit"
    code = ran["code"] if not ran["signal"] else None
    status = status or _by_end(code, stdout, stderr, limits)
    return _outcome(status, stdout, stderr, code, cpu, wall, memory / _MEGABYTE if memory else None)


def _fusion_request(program: Program, text: str, limits: Limits) -> dict[str, Any]:
    if program.arguments:
        raise SandboxFailure("SandboxFusion's API has no arguments for programs")
    files = {name: base64.b64encode(content.encode()).decode() for name, content in program.files.items()}
    return {
        "language": program.language,
        "code": program.source,
        "stdin": text,
        "files": files,
        "run_timeout": limits.wall_seconds,
        "compile_timeout": COMPILE_LIMITS.wall_seconds,
        "memory_limit_MB": limits.memory_megabytes,
    }


def _fusion_outcome(answer: Mapping[str, Any], limits: Limits, seconds: float) -> Outcome:
    """It measures wall time only, so "cpu_seconds" is that, bounded by the limit of wall time."""
    if answer["status"] == "SandboxError":
        raise ValueError(f"its own failure: {answer.get('message')}")
    compiled, ran = answer.get("compile_result"), answer.get("run_result")
    if compiled and (compiled["status"] != "Finished" or compiled["return_code"] != 0):
        return _outcome("compile error", "", str(compiled["stderr"]), compiled["return_code"], 0.0, seconds)
    if not ran or ran["status"] == "Error":
        raise ValueError("its own failure: it did not run the program")
    stdout, stderr = str(ran["stdout"] or ""), str(ran["stderr"] or "")
    wall = float(ran.get("execution_time") or seconds)
    code = ran["return_code"]
    late = ran["status"] == "TimeLimitExceeded"
    status: Status = "time limit" if late else _by_end(code, stdout, stderr, limits)
    return _outcome(status, stdout, stderr, code if code is not None and code >= 0 else None, wall, wall)


def _by_end(code: int | None, stdout: str, stderr: str, limits: Limits) -> Status:
    if any(len(text.encode("utf-8", "replace")) > limits.output_bytes for text in (stdout, stderr)):
        return "output limit"
    return "ok" if code == 0 else by_last_words(stderr)


def _outcome(
    status: Status,
    stdout: str,
    stderr: str,
    code: int | None,
    cpu: float,
    wall: float,
    memory: float | None = None,
) -> Outcome:
    return Outcome(status, stdout, stderr[-STDERR_CHARACTERS:], code, cpu, wall, memory)


APIS: dict[str, Api] = {
    "/execute": Api(_piston_request, _piston_outcome),
    "/run_code": Api(_fusion_request, _fusion_outcome),
}
