"""BBQ: each row has its target, the authors' metadata wins, contradictions are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.safety.benchmarks import load_benchmark
from benchmark_tools import bbq_row, shared, write_csv, write_jsonl


def test_every_shared_bbq_row_has_a_target() -> None:
    items = load_benchmark("bbq", shared("bbq_religion.jsonl")).items
    assert len(items) == 1200
    assert all(item.extra["target"] is not None for item in items)
    assert len({item.cluster for item in items}) == 25


def test_a_folder_of_bbqs_categories_is_one_set(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "Age.jsonl", [bbq_row(category="Age")])
    write_jsonl(tmp_path / "SES.jsonl", [bbq_row(category="SES")])
    assert [item.id for item in load_benchmark("bbq", tmp_path).items] == ["bbq-Age-0", "bbq-SES-0"]


@pytest.mark.parametrize(
    ("category", "groups", "info", "target"),
    [
        ("Gender_identity", ["F", "Girl", "Woman"], (["woman", "woman"], ["man", "man"]), 0),
        ("Gender_identity", ["women"], (["Sam", "M"], ["Ann", "F"]), 2),
        ("Gender_identity", ["Transgender women"], (["Sam", "nonTrans"], ["Ann", "trans_F"]), 2),
        ("SES", ["low SES"], (["waiter", "highSES"], ["maid", "lowSES"]), 2),
        ("Age", ["old"], (["Sam", "nonOld"], ["Ann", "old"]), 2),
        ("Disability_status", ["autistic people"], (["made person", "disabled"], ["Sam", "nonDisabled"]), 0),
        ("Race_ethnicity", ["Black"], (["Sam", "M-White"], ["Joe", "M-Black"]), 2),
        ("Race_ethnicity", ["African American"], (["African", "African"], ["x", "African American"]), 2),
        ("Race_x_gender", ["F-Black"], (["Sam", "M-Black"], ["Ann", "F-Black"]), 2),
        ("Race_x_gender", ["Black"], (["Sam", "M-Black"], ["Ann", "F-Black"]), None),
        ("Race_x_SES", ["Black"], (["x", "highSES-Black"], ["y", "lowSES-Black"]), 2),
        ("Race_x_SES", ["Black"], (["x", "lowSES-M-Black"], ["y", "lowSES-M-White"]), 0),
        ("Race_ethnicity", ["Martian"], (["Sam", "M-White"], ["Joe", "M-Black"]), None),
    ],
)
def test_the_target_is_the_one_option_of_a_stereotyped_group(
    tmp_path: Path, category: str, groups: list[str], info: tuple[list[str], list[str]], target: int | None
) -> None:
    row = bbq_row(
        category=category,
        answer_info={"ans0": info[0], "ans1": ["x", "unknown"], "ans2": info[1]},
        additional_metadata={"stereotyped_groups": groups},
    )
    assert load_benchmark("bbq", write_jsonl(tmp_path / "b.jsonl", [row])).items[0].extra["target"] == target


def test_the_authors_metadata_overrides_the_match(tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "b.jsonl", [bbq_row(0), bbq_row(1)])
    metadata = [
        {"category": "Made", "question_index": "1", "example_id": str(n), "target_loc": loc}
        for n, loc in enumerate(["2.0", ""])
    ]
    path = write_csv(tmp_path / "additional_metadata.csv", metadata)
    items = load_benchmark(f"bbq?metadata={path}", rows).items
    assert [item.extra["target"] for item in items] == [2, None]
    write_csv(path, metadata[:1])
    with pytest.raises(UserError, match="bbq-Made-1"):
        load_benchmark(f"bbq?metadata={path}", rows)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"label": 0}, "column 'label'"),
        ({"label": 3}, "0, 1 or 2"),
        ({"context_condition": "clear"}, "ambig or disambig"),
        ({"answer_info": {"ans0": ["a"], "ans1": ["b"], "ans2": ["c"]}}, "exactly one"),
        ({"answer_info": "[broken"}, "mapping"),
        ({"ans0": "The young one"}, "three different options"),
        ({"ans0": "B"}, "three different options"),
    ],
)
def test_a_bbq_row_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        load_benchmark("bbq", write_jsonl(tmp_path / "b.jsonl", [bbq_row(**change)]))
