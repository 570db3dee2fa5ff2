"""A recipe's endpoint: what is refused, in words, and that no key is ever repeated."""

from __future__ import annotations

from typing import Any

import pytest

from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import UserError
from ahalab.validation import validate

GOOD = {"url": "http://127.0.0.1:8000/v1", "model": "m"}


def _refusal(**changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        validate(EndpointConfig, {**GOOD, **changes}, "r.yaml: endpoints.teacher")
    return str(caught.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://x/v1", "http://", "http://h:99999/v1", "", "http://[::1/v1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    assert "expected an address" in _refusal(url=url)


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "https://host/v1?key=secret"])
def test_a_key_inside_the_address_is_refused_and_not_repeated(url: str) -> None:
    message = _refusal(url=url)
    assert "api_key_env" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "key",
    [
        "sk-abcdefghijklmnopqrstuv",
        "hf_abcdefghijklmnopqrstuv",
        "a b",
        "0123",
        "abcDEF0123456789abcDEF0123456789",
    ],
)
def test_a_key_in_place_of_its_variable_is_refused_and_not_repeated(key: str) -> None:
    message = _refusal(api_key_env=key)
    assert "NAME of an environment variable" in message
    assert key not in message


def test_extra_takes_no_key_that_the_config_has_itself() -> None:
    assert "use the key `temperature`" in _refusal(extra={"temperature": 1})
    assert "the program sets it itself" in _refusal(extra={"messages": []})


def test_the_whole_address_of_chat_completions_is_understood() -> None:
    config = EndpointConfig(**{**GOOD, "url": "http://h/v1/chat/completions/"})
    assert config.url == "http://h/v1"


def test_only_what_decides_the_replies_is_part_of_the_identity() -> None:
    plain = EndpointConfig(**GOOD)
    same = EndpointConfig(
        **GOOD, retries=0, parallel=9, budget_tokens=5, timeout_seconds=1.0, requests_per_minute=3.0, api_key_env="K",
        give_up_after=2,
    )  # fmt: skip
    assert same.identity() == plain.identity()
    for change in (
        {"model": "n"},
        {"url": "http://h/v1"},
        {"temperature": 0.1},
        {"max_tokens": 1},
        {"extra": {"a": 1}},
    ):
        assert EndpointConfig(**{**GOOD, **change}).identity() != plain.identity()


def test_a_cost_budget_needs_both_prices() -> None:
    with pytest.raises(UserError, match="budget_cost needs `price_in` and `price_out`"):
        validate(EndpointConfig, {**GOOD, "budget_cost": 1.0, "price_in": 2.0}, "r.yaml")
