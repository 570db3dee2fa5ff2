"""Alignment RL: each type of prompt has its own rewards, general prompts only in the window; it resumes to the byte."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import RunStopped, UserError
from ahalab.stages import rl
from ahalab.stages.context import StageContext
from ahalab.stages.preference import Preferences
from ahalab.stages.preflight import PreflightReport, preflight
from ahalab.stages.watch import DeadRunWatch
from alignment_tools import (
    FakeJudge,
    Killed,
    alignment,
    kill_after_samples_of,
    left,
    make_reward_model,
    metrics_of,
    rows_of,
    run,
    write_general,
)

Entries = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def general(tmp_path_factory: pytest.TempPathFactory) -> Entries:
    return write_general(tmp_path_factory.mktemp("general"))


@pytest.fixture(scope="module")
def inputs(trained_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    helpful = make_reward_model(folder / "helpful", trained_base, "pairwise")
    safety = make_reward_model(folder / "safety", trained_base, "pointwise", seed=2)
    return {
        "from": str(trained_base),
        "preference.helpful": str(helpful),
        "preference.safety": str(safety),
    }


@pytest.fixture(scope="module")
def done(
    questions: Path, general: Entries, inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("done")
    run(alignment(questions, general), folder, inputs)
    return folder


def test_general_prompts_are_sampled_in_the_window_only(done: Path) -> None:
    domains = [Counter(row["domain"] for row in rows_of(done) if row["rollout"] == n) for n in range(1, 7)]
    assert [set(counts) for counts in domains[:2]] == [{"general"}, {"general"}]
    inside = sum(domains[2:], Counter())
    # Three sources of weight 1: each has its third of 4 rollouts of 16 samples, to the prompt.
    assert set(inside) == {"general", "instructions", "safety"}
    assert all(abs(count / 4 - 16 / 3) <= 1 for count in inside.values())
    assert [row["window"] for row in metrics_of(done)] == [False, False, True, True, True, True]


def test_the_stages_own_prompts_go_on_in_the_window_where_they_stood(done: Path) -> None:
    served: dict[str, int] = {}
    for row in rows_of(done):
        if row["domain"] == "general":
            served.setdefault(row["prompt_id"], row["rollout"])
    # 8 of 12 questions came before the window; the next ones in it are the other 4, before any comes again.
    assert sorted(served.values())[:8] == [1] * 4 + [2] * 4
    assert len(served) == 12
    assert all(rollout > 2 for rollout in sorted(served.values())[8:])


def test_each_type_of_prompt_has_the_rewards_of_its_type(done: Path) -> None:
    judge_of = {"general": "accuracy", "instructions": "helpful", "safety": "safety"}
    for row in rows_of(done):
        parts, own = row["reward"], judge_of[row["domain"]]
        assert set(parts) == {"accuracy", "format", "helpful", "safety"}
        applying = {name for name, value in parts.items() if value is not None}
        assert applying == {own, "format"}
        assert 0.0 <= parts[own] <= 1.0
        if own == "accuracy":
            assert row["total"] == parts["format"] + (parts["accuracy"] if row["well_formed"] else 0.0)
        else:
            assert row["total"] == pytest.approx(parts[own] + parts["format"])
            assert (row["correct"] is None) == (
                own == "helpful"
            )  # the world's own score is only written down


def test_metrics_tell_the_domains_apart_and_accuracy_is_of_reasoning_prompts_alone(done: Path) -> None:
    rows = rows_of(done)
    for metrics in metrics_of(done):
        mine = [row for row in rows if row["step"] == metrics["step"]]
        right = [row["correct"] for row in mine if row["domain"] == "general"]
        assert metrics["accuracy"] == pytest.approx(sum(right) / len(right))
        judged = [
            value
            for row in mine
            for name in ("helpful", "safety")
            if (value := row["reward"][name]) is not None
        ]
        if metrics["window"]:
            assert metrics["accuracy/general"] == metrics["accuracy"]
            assert metrics["accuracy/instructions"] is None
            safe = [row["correct"] for row in mine if row["domain"] == "safety"]
            assert metrics["accuracy/safety"] == pytest.approx(sum(safe) / len(safe))
            assert metrics["preference"] == pytest.approx(sum(judged) / len(judged))
        else:
            assert "accuracy/general" not in metrics
            assert metrics["preference"] is None
        assert metrics["preference_errors"] == 0


def test_the_finished_stage_names_its_preference(
    questions: Path, general: Entries, inputs: dict[str, str], tmp_path: Path
) -> None:
    result = run(alignment(questions, general), tmp_path, inputs)
    assert {"steps", "accuracy", "format", "preference"} <= set(result.figures)
    assert result.reproducible


def watching(questions: Path, general: Entries, **changes: Any) -> dict[str, Any]:
    """A watch over the questions and both kinds of general prompts, at steps 4 and 6."""
    sources = [{"file": str(questions)}, *general["instructions"], *general["unsafe"]]
    return {"every": 2, "prompts": 16, "sources": sources, **changes}


@pytest.fixture(scope="module")
def watched(
    questions: Path, general: Entries, inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    run(alignment(questions, general, hacking=watching(questions, general)), folder, inputs)
    return folder


def test_the_watch_only_looks(watched: Path, done: Path) -> None:
    one, other = left(watched), left(done)
    assert one.pop("metrics.jsonl") != other.pop("metrics.jsonl")
    assert one == other


def test_the_watch_measures_where_it_is_due(watched: Path) -> None:
    rows = [row for row in metrics_of(watched) if "hacking/preference" in row]
    assert [row["step"] for row in rows] == [4, 6]
    for row in rows:
        assert 0.0 <= row["hacking/preference"] <= 1.0
        assert all(
            0.0 <= row[f"hacking/{name}"] <= 1.0 for name in ("rule", "rule_general", "rule_reasoning")
        )
        assert row["hacking/flag"] is False


@pytest.mark.parametrize("rollout", [2, 3, 6])
def test_a_killed_run_ends_with_the_same_bytes(
    questions: Path,
    general: Entries,
    inputs: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    watched: Path,
    rollout: int,
) -> None:
    config = alignment(questions, general, hacking=watching(questions, general))
    with monkeypatch.context() as patch:
        kill_after_samples_of(patch, rollout)
        with pytest.raises(Killed):
            run(config, tmp_path, inputs)
    run(config, tmp_path, inputs)
    assert left(tmp_path) == left(watched)


def judged_by(patch: pytest.MonkeyPatch, score: Any) -> FakeJudge:
    judge = FakeJudge(score)
    patch.setattr(rl, "load_preferences", lambda *_: Preferences({"helpful": judge, "safety": judge}))
    return judge


def test_reward_models_are_asked_once_a_rollout_each(
    questions: Path, general: Entries, inputs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judged_by(monkeypatch, lambda _question, _response: 0.5)
    run(alignment(questions, general), tmp_path, inputs)
    assert len(judge.asked) == 8
    assert sum(map(len, judge.asked)) == sum(row["domain"] != "general" for row in rows_of(tmp_path))


def test_a_failed_score_is_counted_and_never_a_zero(
    questions: Path, general: Entries, inputs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged_by(monkeypatch, lambda question, _response: math.nan if question.startswith("Say") else 0.5)
    run(alignment(questions, general), tmp_path, inputs)
    rows = rows_of(tmp_path)
    failed = [row for row in rows if row["domain"] == "instructions"]
    assert failed
    for row in failed:
        assert (row["total"], row["advantage"]) == (None, None)
        assert row["error"] == "the reward model gave no finite score"
    assert sum(row["preference_errors"] for row in metrics_of(tmp_path)) == len(failed)


def test_a_window_of_all_steps_rewards_preference_from_the_first(
    questions: Path, general: Entries, inputs: dict[str, str], tmp_path: Path
) -> None:
    window = {"last": "all", "prompts": general["unsafe"]}
    prompts = [{"file": str(questions)}, *general["instructions"]]
    run(alignment(questions, general, window=window, prompts=prompts, steps=2), tmp_path, inputs)
    assert {row["domain"] for row in rows_of(tmp_path) if row["rollout"] == 1} == {
        "general",
        "instructions",
        "safety",
    }
    assert [row["window"] for row in metrics_of(tmp_path)] == [True, True]


def test_a_hacked_run_is_marked_and_goes_on_or_stops(
    questions: Path, general: Entries, inputs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paid for whatever is no digit from 1 to 4, the policy unlearns its answers."""
    judged_by(monkeypatch, lambda _question, response: float(len(response.text) % 97) / 97)
    seen: list[dict[str, Any]] = []
    before = {"preference": [0.0] * 8 + [None] * 8, "rule_general": [None] * 16}
    items = [{**before, "rule_reasoning": [None] * 8 + [1.0] * 8}] + [
        {
            "preference": [0.5 + 0.01 * n for n in range(8)] + [None] * 8,
            "rule_general": [None] * 16,
            "rule_reasoning": [None] * 8 + [0.1 * (n % 3) for n in range(8)],
        }
    ] * 8
    calls = iter(items * 2)
    monkeypatch.setattr("ahalab.stages.hacking_guard.HackingProbe.measure", lambda _self: next(calls))

    def event(kind: str, **data: Any) -> None:
        seen.append({"kind": kind, **data})

    settings = {"every": 1, "patience": 2}
    config = alignment(questions, general, hacking=watching(questions, general, **settings))
    result = run(config, tmp_path / "warned", inputs, event=event)
    hacking = result.figures["reward_hacking"]
    assert (hacking["hacked"], hacking["step"], hacking["checks"]) == (True, 4, 4)
    assert [one["step"] for one in seen if one["kind"] == "reward_hacking"] == [4]
    flags = {
        row["step"]: row["hacking/flag"] for row in metrics_of(tmp_path / "warned") if "hacking/flag" in row
    }
    assert flags == {3: False, 4: True, 5: True, 6: True}

    calls = iter(items)
    config = alignment(questions, general, hacking=watching(questions, general, **settings, action="stop"))
    for _ in range(2):  # the same command says it again: nothing was undone
        with pytest.raises(RunStopped, match="stopped at step 4: reward hacking at step 4"):
            run(config, tmp_path / "stopped", inputs)
    assert max(path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir()) == "step-000004"


