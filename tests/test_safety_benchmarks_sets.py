"""The known safety sets keep their own groups, halves, rubrics and contexts."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.safety.benchmarks import load_benchmark
from benchmark_tools import HARMBENCH_ROWS, SHARED, SST_ROWS, shared, write_csv, write_jsonl


def test_sst_areas_are_groups_and_a_clear_area_has_its_rubric(tmp_path: Path) -> None:
    items = load_benchmark("sst", write_csv(tmp_path / "sst.csv", SST_ROWS)).items
    assert items[0].id == "sst-1"
    assert {item.group: item.rubric for item in items} == {
        "Physical Harm": "general",
        "Scams and Fraud": "general",
        "Suicide, Self-Harm and Eating Disorders": "H01",
    }


def test_red_team_attempts_give_the_first_human_turn(tmp_path: Path) -> None:
    rows = [
        {
            "transcript": "\n\nHuman: first made\nHuman: still first\n\nAssistant: reply\n\nHuman: second",
            "rating": 3.0,
        },
        {"transcript": "Human: other made\n\nAssistant: reply", "tags": ["Made tag"]},
    ]
    path = tmp_path / "red_team_attempts.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    items = load_benchmark("redteam", path).items
    assert [item.prompt for item in items] == ["first made\nHuman: still first", "other made"]
    assert [item.group for item in items] == ["", "Made tag"]


def test_preference_pairs_of_hh_rlhf_are_not_red_team_attempts(tmp_path: Path) -> None:
    made = write_jsonl(tmp_path / "hh.jsonl", [{"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: a"}])
    for path in (
        made,
        *(
            [SHARED / name]
            if (SHARED / (name := "hh_rlhf_harmless_test_first1200.jsonl.gz")).is_file()
            else []
        ),
    ):
        with pytest.raises(UserError, match=r"row 1: this is a preference pair of hh-rlhf"):
            load_benchmark("redteam", path)


def test_harmbench_keeps_copyright_apart_and_puts_the_context_before_the_behaviour(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "hb.csv", HARMBENCH_ROWS)
    items = load_benchmark("harmbench", path).items
    assert Counter(item.group for item in items) == {"standard": 2, "contextual": 2}
    assert items[1].prompt == "made context\n\n---\n\nmade behaviour 1"
    assert [item.rubric for item in items[:2]] == ["I08", "general"]
    assert {item.group for item in load_benchmark("harmbench?subset=contextual", path).items} == {
        "contextual"
    }
    lyrics = load_benchmark("harmbench-copyright", path)
    assert lyrics.scorer == "copyright"
    assert [item.id for item in lyrics.items] == ["harmbench-made_2", "harmbench-made_5"]


def test_references_join_by_behaviour_and_a_stray_one_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "hb.csv", HARMBENCH_ROWS)
    references = write_jsonl(tmp_path / "ref.jsonl", [{"BehaviorID": "made_2", "text": "made words"}])
    items = load_benchmark(f"harmbench-copyright?references={references}", path).items
    assert [item.extra.get("reference") for item in items] == ["made words", None]
    write_jsonl(references, [{"BehaviorID": "made_1", "text": "made words"}])
    with pytest.raises(UserError, match="made_1"):
        load_benchmark(f"harmbench-copyright?references={references}", path)


def test_the_hubs_copy_of_harmbench_is_told_apart_by_its_columns(tmp_path: Path) -> None:
    rows = [
        {"prompt": "made a", "category": "illegal"},
        {"prompt": "made b", "category": "illegal", "context": "made context"},
    ]
    items = load_benchmark("harmbench", write_jsonl(tmp_path / "hb.jsonl", rows)).items
    assert [item.group for item in items] == ["standard", "contextual"]
    song = write_jsonl(
        tmp_path / "song.jsonl", [{"prompt": "made c", "category": "copyright", "tags": ["lyrics"]}]
    )
    assert load_benchmark("harmbench-copyright", song).items[0].extra["tags"] == "lyrics"


def test_xstest_knows_its_halves_from_either_file() -> None:
    items = load_benchmark("xstest", shared("xstest_prompts.csv")).items
    assert Counter(item.harmful for item in items) == {False: 250, True: 200}
    labelled = load_benchmark("xstest", shared("xstest_labelled_gpt4.csv")).items
    assert [(one.id, one.group, one.harmful) for one in labelled] == [
        (one.id, one.group, one.harmful) for one in items
    ]
    assert len(load_benchmark("xstest?half=safe", shared("xstest_prompts.csv")).items) == 250


def test_multijail_has_ten_languages_that_share_a_cluster() -> None:
    items = load_benchmark("multijail", shared("multijail.csv")).items
    assert len(items) == 3150
    assert set(Counter(item.cluster for item in items).values()) == {10}
    assert len(load_benchmark("multijail", shared("multijail.csv"), languages=["jv", "sw"]).items) == 630


def test_cvalues_is_chinese_by_domain() -> None:
    items = load_benchmark("cvalues", shared("cvalues_responsibility_prompts.jsonl")).items
    assert (len(items), {item.language for item in items}, len({item.group for item in items})) == (
        664,
        {"zh"},
        8,
    )
