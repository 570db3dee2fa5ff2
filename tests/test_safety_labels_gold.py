"""Labelled sets: read whole or refused by file, row and column; the bundled Chinese replies keep their rules."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.safety.labels.gold import cluster_of
from ahalab.safety.labels.gold_bundled import CHINESE_REPLIES
from ahalab.safety.labels.gold_files import read_gold
from ahalab.safety.labels.gold_sets import load_files, load_named
from ahalab.safety.questions import load_questions

XSTEST = Path(__file__).parents[1] / "../shared/data/safety"
HEADER = "id,type,prompt,completion,annotation_1,annotation_2,agreement,final_label\n"


def xstest(path: Path, *labels: str) -> Path:
    rows = [
        f"v2-{number},homonyms,question {number},reply {number},,,,{label}"
        for number, label in enumerate(labels)
    ]
    path.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_xstests_classes_are_read(tmp_path: Path) -> None:
    path = xstest(tmp_path / "a.csv", "1_full_compliance", "2_full_refusal", "3_partial_refusal")
    found = read_gold(path)
    assert (found.name, found.head, found.pool) == ("a", "compliance", "xstest")
    assert [one.truth for one in found.replies] == ["full compliance", "full refusal", "partial refusal"]
    assert [one.language for one in found.replies] == ["en"] * 3


def test_one_prompt_is_one_cluster_in_every_file(tmp_path: Path) -> None:
    first, second = load_files(
        [xstest(tmp_path / "a.csv", "1_full_compliance"), xstest(tmp_path / "b.csv", "2_full_refusal")]
    )
    assert cluster_of(first.replies[0]) == cluster_of(second.replies[0])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_table_of_ones_own(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"prompt": "Wie geht es dir?", "reply": "gut", "verdict": "Safe", "language": "de"},
        {"prompt": "你好吗？", "reply": "", "verdict": "拒答", "language": "zh"},
    ]
    path = tmp_path / f"mine{suffix}"
    if suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_gold(path)
    assert [(one.truth, one.language) for one in found.replies] == [("safe", "de"), ("rejection", "zh")]


def test_a_case_holds_no_label(tmp_path: Path) -> None:
    found = read_gold(xstest(tmp_path / "a.csv", "2_full_refusal"))
    assert "refusal" not in repr(found.cases())


def test_a_missing_label_is_refused_or_left_out_and_counted(tmp_path: Path) -> None:
    path = xstest(tmp_path / "a.csv", "1_full_compliance", "")
    with pytest.raises(
        UserError, match=r"a\.csv, row 3, column 'final_label'.*expected one of full compliance"
    ):
        read_gold(path)
    found = read_gold(path, skip_unlabelled=True)
    assert (len(found.replies), found.unlabelled) == (1, 1)
    with pytest.raises(UserError, match="no row has a label"):
        read_gold(xstest(tmp_path / "b.csv", "", ""), skip_unlabelled=True)


def test_an_unknown_word_is_refused_also_where_unlabelled_rows_may_be_skipped(tmp_path: Path) -> None:
    path = xstest(tmp_path / "a.csv", "1_full_compliance", "4_invented")
    with pytest.raises(UserError, match=r"row 3, column 'final_label'.*'4_invented'"):
        read_gold(path, skip_unlabelled=True)


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = xstest(tmp_path / "a.csv", "1_full_compliance", "1_full_compliance")
    path.write_text(path.read_text().replace("v2-1", "v2-0"), encoding="utf-8")
    with pytest.raises(UserError, match=r"row 3, column 'id'.*'v2-0' stands in row 2 too"):
        read_gold(path)


def test_mixed_encodings_are_refused_by_row(tmp_path: Path) -> None:
    path = xstest(tmp_path / "a.csv", "1_full_compliance", "2_full_refusal")
    path.write_bytes(path.read_bytes().replace(b"reply 1", "拒绝".encode("gb18030")))
    with pytest.raises(UserError, match=r"row 3.*UTF-8"):
        read_gold(path)


def test_a_file_without_the_columns_says_which_are_expected(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "p", "reply": "r", "mark": "safe"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="no column holds a label; expected one named final_label, verdict"):
        read_gold(path)


def test_two_files_of_one_name_and_an_unknown_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twice = [xstest(one / "a.csv", "1_full_compliance") for one in (tmp_path, tmp_path / "other")]
    with pytest.raises(UserError, match="a file named a was given already"):
        load_files(twice)
    with pytest.raises(UserError, match="did you mean `pyrit-harm`"):
        load_named("pyrit-harms")


def test_published_xstest_files_are_whole() -> None:
    files = sorted(XSTEST.glob("xstest_labelled_*.csv"))
    if not files:
        pytest.skip(f"{XSTEST} is not here")
    for one in load_files(files):
        assert len(one.replies) == 450
        assert sum(not reply.harmful for reply in one.replies) == 250


@pytest.mark.parametrize(
    ("name", "count"), [("pyrit-objective", 395), ("pyrit-harm", 990), ("pyrit-refusal", 169)]
)
def test_pyrits_replies_are_read_without_importing_it(name: str, count: int) -> None:
    import importlib.metadata
    import sys

    try:
        version = importlib.metadata.version("pyrit")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pyrit is not installed")
    (found,) = load_named(name)
    assert "pyrit" not in sys.modules
    assert len({one.id for one in found.replies}) == len(found.replies)
    if version == "1.1.0":
        assert len(found.replies) == count


def test_the_chinese_replies_keep_their_rules() -> None:
    rows = [json.loads(line) for line in CHINESE_REPLIES.read_text("utf-8").splitlines()]
    questions = {question.item("zh"): question for question in load_questions()}
    assert len(rows) >= 400
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["item"] for row in rows} <= set(questions)
    assert {questions[row["item"]].subcategory for row in rows} == {
        one.subcategory for one in questions.values()
    }
    assert {row["author"] for row in rows} == {"language model"}
    assert all(set(row["labels"]) == {"a", "b"} for row in rows)
    assert len({(row["item"], row["reply"]) for row in rows}) == len(rows)
    verdicts = Counter(row["verdict"] for row in rows)
    assert set(verdicts) == {"unsafe", "safe", "rejection"}
    assert min(verdicts.values()) > len(rows) / 5


def test_the_replies_to_a_chinese_question_are_on_one_side_of_the_split() -> None:
    rows = [json.loads(line) for line in CHINESE_REPLIES.read_text("utf-8").splitlines()]
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row["item"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    (test,), (every,) = load_named("chinese-replies"), load_named("chinese-replies-all")
    assert len(every.replies) == len(rows)
    assert 150 < len(test.replies) < len(rows) / 2
    assert "no person has read them" in test.note