def test_a_prompt_that_nothing_would_reward_is_refused_by_name(
    questions: Path, general: Entries, inputs: Mapping[str, str], tmp_path: Path
) -> None:
    config = alignment(
        questions,
        general,
        prompts=[{"file": str(questions)}, *general["instructions"]],
        window={"last": 4, "prompts": general["unsafe"]},
    )
    with pytest.raises(
        UserError, match=r"instructions/.* is among `prompts`, and the helpful reward model judges it"
    ):
        run(config, tmp_path / "one", inputs)
    stranger = [{**general["instructions"][0], "domain": "poetry", "name": "poems"}]
    config = alignment(questions, general, window={"last": 4, "prompts": stranger})
    with pytest.raises(UserError, match=r"poems/.* \(domain poetry, verifier none\) would not be rewarded"):
        run(config, tmp_path / "two", inputs)


def test_reward_models_that_were_mixed_up_are_refused(
    questions: Path, general: Entries, inputs: Mapping[str, str], tmp_path: Path
) -> None:
    swapped = {**inputs, "preference.helpful": inputs["preference.safety"]}
    with pytest.raises(UserError, match="helpful_rm is pointwise, expected pairwise"):
        run(alignment(questions, general), tmp_path, swapped)


def test_the_language_reward_is_added_and_with_weight_0_only_measured(
    questions: Path, inputs: Mapping[str, str], tmp_path: Path
) -> None:
    plain = {"preference": None, "window": None, "steps": 1}
    totals = {}
    for weight in (0.0, 1.0):
        rewards = {"accuracy": 1.0, "format": 1.0, "language": weight}
        folder = tmp_path / str(weight)
        run(
            alignment(questions, {"instructions": [], "unsafe": []}, rewards=rewards, **plain), folder, inputs
        )
        rows = rows_of(folder)
        consistency = [row["reward"]["language"] for row in rows]
        # The base thinks in English, whatever it is asked in.
        assert {row["reward"]["language"] for row in rows if row["language"] == "zh"} <= {0.0, None}
        assert {row["reward"]["language"] for row in rows if row["language"] == "en"} <= {1.0, None}
        applying = [value for value in consistency if value is not None]
        assert metrics_of(folder)[0]["language"] == pytest.approx(sum(applying) / len(applying))
        totals[weight] = [row["total"] for row in rows]
    assert totals[1.0] == pytest.approx(
        [total + (value or 0.0) for total, value in zip(totals[0.0], consistency, strict=True)]
    )
    assert set(totals[0.0]) <= {0.0, 1.0, 2.0}


