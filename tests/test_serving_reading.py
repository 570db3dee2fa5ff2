"""The body of a request: what is no sound JSON object of bounded size is a clear error in OpenAI's form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.serving_tools import Served, chat_body

from ahalab.serving.errors import Refusal
from ahalab.serving.reading import DEEPEST, MOST_VALUES, read_json

ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/moderations", "/beta/litellm_basic_guardrail_api")


def code_of(body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        read_json(body)
    assert caught.value.status == 400
    return caught.value.code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'"text"', "invalid_json"),
        (b"null", "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": Infinity}', "invalid_json"),
        (b'{"a": -Infinity}', "invalid_json"),
        (b'{"a": 1e999}', "invalid_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"a": "\x00"}', "invalid_json"),
        (b'{"a": "\n"}', "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b'{"a": 1} {"b": 2}', "invalid_json"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": {"b": 1, "b": 1}}', "duplicate_key"),
        (b'{"role": 1, "r\\u006fle": 2}', "duplicate_key"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_utf8"),
        ('{"a": 1}'.encode("utf-16"), "invalid_utf8"),
        (b"\x89PNG\r\n\x1a\n\x00", "invalid_utf8"),
        (b'{"a": "\\ud800"}', "invalid_characters"),
        (b'{"\\udc00": 1}', "invalid_characters"),
        (b'{"a": ["\\u0000"]}', "invalid_characters"),
        (b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b"}", "nested_too_deeply"),
        (b'{"a": ' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1), "nested_too_deeply"),
        (b"[" * 100_000, "too_many_values"),
        (b'{"a": [' + b"{}," * (MOST_VALUES + 1) + b"{}]}", "too_many_values"),
    ],
)
def test_what_is_no_sound_json_object_is_told_apart(body: bytes, code: str) -> None:
    assert code_of(body) == code


def test_brackets_inside_texts_are_not_nesting() -> None:
    text = '[{"' * 40 + "\\"
    assert read_json(json.dumps({"a": text, "b": [[], {}] * 30}).encode())["a"] == text


def test_what_is_sound_is_read_as_it_stands() -> None:
    value = {"a": "炸 \\ud800 \U0001f600", "b": [1, 2.5, None, True], "é": {"c": "\\u0000"}}
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


def test_every_depth_that_is_taken_is_read() -> None:
    deep = b'{"a": ' * DEEPEST + b"1" + b"}" * DEEPEST
    assert read_json(deep)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": NaN}', "invalid_json"),
        (b"\xff\xfe", "invalid_utf8"),
        (b"[" * 500, "nested_too_deeply"),
        (b'{"input": "\\ud800"}', "invalid_characters"),
    ],
)
def test_every_route_answers_a_bad_body_with_400(path: str, body: bytes, code: str, tmp_path: Path) -> None:
    served = Served(tmp_path)
    answer = served.ask(path, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert not served.audit.intents
    assert not served.model.asked


@pytest.mark.parametrize("path", ROUTES)
def test_an_overlong_body_is_413_and_never_read_whole(path: str, tmp_path: Path) -> None:
    served = Served(tmp_path, settings={"body_bytes": 2000})
    told = served.ask(path, b"{" + b" " * 5000)
    assert (told.status_code, told.json()["error"]["code"]) == (413, "request_too_large")
    assert told.headers["connection"] == "close"


def test_texts_that_are_too_long_together_are_413(tmp_path: Path) -> None:
    served = Served(tmp_path, settings={"characters": 1000})
    messages = [{"role": "user", "content": "a" * 600}, {"role": "user", "content": "b" * 600}]
    answer = served.ask("/v1/chat/completions", {"model": "m", "messages": messages})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert served.ask("/v1/moderations", {"input": ["a" * 600, "b" * 600]}).status_code == 413


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_not_declared_as_json_is_415(kind: str, tmp_path: Path) -> None:
    answer = Served(tmp_path).ask("/v1/chat/completions", chat_body(), Content_Type=kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_a_compressed_body_is_415(tmp_path: Path) -> None:
    answer = Served(tmp_path).ask("/v1/chat/completions", b"\x1f\x8b", Content_Encoding="gzip")
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_content_encoding")


def test_a_body_that_trickles_is_408(tmp_path: Path) -> None:
    import asyncio

    served = Served(tmp_path, settings={"body_seconds": 0.1})

    async def trickle(url: str) -> bytes:
        port = int(url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 500\r\n\r\n{"
        )
        answer = await reader.read(1000)
        writer.close()
        return answer

    answer = served.run(trickle)
    assert answer.startswith(b"HTTP/1.1 408")
    assert served.gateway.limits.under_way == 0
