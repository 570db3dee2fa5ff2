"""`r1` and `r1-endpoint`: the graph of the quickstart for any model, with data that are not fetched here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from ahalab.pipeline.recipe import Recipe, load_recipe
from ahalab.prompts.config import HubEntry, build_mixture
from ahalab.stages.context import StageContext
from ahalab.stages.data_entries import HubData, check_data
from ahalab.stages.hacking_guard import watched_prompts
from ahalab.stages.rl_config import RLConfig
from ahalab.stages.window import PromptFeed

ALPACA = {"instruction": "Translate {n}.", "input": "Guten Tag", "output": "Hello {n}", "text": "Below is …"}
COLUMNS: dict[str, dict[str, Any]] = {
    "openai/gsm8k": {"question": "{n}+1?", "answer": "One more.\n#### {n}"},
    "tatsu-lab/alpaca": ALPACA,
    "sahil2801/CodeAlpaca-20k": {name: ALPACA[name] for name in ("instruction", "input", "output")},
    "Anthropic/hh-rlhf": {side: f"\n\nHuman: q{{n}}\n\nAssistant: {side}" for side in ("chosen", "rejected")},
    "PKU-Alignment/BeaverTails": {"prompt": "How {n}?", "response": "So.", "category": {}, "is_safe": True},
}
"""Data set → a row of it; `{n}` is the number of the row."""

PEOPLE = {"rules"}
"""In the quickstart the tiny world's people answer too."""


class Split(list[dict[str, Any]]):
    @property
    def column_names(self) -> list[str]:
        return list(self[0])

    def select_columns(self, columns: list[str]) -> Split:
        return Split({column: row[column] for column in columns} for row in self)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(path: str, *, split: str, **_: Any) -> Split:
        return Split(
            {
                key: value.format(n=f"{n} of {split}" if key == "question" else n)
                if isinstance(value, str)
                else value
                for key, value in COLUMNS[path].items()
            }
            for n in range(200)
        )

    module = ModuleType("datasets")
    vars(module)["load_dataset"] = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)


@pytest.fixture(params=["r1", "r1-endpoint"])
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return load_recipe(request.param)


def models(value: Any) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        value = [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from models(one)


def graph(name: str) -> dict[str, tuple[str, set[str]]]:
    """Stage → (kind, what it reads)."""
    stages = load_recipe(name).stages.values()
    return {stage.name: (stage.kind.name, set(stage.inputs.values())) for stage in stages}


def test_with_an_endpoint_the_graph_is_that_of_the_quickstart() -> None:
    wanted = graph("r1-quickstart")
    # What the tiny world's rules answer, good and bad, exists in the tiny world only.
    assert wanted.pop("rule_pairs") == ("preferences", set())
    wanted["helpful_rm"][1].remove("rule_pairs")
    # There the table also takes win rates against dev3, which reads nothing more.
    assert graph("r1-endpoint") == wanted
    assert list(load_recipe("r1-endpoint").stages["helpful_pairs"].inputs.values()) == ["dev3", "base"]


def test_without_one_the_graph_lacks_only_what_a_teacher_or_judge_would_make() -> None:
    with_endpoint, without = graph("r1-endpoint"), graph("r1")
    made = {"general_data", "helpful_pairs", "safety_labels"}
    assert set(with_endpoint) - set(without) == made
    assert {
        name: (kind, reads - made) for name, (kind, reads) in with_endpoint.items() if name in without
    } == without


def test_teacher_and_judge_are_endpoints_of_the_recipe() -> None:
    recipe = load_recipe("r1-endpoint")
    asked = {name: stage.config.endpoint_names() for name, stage in recipe.stages.items()}
    assert {name: names for name, names in asked.items() if names} == {
        "cold_start": ("teacher",),
        "general_data": ("teacher",),
        "helpful_pairs": ("judge",),
        "safety_labels": ("judge",),
    }
    other = load_recipe("r1-endpoint", {"endpoints.teacher.url": "https://example.org/v1"})
    assert other.head.endpoints["teacher"].url == "https://example.org/v1"


def test_what_both_recipes_share_is_the_same() -> None:
    """So that a run of the one can use what a run of the other has finished."""
    one, other = load_recipe("r1"), load_recipe("r1-endpoint")
    own = {"cold_start", "dev3", "distilled", "helpful_rm", "safety_rm"}
    for name in set(one.stages) - own:
        assert one.stages[name].config == other.stages[name].config, name
    first, second = (
        load_recipe(name).stages["cold_start"].config.model_dump() for name in ("r1", "r1-endpoint")
    )
    assert {key for key in first if first[key] != second[key]} == {"refine"}


def test_no_input_of_an_instruction_is_lost(recipe: Recipe) -> None:
    found = [one for stage in recipe.stages.values() for one in models(stage.config)]
    prompts = [one for one in found if isinstance(one, HubEntry) and "lpaca" in one.hub]
    data = [one for one in found if isinstance(one, HubData) and "lpaca" in one.hub]
    assert len(prompts) + len(data) >= 4
    assert all(one.question == ["instruction", "input"] for one in prompts)
    assert all(one.columns["question"] == ["instruction", "input"] for one in data)


@pytest.mark.usefixtures("hub")
def test_every_prompt_and_every_row_of_the_hub_is_understood(recipe: Recipe, tmp_path: Path) -> None:
    for stage in recipe.stages.values():
        entries = [one for one in models(stage.config) if isinstance(one, HubEntry)]
        for entry in entries:
            prompt = build_mixture([entry], 0).prompt(0)
            assert ("Guten Tag" in prompt.question) == ("lpaca" in entry.hub)
        data = [one for one in models(stage.config) if isinstance(one, HubData)]
        kind = {"sft": "rows", "helpful_rm": "pairs", "safety_rm": "labelled"}
        if data:
            check_data(
                data,
                StageContext(stage.name, tmp_path, {}, 0),
                kind[stage.name if stage.kind.name == "reward_model" else "sft"],  # type: ignore[arg-type]
            )


@pytest.mark.usefixtures("hub")
def test_the_watch_of_the_alignment_stage_asks_what_is_not_trained_on(recipe: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("reasoning_gym")
    config = recipe.stages["r1"].config
    assert isinstance(config, RLConfig)
    assert config.hacking is not None
    assert config.window is not None
    assert config.hacking.sources is not None
    trained = [*config.prompts, *config.window.prompts]
    splits = [
        {(one.hub, one.split) for one in models(entries) if isinstance(one, HubEntry)}
        for entries in (trained, config.hacking.sources)
    ]
    assert {hub for hub, _ in splits[0]} == {hub for hub, _ in splits[1]}
    assert not splits[0] & splits[1]
    context = StageContext("r1", tmp_path, {}, 0)
    watched = watched_prompts(config, context)
    assert len(watched) == config.hacking.prompts
    assert {prompt.source for prompt in watched} == {"gsm8k", "helpful", "harmless"}
    PromptFeed(config, context).check()
