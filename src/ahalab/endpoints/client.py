"""Chat completions from an OpenAI-compatible endpoint: in order, retried within bounds, paid for once.

The HTTP library is httpx2 (the maintained httpx), which `transformers` brings through `huggingface_hub`: no package
is added. The `openai` package is not used: it has retries and models of its own, and what is needed is one POST.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2

from ahalab.counter import make_key, uniform
from ahalab.endpoints.cache import Reply, open_cache
from ahalab.endpoints.config import EndpointConfig
from ahalab.endpoints.pace import LONGEST_REST, Pace, back_off, retry_after
from ahalab.endpoints.reading import Trouble, read_reply
from ahalab.errors import EnvironmentFailure, Interrupted, RunStopped, UserError
from ahalab.runs.hashing import config_hash

LARGEST_REPLY = 8_000_000
"""Bytes of a reply's body that are read; our choice, several times what the longest `max_tokens` can fill."""

SERVER_WIDE = frozenset({"no connection", "rate limit"})
"""Troubles that no single request is to blame for: out of retries, the run stops instead of losing items to them."""

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_GOES_ON = "Nothing is lost: every reply so far is kept, and the same command goes on from here."


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request. The same messages with another `call` number are another sample, and another entry of the cache."""

    messages: tuple[tuple[str, str], ...]
    """(role, content) of each turn."""
    call: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that got no reply after every retry, or that the server refuses."""

    reason: str
    detail: str
    control: str = ""
    """As in `Reply`: a risk control refused; that is an outcome, not a fault of the server."""
    reviewer_calls: int = 0


OnOutcome = Callable[[int, Reply | Failed], None]
"""Hears (place in `requests`, outcome), once for every request, from any thread."""


