"""The client of OpenAI-compatible endpoints: in order, within its rate, stopped by Ctrl-C, each outcome told once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ahalab.endpoints import cache as cache_module
from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatClient, Failed
from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import Interrupted, UserError
from client_tools import ask, heard, texts
from endpoint_server import EndpointServer, Step, endpoint_alone, error, say  # noqa: F401


def test_replies_come_in_the_order_of_the_requests(tmp_path: Path) -> None:
    def script(prompt: str) -> Step:
        return say(prompt.upper(), wait=0.1 if prompt == "a" else 0.0)

    with EndpointServer(script) as server:
        client = ChatClient("t", server.config(parallel=4), tmp_path)
        assert texts(client.complete(ask("a", "b", "c", "d"))) == ["A", "B", "C", "D"]


def test_the_request_carries_settings_and_key_and_nothing_of_the_key_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", " top-secret-key\n")
    with EndpointServer([say("ok")]) as server:
        config = server.config(api_key_env="TEACHER_KEY", temperature=0.3, max_tokens=9, extra={"top_p": 0.5})
        ChatClient("t", config, tmp_path).complete(ask("hello"))
    assert server.headers[0]["authorization"] == "Bearer top-secret-key"
    assert server.bodies[0] == {
        "model": "fake", "messages": [{"role": "user", "content": "hello"}], "temperature": 0.3, "max_tokens": 9,
        "top_p": 0.5,
    }  # fmt: skip
    assert "top-secret-key" not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("value", [None, "", "  ", "ключ"])
def test_an_unset_or_unusable_key_is_the_users_mistake_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("TEACHER_KEY", value)
    config = EndpointConfig(url="http://127.0.0.1:9/v1", model="m", api_key_env="TEACHER_KEY")
    with pytest.raises(UserError, match="TEACHER_KEY"):
        ChatClient("t", config, tmp_path)


def test_the_rate_limit_holds_for_all_threads_together(tmp_path: Path) -> None:
    with EndpointServer([say("x")]) as server:
        config = server.config(requests_per_minute=1200.0, parallel=4)
        ChatClient("t", config, tmp_path).complete(ask(*"abcdefgh"))
    assert server.times[-1] - server.times[0] >= 7 * 0.05 - 0.03


def test_ctrl_c_ends_the_wait_and_keeps_what_is_paid_for(tmp_path: Path) -> None:
    with EndpointServer(lambda prompt: say(prompt, wait=0.15)) as server:
        client = ChatClient("t", server.config(), tmp_path, stopping=lambda: len(server.prompts) >= 2)
        with pytest.raises(Interrupted, match="not sent or not answered"):
            client.complete(ask(*"abcdefgh"))
        asked = len(server.prompts)
        assert asked < 8
        assert len(cache_module.open_cache(tmp_path / "t.jsonl")) == asked


def test_nothing_is_sent_after_ctrl_c(tmp_path: Path) -> None:
    with EndpointServer([say("x")]) as server, pytest.raises(Interrupted):
        ChatClient("t", server.config(), tmp_path, stopping=lambda: True).complete(ask("a"))
    assert server.prompts == []


def test_text_with_half_a_surrogate_pair_is_sent_and_kept(tmp_path: Path) -> None:
    with EndpointServer([say("cut emoji \ud83d")]) as server:
        request = ask("half \ud83d")
        first = ChatClient("t", server.config(), tmp_path).complete(request)
        cache_module._OPEN.clear()
        assert ChatClient("t", server.config(), tmp_path).complete(request) == first
    assert len(server.prompts) == 1


def test_the_room_never_imports_torch() -> None:
    program = "import ahalab.endpoints.client, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_outcome_is_told_once_also_from_the_cache_and_for_equal_requests(tmp_path: Path) -> None:
    def script(prompt: str) -> Step | str:
        return {"bad": error(500), "long": error(413)}.get(prompt) or prompt.upper()

    with EndpointServer(script) as server:
        client = ChatClient("t", server.config(retries=1, parallel=3), tmp_path)
        client.complete(ask("kept"))
        told = heard(client, ask("kept", "a", "bad", "a", "long", "b"))
    assert told == {0: "KEPT", 1: "A", 2: "!server error", 3: "A", 4: "!refused: too long", 5: "B"}


def test_a_reply_is_told_as_it_comes_and_not_at_the_end(tmp_path: Path) -> None:
    order: list[str] = []

    def script(prompt: str) -> Step:
        order.append(f"asked {prompt}")
        return say(prompt)

    with EndpointServer(script) as server:
        ChatClient("t", server.config(), tmp_path).complete(
            ask("a", "b"), lambda place, _outcome: order.append(f"told {place}")
        )
    assert order == ["asked a", "told 0", "asked b", "told 1"]


@pytest.mark.parametrize(
    ("step", "control", "calls"),
    [
        (say(None, "content_filter"), "content_filter", 0),
        (say("half of it", "content_filter"), "content_filter", 0),
        (Step(body=b'{"choices": [{"message": {"content": "I cannot"}}], "ahalab": {"control": "rule 7", '
              b'"reviewer_calls": 2}}'), "rule 7", 2),
        (Step(body=b'{"choices": [{"message": {"content": "fine"}, "ahalab": {"reviewer_calls": 1}}]}'), "", 1),
        (Step(body=b'{"choices": [{"message": {"content": "fine"}}], "ahalab": {"control": 5, "reviewer_calls": "x"}}'),
         "", 0),
    ],
)  # fmt: skip
def test_what_a_risk_control_did_is_read_from_the_reply(
    tmp_path: Path, step: Step, control: str, calls: int
) -> None:
    with EndpointServer([step]) as server:
        (reply,) = ChatClient("t", server.config(), tmp_path, take_empty=True).complete(ask("a"))
    assert isinstance(reply, Reply)
    assert (reply.control, reply.reviewer_calls) == (control, calls)


def test_a_refusal_by_a_content_filter_carries_the_controls_word(tmp_path: Path) -> None:
    body = b'{"error": {"message": "content filter", "ahalab": {"control": "rule 3", "reviewer_calls": 1}}}'
    with EndpointServer([Step(400, body), error(400, "content filter")]) as server:
        first, second = ChatClient("t", server.config(), tmp_path).complete(ask("a", "b"))
    assert isinstance(first, Failed)
    assert (first.control, first.reviewer_calls) == ("rule 3", 1)
    assert isinstance(second, Failed)
    assert second.control == "content_filter"
