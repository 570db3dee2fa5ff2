"""No item of a benchmark becomes training data for the safety reward model, whole, in part or changed."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.safety.rewarding.exclusion import Exclusion, benchmarks_of
from ahalab.safety.rewarding.job import ExclusionConfig, Job
from ahalab.safety.rewarding.similarity import SimilarItems
from ahalab.validation import validate
from rewarding_tools import ENDPOINT, ITEM, ITEM_ZH, SHARED, TOY, run, write_rows

# Exclusion


@pytest.mark.parametrize("text", [ITEM, ITEM_ZH])
def test_items_are_found_whole_in_part_and_changed(text: str) -> None:
    exclusion = Exclusion([TOY])
    hit = exclusion.find([text.upper()])
    assert hit is not None
    assert hit.by == "same text"
    longer = exclusion.find([f"Before that. {text} And after it, more words."])
    assert longer is not None
    assert longer.by == "10-gram"
    unit = list(text) if text == ITEM_ZH else text.split()
    for place in range(4, len(unit), 7):  # no run of 10 is left
        unit[place] = "猫" if text == ITEM_ZH else "cat"
    changed = ("" if text == ITEM_ZH else " ").join(unit)
    near = exclusion.find([changed])
    assert near is not None
    assert near.by == "similar"
    assert near.cosine is not None
    assert 0.4 <= near.cosine < 1
    assert near.items == (f"toy/{'n2' if text == ITEM_ZH else 'n1'}",)


def test_other_prompts_stay_and_earlier_turns_count() -> None:
    exclusion = Exclusion([TOY])
    assert exclusion.find(["How do I bake bread without an oven?"]) is None
    assert exclusion.find(["怎样在没有烤箱的情况下烤面包？"]) is None
    assert exclusion.find([ITEM, "And then?"]) is not None


def test_the_candidate_filter_loses_no_pair() -> None:
    rng = random.Random(5)
    words = [f"w{number}x" for number in range(60)]
    texts = {f"i{number}": " ".join(rng.choices(words, k=12)) for number in range(150)}
    asked = [" ".join(rng.choices(words, k=12)) for _ in range(60)]
    asked += [" ".join([*text.split()[:9], *rng.choices(words, k=3)]) for text in list(texts.values())[:40]]
    everything = SimilarItems(texts, 1e-6)
    for threshold in (0.2, 0.4, 0.7):
        fast = SimilarItems(texts, threshold)
        for text in asked:
            wanted = [(one.item, one.cosine) for one in everything.find(text) if one.cosine >= threshold]
            assert [(one.item, one.cosine) for one in fast.find(text)] == wanted


def test_similarity_on_hand_made_numbers() -> None:
    items = SimilarItems({"a": "abcd", "b": "wxyz"}, 0.4)
    # "abcde" has the grams abcd (in one of two items) and bcde (in none): both weigh log(1 + 2).
    assert items.find("abcde")[0].cosine == pytest.approx(0.5**0.5)
    assert items.find("ABCD")[0].cosine == pytest.approx(1.0)
    assert items.find("abc") == []
    assert SimilarItems({}, 0.4).find("abcd") == []


def test_sets_that_cannot_be_loaded_are_reported_and_named_ones_must_load(tmp_path: Path) -> None:
    loaded, missing = benchmarks_of(ExclusionConfig(), tmp_path)
    assert {"safety-1120", "safety-harmless"} <= {one.name for one in loaded}
    assert "redteam" in missing  # from the user's file only
    assert Exclusion(loaded, 0.4, missing).identity()["missing"] == missing
    with pytest.raises(UserError, match="redteam"):
        benchmarks_of(ExclusionConfig(benchmarks=["redteam"]), tmp_path)
    with pytest.raises(UserError, match="did you mean `safety-1120`"):
        benchmarks_of(ExclusionConfig(benchmarks=["safety-112"]), tmp_path)


# With the real sets


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/safety is not here")
def test_hh_rlhf_rows_pass_and_benchmark_rows_do_not(tmp_path: Path) -> None:
    from ahalab.safety.benchmarks import load_benchmark

    bundled = load_benchmark("safety-1120")
    with gzip.open(SHARED / "hh_rlhf_harmless_test_first1200.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:200]
    for one in bundled.items[:40]:
        rows.append({"chosen": f"\n\nHuman: {one.prompt}\n\nAssistant: no", "rejected": ""})
    write_rows(tmp_path / "hh.jsonl", rows)
    data = {
        "prompts": [{"file": "hh.jsonl", "rule": "hh-rlhf-harmless"}],
        "replies": [{"name": "r", "file": "none.jsonl"}],
        "judge": {"endpoint": ENDPOINT},
    }
    write_rows(tmp_path / "none.jsonl", [{"prompt": "nobody", "response": "a"}])
    summary = run(
        validate(Job, data, "job"),
        tmp_path,
        tmp_path / "out",
        exclusion=Exclusion([bundled]),
        skip_bad_rows=True,
    )
    assert summary["dropped"]["contaminated: same text"] == 40
    assert (
        sum(count for reason, count in summary["dropped"].items() if reason.startswith("contaminated")) == 40
    )
    assert sum(summary["prompts"].values()) > 190
