"""Every command and recipe in the documentation is one that exists. Nothing is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import typer.main
import yaml

from ahalab.cli.main import app
from docs_pages import ROOT, WRITTEN, blocks, name, prose


def commands(page: Path) -> list[list[str]]:
    """The lines of the page's shell blocks as words, comments left out."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_every_make_target_named_is_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {word for words in commands(page) if words[0] == "make" for word in words[1:] if "=" not in word}
    named |= set(re.findall(r"`make ([\w-]+)[` ]", prose(page)))
    assert named <= targets, f"{name(page)}: not in the Makefile: {', '.join(sorted(named - targets))}"


def test_the_readme_begins_with_the_two_commands_of_a_newcomer() -> None:
    first = blocks(ROOT / "README.md", "sh")[0]
    assert [shlex.split(line, comments=True) for line in first.splitlines()] == [
        ["make", "quickstart"],
        ["make", "test"],
    ]


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_every_aha_command_is_understood_by_the_command_line(page: Path) -> None:
    for program, *words in commands(page):
        if program not in ("aha", ".venv/bin/aha"):
            assert program in ("make", "cp", "source", "pip", "python"), f"{name(page)}: {program}"
            continue
        command = typer.main.get_command(app)
        while isinstance(command, typer.core.TyperGroup):
            found = command.commands.get(words[0])
            assert found is not None, f"{name(page)}: aha has no {words[0]}"
            command, words = found, words[1:]
        try:
            command.make_context(command.name, list(words))
        except Exception as error:
            pytest.fail(f"{name(page)}: aha {command.name} {' '.join(words)}: {error}")


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_every_recipe_shown_is_accepted(page: Path) -> None:
    from ahalab.pipeline.recipe import parse_recipe

    for block in blocks(page, "yaml"):
        parse_recipe(yaml.safe_load(block), name(page))


def test_bundled_recipes_named_in_the_pages_exist() -> None:
    from ahalab.pipeline.recipe import load_recipe

    named = {
        words[2]
        for page in WRITTEN
        for words in commands(page)
        if words[1:2] in (["run"], ["explain"]) and "." not in words[2]
    }
    assert "zero-quickstart" in named
    for recipe in named:
        load_recipe(recipe)
