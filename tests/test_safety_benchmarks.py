"""Benchmarks of the safety evaluation: the catalogue's items, the same every time, chosen and limited evenly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.safety.benchmarks import BENCHMARKS, load_benchmark
from ahalab.safety.benchmarks.crosswalk import CLOSE
from ahalab.safety.benchmarks.loading import _KINDS
from ahalab.safety.folder import row_of
from ahalab.safety.taxonomy import load_taxonomy
from benchmark_tools import bbq_row, write_jsonl


def test_the_question_set_is_1120_items_each_judged_by_its_own_rubric() -> None:
    benchmark = load_benchmark("safety-1120")
    assert len(benchmark.items) == 1120
    assert benchmark.scorer == "judge"
    assert benchmark.source == "bundled"
    assert all(item.harmful and item.rubric == item.group and item.extra["note"] for item in benchmark.items)
    assert Counter(Counter(item.cluster for item in benchmark.items).values()) == {2: 560}
    assert Counter(item.language for item in benchmark.items) == {"zh": 560, "en": 560}
    assert set(Counter(item.group for item in benchmark.items).values()) == {40}


def test_the_harmless_twins_are_280_and_marked() -> None:
    items = load_benchmark("safety-harmless").items
    assert len(items) == 280
    assert not any(item.harmful for item in items)


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_every_set_of_the_catalogue_can_be_read_and_its_items_are_rows(name: str) -> None:
    kind, entry = _KINDS[name], BENCHMARKS[name]
    assert kind.read is not None or kind.bundled is not None
    assert (kind.bundled is not None) == (entry.place == "bundled")
    assert (kind.package is not None) == (entry.place == "package") == bool(entry.package)
    assert all((entry.rows, entry.source, entry.licence, entry.metric, entry.official, entry.deviation))


def test_the_hash_is_of_the_items_and_the_same_every_time() -> None:
    one, again = load_benchmark("safety-harmless"), load_benchmark("safety-harmless")
    assert one.sha256 == again.sha256
    assert one.sha256 != load_benchmark("safety-harmless", limit=279).sha256
    json.dumps([row_of(item) for item in one.items])


def test_a_limit_takes_every_group_alike_keeps_translations_together_and_nests() -> None:
    whole = load_benchmark("safety-1120").items
    few, more = (load_benchmark("safety-1120", limit=limit).items for limit in (56, 112))
    assert Counter((item.group, item.language) for item in few) == Counter(
        {(item.group, item.language): 1 for item in whole}
    )
    assert set(Counter(item.cluster for item in few).values()) == {2}
    assert {item.id for item in few} < {item.id for item in more}
    assert [item.id for item in few] == [item.id for item in whole if item in few]


def test_a_limit_keeps_the_shares_of_unequal_groups_and_ignores_the_files_order(tmp_path: Path) -> None:
    rows = [
        {
            "id": str(n),
            "risk_area": "r",
            "types_of_harm": "big" if n < 80 else "small",
            "question": f"made {n}",
        }
        for n in range(100)
    ]
    one = load_benchmark("dna", write_jsonl(tmp_path / "a.jsonl", rows), limit=20)
    other = load_benchmark("dna", write_jsonl(tmp_path / "b.jsonl", rows[::-1]), limit=20)
    assert Counter(item.group for item in one.items) == {"big": 16, "small": 4}
    assert {item.id for item in one.items} == {item.id for item in other.items}


def test_a_limit_takes_one_of_each_cluster_before_a_second_of_any(tmp_path: Path) -> None:
    rows = [bbq_row(example=n, index=n // 10) for n in range(50)]
    items = load_benchmark("bbq", write_jsonl(tmp_path / "b.jsonl", rows), limit=5).items
    assert len({item.cluster for item in items}) == 5


def test_languages_and_groups_choose_and_an_unknown_one_is_named() -> None:
    chosen = load_benchmark("safety-1120?group=D03", languages=["zh"])
    assert len(chosen.items) == 20
    assert chosen.options == {"group": "D03", "languages": ["zh"]}
    with pytest.raises(UserError, match=r"'fr'.*en, zh"):
        load_benchmark("safety-1120", languages=["fr"])
    with pytest.raises(UserError, match="did you mean `D03`"):
        load_benchmark("safety-1120?group=D33")


def test_every_close_class_is_a_neighbour_in_the_taxonomy() -> None:
    near = {one.id: one.near for one in load_taxonomy().subcategories}
    for which, classes in CLOSE.items():
        for name, rubric in classes.items():
            assert name in near[rubric][which]
