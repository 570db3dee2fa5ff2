"""The documentation points at what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs_pages import PAGES, ROOT, WRITTEN, anchor, headings, name, prose

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    return [target for target in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_points_to_an_existing_file_and_heading(page: Path) -> None:
    broken = []
    for target in links(page):
        path, _, place = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        known = (
            [anchor(heading) for heading in headings(there)]
            if there.suffix == ".md" and there.is_file()
            else []
        )
        if not there.exists() or (place and place not in known):
            broken.append(target)
    assert not broken, f"{name(page)} links to what is not there: {', '.join(broken)}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links(page)]
    assert not {name(page) for page in WRITTEN} - {name(page) for page in reached}


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_no_figure_is_left_to_fill_in(page: Path) -> None:
    left = [
        f"{name(page)}:{number}"
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
        if "TODO-FIGURE" in line
    ]
    assert not left, f"still to be measured: {', '.join(left)}"


def test_files_and_tests_named_in_the_pages_exist() -> None:
    """A page that names a file of the package, or a test, must not outlive it."""
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    missing = []
    for page in WRITTEN:
        for word in re.findall(r"`([^`\n]+)`", prose(page)):
            if re.fullmatch(r"test_\w+", word) and f"def {word}(" not in tests:
                missing.append(f"{name(page)}: {word}")
            file = re.fullmatch(r"[\w.-]+/[\w./-]+\.(py|txt|yaml)", word)
            if file and not any((folder / word).exists() for folder in (ROOT, ROOT / "src" / "ahalab")):
                missing.append(f"{name(page)}: {word}")
    assert not missing, ", ".join(missing)
