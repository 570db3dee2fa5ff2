"""Who answers in a `sample` stage: teachers, the tiny world, refinement, the model itself, a judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.stages import sample
from ahalab.stages.datasets import read_rows
from ahalab.stages.sample import run_sample
from ahalab.stages.sample_config import SampleConfig
from ahalab.teachers import Failure, Refined
from data_stages import FakeJudge, FakeTeacher, make_config, make_context
from sample_tools import settings, small_shards  # noqa: F401


def test_a_teacher_answers_without_a_model(
    trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(prompt: Any, _thinking: str, _answer: str) -> Any:
        if prompt.question.endswith("3"):
            return Failure("reply not in form", "hello")
        return Refined("", f"Here you are: {prompt.id}.")

    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(work))
    config = make_config(
        SampleConfig,
        **{
            "from": "teacher",
            "teacher": "rules",
            "prompts": [{"file": str(questions), "language": "en"}],
            "n": 12,
        },
    )
    assert config.per_prompt == 1
    assert config.input_refs()["tokenizer"].source == "base"
    context = make_context(tmp_path, tokenizer=str(trained_base))
    figures = run_sample(config, context).figures
    assert (figures["rows"], figures["dropped"]) == (11, {"teacher: reply not in form": 1})
    assert figures["teacher"]["counts"] == {"failed: reply not in form": 1, "refined": 11}
    assert all(row.thinking == "" and row.source == "data: rules" for row in read_rows(tmp_path / "data"))


def test_the_tiny_world_teaches_every_domain(trained_base: Path, tmp_path: Path) -> None:
    config = make_config(
        SampleConfig,
        **{
            "from": "teacher",
            "teacher": "rules",
            "prompts": [{"world": ["math", "logic", "choice", "code", "instructions", "safety"]}],
            "n": 60,
            "keep": ["correct", "readable", "one_language", "no_long_paragraphs", "no_code_blocks", "unique"],
        },
    )
    figures = run_sample(config, make_context(tmp_path, tokenizer=str(trained_base))).figures
    assert figures["rows"] >= 55, figures["dropped"]
    assert len(figures["statistics"]) == 7


def test_the_world_refines_what_it_said_itself(
    trained_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ahalab.stages import sampling_shards
    from ahalab.world.teacher import respond_variously

    def rows(_self: Any, number: int, prompts: Any, per_prompt: int, _advance: Any) -> list[dict[str, Any]]:
        found = []
        for prompt in prompts:
            for index in range(per_prompt):
                thinking, answer = respond_variously(prompt, number * 100 + index)
                found.append(
                    {
                        "sample": index,
                        "text": f" <think> {thinking} </think> <answer> {answer} </answer>",
                        "finish": "stop",
                        "well_formed": True,
                        "correct": float(answer == prompt.answer),
                        "error": None,
                    }
                )
        return found

    monkeypatch.setattr(sampling_shards.ModelSampler, "rows", rows)
    config = make_config(
        SampleConfig,
        **{
            "from": "zero",
            "prompts": [{"world": ["math", "logic", "choice", "code"]}],
            "n": 40,
            "per_prompt": 8,
            "keep": ["correct", "readable", "one_language"],
            "keep_per_prompt": 1,
            "refine": {"teacher": "rules"},
        },
    )
    figures = run_sample(config, make_context(tmp_path, trained_base)).figures
    assert figures["rows"] >= 30, figures["dropped"]
    for row in read_rows(tmp_path / "data"):
        assert row.source == "data: zero, refined by rules"
        assert len(row.answer) > 3, "a summary, not the bare answer"


def test_mixed_thinking_becomes_a_row_in_the_questions_language_and_hopeless_thinking_a_counted_drop(
    trained_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ahalab.stages import sampling_shards
    from ahalab.text import language_share
    from ahalab.world.corpus import DOMAINS
    from ahalab.world.domain import Mixture, keyed_random
    from ahalab.world.teacher import problem_of

    shares: dict[str, float] = {}

    def rows(_self: Any, _number: int, prompts: Any, _k: int, _advance: Any) -> list[dict[str, Any]]:
        """One sentence of each thinking is in the other language."""
        found = []
        for prompt in prompts:
            problem, mixture = problem_of(prompt), Mixture(check=1.0, mixed_language=1.0)
            trace = DOMAINS[problem.domain].trace(problem, keyed_random("mixed", len(shares)), mixture)
            share = language_share(trace.thinking, prompt.language)
            assert share is not None
            shares[f"{prompt.id}#0"] = share
            found.append(
                {
                    "sample": 0,
                    "text": f" <think> {trace.thinking} </think> <answer> {trace.answer} </answer>",
                    "finish": "stop",
                    "well_formed": True,
                    "correct": float(trace.answer == prompt.answer),
                    "error": None,
                }
            )
        return found

    monkeypatch.setattr(sampling_shards.ModelSampler, "rows", rows)
    plain = {
        "from": "zero",
        "prompts": [{"world": ["math", "logic", "choice", "code"]}],
        "n": 40,
        "per_prompt": 1,
        "keep": ["correct", "readable", "one_language"],
    }
    config = make_config(SampleConfig, **plain, refine={"teacher": "rules"})
    figures = run_sample(config, make_context(tmp_path, trained_base)).figures
    hopeless = {name for name, share in shares.items() if share < 0.5}
    assert all(share < 1 for share in shares.values())
    assert hopeless
    assert figures["dropped"] == {"not one language": len(hopeless)}
    kept = read_rows(tmp_path / "data")
    assert {row.id for row in kept} == shares.keys() - hopeless
    for row in kept:
        assert language_share(row.thinking, row.language) == 1.0, row.thinking
        assert language_share(row.answer, row.language) in (1.0, None), row.answer
    with pytest.raises(UserError, match="40 not one language"):
        run_sample(make_config(SampleConfig, **plain), make_context(tmp_path / "plain", trained_base))


def test_the_model_itself_may_be_the_teacher(trained_base: Path, questions: Path, tmp_path: Path) -> None:
    from ahalab.grading.pool import GraderPool
    from ahalab.stages.sampling_shards import ModelSampler

    config = make_config(SampleConfig, **settings(questions))
    with GraderPool(workers=1) as pool:
        sampler = ModelSampler(config, make_context(tmp_path, trained_base), str(trained_base), pool)
        together = sampler.complete(["Say a digit", "Name a number", "Say a digit"], [1, 2, 3])
        assert together[1:] == sampler.complete(["Name a number", "Say a digit"], [2, 3])
        assert len(together) == 3
        assert together[0] != together[2], "the key decides"


def test_a_judge_decides_where_no_rule_does(
    trained_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "open.jsonl"
    path.write_text("".join(json.dumps({"question": f"Say a digit, number {n}"}) + "\n" for n in range(4)))
    entry = {"file": str(path), "question": "question", "verifier": "none"}
    plain = settings(path, prompts=[entry], n=4, keep=["well_formed", "not_truncated", "correct"])
    with pytest.raises(UserError, match="no rule and no judge"):
        run_sample(make_config(SampleConfig, **plain), make_context(tmp_path / "none", trained_base))
    judge = FakeJudge(right=lambda answer: answer in ("1", "2"))
    monkeypatch.setattr(sample, "build_judge", lambda *_: judge)
    config = make_config(SampleConfig, **{**plain, "judge": "rules"})
    figures = run_sample(config, make_context(tmp_path / "judged", trained_base)).figures
    rows = read_rows(tmp_path / "judged" / "data")
    assert {row.answer for row in rows} <= {"1", "2"}
    assert figures["judge"]["counts"]["judged"] == judge.asked > 0
