"""A judge's faults are counted errors and never verdicts, and nothing is asked or paid for twice."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint_server import EndpointServer, Step, endpoint_alone, error, say
from tests.judging_tools import ANSWER, LONG, Scripted, block, case, judge_with, judged, mark_of, says, served

from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import Failed
from ahalab.errors import EnvironmentFailure, Interrupted, RunStopped, UserError
from ahalab.safety.judging.opening import open_judge
from ahalab.safety.records import Judgement

__all__ = ["endpoint_alone"]


def test_a_window_that_cannot_be_read_is_an_error_unless_another_is_unsafe() -> None:
    def script(prompt: str, _: int) -> str:
        text = block(prompt)
        return (
            "no verdict" if "unreadable" in text else says(prompt, "unsafe" if "is bad" in text else "safe")
        )

    plain, worse = LONG + "unreadable " + LONG, LONG + "unreadable " + LONG + "is bad " + LONG
    found = judged(judge_with(Scripted(script), window=3000), case(plain), case(worse, number=2))
    assert [(one.verdict, one.reason) for one in found] == [("judge_error", "schema"), ("unsafe", "")]
    assert found[0].compliance == ""


def test_a_verdict_is_asked_for_again_with_the_fault_shown_and_every_try_is_kept() -> None:
    tries = [
        "The reply is safe.",
        lambda prompt: says(prompt, "harmless"),
        lambda prompt: says(prompt, "rejection"),
    ]
    client = Scripted(lambda prompt, n: one(prompt) if callable(one := tries[n]) else one)
    judge = judge_with(client)
    (found,) = judged(judge, case())
    assert found.verdict == "rejection"
    assert [json.loads(raw)["verdict"] if raw[0] == "{" else raw for raw in found.raw] == [
        "The reply is safe.",
        "harmless",
        "rejection",
    ]
    assert "was not exactly one JSON object" in client.prompts[1]
    assert "its verdict was none of the three words" in client.prompts[2]
    assert len({mark_of(prompt) for prompt in client.prompts}) == 3
    assert client.calls == [0, 1, 2]
    assert judge.counts["asked_again"] == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("I'm sorry, but I can't help with that.", "judge refused"),
        ("抱歉，我无法评判。", "judge refused"),
        (Reply("{", "content_filter", 1, 1), "judge refused"),
        (Failed("refused: content", "policy"), "judge refused"),
        ("unsafe", "schema"),
        ('{"label": "safe", "confidence": 0.9}', "schema"),
        (Reply('{"analysis": "…', "length", 1, 1), "schema"),
        (Failed("time-out", "ReadTimeout"), "endpoint: time-out"),
        (Failed("unreadable reply", "no JSON"), "endpoint: unreadable reply"),
    ],
)
def test_without_a_verdict_it_is_a_judge_error_with_a_stable_reason(said: Any, reason: str) -> None:
    client = Scripted(lambda _prompt, _n: said)
    judge = judge_with(client)
    (found,) = judged(judge, case())
    assert (found.verdict, found.reason, found.compliance) == ("judge_error", reason, "")
    assert len(client.prompts) == (1 if isinstance(said, Failed) else 3)  # the client itself retried those
    assert len(found.raw) == (0 if isinstance(said, Failed) else 3)
    assert judge.counts[f"judge_error: {reason}"] == 1


def test_faults_of_a_server_end_in_counted_errors_and_never_in_verdicts(tmp_path: Path) -> None:
    """One item each: another schema, no JSON, cut off, a stream that never ends, a filter; and good ones between."""
    faults: dict[str, Step] = {
        "[another schema]": Step(body=b'{"output": [{"text": "safe"}]}'),
        "[no JSON]": Step(body=b"<html>safe</html>"),
        "[half a body]": Step(body=b'{"choices": [{"mess', cut=True),
        "[never ends]": Step(body=b" " * 10_000, drip=0.05),
        "[filtered]": error(400, "content_policy violation"),
        "[cut off]": say('{"analysis": "…', "length"),
        "[server error]": error(500),
    }

    def script(prompt: str) -> Step | str:
        return next((step for mark, step in faults.items() if mark in block(prompt)), None) or says(prompt)

    texts = [ANSWER, *(f"{ANSWER} {mark}" for mark in faults), f"{ANSWER} once more"]
    with EndpointServer(script) as server:
        judge = served(server, tmp_path, timeout_seconds=0.6, retries=1, asks=2)
        found = judged(judge, *(case(text, number=n) for n, text in enumerate(texts, 1)))
    states = {one.item: one.verdict if not one.reason else f"{one.verdict}: {one.reason}" for one in found}
    assert len(found) == len(states) == len(texts)
    assert list(states.values()) == [
        "safe",
        "judge_error: endpoint: unreadable reply",
        "judge_error: endpoint: unreadable reply",
        "judge_error: endpoint: broken connection",
        "judge_error: endpoint: time-out",
        "judge_error: judge refused",
        "judge_error: schema",
        "judge_error: endpoint: server error",
        "safe",
    ]


def test_a_resumed_judge_pays_for_no_verdict_twice(tmp_path: Path) -> None:
    cases = [case(number=n) for n in range(1, 11)]
    with EndpointServer(lambda prompt: says(prompt)) as server:
        first = judged(served(server, tmp_path), *cases[:6])
        sent = len(server.prompts)
        again = judged(served(server, tmp_path), *cases)
        assert (sent, len(server.prompts)) == (6, 10)
    assert again[:6] == first


def test_going_on_is_refused_where_it_is_senseless(tmp_path: Path) -> None:
    with EndpointServer([error(401, "no key")]) as server, pytest.raises(UserError, match="refuses access"):
        judged(served(server, tmp_path / "a"), case())
    with (
        EndpointServer([error(500)]) as server,
        pytest.raises(EnvironmentFailure, match="gives no usable reply"),
    ):
        judged(served(server, tmp_path / "b"), case())
    with (
        EndpointServer(lambda prompt: says(prompt)) as server,
        pytest.raises(RunStopped, match="budget_tokens"),
    ):
        judged(served(server, tmp_path / "c", budget_tokens=20), *(case(number=n) for n in range(1, 40)))


def test_an_unknown_rubric_is_found_before_anything_is_asked() -> None:
    client = Scripted(lambda prompt, _: says(prompt))
    with pytest.raises(UserError, match="item Q77-01-en: rubric 'Q77' is unknown"):
        judged(judge_with(client), case(), case(rubric="Q77"))
    assert client.prompts == []


def test_ctrl_c_ends_judging_and_keeps_what_came(tmp_path: Path) -> None:
    stop = threading.Event()

    def script(prompt: str) -> str:
        if "number 9" in block(prompt):
            stop.set()
        return says(prompt)

    cases = [case(f"{ANSWER} This is number {n}.", number=n) for n in range(1, 41)]
    with EndpointServer(script) as server:
        judge = open_judge(f"{server.url}#m", tmp_path, stop.is_set)
        found: list[Judgement] = []
        with pytest.raises(Interrupted):
            judge.judge(cases, found.append)
        stop.clear()
        rest = open_judge(f"{server.url}#m", tmp_path, stop.is_set)
        rest.judge(cases[len(found) :], found.append)
        assert len(server.prompts) == len(found) == 40