class ChatClient:
    """One endpoint of a recipe.

    Args:
        name: its name in the recipe, for messages and for the cache file `<name>.jsonl`.
        cache_folder: where every reply is kept; made when missing.
        stopping: asked while waiting; True (a Ctrl-C) ends `complete` with `Interrupted`.
        take_empty: a reply without text is a reply, kept and never asked for again; else it is tried again.
        transport: for tests.

    Raises:
        UserError: the environment variable that should hold the key is not set.
    """

    def __init__(
        self,
        name: str,
        config: EndpointConfig,
        cache_folder: Path,
        stopping: Callable[[], bool] = lambda: False,
        *,
        take_empty: bool = False,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.name, self.config = name, config
        self._take_empty = take_empty
        self._stopping = stopping
        self._key = read_key(name, config)
        file_name = name if _FILE_NAME.fullmatch(name) else config_hash(name)[:16]
        self._cache = open_cache(cache_folder / f"{file_name}.jsonl")
        self._on_settled: Callable[[str, Reply | Failed], None] = _nobody_listens
        self._own_failures: dict[str, Failed] = {}
        self._pace = Pace(config.requests_per_minute)
        self._http = _http_client(name, config, self._key, transport)
        self._lock = threading.Lock()
        self._traffic: Counter[str] = Counter()
        self._failed_in_row = 0
        self._ever_replied = False

    @property
    def traffic(self) -> Mapping[str, int]:
        """What this process sent: "calls", "retries", "from_cache", "troubles: <reason>"."""
        return dict(self._traffic)

    @property
    def cost(self) -> float | None:
        """What every reply kept here has cost; None without prices."""
        return self.config.cost(self._cache.tokens_in, self._cache.tokens_out)

    def complete(
        self, requests: Sequence[ChatRequest], on_outcome: OnOutcome | None = None
    ) -> list[Reply | Failed]:
        """The replies, in the order of `requests`. One batch at a time.

        `on_outcome` hears each as it comes, a reply when it is in the cache already. A request that failed after every
        retry is told once another one got a reply after it, or at the end: until then the server may be to blame, and
        where this then raises, such a request was not told and stays open.

        Raises:
            UserError: the server refuses the key, the model or the settings.
            EnvironmentFailure: the endpoint is down, or wants payment.
            RunStopped: `budget_tokens` or `budget_cost` are used up.
            Interrupted: `stopping` said so.
            After each of them the replies so far are in the cache.
        """
        keys = [request_key(self.config, request) for request in requests]
        kept = {key: self._cache.get(key) for key in keys}
        wanted = {key: one for key, one in zip(keys, requests, strict=True) if kept[key] is None}
        self._traffic["from_cache"] += len(keys) - len(wanted)
        self._listen(keys, on_outcome)
        for key, reply in kept.items():
            if reply is not None:
                self._on_settled(key, reply)
        failed = self._fetch(wanted) if wanted else {}
        return [self._cache.get(key) or failed[key] for key in keys]

    def _listen(self, keys: Sequence[str], on_outcome: OnOutcome | None) -> None:
        self._own_failures.clear()
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)

        def settled(key: str, outcome: Reply | Failed) -> None:
            if on_outcome is not None:
                for place in places[key]:
                    on_outcome(place, outcome)

        self._on_settled = settled

    def _fetch(self, wanted: Mapping[str, ChatRequest]) -> dict[str, Failed]:
        if self._stopping():
            raise Interrupted(f"endpoint {self.name}: {len(wanted)} requests were not sent.")
        self._pace.stop.clear()
        executor = ThreadPoolExecutor(self.config.parallel, thread_name_prefix=f"endpoint-{self.name}")
        try:
            futures = {executor.submit(self._ask, key, request): key for key, request in wanted.items()}
            self._watch(set(futures))
            outcomes = {key: future.result() for future, key in futures.items()}
        finally:
            # What is under way is paid for already: it is awaited and kept, the rest is not begun.
            self._pace.stop.set()
            executor.shutdown(wait=True, cancel_futures=True)
        failed = {key: outcome for key, outcome in outcomes.items() if outcome is not None}
        if len(failed) == len(wanted) and not self._ever_replied and self._failed_in_row:
            raise self._down(next(iter(failed.values())))
        self._blame_requests()
        return failed

    def _blame_requests(self) -> None:
        """The server is well, so what failed lately was those requests' own fault."""
        with self._lock:
            failures, self._own_failures = self._own_failures, {}
        for key, failure in failures.items():
            self._on_settled(key, failure)

    def _watch(self, pending: set[Future[Failed | None]]) -> None:
        while pending:
            done, pending = wait(pending, timeout=0.2)
            for future in done:
                future.result()
            if pending and self._stopping():
                raise Interrupted(
                    f"endpoint {self.name}: {len(pending)} requests were not sent or not answered."
                )

    def _ask(self, key: str, request: ChatRequest) -> Failed | None:
        """One request with its retries: its reply goes into the cache, a failure comes back."""
        try:
            return self._tries(key, request)
        except BaseException:
            self._pace.stop.set()  # here already: this thread would take the next request before anybody looks
            raise

    def _tries(self, key: str, request: ChatRequest) -> Failed | None:
        body = json.dumps(self._body(request), ensure_ascii=False).encode("utf-8", "replace")
        size = sum(len(content.encode("utf-8", "replace")) for _, content in request.messages)
        trouble = Trouble("stopped", "not sent", "retry")
        for attempt in range(self.config.retries + 1):
            self._check_budget()
            if not self._pace.wait_turn():
                break
            self._count("calls" if attempt == 0 else "retries")
            outcome, rest = self._send(body, size)
            if isinstance(outcome, Reply):
                self._cache.put(key, outcome)
                with self._lock:
                    self._failed_in_row, self._ever_replied = 0, True
                self._on_settled(key, outcome)
                self._blame_requests()
                return None
            trouble = outcome
            self._count(f"troubles: {trouble.reason}")
            self._refuse_hopeless(trouble)
            if trouble.remedy == "fail":
                failure = Failed(trouble.reason, trouble.detail, trouble.control, trouble.reviewer_calls)
                self._on_settled(key, failure)
                return failure
            if rest is not None:
                self._pace.rest(rest)
            pause = max(min(rest or 0.0, LONGEST_REST), back_off(attempt, uniform(make_key(key), attempt)))
            if attempt < self.config.retries and not self._pace.wait(pause):
                break
        return self._gave_up(key, Failed(trouble.reason, trouble.detail))

    def _gave_up(self, key: str, failure: Failed) -> Failed:
        if self._pace.stop.is_set():
            return failure  # somebody else's error ends the batch: it says nothing about the server
        with self._lock:
            self._failed_in_row += 1
            if failure.reason in SERVER_WIDE or self._failed_in_row >= self.config.give_up_after:
                raise self._down(failure)
            self._own_failures[key] = failure
        return failure

    def _send(self, body: bytes, size: int) -> tuple[Reply | Trouble, float | None]:
        """One HTTP exchange, bounded in time and size, and the rest that the server asks for."""
        began = time.monotonic()
        deadline = began + self.config.timeout_seconds
        try:
            with self._http.stream("POST", f"{self.config.url}/chat/completions", content=body) as response:
                received = bytearray()
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > LARGEST_REPLY:
                        return Trouble("reply too large", f"more than {LARGEST_REPLY:,} bytes", "fail"), None
                    if time.monotonic() > deadline:
                        raise httpx2.ReadTimeout("the reply went on beyond timeout_seconds")
        except httpx2.TimeoutException as error:
            reason = "no connection" if isinstance(error, httpx2.ConnectTimeout) else "time-out"
            return Trouble(reason, self._clean(f"{type(error).__name__}: {error}"), "retry"), None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise UserError(
                self._clean(f"endpoints.{self.name}: the request cannot be sent: {error}")
            ) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            reason = "no connection" if isinstance(error, httpx2.ConnectError) else "broken connection"
            return Trouble(reason, self._clean(f"{type(error).__name__}: {error}"), "retry"), None
        outcome = read_reply(response.status_code, bytes(received), size, take_empty=self._take_empty)
        if isinstance(outcome, Trouble):
            outcome = replace(outcome, detail=self._clean(outcome.detail))
        else:
            outcome = replace(outcome, seconds=round(time.monotonic() - began, 3))
        return outcome, retry_after(response.headers.get("retry-after"))

    def _refuse_hopeless(self, trouble: Trouble) -> None:
        where = f"endpoints.{self.name} ({self.config.url}, model {self.config.model})"
        if trouble.remedy == "key":
            key = (
                f"Is the key in ${self.config.api_key_env} right?"
                if self.config.api_key_env
                else "Set `api_key_env` to the name of the environment variable that holds the key."
            )
            raise UserError(f"{where}: the server refuses access ({trouble.detail}). {key} {_GOES_ON}")
        if trouble.remedy == "settings":
            raise UserError(
                f"{where}: the server refuses the request ({trouble.detail}). Mend url, model or settings of this "
                f"endpoint in the recipe. {_GOES_ON}"
            )
        if trouble.remedy == "payment":
            raise EnvironmentFailure(f"{where}: the account is used up ({trouble.detail}). {_GOES_ON}")

    def _check_budget(self) -> None:
        budget = self.config.budget_tokens
        if budget is not None and self._cache.tokens >= budget:
            raise RunStopped(
                f"endpoints.{self.name}: {self._cache.tokens:,} tokens are used, budget_tokens is {budget:,}. "
                f"Raise it to go on. {_GOES_ON}"
            )
        most, cost = self.config.budget_cost, self.cost
        if most is not None and cost is not None and cost >= most:
            raise RunStopped(
                f"endpoints.{self.name}: {cost:,.4g} is spent, budget_cost is {most:,.4g}. "
                f"Raise it to go on. {_GOES_ON}"
            )

    def _down(self, failure: Failed) -> EnvironmentFailure:
        return EnvironmentFailure(
            f"endpoints.{self.name} ({self.config.url}) gives no usable reply ({failure.reason}: {failure.detail}). "
            f"Requests that failed in a row: {self._failed_in_row}, each tried {self.config.retries + 1} times. "
            f"Is the server running and reachable? {_GOES_ON}"
        )

    def _body(self, request: ChatRequest) -> dict[str, object]:
        turns = [{"role": role, "content": content} for role, content in request.messages]
        return {"messages": turns, **settings_of(self.config)}

    def _clean(self, text: str) -> str:
        """Some servers repeat the key they refuse."""
        return text.replace(self._key, "(the key)") if self._key else text

    def _count(self, what: str) -> None:
        with self._lock:
            self._traffic[what] += 1


