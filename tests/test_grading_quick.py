"""Scores given in the calling process: those a worker gives, in bounded time, with nothing imported."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from ahalab.grading import GraderPool, pool, quick
from ahalab.grading.quick import QUICK_LIMIT, quick_score
from ahalab.prompts.config import WorldEntry, build_mixture
from ahalab.records import GradeRequest, Verdict

OPTIONS = {"options": ["Rome", "Paris", "Bonn", "1,000"]}


def world_requests(domain: str, n: int = 40) -> list[GradeRequest]:
    """The tiny world's own prompts, each with its gold answer, another's, a boxed one, and none that fits."""
    prompts = build_mixture([WorldEntry(world=domain)], seed=3).take(0, n)
    answers = [
        (str(prompt.answer), f"so \\boxed{{{prompt.answer}}}.", str(other.answer), "no idea", "7")
        for prompt, other in zip(prompts, prompts[1:] + prompts[:1], strict=True)
    ]
    return [
        GradeRequest(prompt.verifier, answer, prompt.answer, dict(prompt.extra))
        for prompt, given in zip(prompts, answers, strict=True)
        for answer in given
    ]


def by_workers(monkeypatch: pytest.MonkeyPatch, requests: list[GradeRequest]) -> list[Verdict]:
    monkeypatch.setattr(pool, "quick_score", lambda _request: None)
    with GraderPool(2, cpu_seconds=20) as graders:
        verdicts = graders.grade_all(requests)
        assert graders.counts.at_once == 0
    return verdicts


@pytest.mark.parametrize("domain", ["math", "logic", "choice", "instructions", "safety"])
def test_on_the_tiny_world_every_verdict_is_given_at_once_and_is_the_workers(
    monkeypatch: pytest.MonkeyPatch, domain: str
) -> None:
    requests = world_requests(domain)
    with GraderPool(2) as graders:
        verdicts = graders.grade_all(requests)
        assert graders.counts.at_once == graders.counts.graded == len(requests)
        assert not graders._threads
    assert verdicts == by_workers(monkeypatch, requests)
    assert len({verdict.score for verdict in verdicts}) > 1


def test_numbers_are_decided_at_once_and_the_rest_of_mathematics_by_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = [
        ("\\boxed{18}", "18"),
        ("17", "18"),
        ("$\\frac{1}{2}$", "0.5"),
        ("2\\sqrt{2}", "\\sqrt{8}"),
        ("9*2", "18"),
    ]
    requests = [GradeRequest("math", answer, gold) for answer, gold in pairs]
    with GraderPool(1) as graders:
        verdicts = graders.grade_all(requests)
        assert graders.counts.at_once == 3
    assert verdicts == by_workers(monkeypatch, requests)
    assert [verdict.score for verdict in verdicts] == [1.0, 0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (GradeRequest("exact", "5", " . "), "gold unreadable: the gold answer is blank"),
        (
            GradeRequest("choice", "B", "Berlin", OPTIONS),
            "gold unreadable: 'Berlin' names none of the 4 options",
        ),
        (GradeRequest("choice", "B", "B", {"options": 3}), "verifier error: choice needs extra"),
        (GradeRequest("helpful", "B", "B", {}), "verifier error: the prompt is not of the tiny world"),
        (GradeRequest("safe", "B", None, {"world": {"domain": "safety"}}), "verifier error: KeyError"),
    ],
)
def test_a_failure_is_left_to_a_worker_which_names_it(request_: GradeRequest, error: str) -> None:
    assert quick_score(request_) is None
    with GraderPool(1) as graders:
        [verdict] = graders.grade_all([request_])
    assert verdict.score is None
    assert (verdict.error or "").startswith(error)


def test_what_is_long_or_holds_code_is_left_to_a_worker() -> None:
    long = "5" + " " * QUICK_LIMIT
    assert quick_score(GradeRequest("exact", long, "5")) is None
    assert quick_score(GradeRequest("exact", "5", long)) is None
    assert quick_score(GradeRequest("choice", "A", "A", {"options": ["x" * QUICK_LIMIT, "y"]})) is None
    assert quick_score(GradeRequest("function", "def f(x): return x", None, {"tests": [[1, 1]]})) is None
    assert (
        quick_score(GradeRequest("reasoning_gym", "5", None, {"task": "spiral_matrix", "entry": {}})) is None
    )


HOSTILE = [
    *(
        " ",
        "\u0301\u0327\u0301",
        "ﷺ",
        "1,",
        "1 ",
        "a)",
        "\\text{",
        "\\boxed{",
        "$",
        "*",
        "\n",
        "答案是",
        "the answer is ",
        ".",
    ),
    *("\U0001d165\U0001d16e", "heart, ", "I am glad to help. "),
]


@pytest.mark.parametrize("name", sorted(quick._VERIFIERS))
def test_hostile_texts_are_compared_in_bounded_time(name: str) -> None:
    extra: dict[str, Any] = dict(
        world_requests({"helpful": "instructions", "safe": "safety"}.get(name, "math"), 1)[0].extra
    )
    worst = 0.0
    for text in HOSTILE:
        long = (text * QUICK_LIMIT)[:QUICK_LIMIT]
        given = extra | (OPTIONS if name == "choice" else {})
        started = time.process_time()
        quick_score(GradeRequest(name, long, "B", given))
        quick_score(GradeRequest(name, "B", long, given))
        worst = max(worst, time.process_time() - started)
    assert worst < 0.1, f"{worst:.3f} s; 0.006 on an idle machine"


def test_the_callers_process_imports_neither_sympy_nor_torch() -> None:
    code = """
import sys
from ahalab.grading import GraderPool
from ahalab.records import GradeRequest
with GraderPool(1) as pool:
    requests = [GradeRequest("math", "\\\\frac{1}{2}", "0.5"), GradeRequest("exact", "A", "A")]
    assert [verdict.score for verdict in pool.grade_all(requests)] == [1.0, 1.0]
    assert pool.counts.at_once == 2
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"sympy", "math_verify", "torch"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
