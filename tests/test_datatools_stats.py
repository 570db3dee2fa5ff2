"""The paper's tables from rows one by one: sums are exact, percentiles within their stated error."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ahalab.datatools import figures as figures_module
from ahalab.datatools.figures import measure
from ahalab.datatools.histogram import ERROR, EXACT_BELOW, Histogram
from ahalab.datatools.layouts import mapping_of
from ahalab.datatools.reading import Watch
from ahalab.datatools.stats_markdown import markdown
from ahalab.errors import UserError
from data_files import write_lines

SFT: list[dict[str, Any]] = [
    {"question": "one two", "thinking": "a b c", "answer": "d", "domain": "math"},
    {"question": "小明", "thinking": "", "answer": "e f", "domain": "math"},
    {"question": "x", "thinking": "a", "answer": "b", "domain": "code"},
]


def stats(path: Path, **options: Any) -> dict[str, Any]:
    return measure(path, Watch(), **options).as_dict()


def test_samples_rounds_and_tokens_by_domain_and_in_total(tmp_path: Path) -> None:
    found = stats(write_lines(tmp_path / "a.jsonl", SFT))
    assert found["samples"] == [
        {"domain": "code", "samples": 1, "rounds": 1.0, "tokens": 2.0},
        {"domain": "math", "samples": 2, "rounds": 1.0, "tokens": 3.0},
        {"domain": "total", "samples": 3, "rounds": 1.0, "tokens": 2.667},
    ]
    assert found["tokens_are"].startswith("words")
    assert {(one["domain"], one["language"]): one["rows"] for one in found["languages"]} == {
        ("code", "en"): 1, ("math", "en"): 1, ("math", "zh"): 1, ("total", "en"): 2, ("total", "zh"): 1
    }  # fmt: skip
    assert found["lengths"]["thinking"]["count"] == 2
    text = markdown(found)
    assert "| domain | samples | avg rounds | avg tokens |" in text
    assert "| total | 3 | 1.0 | 2.7 |" in text


def test_turns_of_the_user_are_rounds(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
        {"role": "user", "content": "and now"},
        {"role": "assistant", "content": "the end of it"},
    ]
    found = stats(write_lines(tmp_path / "a.jsonl", [{"messages": chat}, {"messages": chat[:2]}]))
    assert found["samples"][-1] == {"domain": "total", "samples": 2, "rounds": 1.5, "tokens": 2.5}


def test_prompts_by_type_with_question_and_output_types(tmp_path: Path) -> None:
    rows = [{"question": f"How many are {n}?", "answer": f"so\n#### {n}"} for n in range(3)]
    found = stats(write_lines(tmp_path / "a.jsonl", rows))
    assert found["recognised"].startswith("GSM8K")
    assert found["prompts"] == [
        {
            "type": "math", "prompts": 3, "question_type": "quantitative reasoning",
            "output_type": "number / expression / equation", "tokens": 4.0,
        },
        {"type": "total", "prompts": 3, "question_type": "", "output_type": "", "tokens": 4.0},
    ]  # fmt: skip
    # The steps before the marker are the thinking.
    assert found["lengths"]["thinking"]["mean"] == 1.0


def test_tokens_are_those_of_a_tokenizer_where_one_is_given(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", SFT)
    found = stats(path, count=lambda text: 10 * len(text.split()), counted="tens of words")
    assert found["samples"][-1]["tokens"] == pytest.approx(80 / 3, abs=1e-3)
    assert found["tokens_are"] == "tens of words"
    assert stats(path, unit="characters")["tokens_are"].startswith("characters")
    with pytest.raises(UserError, match="expected one of words, characters"):
        stats(path, unit="tokens")


def test_rows_that_fit_no_table_are_counted_by_reason(tmp_path: Path) -> None:
    rows = [*SFT, {"question": "no answer", "answer": None}]
    found = stats(write_lines(tmp_path / "a.jsonl", rows))
    assert found["samples_left_out"] == {"no answer": 1}
    assert "1 no answer" in markdown(found)


def test_a_language_column_says_the_language(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "a.jsonl", [{"foo": "wie viele", "bar": "1", "lang": "German"}, {"foo": "q", "bar": "1"}]
    )
    mapping = mapping_of(["question=foo", "answer=bar", "language_column=lang"])
    found = measure(path, Watch(), mapping=mapping).as_dict()
    assert [(one["domain"], one["language"]) for one in found["languages"]] == [
        ("general", "de"),
        ("total", "de"),
    ]
    assert found["prompts_left_out"] == {"no language": 1}


def test_an_unknown_layout_is_asked_for_and_may_be_said(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"foo": "x y", "bar": "1"}])
    with pytest.raises(UserError, match="Say so with --map"):
        stats(path)
    found = stats(path, mapping=mapping_of(["question=foo", "answer=bar", "domain=logic"]))
    assert found["prompts"][0]["type"] == "logic"
    with pytest.raises(UserError, match="no such column"):
        stats(path, mapping=mapping_of(["question=foo", "answer=bar"]), domain_column="baz")


def test_a_domain_column_with_a_value_a_row_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures_module, "MOST_DOMAINS", 3)
    rows = [{"question": "q", "answer": "1", "domain": f"d{n}"} for n in range(10)]
    found = stats(write_lines(tmp_path / "a.jsonl", rows))
    assert [(one["type"], one["prompts"]) for one in found["prompts"]] == [
        ("(others)", 7), ("d0", 1), ("d1", 1), ("d2", 1), ("total", 10)
    ]  # fmt: skip


def test_percentiles_are_exact_when_small_and_within_the_error_when_large() -> None:
    chosen = random.Random(1)
    sizes = [int(chosen.lognormvariate(6, 2)) for _ in range(20_000)]
    histogram = Histogram()
    for size in sizes:
        histogram.add(size)
    ordered = np.sort(sizes)
    for share in (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0):
        exact = int(ordered[max(1, int(np.ceil(share * len(sizes)))) - 1])
        found = histogram.percentile(share)
        if exact < EXACT_BELOW:
            assert found == exact
        else:
            assert abs(found - exact) <= ERROR * exact + 1e-9
    assert (histogram.smallest, histogram.largest, histogram.mean) == (min(sizes), max(sizes), np.mean(sizes))
    assert len(histogram._bins) < 1200
    assert Histogram().percentile(0.5) == 0.0
    with pytest.raises(ValueError, match="at least 0"):
        histogram.add(-1)
    assert json.loads(json.dumps(histogram.as_dict()))["count"] == len(sizes)
