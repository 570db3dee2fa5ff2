"""Benchmarks as tasks of Inspect AI: run with its mock model, no network; figures in both conventions."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="the extra `inspect` is not installed")

from importlib.metadata import entry_points

from inspect_ai import eval as inspect_eval
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import (
    ChatMessageAssistant,
    ContentReasoning,
    ContentText,
    ModelOutput,
    ModelUsage,
    get_model,
)

from ahalab.errors import UserError
from ahalab.safety.benchmarks import BENCHMARKS
from ahalab.safety.ecosystem import registry, tasks
from ahalab.safety.ecosystem.batching import BatchedJudge
from ahalab.safety.ecosystem.figures import Scored, verdict_figures
from ahalab.safety.ecosystem.samples import item_of, parted, reply_of, sample_of
from ahalab.safety.judging import opening
from ahalab.safety.protocols import Benchmark, OnJudgement
from ahalab.safety.records import Case, Judgement, SafetyItem, TargetReply, VerdictWord

ITEMS = tuple(
    SafetyItem(
        f"D0{1 + number % 2}-0{number}-{language}",
        "toy",
        language,
        f"D0{1 + number % 2}",
        f"How does gardener {number} water the tomatoes? ({language})",
        cluster=f"D0{1 + number % 2}-0{number}",
    )
    for number in range(3)
    for language in ("zh", "en")
)
SHARED = Path(__file__).parents[1] / "../shared/data/safety"
TOY = Benchmark("toy", ITEMS, "judge", "made here", "0" * 64, "none")


class ByWord:
    """A judge that takes its verdict from the text, and fails where it says so."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def identity(self) -> dict[str, Any]:
        return {"kind": "test", "model": "by word", "prompt": "0", "training_data": []}

    def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
        self.batches.append(len(cases))
        for case in cases:
            text = case.reply.thinking if case.part == "thinking" else case.reply.answer
            verdict: VerdictWord = next(
                (word for word in ("unsafe", "rejection", "judge_error") if word in text), "safe"
            )  # type: ignore[assignment]
            reason = "schema" if verdict == "judge_error" else ""
            on_judgement(
                Judgement(case.item.id, case.reply.target, case.part, verdict, reason, rationale="as told")
            )


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> ByWord:
    one = ByWord()
    monkeypatch.setattr(opening, "open_judge", lambda *_: one)
    return one


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(
        _name: str, _source: Path | None = None, limit: int | None = None, languages: Any = None
    ) -> Benchmark:
        items = [one for one in ITEMS if languages is None or one.language in languages]
        return replace(TOY, items=tuple(items[:limit]))

    monkeypatch.setattr(tasks, "load_benchmark", load)


def said(words: str) -> ModelOutput:
    """A reply with its token counts told: Inspect's mock model would fetch a tokenizer to count them."""
    output = ModelOutput.from_content("mockllm/model", words)
    output.usage = ModelUsage(input_tokens=3, output_tokens=4, total_tokens=7)
    return output


def run(task: Any, tmp_path: Path, outputs: Sequence[str], **more: Any) -> EvalLog:
    model = get_model("mockllm/model", custom_outputs=[said(words) for words in outputs])
    (log,) = inspect_eval(task, model=model, log_dir=str(tmp_path), display="none", max_samples=1, **more)
    assert log.status == "success", log.error
    return read_eval_log(log.location)


def metrics(log: EvalLog, scorer: int = 0) -> dict[str, float]:
    assert log.results is not None
    return {name: one.value for name, one in log.results.scores[scorer].metrics.items()}


def test_the_entry_point_names_the_registry_and_every_benchmark_is_a_task() -> None:
    found = [one for one in entry_points(group="inspect_ai") if one.name == "ahalab"]
    if not found:
        pytest.skip("ahalab is not installed with its entry points")
    assert found[0].load() is registry
    names = {"sst": "simple_safety_tests", "redteam": "red_team", "dna": "do_not_answer"}
    for name in BENCHMARKS:
        assert names.get(name, name.replace("-", "_")) in registry.__all__, name


def test_an_item_comes_back_whole_from_its_sample() -> None:
    item = replace(ITEMS[0], extra={"options": ["a", "b"], "note": "kind"})
    assert item_of(sample_of(item).metadata or {}) == item


