"""The recipes on the pages of the domains run: their files are read, their prompts drawn, their golds right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ahalab.grading.verifiers import VERIFIERS
from ahalab.pipeline.recipe import parse_recipe
from ahalab.prompts import build_mixture
from ahalab.prompts.puzzles import GROUPS
from ahalab.records import Prompt
from ahalab.stages.rl_config import RLConfig
from docs_pages import ROOT, blocks, rows

PAGES = ("stem", "logic", "general")
DRAWN = 6


def page(name: str) -> Path:
    return ROOT / "docs" / f"{name}.md"


def write_files(name: str, folder: Path) -> set[str]:
    """The page's JSON blocks as the files that its prose names just before each."""
    text = page(name).read_text(encoding="utf-8")
    found = re.findall(r"`(\w+\.jsonl)`[^`]*?:\n\n```json\n", text)
    contents = blocks(page(name), "json")
    assert len(found) == len(contents)
    for file, content in zip(found, contents, strict=True):
        (folder / file).write_text(content, encoding="utf-8")
    return set(found)


def prompts_of(name: str, folder: Path) -> list[Prompt]:
    made: list[Prompt] = []
    for block in blocks(page(name), "yaml"):
        recipe = parse_recipe(yaml.safe_load(block), name)
        for stage in recipe.stages.values():
            if isinstance(stage.config, RLConfig):
                entries = [
                    *stage.config.prompts,
                    *(stage.config.window.prompts if stage.config.window else []),
                ]
                for entry in entries:
                    made += build_mixture([entry], 0, folder=folder).take(0, 2)
    return made


@pytest.mark.parametrize("name", PAGES)
def test_every_recipe_of_the_page_draws_its_prompts_and_their_golds_are_right(
    name: str, tmp_path: Path
) -> None:
    pytest.importorskip("reasoning_gym")
    write_files(name, tmp_path)
    prompts = prompts_of(name, tmp_path)
    assert len(prompts) >= 4
    for prompt in prompts:
        if prompt.answer is not None and prompt.verifier in ("choice", "countdown", "exact"):
            assert VERIFIERS[prompt.verifier](prompt.answer, prompt.answer, prompt.extra) == 1.0, prompt


def test_the_pages_say_what_the_code_does(tmp_path: Path) -> None:
    groups = rows(page("logic"))
    for name in ("ciphers", "deduction", "arithmetic_games"):
        assert groups[name][0].split(", ") == list(GROUPS[name])
    truth = (ROOT / "tests" / "data" / "choice_truth.jsonl").read_text(encoding="utf-8").splitlines()
    assert f"A truth table of {len(truth)} answers" in page("stem").read_text(encoding="utf-8").replace(
        "\n", " "
    )
    write_files("general", tmp_path)
    chats = [prompt for prompt in prompts_of("general", tmp_path) if prompt.source == "chats"]
    assert sorted(len(prompt.messages) for prompt in chats) == [2, 3]
