"""The recipe's `prompts:` entries: what they may say, and the mixture they make."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ahalab.errors import UserError
from ahalab.prompts import (
    FileEntry,
    HubEntry,
    TaskEntry,
    WorldEntry,
    build_mixture,
    describe_prompts,
    validate_prompts,
)
from ahalab.prompts.config import build_source


def refusal(entries: object) -> str:
    with pytest.raises(UserError) as error:
        validate_prompts(entries, "r.yaml")
    return str(error.value)


def test_each_kind_of_entry_is_told_by_its_key() -> None:
    entries = validate_prompts(
        [{"world": "math"}, {"reasoning_gym": "chain_sum"}, {"file": "a.jsonl"}, {"hub": "openai/gsm8k"}],
        "r.yaml",
    )
    assert [type(entry) for entry in entries] == [WorldEntry, TaskEntry, FileEntry, HubEntry]
    assert [entry.weight for entry in entries] == [1.0] * 4


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"fil": "a.jsonl"}], ["`prompts[0]`", "did you mean `file` by `fil`?"]),
        ([{"weight": 2}], ["one of `world`, `reasoning_gym`, `file`, `hub`", "none is there"]),
        ([{"file": "a", "hub": "b"}], ["got file and hub"]),
        (["math"], ["such as `world: math`", "'math'"]),
        ([], ["`prompts`: expected at least 1 item"]),
        ("math", ["`prompts`: expected a list"]),
        ([{"world": "math"}, {"file": "a", "wieght": 2}], ["`prompts[1].wieght`", "did you mean `weight`?"]),
        ([{"file": "a", "weight": 0}], ["`prompts[0].weight`: expected more than 0", "Allowed: more than 0"]),
        ([{"file": "a", "verifier": "maths"}], ["'math', 'exact', 'choice'", "or 'none'", "nearest: 'math'"]),
        (
            [{"file": "a", "language": "zh", "language_column": "l"}],
            ["either `language` or `language_column`"],
        ),
        ([{"reasoning_gym": "x", "size": 0}], ["`prompts[0].size`: expected at least 1, got 0"]),
        ([{"world": "math", "split": "test"}], ["expected 'train' or 'held_out'"]),
        ([{"file": "a", "name": "a b"}], ["`prompts[0].name`"]),
        ([{"hub": 3}], ["`prompts[0].hub`: expected text, got 3"]),
    ],
)
def test_a_wrong_entry_is_refused_in_words(entries: object, words: list[str]) -> None:
    message = refusal(entries)
    assert message.startswith("r.yaml: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize("model", [WorldEntry, TaskEntry, FileEntry, HubEntry])
def test_every_field_is_documented(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.fixture
def recipe(tmp_path: Path) -> list[Any]:
    rows = [{"question": f"{n}+1?", "answer": f"#### {n + 1}"} for n in range(40)]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return validate_prompts(
        [
            {"file": "set.jsonl", "weight": 2},
            {"reasoning_gym": "chain_sum", "options": {"min_terms": 3}, "size": 50},
            {"world": "math"},
        ],
        "r.yaml",
    )


def test_a_recipes_entries_make_one_mixture(recipe: list[Any], tmp_path: Path) -> None:
    mixture = build_mixture(recipe, 0, folder=tmp_path)
    prompts = mixture.take(0, 40)
    shares = [sum(prompt.source == name for prompt in prompts) for name in ("set", "chain_sum", "world-math")]
    assert shares == [20, 10, 10]
    assert len({prompt.id for prompt in prompts}) == 40
    assert mixture.skipped == {}
    again = build_mixture(recipe, 0, folder=tmp_path)
    assert again.take(17, 23) == [mixture.prompt(position) for position in range(17, 40)]


def test_the_resolved_recipe_states_what_was_recognised(recipe: list[Any], tmp_path: Path) -> None:
    stated = describe_prompts(recipe, build_mixture(recipe, 0, folder=tmp_path))
    assert json.loads(json.dumps(stated)) == stated
    assert stated[0]["file"] == "set.jsonl"
    assert stated[0]["recognised"].startswith("GSM8K")
    assert (stated[0]["answer_after"], stated[0]["size"], stated[0]["weight"]) == ("####", 40, 2.0)
    assert stated[1]["options"]["max_terms"] == 6
    assert (stated[2]["world"], stated[2]["size"]) == ("math", None)
    assert str(tmp_path) not in json.dumps(stated)


def test_bad_rows_are_counted_by_source(recipe: list[Any], tmp_path: Path) -> None:
    with (tmp_path / "set.jsonl").open("a") as file:
        file.write('{"question": "q"}\nnot json\n')
    with pytest.raises(UserError, match="row 41, column 'answer'"):
        build_mixture(recipe, 0, folder=tmp_path)
    mixture = build_mixture(recipe, 0, folder=tmp_path, skip_bad_rows=True)
    assert mixture.skipped == {"set": {"no answer": 1, "not JSON": 1}}


def test_a_refusal_names_the_recipe_and_the_entry(tmp_path: Path) -> None:
    for settings, word in (({"file": "no.jsonl"}, "no.jsonl"), ({"world": "maths"}, "maths")):
        entries = validate_prompts([{"world": "math"}, settings], "r.yaml")
        with pytest.raises(UserError, match=rf"^r.yaml: prompts\[1\].*{word}"):
            build_mixture(entries, 0, folder=tmp_path, where="r.yaml: prompts")


def test_the_room_never_imports_torch_nor_an_extra_before_it_is_asked_for() -> None:
    script = (
        "import sys, ahalab.prompts as p\n"
        "p.build_mixture(p.validate_prompts([{'world': 'math'}], ''), 0).take(0, 4)\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'pyarrow', 'reasoning_gym') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_of_the_world_can_be_asked_to_run_in_the_sandbox():
    [entry] = validate_prompts([{"world": "code", "sandbox": True}], "zero.yaml")
    plain, run = (build_source(one, 3) for one in (*validate_prompts([{"world": "code"}], "x"), entry))
    for index in range(5):
        by_reader, by_sandbox = plain.prompt(index), run.prompt(index)
        assert by_sandbox.question == by_reader.question
        assert (by_reader.verifier, by_sandbox.verifier) == ("function", "code")
        assert by_sandbox.extra["tests"] == [
            {"input": [given], "output": wanted} for given, wanted in by_reader.extra["tests"]
        ]
    [mathematics] = validate_prompts([{"world": "math", "sandbox": True}], "x")
    with pytest.raises(UserError, match="'math' is none of them"):
        build_source(mathematics, 3)
