"""A `sample` stage leaves data, counts every drop, and after a kill at any moment leaves the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import Interrupted, UserError
from ahalab.stages import sample, sample_config
from ahalab.stages.context import StageContext
from ahalab.stages.datasets import read_rows
from ahalab.stages.review import export_rows
from ahalab.stages.sample import check_sample, run_sample
from ahalab.stages.sample_config import SampleConfig
from ahalab.teachers import Failure, Refined
from ahalab.validation import validate
from data_stages import Asking, FakeJudge, FakeTeacher, contents, good, lines, make_config, make_context

KEEP = ["well_formed", "not_truncated", "correct", "readable"]


def settings(questions: Path, **changes: Any) -> dict[str, Any]:
    return {"from": "base", "prompts": [{"file": str(questions)}], "n": 10, "keep": KEEP, **changes}


def run(folder: Path, base: Path, questions: Path, **changes: Any) -> dict[str, Any]:
    config = make_config(SampleConfig, **settings(questions, **changes))
    return dict(run_sample(config, make_context(folder, base)).figures)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SHARD", 4)


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> FakeTeacher:
    made = FakeTeacher(good())
    monkeypatch.setattr(sample, "build_teacher", lambda *_: made)
    return made


def test_every_sample_is_a_row_or_a_counted_drop(trained_base: Path, questions: Path, tmp_path: Path) -> None:
    figures = run(tmp_path, trained_base, questions, keep_per_prompt=1)
    rows = read_rows(tmp_path / "data")
    dropped = json.loads((tmp_path / "data" / "dropped.json").read_text())
    assert figures["candidates"] == 40 == len(rows) + sum(dropped.values())
    assert figures["dropped"] == dropped
    assert {"not correct", "not well formed", "more than keep_per_prompt"} <= dropped.keys()
    listed = lines(tmp_path / "data" / "dropped.jsonl")
    assert {one["reason"]: 0 for one in listed}.keys() == dropped.keys()
    assert len({one["id"] for one in listed} | {row.id for row in rows}) == 40
    # What was kept is what the samples say is right.
    samples = {
        f"{one['prompt_id']}#{one['sample']}": one
        for path in sorted((tmp_path / "samples").iterdir())
        for one in lines(path)
    }
    assert len(samples) == 40
    for row in rows:
        assert samples[row.id]["correct"] == 1.0
        assert samples[row.id]["answer"] == row.answer
        assert row.question == samples[row.id]["question"]
    assert len({row.prompt_id for row in rows}) == len(rows) == figures["prompts_with_rows"]


def test_the_statistics_are_those_of_the_rows(trained_base: Path, questions: Path, tmp_path: Path) -> None:
    figures = run(tmp_path, trained_base, questions)
    table = json.loads((tmp_path / "data" / "statistics.json").read_text())
    assert table == figures["statistics"]
    assert [one["domain"] for one in table] == ["general", "total"]
    assert table[-1]["samples"] == figures["rows"]
    assert table[-1]["rounds"] == 1.0
    assert table[-1]["tokens"] > 1


def test_an_interrupted_stage_ends_with_the_same_bytes(
    trained_base: Path, questions: Path, tmp_path: Path, teacher: FakeTeacher
) -> None:
    changes = {"refine": {"teacher": "rules"}, "keep": [*KEEP, "unique"]}
    figures = run(tmp_path / "calm", trained_base, questions, **changes)
    assert figures["refine"]["counts"]["refined"] == len(teacher.seen) > 0
    config = make_config(SampleConfig, **settings(questions, **changes))
    context = make_context(tmp_path / "cut", trained_base)
    for number in (1, 2):
        with pytest.raises(Interrupted, match=f"data: {number} of 3 shards are saved"):
            run_sample(config, replace(context, interrupt=Asking(0)))
    again = run_sample(config, context)
    assert dict(again.figures) == figures
    assert contents(tmp_path / "cut") == contents(tmp_path / "calm")


def test_a_kill_at_any_write_leaves_the_same_bytes(
    trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: FakeTeacher
) -> None:
    changes = {"refine": {"teacher": "rules"}, "n": 6}
    calm = run(tmp_path / "calm", trained_base, questions, **changes)
    rename, left = Path.rename, [0]

    def dying(self: Path, target: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dying)
    monkeypatch.setattr(Path, "replace", dying)
    for survived in range(50):
        left[0] = survived
        try:
            figures = run(tmp_path / "cut", trained_base, questions, **changes)
        except KeyboardInterrupt:
            continue
        break
    assert survived >= 2
    assert figures == calm
    assert contents(tmp_path / "cut") == contents(tmp_path / "calm")
    assert teacher.seen


def test_a_sampled_shard_is_not_sampled_again_when_the_teacher_stops_the_stage(
    trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"refine": {"teacher": "rules"}, "n": 4}

    def down(*_: Any) -> Any:
        raise UserError("the endpoint is down")

    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(down))
    with pytest.raises(UserError, match="the endpoint is down"):
        run(tmp_path, trained_base, questions, **changes)
    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(good()))
    monkeypatch.setattr("ahalab.stages.sampling_shards.load_policy", down)
    assert run(tmp_path, trained_base, questions, **changes)["rows"] > 0


def test_the_rows_do_not_depend_on_how_many_are_sampled_side_by_side(
    trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    run(tmp_path / "wide", trained_base, questions)
    run(tmp_path / "narrow", trained_base, questions, max_rows=3)
    assert contents(tmp_path / "wide" / "data") == contents(tmp_path / "narrow" / "data")


def test_when_nothing_is_left_it_says_which_filter_took_how_many(
    endless_base: Path, questions: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refused:
        run(tmp_path, endless_base, questions, n=5, keep=["not_truncated", "correct"])
    said = str(refused.value)
    assert "data: nothing is left of 20 answers to 5 prompts: " in said
    drops = json.loads((tmp_path / "data" / "dropped.json").read_text())
    assert sum(drops.values()) == 20
    for reason, count in drops.items():
        assert f"{count} {reason}" in said
    assert "raise `per_prompt`" in said
    assert len(list((tmp_path / "samples").iterdir())) == 2, "the samples stay to be looked at"
    assert not (tmp_path / "data" / "rows.jsonl").exists()


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


def test_another_teacher_in_the_middle_of_a_stage_is_refused(
    trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(SampleConfig, **settings(questions, refine={"teacher": "rules"}))
    context = make_context(tmp_path, trained_base)
    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(good()))
    with pytest.raises(Interrupted):
        run_sample(config, replace(context, interrupt=Asking(0)))
    monkeypatch.setattr(sample, "build_teacher", lambda *_: FakeTeacher(good(), identity="other"))
    with pytest.raises(UserError, match="the teacher or judge, or its prompt files, of data changed"):
        run_sample(config, context)


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"from": "teacher"}, "needs the key `teacher`"),
        ({"from": "teacher", "teacher": "self"}, "samples none"),
        ({"from": "base", "teacher": "rules"}, "goes with `from: teacher`"),
        ({"from": "teacher", "teacher": "rules", "refine": {}}, "is not rewritten"),
        ({"from": "base", "keep": ["correct", "corect"]}, "correct"),
        ({"from": "base", "keep": ["correct", "correct"]}, "twice"),
        ({"from": "base", "temperature": 0}, "equal samples"),
        ({"from": "base", "refine": {"parts": []}}, "at least 1 item"),
        ({"from": "base", "thresholds": {"correct": 2}}, "at most 1"),
        ({"from": "base", "refine": {"techer": "rules"}}, "did you mean `teacher`"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(plain: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        validate(SampleConfig, {"prompts": [{"world": "math"}], **plain}, "test")


def test_an_unknown_teacher_is_refused_before_anything_is_spent(tmp_path: Path) -> None:
    config = make_config(
        SampleConfig, **{"from": "base", "prompts": [{"world": "math"}], "refine": {"teacher": "rule"}}
    )
    assert config.endpoint_names() == ("rule",)
    with pytest.raises(UserError, match="did you mean `rules`"):
        check_sample(config, make_context(tmp_path))
    assert not list(tmp_path.iterdir()), "a check writes nothing"


# --- the reviewed file ---------------------------------------------------------------------------------------


@pytest.fixture
def reviewed(trained_base: Path, questions: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A review file of a finished stage, and the stage's settings."""
    plain = settings(questions)
    run(tmp_path / "first", trained_base, questions)
    export_rows(tmp_path / "first", tmp_path / "review.jsonl")
    return tmp_path / "review.jsonl", {**plain, "reviewed": str(tmp_path / "review.jsonl")}


