"""The check-only routes, OpenAI's moderations and LiteLLM's guardrail: no model is asked, every check is audited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.guard_control import CLEAN, Scripted
from tests.serving_tools import Served

from ahalab.guard.records import Review

GUARD = "/beta/litellm_basic_guardrail_api"


def guard(served: Served, **body: Any) -> dict[str, Any]:
    answer = served.ask(GUARD, {"request_data": {}, "input_type": "request", **body})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize(
    "given",
    ["How to zorbom", ["How to zorbom"], [{"type": "text", "text": "How to zorbom"}], ["炸弹"]],
)
def test_a_text_that_the_control_would_withhold_is_flagged(given: Any, tmp_path: Path) -> None:
    served = Served(tmp_path)
    told = served.ask("/v1/moderations", {"input": given, "model": "omni-moderation-latest"}).json()
    [result] = told["results"]
    assert result["flagged"] is True
    assert result["categories"]["made-up"] is True
    assert result["category_scores"]["made-up"] == 1.0
    assert result["categories"]["self-harm"] is False
    assert not served.model.asked
    assert len(served.audit.intents) == len(served.audit.rows) == 1
    assert served.audit.rows[0][4]["route"] == "moderations"


def test_what_the_reviewer_releases_is_not_flagged(tmp_path: Path) -> None:
    served = Served(tmp_path, reviewer=Scripted(CLEAN))
    [result] = served.ask("/v1/moderations", {"input": "zorbom"}).json()["results"]
    assert result["flagged"] is False
    assert not any(result["categories"].values())
    assert result["ahalab"]["keywords"] is True


def test_a_review_without_a_verdict_follows_on_error(tmp_path: Path) -> None:
    for on_error, flagged in (("retract", True), ("allow", False)):
        served = Served(tmp_path, reviewer=Scripted(Review(error="time-out")), policy={"on_error": on_error})
        [result] = served.ask("/v1/moderations", {"input": "zorbom"}).json()["results"]
        assert result["flagged"] is flagged


def test_shadow_mode_tells_what_it_would_do(tmp_path: Path) -> None:
    served = Served(tmp_path, policy={"mode": "shadow"})
    [result] = served.ask("/v1/moderations", {"input": "zorbom"}).json()["results"]
    assert result["flagged"] is True
    assert (result["ahalab"]["action"], result["ahalab"]["would"]) == ("release", "retract")
    assert guard(served, texts=["zorbom"]) == {"action": "NONE"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": None},
        {"input": []},
        {"input": [1, 2]},
        {"input": [[1]]},
        {"input": 5},
        {"input": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"input": [{"type": "text", "text": "x"}, "y"]},
        {"input": [{"type": {}, "text": "x"}]},
        {"input": {"type": "text"}},
        {"input": ["x"] * 33},
        {"input": "x", "extra": 1},
    ],
)
def test_a_wrong_moderation_is_400(body: dict[str, Any], tmp_path: Path) -> None:
    served = Served(tmp_path)
    answer = served.ask("/v1/moderations", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"]
    assert not served.audit.intents


@pytest.mark.parametrize("step", ["ready", "intent", "conclude"])
def test_a_check_that_cannot_be_recorded_is_503(step: str, tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.audit.broken = step
    assert served.ask("/v1/moderations", {"input": "x"}).status_code == 503
    assert served.ask(GUARD, {"texts": ["x"]}).status_code == 503


@pytest.mark.parametrize(
    "body",
    [
        {"texts": ["How to zorbom"]},
        {"texts": ["fine", "zorbom"]},
        {"texts": [], "structured_messages": [{"role": "user", "content": "zorbom"}]},
        {"structured_messages": [{"role": "user", "content": [{"type": "text", "text": "zorbom"}]}]},
        {"structured_messages": [{"role": "assistant", "content": None, "tool_calls": [{"x": "zorbom"}]}]},
        {"structured_messages": [{"role": "zorbom", "content": "x"}]},
        {"structured_messages": [{"role": "user", "content": [{"type": "zorbom", "text": "x"}]}]},
        {"structured_messages": [{"role": "assistant", "tool_calls": [{"arguments": {"zorbom": 1}}]}]},
        {"structured_messages": [{"role": "assistant", "tool_calls": [{"arguments": {"type": "zorbom"}}]}]},
        {"structured_messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"structured_messages": [{"role": "tool", "content": [{"content": [{"type": "file"}]}]}]},
        {"texts": ["x"], "tools": [{"type": "function", "function": {"name": "zorbom"}}]},
        {"texts": ["x"], "tool_calls": [{"function": {"name": "f", "arguments": '{"a": "zorbom"}'}}]},
        {"texts": ["zorbom"], "input_type": "response"},
        {"texts": ["x"], "images": ["AAAA"]},
    ],
)
def test_litellms_guardrail_blocks(body: dict[str, Any], tmp_path: Path) -> None:
    served = Served(tmp_path)
    told = guard(served, **body)
    assert told["action"] == "BLOCKED"
    assert told["blocked_reason"]
    assert "zorbom" not in told["blocked_reason"]
    assert not served.model.asked


def test_litellms_guardrail_lets_through(tmp_path: Path) -> None:
    served = Served(tmp_path)
    body = {
        "texts": ["Hello"],
        "structured_messages": [{"role": "user", "content": "Hello"}],
        "images": [],
        "tools": None,
        "litellm_call_id": "c",
        "litellm_trace_id": "t",
        "additional_provider_specific_params": {"a": 1},
        "a_field_of_next_year": [1],
    }
    assert guard(served, **body) == {"action": "NONE"}
    assert guard(served, texts=["Hello"], input_type="response") == {"action": "NONE"}
    assert [len(one.turns) for one in served.audit.intents] == [1, 1]


@pytest.mark.parametrize(
    "body",
    [
        {"texts": "x"},
        {"texts": [1]},
        {"texts": ["x"], "input_type": "other"},
        {"texts": ["x"], "input_type": {}},
        {"texts": {"a": []}},
        {"structured_messages": {}},
        {"structured_messages": "x"},
        {"structured_messages": [1]},
    ],
)
def test_a_wrong_guardrail_request_is_400(body: dict[str, Any], tmp_path: Path) -> None:
    assert Served(tmp_path).ask(GUARD, body).status_code == 400


def test_litellms_key_header_is_taken_here(tmp_path: Path) -> None:
    from ahalab.serving.keys import Key

    served = Served(tmp_path, keys=[Key(id="one", scopes=["moderate"])])
    sent = {"X_Api_Key": served.tokens["one"]}
    assert served.ask(GUARD, {"texts": ["x"]}, **sent).status_code == 200
    assert served.ask("/v1/moderations", {"input": "x"}, **sent).status_code == 401
