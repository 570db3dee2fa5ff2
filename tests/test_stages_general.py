"""General prompts in the stages: judged or refused in words; dialogues keep their turns from prompt to row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.prompts import build_mixture, validate_prompts
from ahalab.stages import sample
from ahalab.stages.context import StageContext
from ahalab.stages.datasets import read_rows
from ahalab.stages.preflight import PreflightReport, preflight
from ahalab.stages.rl_config import RLConfig
from ahalab.stages.sample import run_sample
from ahalab.stages.sample_config import SampleConfig
from ahalab.stages.setup import build_prompts
from ahalab.text.template import TABLE1_PREAMBLE
from data_stages import FakeTeacher, good, make_config, make_context
from small_runs import training_only

TURNS = [("user", "Say 1."), ("assistant", "2"), ("user", "Say a digit.")]


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    rows = [
        {"messages": [{"role": role, "content": f"{text} {n}"} for role, text in TURNS], "gold": "3"}
        for n in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def check(base: Path, prompts: dict[str, Any], **settings: Any) -> PreflightReport:
    recipe = training_only(base, prompts, **settings)
    config = RLConfig.model_validate(recipe["stages"]["zero"]["rl"])
    return preflight(config, StageContext("zero", Path(), {"from": str(base)}, seed=0), lambda _memory: None)


def test_general_prompts_that_nothing_judges_are_refused_before_the_run(
    trained_base: Path, chats: Path
) -> None:
    with pytest.raises(UserError) as refused:
        check(trained_base, {"file": str(chats)})
    message = str(refused.value)
    assert "stages.zero: prompt chats/" in message
    assert "(domain general, verifier none) would not be rewarded" in message
    assert "Name its domain or its source (chats) in `preference`, or leave it out" in message


def test_a_stage_that_rewards_form_alone_may_train_on_them(trained_base: Path, chats: Path) -> None:
    report = check(trained_base, {"file": str(chats)}, rewards=["format"])
    assert report.gold_graded == 0


def test_a_dialogue_with_a_gold_answer_is_checked_and_trained_on_with_all_its_turns(
    trained_base: Path, chats: Path
) -> None:
    entry = {"file": str(chats), "question": "messages", "answer": "gold", "domain": "math"}
    report = check(trained_base, entry)
    assert report.gold_graded == 8
    assert report.rows[0].question.startswith("User: Say 1.")


def test_the_policy_is_asked_the_turns_in_the_words_of_table_1(
    trained_base: Path, chats: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ahalab.text import Renderer

    asked: list[str] = []
    plain = Renderer.prompt_text

    def listen(self: Renderer, *arguments: Any) -> str:
        asked.append(plain(self, *arguments))
        return asked[-1]

    monkeypatch.setattr(Renderer, "prompt_text", listen)
    check(trained_base, {"file": str(chats)}, rewards=["format"])
    wanted = f"{TABLE1_PREAMBLE} Say 1. 3\n\nAssistant: 2 3\n\nUser: Say a digit. 3. Assistant:"
    assert wanted in asked
    assert not any("User: User:" in text for text in asked)


def test_collected_rows_keep_the_turns_and_the_rounds(
    trained_base: Path, chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(good(answer="It is 3.")))
    settings = {
        "from": "teacher",
        "teacher": "rules",
        "prompts": [{"file": str(chats)}],
        "n": 8,
        "keep": ["readable"],
    }
    context = make_context(tmp_path / "data", trained_base)
    run_sample(make_config(SampleConfig, **settings), context)
    rows = read_rows(tmp_path / "data" / "data")
    (entry,) = validate_prompts([{"file": str(chats)}], "")
    prompts = {prompt.id: prompt for prompt in build_mixture([entry], 0).take(0, 4)}
    assert rows
    assert {(row.rounds, len(row.messages)) for row in rows} == {(2, 3)}
    for row in rows:
        if row.prompt_id in prompts:
            assert row.messages == prompts[str(row.prompt_id)].messages
    table = json.loads((tmp_path / "data" / "data" / "statistics.json").read_text())
    assert table[-1]["rounds"] == 2.0


def test_what_was_done_to_rows_is_said_when_a_stage_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": "Which?", "choices": ["a1", "b1", "c1"], "answer": 1}] * 3
    rows.append({"question": "Which?", "choices": ["a1", "b1", "A and B"], "answer": 2})
    (tmp_path / "stem.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said: list[str] = []
    context = make_context(tmp_path / "data")
    monkeypatch.setattr(context.progress, "note", said.append)
    entries = validate_prompts([{"file": str(tmp_path / "stem.jsonl"), "choice": {"shuffle": True}}], "")
    build_prompts(entries, context)
    assert said == ["stem: 1 × options left in place, 3 × options shuffled"]