@pytest.mark.parametrize(
    "content",
    [
        "<think>turn it over</think>the answer",
        "turn it over</think>the answer",
        [ContentReasoning(reasoning="turn it over"), ContentText(text="the answer")],
    ],
)
def test_thinking_is_told_apart_however_it_comes(content: Any) -> None:
    assert parted(ChatMessageAssistant(content=content)) == ("turn it over", "the answer")


def test_what_stopped_the_model_is_kept() -> None:
    reply = reply_of(ITEMS[0], ModelOutput.from_content("m/x", "half", stop_reason="max_tokens"))
    assert (reply.finish, reply.control) == ("length", "")
    reply = reply_of(ITEMS[0], ModelOutput.from_content("m/x", "", stop_reason="content_filter"), epoch=2)
    assert (reply.finish, reply.control, reply.target) == ("content_filter", "content_filter", "x+2")


@pytest.mark.usefixtures("toy", "judge")
def test_a_run_has_both_conventions_and_a_judge_error_is_unscored(tmp_path: Path) -> None:
    words = [
        "unsafe words",
        "<think>unsafe plan</think>good words",
        "rejection",
        "judge_error",
        "fine",
        "fine",
    ]
    log = run(tasks.safety_1120(part="both"), tmp_path, words)
    assert log.eval.task == "ahalab/safety_1120"
    assert log.results is not None
    answer, thinking = log.results.scores
    assert (answer.scored_samples, answer.unscored_samples) == (5, 1)
    assert (thinking.scored_samples, thinking.unscored_samples) == (1, 5)
    found = metrics(log)
    assert found["n"] == 5
    assert found["unsafe (three-way)"] == pytest.approx(1 / 5)
    assert found["rejection (three-way)"] == pytest.approx(1 / 5)
    assert found["safe (three-way)"] == pytest.approx(3 / 5)
    assert found["safe (refusal is safe)"] == pytest.approx(4 / 5)
    assert found["unsafe low"] < 1 / 5 < found["unsafe high"]
    assert found["unsafe in zh"] == pytest.approx(1 / 3)
    assert found["unsafe in en"] == 0
    assert metrics(log, 1)["unsafe (three-way)"] == 1
    assert log.samples is not None
    failed = next(one for one in log.samples if one.output.completion == "judge_error")
    assert failed.scores is not None
    score = failed.scores["answer_verdict"]
    assert isinstance(score.value, float)
    assert math.isnan(score.value)
    assert score.reason == "judge_error: schema"


@pytest.mark.usefixtures("toy", "judge")
def test_thinking_is_kept_apart_in_the_log(tmp_path: Path) -> None:
    log = run(tasks.safety_1120(limit=1), tmp_path, ["<think>turn it over</think>the answer"])
    assert log.samples is not None
    content = log.samples[0].messages[-1].content
    assert [type(part).__name__ for part in content] == ["ContentReasoning", "ContentText"]
    assert log.samples[0].output.completion == "the answer"
    assert log.samples[0].scores is not None
    assert log.samples[0].scores["answer_verdict"].answer == "the answer"
    assert "judge" in (log.samples[0].scores["answer_verdict"].metadata or {})


@pytest.mark.usefixtures("toy", "judge")
def test_several_epochs_are_settled_by_the_commonest_verdict(tmp_path: Path) -> None:
    log = run(tasks.safety_1120(limit=1), tmp_path, ["unsafe", "unsafe", "fine"], epochs=3)
    assert metrics(log)["unsafe (three-way)"] == 1


@pytest.mark.usefixtures("toy", "judge")
def test_language_and_limit_choose_items() -> None:
    assert len(tasks.safety_1120(language="zh").dataset) == 3
    assert len(tasks.safety_1120(language="zh,en", limit=4).dataset) == 4
    with pytest.raises(UserError, match="did you mean `thinking`"):
        tasks.safety_1120(part="thinkin")


@pytest.mark.usefixtures("judge")
def test_the_bundled_questions_are_a_task_with_source_hash_and_licence() -> None:
    task = tasks.safety_1120()
    assert len(task.dataset) == 1120
    assert set(task.metadata or {}) >= {"source", "sha256", "licence", "conventions"}
    sample = task.dataset[0]
    assert (sample.metadata or {})["category"] in "DIHM" or len((sample.metadata or {})["category"]) == 1


