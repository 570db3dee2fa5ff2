"""The probe cuts where the model was, holds its arms apart, and goes on after a kill to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import Interrupted, UserError
from ahalab.policy.load import load_policy
from ahalab.records import Prompt
from ahalab.stages.context import Interrupt
from ahalab.stages.probe import Probe, ProbeConfig
from ahalab.stages.probe_cut import Cut, Uncut, begins_word, cut_sample, forbidden_tokens
from ahalab.stages.probe_source import Source, find_source
from ahalab.text.reflection import DEFAULT_REFLECTIVE, first_reflective
from ahalab.text.renderer import Renderer

PROMPT = Prompt("p", "What is 12 + 30?", "42", "math", "here", "exact")
FRESH = {"world": "math", "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 120}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(load_policy("builtin:tiny").tokenizer)


def sample(renderer: Renderer, thinking: str, **changed: Any) -> dict[str, Any]:
    text = renderer.render_response(thinking, "42")
    ids = renderer.completion_ids(text)
    return {
        "prompt_id": "p",
        "sample": 3,
        "text": text,
        "tokens": len(ids) + 1,
        "finish": "stop",
        "correct": 1.0,
        **changed,
    }


def cut(renderer: Renderer, row: dict[str, Any], limit: int = 200) -> Cut | Uncut:
    return cut_sample(row, PROMPT, renderer, DEFAULT_REFLECTIVE, limit)


@pytest.mark.parametrize(
    ("thinking", "word"),
    [
        ("12 + 30 = 41. Wait, let me check: 42.", "wait"),
        ("12 + 30 = 41, but that is wrong.", "but"),
        ("12 + 30得41。等等，我检查一下：42。", "等等"),
        ("I will now verify it.", "verify"),
    ],
)
def test_prefix_and_word_are_the_sample_s_own_tokens(renderer: Renderer, thinking: str, word: str) -> None:
    row = sample(renderer, thinking)
    found = cut(renderer, row)
    assert isinstance(found, Cut)
    ids = renderer.completion_ids(row["text"])
    assert (*found.prefix, *found.word_ids) == tuple(ids[: len(found.prefix) + len(found.word_ids)])
    before, with_word = renderer.decode(found.prefix), renderer.decode((*found.prefix, *found.word_ids))
    assert first_reflective(before.partition("<think>")[2]) is None
    assert with_word[len(before) :].strip().lower().startswith(word)
    assert (found.word, found.sample, found.correct) == (word, 3, True)


def test_what_cannot_be_probed_is_told_apart(renderer: Renderer) -> None:
    thinking = "12 + 30 = 41. Wait, 42."
    for row, reason in (
        (sample(renderer, "12 + 30 = 42."), "without a reflective word"),
        (sample(renderer, thinking, tokens=3), "tokenised in another way"),
        (sample(renderer, thinking, text=" <think> 12. Wait"), "without a finished thinking"),
        (sample(renderer, thinking, token_ids=[1, 2]), "tokenised in another way"),
    ):
        found = cut(renderer, row)
        assert isinstance(found, Uncut)
        assert reason in found.reason
    short = cut(renderer, sample(renderer, thinking), limit=10)
    assert isinstance(short, Uncut)
    assert "room" in short.reason


def test_a_word_in_the_answer_alone_is_no_reflection(renderer: Renderer) -> None:
    text = " <think> 12 + 30 = 42. </think> <answer> but 42 </answer>"
    row = sample(renderer, "x", text=text, tokens=len(renderer.completion_ids(text)) + 1)
    found = cut(renderer, row)
    assert isinstance(found, Uncut)


def test_the_words_first_tokens_are_forbidden_and_half_characters_are_not(renderer: Renderer) -> None:
    forbidden = forbidden_tokens(renderer, DEFAULT_REFLECTIVE, [])
    for text in ("check", " check", "等等", "检查", " Wait", "wait"):
        assert renderer.completion_ids(text)[0] in forbidden
    assert renderer.completion_ids("therefore")[0] not in forbidden
    assert begins_word(" How", ["however"])
    assert begins_word("wait,", ["wait"])
    assert not begins_word("\ufffd", ["等等"])
    assert not begins_word("hat", ["however"])
    assert not begins_word(" ", ["wait"])


def probe(folder: Path, interrupt: Interrupt | None = None, **changed: Any) -> dict[str, Any]:
    source = find_source("builtin:tiny", None, 5, {**FRESH, **changed})
    config = ProbeConfig(n=40, samples_per_arm=2, seed=5)
    return Probe(config, source, folder, interrupt=interrupt or Interrupt()).run()


def rows_of(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "samples").glob("shard-*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe") / "whole"
    probe(folder)
    return folder


def test_arms_are_what_they_are_called(probed: Path) -> None:
    rows = rows_of(probed)
    assert rows
    for row in rows:
        if row["arm"] == "with":
            assert row["text"].strip().lower().startswith(row["word"])
        if row["arm"] == "without":
            assert first_reflective(row["text"].lstrip()) != 0
        assert row["cut_at"] + row["new_tokens"] <= FRESH["max_new_tokens"]
    report = json.loads((probed / "probe.json").read_text(encoding="utf-8"))
    assert report["figures"]["prompts"] == len({row["item"] for row in rows})
    assert report["read"] == report["figures"]["prompts"] + sum(report["skipped"].values())
    assert (probed / "probe.md").read_text(encoding="utf-8").count("| all |") == 1


def test_an_interrupted_probe_goes_on_to_the_same_bytes(probed: Path, tmp_path: Path) -> None:
    interrupt = Interrupt()
    interrupt.asked = True
    with pytest.raises(Interrupted):
        probe(tmp_path / "again", interrupt)
    probe(tmp_path / "again")
    (again := tmp_path / "again" / "samples" / "shard-000000.jsonl").unlink()
    probe(tmp_path / "again")
    assert again.read_bytes() == (probed / "samples" / "shard-000000.jsonl").read_bytes()
    assert (tmp_path / "again" / "probe.json").read_bytes() == (probed / "probe.json").read_bytes()


def test_a_folder_holds_one_probe(probed: Path) -> None:
    with pytest.raises(UserError, match="temperature"):
        probe(probed, temperature=0.5)


def test_a_stage_that_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match="is no run folder"):
        find_source("builtin:tiny", "after", 0, FRESH)


def test_samples_without_a_word_end_with_what_was_found(tmp_path: Path) -> None:
    source = find_source("builtin:tiny", None, 0, FRESH)
    source = Source("made up", source.speaker, source.mixture, 5, 1.0, 1.0, 100, lambda: iter(()))
    with pytest.raises(UserError, match="It has no samples"):
        Probe(ProbeConfig(n=1), source, tmp_path / "none").run()
