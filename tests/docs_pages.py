"""The pages of the documentation, and what the tests read in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
WRITTEN = [page for page in PAGES if page.parent.name != "results"]
"""Without the results, which the proofs write."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    """The page as tests call it."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The contents of the page's fenced blocks in `language`."""
    return [text for kind, text in _FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def headings(page: Path) -> list[str]:
    """The page's headings, as written."""
    return [line.lstrip("#").strip() for line in prose(page).splitlines() if re.match(r"#{1,6} ", line)]


def anchor(heading: str) -> str:
    """The address that a heading gets where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def rows(page: Path) -> dict[str, list[str]]:
    """Table rows by their first cell without back ticks; a cell that names several keys gives a row each."""
    found: dict[str, list[str]] = {}
    for line in prose(page).splitlines():
        if line.startswith("| "):
            first, *others = [cell.strip() for cell in line.strip("|").split(" | ")]
            for key in re.findall(r"`([^`]+)`", first) or [first]:
                found.setdefault(key, [cell.strip("`| ") for cell in others])
    return found