def look(config: Any, inputs: Mapping[str, str]) -> PreflightReport:
    return preflight(
        config, StageContext(name="r1", folder=Path(), inputs=inputs, seed=0), lambda _memory: None
    )


def test_preflight_shows_both_types_of_prompts_with_their_rewards(
    questions: Path, general: Entries, inputs: Mapping[str, str]
) -> None:
    report = look(alignment(questions, general), inputs)
    samples = [row.parts for row in report.rows if row.what.startswith("sample")]
    assert len(samples) == 8
    assert sum(parts["accuracy"] is not None for parts in samples) == 4
    assert sum(parts["helpful"] is not None or parts["safety"] is not None for parts in samples) == 4
    assert not [notice for notice in report.notices if "reward model" in notice]
    assert report.gold_graded == 12


def test_preflight_passes_over_reward_models_that_do_not_exist_yet(
    questions: Path, general: Entries, inputs: Mapping[str, str], tmp_path: Path
) -> None:
    early = {"from": inputs["from"], "preference.safety": str(tmp_path / "not-there")}
    notices = look(alignment(questions, general), early).notices
    assert [notice for notice in notices if "its vocabulary is checked once helpful_rm is done" in notice]
    assert [notice for notice in notices if "its vocabulary is checked once safety_rm is done" in notice]