def request_key(config: EndpointConfig, request: ChatRequest) -> str:
    """The name of a request's reply in a cache file: what decides the reply, hashed."""
    return config_hash({"endpoint": config.identity(), "messages": request.messages, "call": request.call})


def _nobody_listens(_key: str, _outcome: Reply | Failed) -> None:
    """Between batches."""


def read_key(name: str, config: EndpointConfig) -> str:
    """The key from its environment variable; "" where none is needed. UserError where it is not set."""
    if config.api_key_env is None:
        return ""
    key = os.environ.get(config.api_key_env, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        problem = "holds no usable key" if key else "is not set"
        raise UserError(
            f"endpoints.{name}: the environment variable {config.api_key_env} {problem}. "
            f"Set it with `export {config.api_key_env}=…` and run the same command."
        )
    return key


def headers_of(key: str) -> dict[str, str]:
    """Headers of every request."""
    # Not compressed: LARGEST_REPLY then bounds what was really sent.
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
    }
    return {**headers, "Authorization": f"Bearer {key}"} if key else headers


def settings_of(config: EndpointConfig) -> dict[str, object]:
    """The keys of a request's body besides its messages."""
    settings: dict[str, object] = {"model": config.model}
    if config.temperature is not None:
        settings["temperature"] = config.temperature
    if config.max_tokens is not None:
        settings["max_tokens"] = config.max_tokens
    return {**settings, **config.extra}


def _http_client(
    name: str, config: EndpointConfig, key: str, transport: httpx2.BaseTransport | None
) -> httpx2.Client:
    try:
        return httpx2.Client(
            headers=headers_of(key),
            timeout=httpx2.Timeout(
                config.timeout_seconds, connect=min(20.0, config.timeout_seconds), pool=None
            ),
            limits=httpx2.Limits(max_connections=config.parallel),
            follow_redirects=False,  # a redirect would carry the key elsewhere
            transport=transport,
        )
    except (ImportError, ValueError) as error:
        raise UserError(
            f"endpoints.{name}: the connection cannot be set up ({error}). Is a proxy variable such as ALL_PROXY wrong?"
        ) from error
