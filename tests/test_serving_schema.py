"""The gateway against its own OpenAPI: what schemathesis makes of it, right and wrong, never breaks it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from tests.serving_tools import BAD_REPLY, HELLO, ScriptedModel, Served, chat_body, text_body

from ahalab.guard.records import Delta
from ahalab.serving.admin import make_admin_app
from ahalab.serving.answers import (
    AdminHealth,
    ChatReply,
    GuardrailReply,
    ModerationReply,
    Reloaded,
    TextReply,
)
from ahalab.serving.fields import REFUSED, ChatBody
from ahalab.serving.keys import SCOPES, Key, revoke_key
from ahalab.serving.running import on_loopback

EXAMPLES = 75
AS_DESCRIBED = [
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
]
GUARDRAIL = "POST /beta/litellm_basic_guardrail_api"
GUARDRAIL_FIELDS = ("input_type", "texts", "structured_messages", "tools", "tool_calls", "images")
TEXT = strategies.text(max_size=12)
OPERATIONS = {
    "GET /healthz",
    "GET /v1/models",
    "GET /v1/models/{name}",
    GUARDRAIL,
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/moderations",
}
ASKING = [
    ("/v1/chat/completions", chat_body()),
    ("/v1/chat/completions", chat_body(stream=True)),
    ("/v1/completions", text_body()),
    ("/v1/completions", text_body(stream=True)),
    ("/v1/moderations", {"input": "Hi"}),
    ("/beta/litellm_basic_guardrail_api", {"input_type": "request", "texts": ["Hi"]}),
]


class Running:
    """A gateway on loopback, in a thread of its own."""

    def __init__(self, served: Served) -> None:
        self.served, self.url = served, ""
        self._up, self._thread = (
            threading.Event(),
            threading.Thread(target=lambda: asyncio.run(self._serve())),
        )

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._up.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with on_loopback(self.served.app) as url:
            self.url = url.removesuffix("/v1")
            self._up.set()
            await self._stop.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(Served(tmp_path_factory.mktemp("schema"))) as one:
        yield one


def operations(running: Running) -> dict[str, Any]:
    schema = schemathesis.openapi.from_dict(running.served.app.openapi())
    found = (one.ok() for one in schema.get_all_operations())
    return {operation.label: operation for operation in found}


def test_every_route_is_described(running: Running) -> None:
    assert set(operations(running)) == OPERATIONS


@pytest.mark.parametrize("side", ["public", "admin"])
def test_every_good_answer_is_described_and_every_posted_body_too(side: str, running: Running) -> None:
    app = running.served.app if side == "public" else make_admin_app(running.served.gateway)
    paths = app.openapi()["paths"]
    for path, methods in paths.items():
        for method, one in methods.items():
            content = one["responses"]["200"]["content"]
            assert all(kind["schema"] for kind in content.values()), path
            assert path == "/metrics" or content["application/json"]["schema"]["required"], path
            assert method == "get" or path == "/admin/reload" or one["requestBody"]["required"], path


@pytest.mark.parametrize("pieces", [HELLO, BAD_REPLY])
def test_replies_and_retractions_have_the_described_form(pieces: list[Delta], tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(pieces))
    ChatReply.model_validate(served.chat().json(), strict=True)
    TextReply.model_validate(served.ask("/v1/completions", text_body()).json(), strict=True)
    checked = served.ask("/v1/moderations", {"input": "zorbom"})
    ModerationReply.model_validate(checked.json(), strict=True)
    guarded = served.ask("/beta/litellm_basic_guardrail_api", {"texts": ["zorbom"]})
    GuardrailReply.model_validate(guarded.json(), strict=True)


def test_the_admin_side_has_the_described_form(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.app = make_admin_app(served.gateway)
    AdminHealth.model_validate(served.ask("/healthz", method="GET").json(), strict=True)
    Reloaded.model_validate(served.ask("/admin/reload").json(), strict=True)


def quickly(strategy: Any, use: Callable[[Any], None]) -> None:
    """`use` with so many examples, the same ones each time."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(made=strategy)
    def used(made: Any) -> None:
        use(made)

    used()


def check_error(answer: Any, documented: Any) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}
        assert str(answer.status_code) in documented


@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_requests_that_fit_the_description_break_nothing(label: str, running: Running) -> None:
    operation, statuses = operations(running)[label], Counter[int]()

    def use(case: Any) -> None:
        if isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = (
                "m"  # so that it comes as far as the model, and every second one without what is
            )
            if sum(statuses.values()) % 2:  # refused whatever its value
                case.body = {name: value for name, value in case.body.items() if name not in REFUSED}
        answer = case.call(base_url=running.url)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=AS_DESCRIBED)
        check_error(answer, operation.definition.raw["responses"])

    quickly(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), use)
    if label != "GET /v1/models/{name}":  # there the description does not say enough
        assert statuses[200] >= (3 if operation.body else 1), statuses