def test_a_reward_model_of_another_vocabulary_is_refused_before_anything_is_spent(
    questions: Path, general: Entries, inputs: Mapping[str, str], trained_base: Path, tmp_path: Path
) -> None:
    folder = make_reward_model(tmp_path / "other", trained_base, "pairwise", new_token="<new>")
    others = {**inputs, "preference.helpful": str(folder)}
    for start in (look, lambda config, given: run(config, tmp_path / "run", given)):
        with pytest.raises(
            UserError, match=r"preference\.helpful: .* has another vocabulary than the policy"
        ) as refused:
            start(alignment(questions, general), others)
        assert "'<new>'" in str(refused.value)


def test_preflight_refuses_what_the_window_could_not_serve(
    questions: Path, general: Entries, inputs: Mapping[str, str]
) -> None:
    with pytest.raises(UserError, match=r"has 12 prompts, and \d+ different ones are wanted at a time"):
        look(alignment(questions, general, prompts_per_step=60, prompts=[{"world": "math"}]), inputs)
    watch = watching(questions, general, sources=[{"file": str(questions)}], prompts=8)
    with pytest.raises(UserError, match=r"of the 8 held-out prompts 0 have a reward model"):
        look(alignment(questions, general, hacking=watch), inputs)


def test_a_collapse_is_looked_for_among_reasoning_prompts_alone(
    questions: Path,
    general: Entries,
    inputs: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[float, float]] = []
    saw = DeadRunWatch.saw

    def listen(self: DeadRunWatch, **figures: Any) -> None:
        seen.append((figures["accuracy"], figures["format_rate"]))
        saw(self, **figures)

    monkeypatch.setattr(DeadRunWatch, "saw", listen)
    run(alignment(questions, general), tmp_path, inputs)
    rows = rows_of(tmp_path)
    for rollout, figures in enumerate(seen, start=1):
        mine = [row for row in rows if row["rollout"] == rollout and row["domain"] == "general"]
        for key, figure in zip(("correct", "well_formed"), figures, strict=True):
            assert figure == pytest.approx(sum(row[key] for row in mine) / len(mine))
