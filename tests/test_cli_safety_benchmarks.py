"""`aha safety benchmarks`: the table, the check of a set, and that no question is printed unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ahalab.cli.main import app
from ahalab.errors import UserError
from ahalab.safety.benchmarks import BENCHMARKS, load_benchmark
from ahalab.safety.benchmarks.table import LM_EVAL_TASKS, markdown

PAGE = Path(__file__).parents[1] / "docs" / "safety-benchmarks.md"


def aha(*words: str) -> str:
    result = CliRunner().invoke(
        app, ["safety", "benchmarks", *words], catch_exceptions=False, standalone_mode=False
    )
    return result.output


def test_the_docs_table_is_the_catalogue() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert markdown() in page, "put the output of `python -m ahalab.safety.benchmarks.table` into the page"


def test_the_list_names_every_set() -> None:
    shown = aha()
    assert all(name in shown for name in BENCHMARKS)
    found = json.loads(aha("--json"))
    assert found["safety-1120"]["found"] == "here"
    assert set(found) == set(BENCHMARKS)


def test_a_check_prints_counts_and_the_hash_and_no_question() -> None:
    shown = aha("--check", "safety-1120", "--limit", "56", "--languages", "zh")
    benchmark = load_benchmark("safety-1120", limit=56, languages=["zh"])
    assert benchmark.sha256 in shown
    assert "D03" in shown
    assert not any(item.prompt[:12] in shown for item in benchmark.items)
    found = json.loads(aha("--check", "safety-1120", "--json"))
    assert sum(one["items"] for one in found["counts"]) == 1120


def test_a_question_is_shown_only_when_asked_for_twice() -> None:
    text = next(item.prompt for item in load_benchmark("public-domain").items if item.id == "pd-star")
    assert text not in aha("--check", "public-domain", "--show", "pd-star")
    assert text in aha("--check", "public-domain", "--show", "pd-star", "--show-text")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--limit", "3"], "--check"),
        (["--show", "x"], "--check"),
        (["--check", "public-domain", "--show-text"], "--show ID"),
        (["--check", "public-domain", "--show", "pd-sta"], "did you mean `pd-star`"),
        (["--check", "nonsense"], "no set"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], match: str) -> None:
    with pytest.raises(UserError, match=match):
        aha(*words)


def test_the_lm_eval_folder_is_printed() -> None:
    assert aha("--lm-eval").strip() == str(LM_EVAL_TASKS)
    assert sorted(path.name for path in LM_EVAL_TASKS.glob("*.yaml")) == [
        "ahalab_bbq.yaml",
        "ahalab_bbq_written.yaml",
    ]