@pytest.mark.parametrize("label", [one for one in sorted(OPERATIONS) if one[:4] == "POST"])
def test_requests_that_do_not_fit_it_are_refused(label: str, running: Running) -> None:
    operation = operations(running)[label]

    def use(case: Any) -> None:
        answer = case.call(base_url=running.url)
        case.validate_response(answer, checks=[*AS_DESCRIBED, negative_data_rejection])
        check_error(answer, operation.definition.raw["responses"])

    quickly(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), use)


@pytest.mark.parametrize("path", sorted({path for path, _ in ASKING}))
def test_bodies_of_any_bytes_and_any_json_break_nothing(path: str, running: Running) -> None:
    values = strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.floats() | strategies.integers() | TEXT,
        lambda inner: strategies.lists(inner) | strategies.dictionaries(TEXT, inner),
        max_leaves=10,
    )
    known = strategies.sampled_from(sorted({*ChatBody.model_fields, *GUARDRAIL_FIELDS, "prompt", "input"}))
    objects = strategies.dictionaries(known, values, max_size=6).map(
        lambda made: json.dumps({"model": "m", **made}).encode()
    )
    documented = running.served.app.openapi()["paths"][path]["post"]["responses"]

    def use(body: bytes) -> None:
        sent = {"Content-Type": "application/json"}
        check_error(httpx2.post(f"{running.url}{path}", content=body, headers=sent), documented)

    quickly(objects | strategies.binary(max_size=60), use)


@pytest.mark.parametrize(("path", "body"), ASKING)
def test_who_has_no_good_key_is_refused_before_anything_is_read(
    path: str, body: dict[str, Any], tmp_path: Path
) -> None:
    served = Served(tmp_path, keys=[Key(id="mine"), Key(id="gone")])
    revoke_key(tmp_path / "keys.json", "gone")
    served.gateway.keys._look()  # the file is looked at once a second
    for key in ("", "aha-guessed", served.tokens["mine"][:-1], served.tokens["mine"] + "x", "gone"):
        for content in (body, b"{ no json"):
            answer = served.ask(path, content, key=key)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    assert served.ask(path, body, key="mine").status_code == 200
    assert len(served.audit.intents) == 1


@pytest.mark.parametrize(("path", "body"), ASKING)
def test_a_key_does_only_what_its_scopes_say(path: str, body: dict[str, Any], tmp_path: Path) -> None:
    served = Served(tmp_path, keys=[Key(id=one, scopes=[one]) for one in SCOPES])
    needed = "moderate" if path in ("/v1/moderations", ASKING[-1][0]) else "chat"
    for scope in SCOPES:
        status = served.ask(path, body, key=scope).status_code
        assert status == (200 if scope == needed else 403)
    assert len(served.audit.intents) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_what_one_key_uses_up_is_not_taken_from_another(stream: bool, tmp_path: Path) -> None:
    keys = [Key(id="one", requests_per_minute=2), Key(id="two", requests_per_minute=2)]
    served = Served(tmp_path, keys=keys)
    body = chat_body(stream=stream)
    for _ in range(2):
        assert served.ask("/v1/chat/completions", body, key="one").status_code == 200
    assert served.ask("/v1/chat/completions", body, key="one").status_code == 429
    assert served.ask("/v1/chat/completions", body, key="two").status_code == 200
    assert [one.key for one in served.audit.intents] == ["one", "one", "two"]


@pytest.mark.parametrize(("path", "body"), ASKING)
def test_what_is_too_large_is_refused(path: str, body: dict[str, Any], tmp_path: Path) -> None:
    served = Served(tmp_path, settings={"body_bytes": 2_000, "characters": 500})
    long = json.dumps(body).replace("Hi", "H" * 600).encode()
    padded = json.dumps(body).encode() + b" " * 2_000
    refused = served.ask(path, padded)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "request_too_large")
    assert refused.headers["connection"] == "close"
    assert served.ask(path, long).status_code in (400, 413)
    deep = b'{"model":"m","messages":' + b"[" * 500 + b"]" * 500 + b"}"
    assert served.ask(path, deep).json()["error"]["code"] == "nested_too_deeply"
    assert not served.audit.intents


def test_a_body_without_a_length_is_cut_off_where_it_becomes_too_large(tmp_path: Path) -> None:
    with Running(Served(tmp_path, settings={"body_bytes": 2_000})) as running:
        parts = (b" " * 500 for _ in range(1_000))
        sent = {"Content-Type": "application/json"}
        answer = httpx2.post(f"{running.url}/v1/chat/completions", content=parts, headers=sent)
    assert answer.status_code == 413