def test_copyright_is_scored_without_a_judge_model(tmp_path: Path) -> None:
    task = tasks.public_domain(language="en", limit=2)
    passages = [one.metadata["item"]["extra"] for one in task.dataset if one.metadata]
    text = next(value for value in passages[0].values() if isinstance(value, str) and len(value) > 200)
    log = run(task, tmp_path, [text, "I would rather not recite it."])
    found = metrics(log)
    assert found["unsafe (three-way)"] == 0.5


def test_figures_on_hand_made_verdicts_and_none_at_all() -> None:
    def scored(place: int, verdict: VerdictWord, reason: str = "") -> Scored:
        item = ITEMS[place]
        reply = TargetReply(item.id, "t", "")
        return Scored(item, reply, Judgement(item.id, "t", "answer", verdict, reason))

    found = verdict_figures(
        [scored(0, "unsafe"), scored(1, "unsafe"), scored(2, "rejection", "empty"), scored(4, "safe")]
    )
    assert found["unsafe (three-way)"] == 0.5
    assert found["safe (refusal is safe)"] == 0.5
    assert found["coherent"] == 0.75
    assert verdict_figures([]) == {"n": 0.0}


def test_cases_that_wait_are_judged_together_and_each_gets_its_own_verdict() -> None:
    class Slow(ByWord):
        def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
            time.sleep(0.05)
            super().judge(list(reversed(cases)), on_judgement)

    slow = Slow()
    batched = BatchedJudge(slow)
    found: dict[int, Judgement] = {}

    def one(number: int) -> None:
        item = replace(ITEMS[0], id=f"q{number}")
        answer = "unsafe" if number % 2 else "fine"
        found[number] = batched.verdict(Case(item, TargetReply(item.id, "t", answer)))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(slow.batches) == 20
    assert len(slow.batches) < 20
    for number, judgement in found.items():
        assert (judgement.item, judgement.verdict) == (f"q{number}", "unsafe" if number % 2 else "safe")


def test_an_error_of_the_judge_reaches_everybody_who_waits() -> None:
    class Broken(ByWord):
        def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:  # noqa: ARG002
            raise UserError("the server refuses access")

    class Silent(ByWord):
        def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
            pass

    case = Case(ITEMS[0], TargetReply(ITEMS[0].id, "t", "x"))
    with pytest.raises(UserError, match="refuses access"):
        BatchedJudge(Broken()).verdict(case)
    with pytest.raises(RuntimeError, match="no judgement"):
        BatchedJudge(Silent()).verdict(case)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/safety is not here")
def test_bbq_is_scored_by_the_option_without_a_judge_model(tmp_path: Path) -> None:
    task = tasks.bbq(source=str(SHARED / "bbq_religion.jsonl"), limit=4)
    extras = [(sample.metadata or {})["item"]["extra"] for sample in task.dataset]
    answers = [f"Answer: {'ABC'[one['right']]}" for one in extras[:3]]
    log = run(task, tmp_path, [*answers, "I would rather not say."])
    found = metrics(log)
    assert found["accuracy (three-way)"] == 0.75
    assert found["accuracy (refusal is safe)"] == 1
    assert found["no option named"] == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/safety is not here")
def test_xstest_has_over_refusal_and_compliance(
    judge: ByWord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def by_head(cases: Sequence[Case], on_judgement: OnJudgement) -> None:
        for case in cases:
            word = "full refusal" if "no" in case.reply.answer else "full compliance"
            on_judgement(Judgement(case.item.id, case.reply.target, case.part, "safe", compliance=word))

    monkeypatch.setattr(judge, "judge", by_head)
    task = tasks.xstest(source=str(SHARED / "xstest_prompts.csv"), limit=20)
    harmful = [(sample.metadata or {})["item"]["harmful"] for sample in task.dataset]
    log = run(task, tmp_path, ["no" if one else "yes" for one in harmful])
    found = metrics(log)
    assert found["over-refusal, full (three-way)"] == 0
    assert found["compliance with unsafe prompts (three-way)"] == 0
