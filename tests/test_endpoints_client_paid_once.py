"""The client's replies are kept and paid for once, also after a kill, and a budget stops the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ahalab.endpoints import cache as cache_module
from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatClient, ChatRequest
from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import RunStopped, UserError
from client_tools import ask, texts
from endpoint_server import EndpointServer, Step, endpoint_alone, say  # noqa: F401


def test_a_resumed_stage_asks_nothing_twice(tmp_path: Path) -> None:
    with EndpointServer(lambda prompt: f"re: {prompt}") as server:
        first = ChatClient("t", server.config(), tmp_path).complete(ask("a", "b"))
        cache_module._OPEN.clear()
        client = ChatClient("t", server.config(retries=0), tmp_path)
        again = client.complete(ask("b", "a", "c"))
    assert again[:2] == [first[1], first[0]]
    assert server.prompts == ["a", "b", "c"]
    assert client.traffic["from_cache"] == 2
    assert client.traffic["calls"] == 1


def test_another_call_number_model_or_setting_is_another_request(tmp_path: Path) -> None:
    with EndpointServer([say("x")]) as server:
        for config in (server.config(), server.config(temperature=0.1), server.config(model="other")):
            for call in (0, 1):
                ChatClient("t", config, tmp_path).complete(ask("a", call=call))
    assert len(server.prompts) == 6


def test_the_same_request_twice_in_a_batch_is_sent_once(tmp_path: Path) -> None:
    with EndpointServer([say("x")]) as server:
        results = ChatClient("t", server.config(), tmp_path).complete(ask("a", "a"))
    assert results[0] == results[1]
    assert len(server.prompts) == 1


def test_a_half_written_reply_of_a_killed_process_is_asked_again(tmp_path: Path) -> None:
    with EndpointServer(lambda prompt: prompt) as server:
        ChatClient("t", server.config(), tmp_path).complete(ask("a", "b"))
        cache_module._OPEN.clear()
        file = tmp_path / "t.jsonl"
        file.write_bytes(file.read_bytes()[:-20])
        assert texts(ChatClient("t", server.config(), tmp_path).complete(ask("a", "b"))) == ["a", "b"]
    assert server.prompts == ["a", "b", "b"]


def test_kill_9_in_the_middle_loses_no_reply_that_came(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from ahalab.endpoints.client import ChatClient, ChatRequest
        from ahalab.endpoints.config import EndpointConfig
        client = ChatClient("t", EndpointConfig(url=sys.argv[1], model="fake", parallel=1), Path(sys.argv[2]))
        client.complete([ChatRequest((("user", str(n)),)) for n in range(50)])
    """)
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with EndpointServer(lambda prompt: say(prompt, wait=0.02)) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", program, server.url, str(tmp_path)], env=environment
        )
        while len(server.prompts) < 10:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = len(server.prompts)
        client = ChatClient("t", server.config(), tmp_path)
        requests = [ChatRequest((("user", str(n)),)) for n in range(50)]
        assert texts(client.complete(requests)) == [str(n) for n in range(50)]
    assert len(server.prompts) - before <= 50 - (before - 1)


def test_a_teacher_and_a_judge_at_one_endpoint_share_one_file(tmp_path: Path) -> None:
    with EndpointServer(lambda prompt: prompt) as server:
        one, two = (ChatClient("t", server.config(), tmp_path) for _ in range(2))
        for number in range(6):
            (one, two)[number % 2].complete(ask(f"question {number}"))
        cache_module._OPEN.clear()
        del one, two
        assert len(cache_module.ReplyCache(tmp_path / "t.jsonl")) == 6


def test_a_name_of_an_endpoint_leads_to_no_other_folder(tmp_path: Path) -> None:
    with EndpointServer([say("x")]) as server:
        ChatClient("../../out", server.config(), tmp_path / "cache").complete(ask("a"))
    assert [path.parent.name for path in tmp_path.rglob("*.jsonl")] == ["cache"]


def test_a_foreign_file_in_place_of_the_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(UserError, match=r"t\.jsonl is no file of kept replies"):
        ChatClient("t", EndpointConfig(url="http://127.0.0.1:9/v1", model="m"), tmp_path)


def test_the_budget_stops_the_run_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    with EndpointServer([say("x", usage=(60, 40))]) as server:
        with pytest.raises(RunStopped, match=r"200 tokens are used, budget_tokens is 150"):
            ChatClient("t", server.config(budget_tokens=150), tmp_path).complete(ask("a", "b", "c"))
        assert len(server.prompts) == 2
        assert (
            len(ChatClient("t", server.config(budget_tokens=500), tmp_path).complete(ask("a", "b", "c"))) == 3
        )
    assert len(server.prompts) == 3


@pytest.mark.parametrize("usage", [None, (-1, 5)])
def test_tokens_that_the_server_does_not_tell_are_estimated_and_marked(
    tmp_path: Path, usage: tuple[int, int] | None
) -> None:
    with EndpointServer([say("x" * 40, usage=usage)]) as server:
        (reply,) = ChatClient("t", server.config(), tmp_path).complete(ask("y" * 80))
    assert isinstance(reply, Reply)
    assert (reply.tokens_in, reply.tokens_out, reply.estimated) == (20, 10, True)


@pytest.mark.parametrize("step", [say(None), say(""), say("", "length"), say(None, "content_filter")])
def test_an_empty_reply_is_kept_and_paid_once_where_that_is_asked_for(tmp_path: Path, step: Step) -> None:
    with EndpointServer([step]) as server:
        for _ in range(2):
            (reply,) = ChatClient("t", server.config(), tmp_path, take_empty=True).complete(ask("a"))
            assert isinstance(reply, Reply)
            assert reply.text == ""
    assert len(server.prompts) == 1


@pytest.mark.parametrize(
    "message", [b"{}", b'{"content": 5}', b'{"text": "hello"}', b'{"content": {"a": 1}}']
)
def test_another_schema_is_no_empty_reply(tmp_path: Path, message: bytes) -> None:
    strange = Step(body=b'{"choices": [{"message": ' + message + b"}]}")
    with EndpointServer([strange, say("x")]) as server:
        client = ChatClient("t", server.config(), tmp_path, take_empty=True)
        assert texts(client.complete(ask("a"))) == ["x"]
    assert client.traffic["troubles: unreadable reply"] == 1


def test_the_cost_budget_stops_the_run_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    prices = {"price_in": 10.0, "price_out": 1000.0}
    with EndpointServer([say("x", usage=(1000, 100))]) as server:  # 0.01 + 0.10 a reply
        client = ChatClient("t", server.config(**prices, budget_cost=0.2), tmp_path)
        with pytest.raises(RunStopped, match=r"0\.22 is spent, budget_cost is 0\.2"):
            client.complete(ask("a", "b", "c"))
        assert len(server.prompts) == 2
        more = ChatClient("t", server.config(**prices, budget_cost=5.0), tmp_path)
        assert len(more.complete(ask("a", "b", "c"))) == 3
        assert more.cost == pytest.approx(0.33)
    assert len(server.prompts) == 3


def test_a_reply_kept_by_an_older_version_is_read(tmp_path: Path) -> None:
    old = {"text": "a", "finish": "stop", "tokens_in": 1, "tokens_out": 2, "estimated": False, "thinking": ""}
    (tmp_path / "t.jsonl").write_text(json.dumps({"key": "k", "reply": old}) + "\n")
    assert cache_module.ReplyCache(tmp_path / "t.jsonl").get("k") == Reply("a", "stop", 1, 2)
