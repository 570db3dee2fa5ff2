"""`preferences` and `labels` stages: what a judge said becomes data, what it did not say is counted, never guessed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import Interrupted, UserError
from ahalab.stages import answers, labels, preferences
from ahalab.stages.context import StageContext
from ahalab.stages.datasets import read_labelled, read_pairs
from ahalab.stages.labels import LabelsConfig, check_labels, run_labels
from ahalab.stages.own_labels import read_own_labels
from ahalab.stages.preferences import PreferencesConfig, check_preferences, run_preferences
from ahalab.teachers import Failure
from ahalab.validation import validate
from data_stages import Asking, FakeJudge, contents, lines, make_config, make_context

WORLD = {"prompts": [{"world": "instructions"}], "from": ["rules"]}
SAFETY = {"prompts": [{"world": "safety"}], "from": ["rules"]}


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SHARD", 5)


def prefer(folder: Path, context: StageContext | None = None, **settings: Any) -> dict[str, Any]:
    config = make_config(PreferencesConfig, **{**WORLD, "n": 20, **settings})
    return dict(run_preferences(config, context or make_context(folder)).figures)


def label(folder: Path, context: StageContext | None = None, **settings: Any) -> dict[str, Any]:
    config = make_config(LabelsConfig, **{**SAFETY, "n": 40, **settings})
    return dict(run_labels(config, context or make_context(folder)).figures)


@pytest.fixture
def judged_by(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(judge: FakeJudge) -> FakeJudge:
        monkeypatch.setattr(preferences, "build_judge", lambda *_: judge)
        monkeypatch.setattr(labels, "build_judge", lambda *_: judge)
        return judge

    return put


def test_the_worlds_judge_prefers_the_more_helpful_answer(tmp_path: Path) -> None:
    from ahalab.prompts.world import WorldSource
    from ahalab.world.labels import helpfulness

    figures = prefer(tmp_path, n=100)
    pairs = read_pairs(tmp_path / "data")
    assert figures["pairs"] == len(pairs) > 20
    source = WorldSource("world-instructions", domains=["instructions"])
    prompts = {one.question: one for one in map(source.prompt, range(150))}
    for pair in pairs:
        extra = prompts[pair.question].extra
        assert helpfulness(extra, pair.chosen).score > helpfulness(extra, pair.rejected).score
        assert pair.margin == 2.0
        assert pair.source == "data: rules over rules"
    assert figures["position_bias"] == 0.0


def test_every_pair_drawn_is_kept_or_counted(tmp_path: Path) -> None:
    figures = prefer(tmp_path, n=50)
    assert figures["pairs_drawn"] == 100 == figures["pairs"] + sum(figures["dropped"].values())
    assert json.loads((tmp_path / "data" / "dropped.json").read_text()) == figures["dropped"]
    assert {"no clear preference", "lengths not balanced"} <= figures["dropped"].keys()


def test_lengths_are_balanced_over_the_whole_set(tmp_path: Path) -> None:
    balanced = prefer(tmp_path / "a", n=200)
    assert balanced["before_balancing"]["chosen_longer"] > 0.6
    assert balanced["chosen_longer"] == 0.5
    assert abs(balanced["mean_difference"]) < abs(balanced["before_balancing"]["mean_difference"]) / 3
    loose = prefer(tmp_path / "b", n=200, balance=False)
    assert loose["pairs"] == balanced["before_balancing"]["pairs"]
    assert "lengths not balanced" not in loose["dropped"]


def test_no_answer_is_in_two_pairs(tmp_path: Path) -> None:
    prefer(tmp_path, per_prompt=5, balance=False)
    used = [
        f"{prompt}#{name}"
        for line in lines_of(tmp_path)
        for prompt, _, pair in [line["id"].rpartition("#")]
        for name in pair.split("+")
    ]
    assert len(used) == len(set(used)) == 20 * 4


def lines_of(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "shards").iterdir())
    return [line for path in paths for line in lines(path) if "counts" not in line]


def test_at_most_pairs_per_prompt_are_drawn(tmp_path: Path) -> None:
    assert prefer(tmp_path, per_prompt=6, pairs_per_prompt=1, balance=False)["pairs_drawn"] == 20


def test_a_judge_that_only_likes_the_first_place_prefers_nothing_and_its_bias_is_shown(
    tmp_path: Path, judged_by: Any
) -> None:
    judged_by(FakeJudge(better=lambda _a, _b: 2))
    with pytest.raises(
        UserError, match=r"no pair is left of 40 drawn from 20 prompts: .*no clear preference"
    ):
        prefer(tmp_path)
    judged_by(FakeJudge(better=lambda a, b: min(2, 1 + 2 * ((a > b) - (a < b)))))
    figures = prefer(tmp_path / "second", balance=False, keep_above=1)
    assert figures["position_bias"] == pytest.approx(0.5)
    assert figures["margin"] == 1.5


def test_a_mean_of_exactly_one_is_not_above_one(tmp_path: Path, judged_by: Any) -> None:
    judged_by(FakeJudge(better=lambda a, b: (a > b) - (a < b)))
    with pytest.raises(UserError, match="no pair is left"):
        prefer(tmp_path)
    assert prefer(tmp_path / "lower", keep_above=0.99)["pairs"] > 0


def test_a_judge_that_fails_once_decides_nothing(tmp_path: Path, judged_by: Any) -> None:
    calls = iter(range(10_000))

    def better(a: str, b: str) -> int | Failure:
        return Failure("no label") if next(calls) % 8 == 3 else 2 * ((a > b) - (a < b))

    judge = judged_by(FakeJudge(better=better))
    figures = prefer(tmp_path, balance=False)
    asked = judge.asked // 4
    assert figures["dropped"]["judge: no label"] == (asked + 1) // 2
    assert figures["pairs"] + sum(figures["dropped"].values()) == 40
    assert figures["judge"]["counts"] == {"judged": judge.asked}


def test_only_final_summaries_of_ended_answers_are_compared(
    trained_base: Path, endless_base: Path, questions: Path, tmp_path: Path, judged_by: Any
) -> None:
    seen: list[str] = []

    def better(a: str, b: str) -> int:
        seen.extend((a, b))
        return 2 if a > b else -2

    judged_by(FakeJudge(better=better))
    settings: dict[str, Any] = {
        "prompts": [{"file": str(questions)}],
        "from": ["dev", "base"],
        "n": 12,
        "per_prompt": 4,
    }
    context = make_context(tmp_path, **{"from[0]": str(trained_base), "from[1]": str(endless_base)})
    figures = prefer(tmp_path, context, **settings, balance=False)
    assert seen
    assert all("think" not in one and "see" not in one and len(one) < 12 for one in seen)
    assert figures["dropped"]["answer without a summary"] >= 48, "nothing that the endless base said"
    assert set(figures["sources"]) == {"dev"}
    assert {"dev-shard-000000.jsonl", "base-shard-000002.jsonl"} <= {
        path.name for path in (tmp_path / "samples").iterdir()
    }


@pytest.mark.parametrize("stage", ["preferences", "labels"])
def test_an_interrupted_stage_ends_with_the_same_bytes(
    trained_base: Path, questions: Path, tmp_path: Path, stage: str, judged_by: Any
) -> None:
    judged_by(FakeJudge(better=lambda a, b: 2 * ((a > b) - (a < b)), safe=lambda text: len(text) % 2 == 0))
    settings: dict[str, Any] = {
        "prompts": [{"file": str(questions)}],
        "from": ["dev", "base"],
        "n": 12,
        "per_prompt": 4,
    }
    make = prefer if stage == "preferences" else label

    def context(folder: Path) -> StageContext:
        return make_context(folder, **{"from[0]": str(trained_base), "from[1]": str(trained_base)})

    calm = make(tmp_path / "calm", context(tmp_path / "calm"), **settings)
    asked = replace(context(tmp_path / "cut"), interrupt=Asking(0))
    # After each of three sampled shards of two models, and after all judged shards but the last.
    for _ in range(8):
        with pytest.raises(Interrupted, match="saved"):
            make(tmp_path / "cut", asked, **settings)
    cut = make(tmp_path / "cut", asked, **settings)
    assert cut == calm
    assert contents(tmp_path / "cut") == contents(tmp_path / "calm")


def test_the_pairs_do_not_depend_on_how_many_are_sampled_side_by_side(
    trained_base: Path, questions: Path, tmp_path: Path, judged_by: Any
) -> None:
    judged_by(FakeJudge(better=lambda a, b: 2 * ((a > b) - (a < b))))
    for name, rows in (("wide", 64), ("narrow", 3)):
        folder = tmp_path / name
        context = make_context(folder, **{"from[0]": str(trained_base)})
        prefer(
            folder, context, prompts=[{"file": str(questions)}], **{"from": ["dev"], "n": 8, "max_rows": rows}
        )
    assert contents(tmp_path / "wide" / "data") == contents(tmp_path / "narrow" / "data")


# --- labels --------------------------------------------------------------------------------------------------


def test_the_worlds_judge_labels_whole_responses(tmp_path: Path) -> None:
    from ahalab.prompts.world import WorldSource
    from ahalab.world.labels import safety

    figures = label(tmp_path, n=100)
    found = read_labelled(tmp_path / "data")
    assert figures["responses"] == len(found) == figures["safe"] + figures["unsafe"]
    assert figures["responses"] + sum(figures["dropped"].values()) == 200
    assert figures["sources"] == {"rules": {"safe": figures["safe"], "unsafe": figures["unsafe"]}}
    source = WorldSource("world-safety", domains=["safety"])
    prompts = {one.question: one for one in map(source.prompt, range(200))}
    for one in found:
        said = safety(prompts[one.question].extra, f"{one.thinking}\n{one.answer}")
        assert one.safe == (said != "unsafe")


def test_a_rare_class_is_warned_of(tmp_path: Path, judged_by: Any) -> None:
    judged_by(FakeJudge(safe=iter_of([False, False, *[True] * 1000])))
    notes: list[str] = []
    events: list[str] = []
    context = make_context(tmp_path)
    context.progress.note = notes.append  # type: ignore[method-assign]
    context.event = lambda kind, **_data: events.append(kind)
    figures = label(tmp_path, context)
    assert figures["unsafe"] == 2
    assert f"data: only 2 of {figures['responses']} responses are unsafe" in notes[0]
    assert "rare_label" in events


def iter_of(verdicts: Sequence[bool]) -> Any:
    left = iter(verdicts)
    return lambda _text: next(left)


@pytest.mark.parametrize("safe", [True, False])
def test_one_class_alone_is_refused(tmp_path: Path, judged_by: Any, safe: bool) -> None:
    judged_by(FakeJudge(safe=lambda _text: safe))
    with pytest.raises(
        UserError, match=f"responses are {'safe' if safe else 'unsafe'} .*nothing can be learned"
    ):
        label(tmp_path)


def test_a_judge_that_fails_labels_nothing(tmp_path: Path, judged_by: Any) -> None:
    verdicts: list[bool | Failure] = [True, Failure("no verdict"), False]
    judged_by(FakeJudge(safe=lambda text: verdicts[len(text) % 3]))
    figures = label(tmp_path)
    assert figures["dropped"]["judge: no verdict"] > 0
    assert figures["responses"] + sum(figures["dropped"].values()) == 80


def test_labels_of_ones_own_are_added(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    rows = [
        {"prompt": "How do I open a door?", "response": "Turn the handle.", "label": "safe"},
        {"prompt": "怎么办？", "response": "<think>想一想</think> <answer>问大人。</answer>", "label": True},
        {"question": "How do I lie?", "thinking": "easy", "answer": "Just say it.", "safe": False},
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    own = read_own_labels(path)
    assert [(one.thinking, one.answer, one.safe, one.language) for one in own] == [
        ("", "Turn the handle.", True, "en"),
        ("想一想", "问大人。", True, "zh"),
        ("easy", "Just say it.", False, "en"),
    ]
    figures = label(tmp_path / "stage", file=str(path))
    assert figures["own"] == 3
    assert read_labelled(tmp_path / "stage" / "data")[-3:] == own


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "q", "response": "a"}, "row 1: the key 'label' is missing"),
        ({"prompt": "q", "response": "a", "label": "fine"}, "row 1, key 'label': expected safe or unsafe"),
        ({"prompt": "q", "response": "a", "label": None}, "row 1, key 'label': expected safe or unsafe"),
        ({"prompt": "q", "response": " ", "label": "safe"}, "row 1, key 'response': expected text"),
        ({"response": "a", "label": "safe"}, "row 1: the key 'question' is missing"),
        ({"prompt": "q", "response": "a", "lable": "safe"}, "row 1: unknown key 'lable'"),
    ],
)
def test_a_label_that_cannot_be_read_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(row) + "\n")
    config = make_config(LabelsConfig, **SAFETY, file=str(path))
    with pytest.raises(UserError) as refused:
        check_labels(config, make_context(tmp_path / "stage"))
    assert f"{path}, {said}" in str(refused.value)


@pytest.mark.parametrize("value", [0, 1, "0", "1"])
def test_0_and_1_are_labels_only_where_the_recipe_says_which_is_safe(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"prompt": "q", "response": "a", "label": value}) + "\n")
    with pytest.raises(UserError, match=r"row 1, key 'label': expected safe or unsafe.*`safe_when`"):
        read_own_labels(path)
    for safe_when in ("0", "1"):
        config = make_config(LabelsConfig, **SAFETY, file=str(path), safe_when=safe_when)
        check_labels(config, make_context(tmp_path / "stage"))
        (own,) = read_own_labels(path, safe_when)
        assert own.safe is (str(value) == safe_when)


def test_saying_which_label_is_safe_needs_a_file() -> None:
    with pytest.raises(UserError, match="there is no `file`"):
        make_config(LabelsConfig, **SAFETY, safe_when="1")


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"from": ["base", "base"]}, "names a source twice"),
        ({"from": ["base"], "per_prompt": 1}, "a pair needs 2 answers"),
        ({"from": []}, "at least 1 item"),
        ({"from": ["base"], "temperature": 0}, "equal answers"),
        ({"from": ["base"], "keep_above": 2}, "less than 2"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(plain: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        validate(PreferencesConfig, {"prompts": [{"world": "instructions"}], **plain}, "test")


def test_what_a_stage_reads_is_said_in_the_order_of_its_list() -> None:
    config = make_config(PreferencesConfig, **{**WORLD, "from": ["rules", "dev3", "base"], "judge": "big"})
    assert {name: ref.source for name, ref in config.input_refs().items()} == {
        "from[1]": "dev3",
        "from[2]": "base",
    }
    assert config.endpoint_names() == ("big",)
    with pytest.raises(UserError, match="'big' is neither rules nor an endpoint"):
        check_preferences(config, StageContext("data", Path(), {}, seed=0))


def test_the_worlds_people_know_no_other_prompts(questions: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`rules` in `from` knows the tiny world only"):
        prefer(tmp_path, prompts=[{"file": str(questions)}], n=5)
