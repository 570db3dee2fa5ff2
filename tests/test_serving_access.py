"""Who may ask: keys, scopes, limits, Host and Origin, headers, the admin side, and where nothing is served."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.guard_control import STANDARDS
from tests.serving_tools import BAD_REPLY, ScriptedModel, Served, chat_body, shown

from ahalab.errors import UserError
from ahalab.serving.admin import make_admin_app
from ahalab.serving.errors import Refusal
from ahalab.serving.keys import Key, Keys, add_key, hash_of, read_keys, revoke_key
from ahalab.serving.limits import Limits, TokenBucket
from ahalab.serving.running import check_places
from ahalab.serving.settings import GatewaySettings

ASKED = [
    ("POST", "/v1/chat/completions", chat_body(), "chat"),
    ("POST", "/v1/completions", {"model": "m", "prompt": "x"}, "chat"),
    ("GET", "/v1/models", None, "chat"),
    ("GET", "/v1/models/m", None, "chat"),
    ("POST", "/v1/moderations", {"input": "x"}, "moderate"),
    ("POST", "/beta/litellm_basic_guardrail_api", {"texts": ["x"]}, "moderate"),
]
KEYS = [Key(id=one, scopes=[one]) for one in ("chat", "moderate", "audit-read", "admin")]


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error"]["code"])


@pytest.mark.parametrize(("method", "path", "body", "scope"), ASKED)
def test_every_address_wants_a_key_with_its_scope(
    method: str, path: str, body: Any, scope: str, tmp_path: Path
) -> None:
    served = Served(tmp_path, keys=KEYS)
    assert code(served.ask(path, body, method=method)) == (401, "missing_api_key")
    for wrong in ("aha-wrong", served.tokens["chat"][:-1], served.gateway.keys.all()[0].sha256):
        assert code(served.ask(path, body, method=method, key=wrong)) == (401, "invalid_api_key")
    assert code(served.ask(path, body, method=method, Authorization="Basic abc"))[0] == 401
    for key in served.tokens:
        answer = served.ask(path, body, method=method, key=key)
        assert answer.status_code == (200 if key == scope else 403), answer.text
    assert served.ask(path, body, method=method).headers["www-authenticate"] == "Bearer"


def test_a_key_is_kept_as_its_hash_only(tmp_path: Path) -> None:
    key, token = add_key(tmp_path / "keys.json", Key(id="", name="me"))
    text = (tmp_path / "keys.json").read_text()
    assert token.startswith("aha-")
    assert len(token) >= 47
    assert token not in text
    assert key.sha256 == hash_of(token)
    assert key.sha256 in text
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0


def test_a_revoked_key_is_not_taken_from_the_next_look_on(tmp_path: Path) -> None:
    path, now = tmp_path / "keys.json", [0.0]
    _, token = add_key(path, Key(id="one"))
    keys = Keys(path, lambda: now[0])
    assert keys.find(token) is not None
    revoke_key(path, "one")
    now[0] = 2.0
    assert keys.find(token) is None
    with pytest.raises(UserError, match="no key 'two'; keys: one"):
        revoke_key(path, "two")
    with pytest.raises(UserError, match="already"):
        add_key(path, Key(id="one"))


def test_a_broken_key_file_never_replaces_a_good_one(tmp_path: Path, caplog: Any) -> None:
    path, now = tmp_path / "keys.json", [0.0]
    _, token = add_key(path, Key(id="one"))
    keys = Keys(path, lambda: now[0])
    path.write_text('{"keys": [{"id": "x"')
    now[0] = 2.0
    assert keys.find(token) is not None
    assert "keys.json" in keys.error
    assert "stay as they were" in caplog.text
    with pytest.raises(UserError, match=r"keys\.json"):
        read_keys(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scopes": []}, "scope"),
        ({"scopes": ["root"]}, "chat"),
        ({"mode": "off"}, "shadow"),
        ({"id": "A B"}, "id"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_wrong_key_file_names_the_key(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    entry = {"id": "one", "sha256": "0" * 64, **change}
    path.write_text(json.dumps({"version": 1, "keys": [entry]}))
    with pytest.raises(UserError, match=words):
        Keys(path)


def test_policy_and_mode_are_the_keys_own(tmp_path: Path) -> None:
    keys = [Key(id="plain"), Key(id="watched", mode="shadow"), Key(id="lost", policy="gone")]
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), keys=keys)
    assert "zorbom" not in served.ask("/v1/chat/completions", chat_body(), key="plain").text
    assert "zorbom" in shown(served.ask("/v1/chat/completions", chat_body(), key="watched"))
    assert code(served.ask("/v1/chat/completions", chat_body(), key="lost")) == (503, "no_policy")
    assert [row[0].key for row in served.audit.rows] == ["plain", "watched"]
    assert STANDARDS


def test_one_keys_flood_leaves_others_alone(tmp_path: Path) -> None:
    keys = [Key(id="one", requests_per_minute=3), Key(id="two", requests_per_minute=3)]
    served = Served(tmp_path, keys=keys)
    first = [served.ask("/v1/chat/completions", chat_body(), key="one") for _ in range(5)]
    assert [one.status_code for one in first] == [200, 200, 200, 429, 429]
    assert code(first[-1]) == (429, "rate_limit_exceeded")
    assert 1 <= int(first[-1].headers["retry-after"]) <= 20
    assert served.ask("/v1/chat/completions", chat_body(), key="two").status_code == 200


def test_tokens_are_reserved_and_settled(tmp_path: Path) -> None:
    served = Served(tmp_path, keys=[Key(id="one", tokens_per_minute=1000)])
    for _ in range(5):  # 300 are set aside each time, 10 are used
        answer = served.ask("/v1/chat/completions", chat_body(max_tokens=300), key="one")
        assert answer.status_code == 200, answer.text
    assert served.ask("/v1/chat/completions", chat_body(max_tokens=990), key="one").status_code == 429
    big = Served(tmp_path, keys=[Key(id="two", tokens_per_minute=100)], model=ScriptedModel(BAD_REPLY))
    assert big.ask("/v1/chat/completions", chat_body(max_tokens=5000), key="two").status_code == 200
    assert big.gateway.limits.under_way == 0


def test_a_bucket_fills_evenly_and_never_over() -> None:
    bucket = TokenBucket(60, 0.0)
    assert bucket.wait(60, 0.0) == 0
    bucket.take(60)
    assert bucket.wait(1, 0.0) == pytest.approx(1.0)
    assert bucket.wait(1, 1.0) == 0
    assert bucket.wait(60, 1000.0) == 0
    bucket.take(90)  # a reply was longer than was set aside
    assert bucket.wait(1, 1000.0) == pytest.approx(31.0)
    assert bucket.wait(10_000, 1000.0) == pytest.approx(90.0)


def test_requests_under_way_are_bounded_for_each_key_and_for_all() -> None:
    limits = Limits(GatewaySettings(parallel=3, parallel_per_key=2))
    one, two = Key(id="one"), Key(id="two", parallel=1)
    tickets = [limits.enter(one), limits.enter(one)]
    with pytest.raises(Refusal) as caught:
        limits.enter(one)
    assert (caught.value.status, caught.value.code) == (429, "key_parallel")
    tickets.append(limits.enter(two))
    with pytest.raises(Refusal) as caught:
        limits.enter(Key(id="three"))
    assert caught.value.code == "overloaded"
    assert caught.value.headers["Retry-After"] == "1"
    for ticket in tickets * 2:  # settled twice counts once
        ticket.settle(0)
    assert limits.under_way == 0
    limits.enter(one)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", ""])
def test_a_foreign_host_header_is_421(host: str, tmp_path: Path) -> None:
    served = Served(tmp_path)
    for path in ("/v1/chat/completions", "/healthz", "/"):
        assert code(served.ask(path, chat_body(), Host=host)) == (421, "wrong_host")
    assert not served.audit.intents


def test_a_host_name_that_was_named_is_answered(tmp_path: Path) -> None:
    served = Served(tmp_path, settings={"host_names": ["Chat.example"]})
    assert served.ask("/v1/chat/completions", chat_body(), Host="chat.example:443").status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9999"])
def test_a_page_elsewhere_may_not_call(origin: str, tmp_path: Path) -> None:
    served = Served(tmp_path, settings={"origins": ["https://good.example"]})
    assert code(served.ask("/v1/chat/completions", chat_body(), Origin=origin)) == (403, "wrong_origin")
    assert served.ask("/v1/chat/completions", chat_body(), Origin="http://localhost").status_code == 200
    assert served.ask("/v1/chat/completions", chat_body(), Origin="https://good.example").status_code == 200
    cross = served.ask("/v1/chat/completions", chat_body(), Sec_Fetch_Site="cross-site")
    assert code(cross) == (403, "wrong_origin")


def test_no_answer_trusts_anybody(tmp_path: Path) -> None:
    served = Served(tmp_path)
    answers = [
        served.chat(),
        served.chat(stream=True),
        served.ask("/nowhere", method="GET"),
        served.ask("/v1/chat/completions", method="OPTIONS", Origin="http://localhost"),
        served.ask("/v1/models", method="GET", Host="evil.example"),
    ]
    assert [one.status_code for one in answers] == [200, 200, 404, 405, 421]
    for answer in answers:
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not any(name.startswith("access-control") for name in answer.headers)
    for path in ("/docs", "/redoc"):
        assert served.ask(path, method="GET").status_code == 404


@pytest.mark.parametrize("place", [{"host": "0.0.0.0"}, {"admin_host": "0.0.0.0"}, {"host": "192.0.2.1"}])
def test_a_gateway_without_keys_listens_on_loopback_only(place: dict[str, str], tmp_path: Path) -> None:
    settings = GatewaySettings(**place)
    with pytest.raises(UserError, match="aha guard keys add"):
        check_places(settings, None)
    add_key(tmp_path / "keys.json", Key(id="one"))
    revoke_key(tmp_path / "keys.json", "one")
    with pytest.raises(UserError, match="aha guard keys add"):
        check_places(settings, Keys(tmp_path / "keys.json"))
    add_key(tmp_path / "keys.json", Key(id="two"))
    if "host" in place:
        check_places(settings, Keys(tmp_path / "keys.json"))
    else:
        with pytest.raises(UserError, match="scope `admin`"):
            check_places(settings, Keys(tmp_path / "keys.json"))
    check_places(GatewaySettings(), None)


def admin(served: Served, path: str, method: str = "GET", key: str = "") -> httpx2.Response:
    async def asked() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=make_admin_app(served.gateway))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            headers = {"Authorization": f"Bearer {served.tokens[key]}"} if key else {}
            return await client.request(method, path, headers=headers)

    return asyncio.run(asked())


def test_the_admin_side_is_apart_and_wants_its_own_scope(tmp_path: Path) -> None:
    served = Served(tmp_path, keys=KEYS)
    for path in ("/metrics", "/admin/reload"):
        assert served.ask(path, method="GET").status_code == 404
        assert served.ask(path, b"{}").status_code == 404
    for method, path in (("GET", "/metrics"), ("GET", "/healthz"), ("POST", "/admin/reload")):
        assert admin(served, path, method).status_code == 401
        assert admin(served, path, method, key="chat").status_code == 403
        assert admin(served, path, method, key="admin").status_code == 200


def test_metrics_tell_what_happened(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(BAD_REPLY))
    served.chat()
    served.chat(stream=True)
    served.chat(n=2)
    text = admin(served, "/metrics").text
    assert 'aha_requests_total{route="chat",status="200"} 2.0' in text
    assert 'aha_requests_total{route="chat",status="400"} 1.0' in text
    assert 'aha_exchanges_total{ended="retract"} 2.0' in text
    assert 'aha_refused_total{code="unsupported_parameter"} 1.0' in text
    assert 'aha_tokens_total{side="out"} 10.0' in text
    assert 'aha_guard_total{counter="exchanges",label="",policy="test"} 2.0' in text
    assert "aha_guard_reload_failed 0.0" in text


def test_reloading_a_broken_policy_says_why_and_changes_nothing(tmp_path: Path) -> None:
    served = Served(tmp_path)
    version = served.controls.get().policy.version
    (tmp_path / "test.yaml").write_text("name: [")
    answer = admin(served, "/admin/reload", "POST")
    assert code(answer) == (409, "not_reloaded")
    assert "test.yaml" in answer.json()["error"]["message"]
    assert served.controls.get().policy.version == version
    assert "aha_guard_reload_failed 1.0" in admin(served, "/metrics").text
    assert served.chat().status_code == 200
