"""The dashboard over HTTP: reads only, answers its own address only, keeps hostile text harmless."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra `ui` is not installed")
pytest.importorskip("uvicorn", reason="the extra `ui` is not installed")

from starlette.testclient import TestClient

from ahalab.dashboard import server
from ahalab.dashboard.api import Dashboard
from ahalab.dashboard.server import asset_names, encode, make_app
from ahalab.endpoints.addresses import allowed_hosts, host_is_allowed, is_loopback
from ahalab.text.hostile import make_visible
from conftest import Aha
from dashboard_tools import HOSTILE, append_rows, rollout, small_dashboard, small_run

ROOT = Path(__file__).parent.parent


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return small_run(tmp_path / "runs" / "small")


@pytest.fixture
def dashboard(run: Path, tmp_path: Path) -> Dashboard:
    return small_dashboard(run, cache=tmp_path / "cache")


@pytest.fixture
def client(dashboard: Dashboard) -> TestClient:
    return TestClient(make_app(dashboard), base_url="http://127.0.0.1:8321")


def test_every_answer_carries_the_strict_policy(client: TestClient) -> None:
    for address in ("/", "/assets/app.js", "/assets/gone.js", "/api/runs", "/api/run?run=gone", "/nowhere"):
        headers = client.get(address).headers
        policy = headers["content-security-policy"]
        for part in (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
        ):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_reading_is_possible(client: TestClient, method: str) -> None:
    for address in ("/", "/api/runs"):
        assert client.request(method, address).status_code == 405


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "", "[::2]:8321"]
)
def test_a_foreign_host_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/runs", headers={"Host": host})
    assert answer.status_code == 421
    assert "runs" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8321", "[::1]:8321"])
def test_this_machines_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"Host": host}).status_code == 200


def test_open_to_others_bare_addresses_are_answered_and_foreign_names_are_not() -> None:
    allowed = allowed_hosts("0.0.0.0")
    assert host_is_allowed("192.168.1.7:8321", allowed)
    assert host_is_allowed("[fe80::1]:8321", allowed)
    assert host_is_allowed("localhost", allowed)
    assert not host_is_allowed("evil.example", allowed)
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.1.7")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_an_unchanged_answer_is_not_sent_again(client: TestClient, run: Path) -> None:
    while (first := client.get("/api/curves?stage=zero&names=accuracy")).json()["reading"]:
        pass
    tag = first.headers["etag"]
    again = client.get("/api/curves?stage=zero&names=accuracy", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    metrics = run / "stages" / "zero" / "metrics.jsonl"
    row = json.loads(metrics.read_text(encoding="utf-8").splitlines()[-1])
    append_rows(metrics, [{**row, "step": 13, "rollout": 13}])
    changed = client.get("/api/curves?stage=zero&names=accuracy", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    while changed.json()["reading"]:
        changed = client.get("/api/curves?stage=zero&names=accuracy")
    assert changed.json()["updates"] == first.json()["updates"] + 1


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/api/run?run=gone", 400, "there is no run 'gone'"),
        ("/api/curves?stage=../../etc", 404, "there are curves of: zero"),
        ("/api/samples?stage=gone", 400, "stage: 'gone' has no samples here"),
        ("/api/samples?verdict=maybe", 400, "verdict: 'maybe' is not one of"),
        ("/api/samples?from=-1", 400, "from: '-1' is not a whole number"),
        ("/api/samples?min=much", 400, "min: 'much' is not a number"),
        ("/api/samples?min=" + "9" * 500, 400, "is not a number"),
        ("/api/samples?after=x", 400, "after: 'x' is not a place"),
        ("/api/samples?after=99999999999999999999", 400, "is not a place"),
        ("/api/samples?limit=0", 400, "limit: '0' is not a number from 1 to 100"),
        ("/api/samples?limit=1000000", 400, "limit"),
        ("/api/sample?key=1", 404, "This sample is not there"),
        ("/api/sample?key=²", 400, "is not a sample's"),
        ("/api/sample", 400, "is not a sample's"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_in_words(
    client: TestClient, address: str, status: int, said: str
) -> None:
    answer = client.get(address)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_an_unexpected_failure_is_an_answer_too(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "tables", lambda _: 1 / 0)
    client = TestClient(make_app(dashboard), base_url="http://localhost")
    answer = client.get("/api/tables")
    assert answer.status_code == 500
    assert "the terminal" in answer.json()["error"]
    assert client.get("/api/runs").status_code == 200


def test_hostile_text_arrives_as_plain_pieces_with_nothing_hidden(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", samples=0, evaluations=False)
    row = rollout(1)[0]
    row |= dict.fromkeys(
        ("text", "question", "answer", "gold", "domain", "prompt_id", "language", "fault", "error"), HOSTILE
    )
    row |= {
        "reward": {HOSTILE: 1.0},
        "reflective": {HOSTILE: 1, "\u202ewait": 2},
        "text": f"<think> {HOSTILE} </think> {HOSTILE}\ud800",
    }
    append_lone_surrogate = json.dumps(row) + "\n"
    path = run / "stages" / "zero" / "samples" / "rollout-000001.jsonl"
    path.parent.mkdir()
    path.write_text(append_lone_surrogate, encoding="utf-8")
    client = TestClient(make_app(small_dashboard(run, cache=tmp_path / "cache")), base_url="http://localhost")
    (found,) = client.get("/api/samples").json()["samples"]
    answer = client.get(f"/api/sample?key={found['key']}")
    assert answer.headers["content-type"] == "application/json"
    sample = answer.json()

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [
                one for name, part in value.items() for one in [name, *texts(part)] if name != "prompt_id"
            ]
        if isinstance(value, list):
            return [one for part in value for one in texts(part)]
        return [value] if isinstance(value, str) else []

    for text in texts(sample) + texts(found) + texts(client.get("/api/facets").json()):
        assert make_visible(text) == text
    joined = "".join(text for _, text in sample["thinking"])
    assert joined == f"<think> {make_visible(HOSTILE)} </think>"
    assert ["hidden", "\\u{202E}"] in sample["thinking"]
    assert ["hidden", "\\u{D800}"] in sample["reply"]
    assert sample["prompt_id"] == HOSTILE
    compared = client.get("/api/prompt", params={"prompt": HOSTILE}).json()
    assert compared["stages"][0]["samples"] == 1


def test_reflective_words_are_marked_as_they_are_counted(client: TestClient) -> None:
    (found, *_) = client.get("/api/samples?word=wait&verdict=right").json()["samples"]
    sample = client.get(f"/api/sample?key={found['key']}").json()
    marked = [text.lower() for kind, text in sample["thinking"] + sample["reply"] if kind == "word"]
    assert sorted(set(marked)) == sorted(sample["counts"])
    assert len(marked) == sum(sample["counts"].values())


def test_one_prompt_is_compared_over_the_stages_that_have_it(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    client = TestClient(make_app(small_dashboard(run, cache=tmp_path / "cache")), base_url="http://localhost")
    suggested = client.get("/api/prompt").json()["suggested"]
    assert suggested
    compared = client.get("/api/prompt", params={"prompt": suggested[0]["prompt_id"]}).json()["stages"]
    assert [one["stage"] for one in compared] == ["before", "after"]
    assert all(one["samples"] == 4 and len(one["listed"]) == 4 and len(one["shown"]) == 1 for one in compared)


def test_a_very_long_text_is_cut_and_given_whole_when_asked(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", samples=0, evaluations=False)
    append_rows(
        run / "stages" / "zero" / "samples" / "rollout-000001.jsonl",
        [{**rollout(1)[0], "text": "long " * 20_000}],
    )
    client = TestClient(make_app(small_dashboard(run, cache=tmp_path / "cache")), base_url="http://localhost")
    (found,) = client.get("/api/samples").json()["samples"]
    cut = client.get(f"/api/sample?key={found['key']}").json()
    assert cut["cut"] is True
    assert sum(len(text) for _, text in cut["reply"]) < 21_000
    whole = client.get(f"/api/sample?key={found['key']}&whole=1").json()
    assert sum(len(text) for _, text in whole["reply"]) == 100_000


def test_texts_in_answers_have_nothing_hidden_but_ids_are_kept() -> None:
    value = {"name": "a\u202eb", "prompt_id": "a\u202eb", "list": ["\x1b", 1, None, ["\ud800"]]}
    assert json.loads(encode(value)) == {
        "name": "a\\u{202E}b",
        "prompt_id": "a\u202eb",
        "list": ["\\u{001B}", 1, None, ["\\u{D800}"]],
    }


def test_the_pages_own_files_never_turn_text_into_markup_nor_name_another_machine() -> None:
    folder = ROOT / "src" / "ahalab" / "dashboard" / "assets"
    assert {"index.html", "style.css", "app.js"} <= asset_names()
    for path in folder.iterdir():
        content = path.read_text(encoding="utf-8")
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            ' style="',
        ):
            assert word not in content, f"{path.name}: {word}"
        assert [
            one
            for one in ("http://", "https://", "//cdn")
            if one in content.replace("http://www.w3.org/2000/svg", "")
        ] == []


def test_the_command_refuses_what_it_cannot_serve(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AHALAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    outcome = aha("ui")
    assert outcome.code == 2
    assert "there is no folder ./runs" in outcome.err
    assert aha("ui", tmp_path / "gone").code == 2
    outcome = aha("ui", tmp_path, "--host", "no.such.name.invalid")
    assert outcome.code == 2
    assert "--host" in outcome.err


def test_without_the_extra_the_command_says_what_to_install(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import builtins

    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] in ("uvicorn", "starlette"):
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    monkeypatch.setenv("AHALAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(builtins, "__import__", missing)
    outcome = aha("ui", tmp_path)
    assert outcome.code == 2
    assert "pip install 'ahalab[ui]'" in outcome.err


def test_an_address_open_to_others_is_warned_of(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AHALAB_CACHE", str(tmp_path / "cache"))

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve", stopped)
    outcome = aha("ui", tmp_path, "--host", "0.0.0.0")
    assert outcome.code == 0
    assert "warning" in outcome.err
    assert "every sample" in outcome.err
    assert "warning" not in aha("ui", tmp_path).err