def rewrite(path: Path, change: Any) -> list[dict[str, Any]]:
    *rows, exported = lines(path)
    change(rows)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*rows, exported])
    path.write_text(text, encoding="utf-8")
    return rows


def import_(plain: dict[str, Any], context: StageContext) -> dict[str, Any]:
    return dict(run_sample(make_config(SampleConfig, **plain), context).figures)


def test_a_reviewed_file_takes_the_place_of_sampling(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain = reviewed
    monkeypatch.setattr("ahalab.stages.sampling_shards.load_policy", None)
    import_(plain, make_context(tmp_path / "second", trained_base))
    first, second = read_rows(tmp_path / "first" / "data"), read_rows(tmp_path / "second" / "data")
    assert [replace(row, source="") for row in first] == [replace(row, source="") for row in second]
    assert second[0].source == "data: base, reviewed"
    assert path.exists()


def test_drops_are_counted_and_edited_rows_are_checked_again(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path
) -> None:
    path, plain = reviewed

    def change(rows: list[dict[str, Any]]) -> None:
        rows[0].update(status="drop", note="dull")
        rows[1].update(thinking="I was there before.", status="keep")
        rows[2].update(answer="17")
        rows[3].update(status="keep")

    rows = rewrite(path, change)
    figures = import_(plain, make_context(tmp_path / "second", trained_base))
    before = json.loads((tmp_path / "first" / "data" / "dropped.json").read_text())
    assert figures["dropped"] == {**before, "after review: not correct": 1, "dropped in review": 1}
    assert figures["rows"] == len(rows) - 2
    kept = {row.id: row for row in read_rows(tmp_path / "second" / "data")}
    assert kept[rows[1]["id"]].thinking == "I was there before."
    drops = {one["id"]: one for one in lines(tmp_path / "second" / "data" / "dropped.jsonl")}
    assert drops[rows[0]["id"]]["detail"] == "dull"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "q/1#0"}, "row 2: the id 'q/1#0' was not exported"),
        ({"question": "Who?"}, "row 2: its question is not that of"),
        ({"status": "maybe"}, "row 2: status 'maybe'"),
        ({"answer": " "}, "row 2: the answer is blank"),
        ({"answer": "</think> 4"}, "row 2, key 'answer': it contains </think>"),
        ({"thinking": 4}, "row 2, key 'thinking': expected text"),
        ({"stauts": "keep"}, "row 2: unknown key 'stauts'; did you mean 'status'"),
    ],
)
def test_a_reviewed_row_that_cannot_be_used_is_named(
    reviewed: tuple[Path, dict[str, Any]], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path, plain = reviewed
    rewrite(path, lambda rows: rows[1].update(change))
    with pytest.raises(UserError) as refused:
        check_sample(make_config(SampleConfig, **plain), make_context(tmp_path / "second"))
    assert f"{path}, {said}" in str(refused.value)


def test_every_sample_is_still_a_row_or_a_counted_drop_when_a_person_removed_rows(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path
) -> None:
    path, plain = reviewed
    gone: list[str] = []

    def change(rows: list[dict[str, Any]]) -> None:
        rows[0].update(status="drop")
        gone.extend((rows.pop(3)["id"], rows.pop(1)["id"]))

    rows = rewrite(path, change)
    figures = import_(plain, make_context(tmp_path / "second", trained_base))
    before = json.loads((tmp_path / "first" / "data" / "dropped.json").read_text())
    dropped = json.loads((tmp_path / "second" / "data" / "dropped.json").read_text())
    assert dropped == {**before, "removed in review": 2, "dropped in review": 1} == figures["dropped"]
    assert figures["candidates"] == 40 == figures["rows"] + sum(dropped.values())
    assert figures["rows"] == len(rows) - 1
    listed = lines(tmp_path / "second" / "data" / "dropped.jsonl")
    assert {one["id"] for one in listed if one["reason"] == "removed in review"} == set(gone)
    # A resumed import says the same, and so does a second review of what the first one left.
    again = import_(plain, make_context(tmp_path / "second", trained_base))
    assert again == figures
    export_rows(tmp_path / "second", tmp_path / "again.jsonl")
    plain["reviewed"] = str(tmp_path / "again.jsonl")
    rewrite(tmp_path / "again.jsonl", lambda rows: rows.pop())
    third = import_(plain, make_context(tmp_path / "third", trained_base))
    assert third["dropped"] == {**dropped, "removed in review": 3}
    assert third["candidates"] == 40


def test_a_file_exported_from_other_samples_is_refused(
    reviewed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    path, plain = reviewed
    fewer = make_config(SampleConfig, **{**plain, "per_prompt": 1})
    with pytest.raises(UserError, match=r"the id .* is none of data\. Export again"):
        check_sample(fewer, make_context(tmp_path / "second"))
    assert path.exists()


def test_an_edited_row_that_no_rule_can_check_is_all_that_is_asked_of_a_judge(
    trained_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "open.jsonl"
    path.write_text("".join(json.dumps({"question": f"Say a digit, number {n}"}) + "\n" for n in range(4)))
    entry = {"file": str(path), "question": "question", "verifier": "none"}
    plain = settings(
        path, prompts=[entry], n=4, keep=["well_formed", "not_truncated", "correct"], judge="rules"
    )
    monkeypatch.setattr(sample, "build_judge", lambda *_: FakeJudge())
    import_(plain, make_context(tmp_path / "first", trained_base))
    export_rows(tmp_path / "first", tmp_path / "review.jsonl")
    rewrite(tmp_path / "review.jsonl", lambda rows: rows[0].update(answer="seven"))
    judge = FakeJudge(right=lambda answer: answer != "seven")
    monkeypatch.setattr(sample, "build_judge", lambda *_: judge)
    plain["reviewed"] = str(tmp_path / "review.jsonl")
    figures = import_(plain, make_context(tmp_path / "second", trained_base))
    assert judge.asked == 1
    assert figures["dropped"]["after review: not correct"] == 1


def test_the_reviewed_file_may_not_change_on_the_way(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path
) -> None:
    path, plain = reviewed
    context = make_context(tmp_path / "second", trained_base)
    import_(plain, context)
    rewrite(path, lambda rows: rows[0].update(status="drop"))
    with pytest.raises(UserError, match=r"the reviewed file .* changed since it began"):
        import_(plain, context)


def test_when_everything_was_dropped_in_review_it_says_so(
    reviewed: tuple[Path, dict[str, Any]], trained_base: Path, tmp_path: Path
) -> None:
    path, plain = reviewed
    rows = rewrite(path, lambda rows: [row.update(status="drop") for row in rows])
    with pytest.raises(
        UserError, match=rf"of {len(rows)} rows of the reviewed file .* {len(rows)} dropped in review"
    ):
        import_(plain, make_context(tmp_path / "second", trained_base))


def test_the_paper_stands_beside_the_keys() -> None:
    fields = SampleConfig.model_fields
    for name in ("temperature", "n", "per_prompt", "keep", "judge"):
        extra = fields[name].json_schema_extra
        assert isinstance(extra, dict)
        assert extra["paper"]
    assert sample_config.RefineConfig.model_fields["teacher"].json_schema_extra == {
        "paper": "DeepSeek-V3",
        "paper_note": "",
    }
