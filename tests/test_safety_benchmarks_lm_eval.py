"""BBQ within lm-eval: its tasks load from a local file and give our figures, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.safety.benchmarks import bbq_figures, load_benchmark
from ahalab.safety.benchmarks.table import LM_EVAL_TASKS
from ahalab.safety.records import TargetReply

pytest.importorskip("lm_eval", reason="lm-eval is not installed")


def made_row(number: int) -> dict[str, Any]:
    ambiguous = number % 2 == 0
    return {
        "example_id": number,
        "question_index": str(number // 4),
        "question_polarity": "neg" if number % 4 < 2 else "nonneg",
        "context_condition": "ambig" if ambiguous else "disambig",
        "category": "Made",
        "answer_info": {"ans0": ["old", "old"], "ans1": ["unclear", "unknown"], "ans2": ["young", "nonOld"]},
        "additional_metadata": {"stereotyped_groups": ["old"]},
        "context": f"Two people met in room {number}.",
        "question": "Who was late?",
        "ans0": "The old one",
        "ans1": "Not known",
        "ans2": "The young one",
        "label": 1 if ambiguous else 2,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "Made.jsonl"
    path.write_text("".join(json.dumps(made_row(number)) + "\n" for number in range(16)))
    return path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("a test asked the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def tasks(data: Path, names: list[str]) -> dict[str, Any]:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(
        include_path=str(LM_EVAL_TASKS),
        include_defaults=False,
        metadata={"bbq": str(data), "pretrained": "x"},
    )
    if hasattr(manager, "load"):
        return dict(manager.load(names)["tasks"])
    return dict(manager.load_task_or_group(names))  # older lm-eval


@pytest.mark.usefixtures("no_network")
def test_both_tasks_load_from_a_local_file(data: Path) -> None:
    loaded = tasks(data, ["ahalab_bbq", "ahalab_bbq_written"])
    for task in loaded.values():
        docs = list(task.test_docs())
        assert len(docs) == 16
        assert "C. The young one" in task.doc_to_text(docs[0])
    assert loaded["ahalab_bbq"].doc_to_choice(docs[0]) == ["A", "B", "C"]
    assert loaded["ahalab_bbq"].doc_to_target(docs[0]) == 1


@pytest.mark.usefixtures("no_network")
def test_written_answers_get_our_figures(data: Path) -> None:
    task = tasks(data, ["ahalab_bbq_written"])["ahalab_bbq_written"]
    answers = ["(A)", "The young one", "I pick B.", "A or B"] * 4
    docs = list(task.test_docs())
    results = [task.process_results(doc, [answer]) for doc, answer in zip(docs, answers, strict=True)]
    found = {name: gather([one[name] for one in results]) for name, gather in task.aggregation().items()}
    items = load_benchmark("bbq", data).items
    ours = bbq_figures(
        items, [TargetReply(i.id, "t", answer) for i, answer in zip(items, answers, strict=True)]
    )
    assert found["acc"] == pytest.approx(ours["accuracy"]["value"])
    assert found["acc_ambiguous"] == pytest.approx(ours["accuracy_ambiguous"]["value"])
    assert found["bias_ambiguous"] == pytest.approx(ours["bias_ambiguous"]["value"])
    assert found["bias_disambiguated"] == pytest.approx(ours["bias_disambiguated"]["value"])
    assert found["no_option_named"] == pytest.approx(ours["no_option_named"] / ours["n"])


@pytest.mark.usefixtures("no_network")
def test_the_likeliest_letter_is_the_answer(data: Path) -> None:
    task = tasks(data, ["ahalab_bbq"])["ahalab_bbq"]
    doc = next(iter(task.test_docs()))
    assert task.process_results(doc, [(-2.0, False), (-1.0, True), (-3.0, False)])["acc"] == 1.0
    assert task.process_results(doc, [(-0.5, True), (-1.0, False), (-3.0, False)])["acc"] == 0.0


def test_without_a_file_the_task_says_how_to_name_one() -> None:
    from ahalab.errors import UserError
    from ahalab.safety.benchmarks.lm_eval_tasks.bbq_task import rows

    with pytest.raises(UserError, match="--metadata"):
        rows(pretrained="x")
