"""A page that needs nothing else: its head with the policy and the package's style, and where it may be written."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ahalab.errors import UserError
from ahalab.report.markup import Safe, element

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content security policy of the page: whatever a text holds, nothing is loaded and no script runs."""


def document(title: str, body: Safe) -> Safe:
    """The whole document around a `<body>`."""
    style = resources.files("ahalab.report").joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", Safe(style)),
    )
    return Safe(f"<!doctype html>\n{element('html', head, body, lang='en')}\n")


def check_place(output: Path) -> Path:
    """Where a page is to be written. UserError for another ending, or a folder that is not there."""
    output = Path(output)
    if output.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{output}: the report is a web page; give it a name that ends in .html.")
    if not output.parent.is_dir():
        raise UserError(
            f"{output}: there is no folder {output.parent}; make it first or choose another place."
        )
    return output
