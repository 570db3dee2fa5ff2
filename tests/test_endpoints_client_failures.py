"""The client's failures: retried within bounds, blamed on the item or the server as due, nothing swallowed."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from ahalab.endpoints import cache as cache_module
from ahalab.endpoints import client as client_module
from ahalab.endpoints import pace
from ahalab.endpoints.client import ChatClient, Failed
from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import EnvironmentFailure, UserError
from client_tools import ask, texts
from endpoint_server import EndpointServer, Step, endpoint_alone, error, say  # noqa: F401


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


def test_failures_before_a_server_goes_down_are_not_blamed_on_the_requests(tmp_path: Path) -> None:
    def script(prompt: str) -> Step | str:
        return prompt if prompt == "good" else error(500)

    told: list[int] = []
    with EndpointServer(script) as server:
        client = ChatClient("t", server.config(retries=0, give_up_after=3), tmp_path)
        with pytest.raises(EnvironmentFailure):
            client.complete(ask("bad1", "good", "bad2", "bad3", "bad4"), lambda place, _: told.append(place))
    assert told == [1, 0]


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
