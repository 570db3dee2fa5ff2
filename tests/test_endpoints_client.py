"""The client of OpenAI-compatible endpoints: in order, retried within bounds, paid for once, nothing swallowed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ahalab.endpoints import cache as cache_module
from ahalab.endpoints import client as client_module
from ahalab.endpoints import pace
from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatClient, ChatRequest, Failed
from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import EnvironmentFailure, Interrupted, RunStopped, UserError
from endpoint_server import EndpointServer, Step, endpoint_alone, error, say  # noqa: F401


def ask(*texts: str, call: int = 0) -> list[ChatRequest]:
    return [ChatRequest((("user", text),), call) for text in texts]


def texts(results: list[Reply | Failed]) -> list[str]:
    return [one.text if isinstance(one, Reply) else f"!{one.reason}" for one in results]


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


@pytest.mark.parametrize(
    "bad",
    [
        error(500, "oops"),
        error(503, "busy"),
        error(429, "slow down"),
        error(408),
        Step(hang_up=True),
        Step(body=b'{"choices": [{"mess', cut=True),
        Step(body=b'{"choices": [{"message": {"content": "cut'),
        Step(body=b"<html>nonsense</html>"),
        Step(body=b"[1, 2]"),
        Step(body=b"\xff\xfe\x00"),
        Step(body=b"[" * 100_000),
        Step(body=b'{"choices": []}'),
        Step(body=b'{"choices": [{"message": null}]}'),
        Step(body=b'{"choices": [{"message": {"content": 5}}]}'),
        Step(body=b'{"error": {"message": "upstream failed"}}'),
        say(None),
        say("  \n"),
    ],
    ids=lambda step: f"{step.status}-{step.body[:24]!r}-{step.hang_up}",
)  # fmt: skip
def test_a_passing_trouble_is_tried_again_and_counted(tmp_path: Path, bad: Step) -> None:
    with EndpointServer([bad, bad, say("at last")]) as server:
        client = ChatClient("t", server.config(), tmp_path)
        assert texts(client.complete(ask("q"))) == ["at last"]
    assert client.traffic["calls"] == 1
    assert client.traffic["retries"] == 2
    assert sum(count for name, count in client.traffic.items() if name.startswith("troubles: ")) == 2


def test_retries_are_bounded_and_the_failure_says_why(tmp_path: Path) -> None:
    def script(prompt: str) -> Step:
        return say("ok") if prompt == "good" else error(500, "kaputt")

    with EndpointServer(script) as server:
        client = ChatClient("t", server.config(retries=3), tmp_path)
        results = client.complete(ask("good", "bad"))
    assert texts(results) == ["ok", "!server error"]
    assert isinstance(results[1], Failed)
    assert "HTTP 500" in results[1].detail
    assert "kaputt" in results[1].detail
    assert server.prompts.count("bad") == 4


def test_retry_after_is_honoured_by_every_request(tmp_path: Path) -> None:
    with EndpointServer([error(429, "wait", Retry_After="0.5"), say("ok")]) as server:
        client = ChatClient("t", server.config(), tmp_path)
        assert texts(client.complete(ask("a", "b"))) == ["ok", "ok"]
    assert server.times[1] - server.times[0] >= 0.5


def test_an_unreasonable_retry_after_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LONGEST_REST", 0.05)
    monkeypatch.setattr(client_module, "LONGEST_REST", 0.05)
    with EndpointServer([error(429, "wait", Retry_After="86400"), say("ok")]) as server:
        began = time.monotonic()
        assert texts(ChatClient("t", server.config(), tmp_path).complete(ask("a"))) == ["ok"]
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("-3", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 1e9, 9e9),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str, low: float, high: float) -> None:
    seconds = pace.retry_after(header)
    assert seconds is not None
    assert low <= seconds <= high


@pytest.mark.parametrize("header", [None, "", "soon", "nan", "Wed, 99 Foo 2015"])
def test_a_retry_after_that_is_none_is_passed_over(header: str | None) -> None:
    assert pace.retry_after(header) is None


def test_back_off_doubles_within_bounds() -> None:
    assert [pace.back_off(attempt, 0.0) / pace.FIRST_WAIT for attempt in range(4)] == [1, 2, 4, 8]
    assert pace.back_off(3, 1.0) == pace.back_off(3, 0.0) / 2
    assert pace.back_off(1000, 0.0) == pace.LONGEST_WAIT


def test_a_server_that_is_down_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    client = ChatClient("t", EndpointConfig(url=url, model="m", retries=2), tmp_path)
    with pytest.raises(EnvironmentFailure, match=r"no connection.*same command goes on"):
        client.complete(ask("a"))


def test_a_server_that_goes_down_costs_no_item_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with EndpointServer([say("kept")]) as server:
        config = server.config(retries=1)
        assert texts(ChatClient("t", config, tmp_path).complete(ask("a"))) == ["kept"]
    with pytest.raises(EnvironmentFailure, match="Nothing is lost"):
        ChatClient("t", config, tmp_path).complete(ask("a", "b"))
    cache_module._OPEN.clear()
    assert texts(ChatClient("t", config, tmp_path).complete(ask("a"))) == ["kept"]


def test_failures_in_a_row_stop_the_run_and_a_success_between_them_does_not(tmp_path: Path) -> None:
    def script(prompt: str) -> Step:
        return error(500) if prompt.startswith("bad") else say("ok")

    with EndpointServer(script) as server:
        config = server.config(retries=0, give_up_after=3)
        mixed = ask("ok0", "bad1", "bad2", "ok1", "bad3", "bad4", "ok2")
        assert texts(ChatClient("a", config, tmp_path).complete(mixed)).count("!server error") == 4
        client = ChatClient("b", config, tmp_path)
        client.complete(ask("ok"))
        with pytest.raises(EnvironmentFailure, match="failed in a row: 3"):
            client.complete(ask("bad1", "bad2", "bad3", "bad4"))
        assert "bad4" not in server.prompts[-4:]


def test_a_batch_of_which_nothing_succeeds_on_a_new_server_stops_the_run(tmp_path: Path) -> None:
    with (
        EndpointServer([Step(body=b"nonsense")]) as server,
        pytest.raises(EnvironmentFailure, match="unreadable reply"),
    ):
        ChatClient("t", server.config(retries=0, give_up_after=100), tmp_path).complete(ask("a", "b"))


def test_a_slow_server_and_a_dripping_one_run_into_the_time_limit(tmp_path: Path) -> None:
    def script(prompt: str) -> Step:
        if prompt == "slow":
            return say("late", wait=1.0)
        return say("x" * 500, drip=0.02) if prompt == "drip" else say("ok")

    with EndpointServer(script) as server:
        client = ChatClient("t", server.config(timeout_seconds=0.3, retries=0), tmp_path)
        began = time.monotonic()
        assert texts(client.complete(ask("ok", "slow", "drip"))) == ["ok", "!time-out", "!time-out"]
        assert time.monotonic() - began < 3


def test_a_huge_reply_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LARGEST_REPLY", 50_000)
    with EndpointServer([say("x" * 3_000_000)]) as server:
        client = ChatClient("t", server.config(), tmp_path)
        assert texts(client.complete(ask("a"))) == ["!reply too large"]
    assert len(server.prompts) == 1


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (error(401, "bad key"), "refuses access .*bad key"),
        (error(403, "forbidden"), "refuses access"),
        (error(404, "no such model"), "no such model.*url, model or settings"),
        (error(400, "temperature is not supported"), "temperature is not supported"),
        (Step(301, b"", {"Location": "http://example.org/"}), "HTTP 301"),
    ],
)
def test_a_refusal_is_the_users_mistake_with_the_servers_reason(
    tmp_path: Path, step: Step, words: str
) -> None:
    with EndpointServer([step]) as server, pytest.raises(UserError, match=words):
        ChatClient("t", server.config(), tmp_path).complete(ask("a"))
    assert len(server.prompts) == 1


def test_a_server_that_repeats_the_key_or_sends_control_characters_does_not_reach_the_terminal_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", "top-secret-key")
    with (
        EndpointServer([error(401, "wrong: top-secret-key \x1b[31m")]) as server,
        pytest.raises(UserError) as caught,
    ):
        ChatClient("t", server.config(api_key_env="TEACHER_KEY"), tmp_path).complete(ask("a"))
    assert "top-secret" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "$TEACHER_KEY" in str(caught.value)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (error(400, "This model's maximum context length is 4096 tokens"), "refused: too long"),
        (error(413), "refused: too long"),
        (error(400, "triggered our content management policy"), "refused: content"),
        (say(None, "content_filter"), "refused: content"),
        (say("", "length"), "reply cut off"),
    ],
)
def test_what_one_item_is_to_blame_for_fails_that_item_alone_at_once(
    tmp_path: Path, step: Step, reason: str
) -> None:
    def script(prompt: str) -> Step:
        return step if prompt == "bad" else say("ok")

    with EndpointServer(script) as server:
        results = ChatClient("t", server.config(), tmp_path).complete(ask("bad", "good"))
    assert texts(results) == [f"!{reason}", "ok"]
    assert server.prompts == ["bad", "good"]


@pytest.mark.parametrize(
    "step", [error(402), error(429, "insufficient_quota: You exceeded your current quota")]
)
def test_an_empty_account_stops_the_run_at_once(tmp_path: Path, step: Step) -> None:
    with EndpointServer([step]) as server, pytest.raises(EnvironmentFailure, match="used up"):
        ChatClient("t", server.config(), tmp_path).complete(ask("a"))
    assert len(server.prompts) == 1


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


def heard(client: ChatClient, requests: list[ChatRequest]) -> dict[int, str]:
    """What `on_outcome` was told: place → text, or "!reason"."""
    told: dict[int, str] = {}

    def on_outcome(place: int, outcome: Reply | Failed) -> None:
        assert place not in told
        told[place] = texts([outcome])[0]

    client.complete(requests, on_outcome)
    return told


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


def test_failures_before_a_server_goes_down_are_not_blamed_on_the_requests(tmp_path: Path) -> None:
    def script(prompt: str) -> Step | str:
        return prompt if prompt == "good" else error(500)

    told: list[int] = []
    with EndpointServer(script) as server:
        client = ChatClient("t", server.config(retries=0, give_up_after=3), tmp_path)
        with pytest.raises(EnvironmentFailure):
            client.complete(ask("bad1", "good", "bad2", "bad3", "bad4"), lambda place, _: told.append(place))
    assert told == [1, 0]


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


@pytest.mark.parametrize("drip", [0.0, 0.02])
def test_a_reply_that_never_ends_is_bounded_in_time_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drip: float
) -> None:
    monkeypatch.setattr(client_module, "LARGEST_REPLY", 100_000)
    endless = Step(body=b"x" * 200_000, drip=drip)
    with EndpointServer(lambda prompt: endless if prompt == "bad" else say("ok")) as server:
        client = ChatClient("t", server.config(timeout_seconds=0.3, retries=1), tmp_path)
        assert texts(client.complete(ask("good", "bad"))) == [
            "ok",
            "!time-out" if drip else "!reply too large",
        ]


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
