"""The files of the chat page: whole, strict, nothing from elsewhere. What they do is tested in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest

from ahalab.serving.page import POLICY, TYPES, page_files
from serving_page_tools import Standin, standin


@pytest.fixture(scope="module")
def server() -> Iterator[Standin]:
    with standin() as made:
        yield made


def test_every_file_is_served_with_the_strict_headers(server: Standin) -> None:
    names = ["", *(f"page/{name}" for name in page_files())]
    assert len(names) > 5
    for name in names:
        answer = httpx2.get(server.address + name)
        assert answer.status_code == 200, name
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-type"] in TYPES.values()
        again = httpx2.get(server.address + name, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"] == POLICY


@pytest.mark.parametrize(
    "name", ["page/", "page/none.js", "page/__init__.py", "page/..%2f__init__.py", "page/%2e%2e/page"]
)
def test_nothing_but_the_files_of_the_page_is_served(server: Standin, name: str) -> None:
    assert httpx2.get(server.address + name).status_code == 404


def test_the_policy_allows_no_inline_code_and_no_markup_from_strings() -> None:
    rules = dict(rule.strip().partition(" ")[::2] for rule in POLICY.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in POLICY
    assert "*" not in POLICY
    assert (rules["script-src"], rules["style-src"], rules["connect-src"]) == ("'self'",) * 3
    assert (rules["require-trusted-types-for"], rules["trusted-types"]) == ("'script'", "'none'")
    assert (rules["frame-ancestors"], rules["form-action"], rules["base-uri"]) == ("'none'",) * 3


def test_the_files_hold_no_inline_code_no_foreign_address_and_no_way_to_markup() -> None:
    files = {name: body.decode("utf-8") for name, body in page_files().items()}
    page = files["index.html"]
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []
    for name, text in files.items():
        assert "http://" not in text, name
        assert "https://" not in text, name
        assert re.findall(r"@import|url\(", text) == [], name
        assert (
            re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|DOMParser", text)
            == []
        )


def test_the_page_stays_out_of_the_openapi_of_the_gateway() -> None:
    fastapi = pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from ahalab.serving.page import mount_page

    app = fastapi.FastAPI()
    mount_page(app)
    assert app.openapi()["paths"] == {}
