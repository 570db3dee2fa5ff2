"""Prompts from files: the known sets work as they are, and a bad row is named or counted, never swallowed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from ahalab.errors import UserError
from ahalab.prompts import build_source, content_hash, validate_prompts
from ahalab.prompts.files import JsonlTable
from ahalab.prompts.table import TableSource

GSM8K = Path(__file__).parents[1] / "../shared/data/math/gsm8k_train.jsonl"
ROWS = [
    {"question": "1+1?", "answer": "One and one.\n#### 2"},
    {"question": "小明有一千个苹果？", "answer": "#### 1 then\n#### 1,450"},
    {"question": "half?", "answer": "#### 0.5"},
]


def write(path: Path, rows: Iterable[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def load(path: Path, skip: bool = False, **settings: Any) -> TableSource:
    (entry,) = validate_prompts([{"file": path.name, **settings}], "r.yaml")
    source = build_source(entry, 0, skip_bad_rows=skip, folder=path.parent, where="r.yaml: prompts[0]")
    assert isinstance(source, TableSource)
    return source


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        load(path, **settings)
    return str(error.value)


@pytest.mark.skipif(not GSM8K.is_file(), reason=f"{GSM8K} is not there (the project works without it)")
def test_gsm8k_works_as_it_is_with_its_path_alone() -> None:
    source = load(GSM8K)
    assert source.size == 7473
    prompts = [source.prompt(index) for index in range(7473)]
    assert len({prompt.id for prompt in prompts}) == 7473
    assert (prompts[0].answer, prompts[0].domain, prompts[0].verifier) == ("72", "math", "math")
    assert {prompt.language for prompt in prompts} == {"en"}
    assert all(float(prompt.answer or "x") == float(prompt.answer or "x") for prompt in prompts)
    stated = source.describe()
    assert stated["recognised"].startswith("GSM8K")
    assert (stated["answer_after"], stated["question"], stated["answer"]) == ("####", "question", "answer")
    assert source.skipped == {}


def test_rows_become_prompts_with_gold_language_and_stable_ids(tmp_path: Path) -> None:
    source = load(write(tmp_path / "set.jsonl", ROWS))
    one, two, three = (source.prompt(index) for index in range(3))
    assert [prompt.answer for prompt in (one, two, three)] == ["2", "1450", "0.5"]
    assert [prompt.language for prompt in (one, two, three)] == ["en", "zh", "en"]
    assert one.id == "set/" + content_hash("1+1?", "2", "math")
    # Another order, another file and another name before the slash: the same content has the same hash.
    other = load(write(tmp_path / "other.jsonl", ROWS[::-1]))
    assert other.prompt(2).id == one.id.replace("set/", "other/")


def test_the_content_hash_tells_every_field_apart() -> None:
    assert content_hash("1+1?", "2", "math") == "45c2269a6d62364f"
    hashes = [
        content_hash(*key) for key in (("ab", "c", "d"), ("a", "bc", "d"), ("a", None, "d"), ("a", "", "d"))
    ]
    assert len(set(hashes)) == 4


def test_the_second_row_with_the_same_content_gets_an_id_of_its_own(tmp_path: Path) -> None:
    rows = [ROWS[0], ROWS[2], {**ROWS[0], "answer": "Otherwise said.\n#### 2"}, ROWS[0]]
    ids = [load(write(tmp_path / "a.jsonl", rows)).prompt(index).id for index in range(4)]
    assert ids[2] == f"{ids[0]}-2"
    assert ids[3] == f"{ids[0]}-3"
    assert ids[1].partition("-")[2] == ""


def test_columns_are_mapped_and_the_mapping_is_stated(tmp_path: Path) -> None:
    rows = [
        {"task": "Which?", "gold": "B", "lang": "zh-CN", "hard": "Level 3", "choices": ["x", "y"], "n": 1},
        {"task": "这是?", "gold": 4, "lang": "English", "hard": 5, "choices": ["z"], "n": 2},
        {"task": "None?", "gold": -1.5, "lang": "en_US", "hard": None, "choices": [], "n": 3},
    ]
    source = load(
        write(tmp_path / "a.jsonl", rows),
        name="mine",
        question="task",
        answer="gold",
        domain="choice",
        language_column="lang",
        level_column="hard",
        extra={"options": "choices"},
    )
    prompts = [source.prompt(index) for index in range(3)]
    assert [prompt.answer for prompt in prompts] == ["B", "4", "-1.5"]
    assert [prompt.language for prompt in prompts] == ["zh", "en", "en"]
    assert [prompt.level for prompt in prompts] == [3, 5, None]
    assert [prompt.extra for prompt in prompts] == [
        {"options": ["x", "y"]},
        {"options": ["z"]},
        {"options": []},
    ]
    assert {(prompt.source, prompt.domain, prompt.verifier) for prompt in prompts} == {
        ("mine", "choice", "choice")
    }
    stated = source.describe()
    assert stated["extra"] == {"options": "choices"}
    assert "recognised" not in stated


ALPACA: dict[str, Any] = {"question": ["instruction", "input"], "verifier": "none"}


def test_a_question_of_several_columns_loses_none_of_them(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Translate.", "input": "Guten Tag", "output": "Hello"},
        {"instruction": "Say hello.", "input": "", "output": "Hello"},
        {"instruction": "Say hello.", "input": None, "output": "Hello"},
        {"instruction": "Add one.", "input": 4, "output": "5"},
    ]
    source = load(write(tmp_path / "a.jsonl", rows), **ALPACA)
    prompts = [source.prompt(index) for index in range(4)]
    assert [prompt.question for prompt in prompts] == [
        "Translate.\n\nGuten Tag",
        "Say hello.",
        "Say hello.",
        "Add one.\n\n4",
    ]
    alone = load(tmp_path / "a.jsonl", **{**ALPACA, "question": "instruction"})
    assert alone.prompt(1).id == prompts[1].id
    assert source.describe()["question"] == ["instruction", "input"]
    assert json.loads(json.dumps(source.describe())) == source.describe()


def test_columns_of_a_question_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"instruction": "Translate.", "input": "Guten Tag"}])
    assert "question[1]: " in refusal(path, question=["instruction", "inptu"], verifier="none")
    assert "did you mean `input`?" in refusal(path, question=["instruction", "inptu"], verifier="none")
    assert "named twice" in refusal(path, question=["input", "input"], verifier="none")
    assert "at least 1" in refusal(path, question=[], verifier="none")
    write(path, [{"instruction": " ", "input": "Guten Tag"}])
    said = refusal(path, question=["instruction", "input"], verifier="none")
    assert "row 1, column 'instruction': expected the question, but it is empty" in said


@pytest.mark.parametrize(
    ("row", "domain", "verifier", "recognised"),
    [
        ({"question": "q", "answer": "so\n#### 3"}, "math", "math", "GSM8K"),
        ({"problem": "q", "answer": "3", "solution": "long"}, "math", "math", "MATH-500"),
        ({"Problem": "q", "Answer": 3}, "math", "math", "MATH-500"),
        ({"question": "q", "answer": "3"}, "general", "exact", "plain"),
    ],
)
def test_known_sets_are_recognised(
    tmp_path: Path, row: dict[str, Any], domain: str, verifier: str, recognised: str
) -> None:
    source = load(write(tmp_path / "a.jsonl", [row]))
    prompt = source.prompt(0)
    assert (prompt.answer, prompt.domain, prompt.verifier) == ("3", domain, verifier)
    assert source.describe()["recognised"].startswith(recognised)


def test_the_recipe_goes_before_what_is_recognised(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{**row, "alias": "x"} for row in ROWS])
    prompt = load(path, verifier="exact", domain="logic", language="zh", strip_thousands=False).prompt(1)
    assert (prompt.verifier, prompt.domain, prompt.language, prompt.answer) == (
        "exact",
        "logic",
        "zh",
        "1,450",
    )
    # Another column than the known set's: then it is not that set, and its marker is not looked for.
    assert load(path, question="question", answer="alias").prompt(0).answer == "x"


def test_a_domain_without_a_rule_needs_no_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "Write a poem."}])
    assert load(path, question="prompt", verifier="none").prompt(0).answer is None
    plain = write(tmp_path / "b.jsonl", [{"question": "Write a poem.", "answer": None}])
    assert load(plain, verifier="none").prompt(0).answer is None
    assert "`answer`, or `verifier: none`" in refusal(path, question="prompt")


@pytest.mark.parametrize(
    ("row", "column", "words", "reason"),
    [
        ('{"question": "q"', None, "it is not JSON", "not JSON"),
        ('["q", "a"]', None, "it is a list", "not an object"),
        ({"answer": "#### 1"}, "question", "no such column", "no question"),
        ({"question": "q"}, "answer", "no such column", "no answer"),
        ({"question": "q", "answer": None}, "answer", "it is null", "no answer"),
        ({"question": " \n", "answer": "#### 1"}, "question", "it is empty", "no question"),
        ({"question": ["q"], "answer": "#### 1"}, "question", "it is a list", "wrong type"),
        ({"question": "q", "answer": True}, "answer", "it is a bool", "wrong type"),
        ({"question": "q", "answer": "one"}, "answer", "'####', but it has no such marker", "marker missing"),
        ({"question": "q", "answer": "one ####  "}, "answer", "nothing follows the marker", "no answer"),
        ('{"question": "\\ud800", "answer": "#### 1"}', "question", "valid Unicode", "not Unicode"),
        ('{"question": "q", "answer": NaN}', "answer", "it is nan", "wrong type"),
    ],
)
def test_a_bad_row_is_named_and_left_out_only_on_demand(
    tmp_path: Path, row: Any, column: str | None, words: str, reason: str
) -> None:
    path = write(tmp_path / "a.jsonl", [ROWS[0], "", row, ROWS[2]])
    message = refusal(path)
    # The blank second line counts: row 3 is where an editor shows it.
    assert message.startswith(
        f"{path}, row 3" + (f", column '{column}': expected " if column else ": expected ")
    )
    assert words in message
    assert "--skip-bad-rows" in message
    source = load(path, skip=True)
    assert source.skipped == {reason: 1}
    assert source.size == 2
    assert [source.prompt(index).answer for index in range(2)] == ["2", "0.5"]
    assert source.describe()["skipped"] == {reason: 1}


@pytest.mark.parametrize(
    ("settings", "row", "reason"),
    [
        ({"language_column": "lang"}, {"lang": "klingon"}, "unknown language"),
        ({"level_column": "level"}, {"level": "hard"}, "wrong level"),
        ({"level_column": "level"}, {"level": 0}, "wrong level"),
        ({"extra": {"options": "choices"}}, {"choices": None}, "no options"),
    ],
)
def test_a_bad_optional_column_is_a_bad_row(
    tmp_path: Path, settings: dict[str, Any], row: dict[str, Any], reason: str
) -> None:
    good = {"lang": "en", "level": 1, "choices": ["a"]}
    path = write(tmp_path / "a.jsonl", [{**ROWS[0], **good}, {**ROWS[2], **good, **row}])
    assert "row 2, column " in refusal(path, **settings)
    assert load(path, skip=True, **settings).skipped == {reason: 1}


def test_bytes_that_are_not_utf8_and_a_cut_last_line_are_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(ROWS[0]).encode() + b'\n{"question": "\xff", "answer": "#### 1"}\n{"questi')
    assert "row 2: expected a line of UTF-8 text" in refusal(path)
    assert load(path, skip=True).skipped == {"not UTF-8": 1, "not JSON": 1}


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS[0]).encode())
    assert load(path).prompt(0).answer == "2"


def test_a_missing_empty_or_strange_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS)
    assert "does not exist; the nearest file there is train.jsonl" in refusal(tmp_path / "trian.jsonl")
    assert "nor does the folder" in refusal(tmp_path / "train.jsonl", file="nowhere/a.jsonl")
    assert "is a folder" in refusal(tmp_path / "x", file=".")
    (tmp_path / "empty.jsonl").touch()
    assert "is empty" in refusal(tmp_path / "empty.jsonl")
    assert "has no rows" in refusal(write(tmp_path / "blank.jsonl", ["", " "]))
    assert "ending in .jsonl, .jsonl.gz, .parquet" in refusal(write(tmp_path / "a.csv", ["question,answer"]))
    every = write(tmp_path / "bad.jsonl", [{"question": "q", "answer": "#### "}] * 2)
    with pytest.raises(UserError, match=r"no row of .* can be used \(2 no answer\)"):
        load(every, skip=True)


def test_an_unknown_column_is_named_with_the_nearest_and_all_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "q", "target": "1"}])
    message = refusal(path, question="promt", answer="target")
    assert message.startswith("r.yaml: prompts[0].question: ")
    assert "has no column 'promt'; did you mean `prompt`? Known here: prompt, target" in message
    message = refusal(path)
    assert "cannot tell which column" in message
    assert "Columns there: prompt, target. Set `question`" in message
    assert "prompts[0].extra.options" in refusal(
        path, question="prompt", answer="target", extra={"options": "x"}
    )


def test_gzip_reads_as_the_plain_file_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    plain = write(tmp_path / "set.jsonl", ROWS)
    packed = tmp_path / "set.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert [load(packed).prompt(index) for index in range(3)] == [
        load(plain).prompt(index) for index in range(3)
    ]
    packed.write_bytes(packed.read_bytes()[:-9])
    assert "is not a whole gzip file" in refusal(packed)
    packed.write_bytes(plain.read_bytes())
    assert "is not a whole gzip file" in refusal(packed)


def test_a_parquet_round_trip_equals_the_json_lines(tmp_path: Path) -> None:
    rows = [{**row, "level": index + 1} for index, row in enumerate(ROWS * 70)]
    plain = load(write(tmp_path / "set.jsonl", rows), level_column="level")
    path = tmp_path / "set.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=50)
    source = load(path, level_column="level")
    assert source.size == plain.size == 210
    assert [source.prompt(index) for index in range(210)] == [plain.prompt(index) for index in range(210)]
    assert source.describe() == plain.describe()


def test_a_bad_parquet_row_column_or_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([ROWS[0], {"question": "q", "answer": None}]), path)
    assert refusal(path).startswith(f"{path}, row 2, column 'answer': expected the answer, but it is null")
    assert load(path, skip=True).skipped == {"no answer": 1}
    assert "did you mean `answer`?" in refusal(path, question="question", answer="anser")
    path.write_bytes(b"PAR1 no")
    assert "is not a readable Parquet file" in refusal(path)


def test_a_file_that_changes_under_a_run_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    source = load(path)
    path.write_text(path.read_text(encoding="utf-8").replace("1+1?", "1+2?"), encoding="utf-8")
    with pytest.raises(UserError, match="row 1: the row changed since the run began"):
        source.prompt(0)
    assert source.prompt(2).answer == "0.5"


def test_the_content_of_the_resolved_recipe_follows_the_rows(tmp_path: Path) -> None:
    stated = [
        load(write(tmp_path / "a.jsonl", rows)).describe()["content"] for rows in (ROWS, ROWS[::-1], ROWS)
    ]
    assert stated[0] == stated[2] != stated[1]


def test_json_lines_keep_offsets_and_no_rows(tmp_path: Path) -> None:
    table = JsonlTable(write(tmp_path / "a.jsonl", [{"text": "x" * 1000}] * 500))
    held = sum(len(value) for value in vars(table).values() if isinstance(value, str | bytes | list | dict))
    assert held < 1000
    assert table.row(499) == {"text": "x" * 1000}


def test_any_language_that_can_be_counted_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{**ROWS[0], "lang": "fr-CA"}, {**ROWS[2], "lang": "German"}])
    source = load(path, language_column="lang")
    assert [source.prompt(index).language for index in range(2)] == ["fr", "de"]
    assert load(path, language="fr").prompt(0).language == "fr"
    with pytest.raises(UserError, match="unknown language 'fx'"):
        validate_prompts([{"file": str(path), "language": "fx"}], "here")
