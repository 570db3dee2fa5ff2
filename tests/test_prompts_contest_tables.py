"""Tables of code problems: a bad row or key is named, an unknown layout shown, large files stay on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.prompts import build_source, validate_prompts
from ahalab.records import Prompt
from contest_rows import (
    APPS,
    APPS_CALL,
    BUG_FIX,
    CODEFORCES,
    LIVECODEBENCH,
    LIVECODEBENCH_CALL,
    OWN,
    OWN_CALL,
    SUM,
    TACO,
    load,
    write,
)
from contest_tools import only, refusal


@pytest.mark.parametrize(
    ("good", "change", "words"),
    [
        (APPS, {"input_output": ""}, ["column 'input_output'", "it is empty", "without tests"]),
        (
            APPS,
            {"input_output": '{"inputs": [], "outputs": []}'},
            ["column 'input_output'", "at least one test"],
        ),
        (APPS, {"input_output": '{"inputs": ["1"], "outputs": []}'}, ["1 inputs and 0 outputs"]),
        (APPS, {"input_output": '{"inputs": ["1", "2'}, ["not JSON", "was it cut off?"]),
        (APPS, {"input_output": "[1]"}, ["column 'input_output'", "an object"]),
        (
            APPS,
            {"input_output": '{"inputs": ["\\ud800"], "outputs": ["1"]}'},
            ["input_output[0].input", "surrogate"],
        ),
        (
            APPS_CALL,
            {"input_output": '{"fn_name": "f", "inputs": [1], "outputs": [1]}'},
            ["input_output[0].input"],
        ),
        (APPS, {"solutions": "[1]"}, ["column 'solutions[0]'"]),
        (TACO, {"time_limit": "soon"}, ["column 'time_limit'", "'soon'", "2 seconds"]),
        (TACO, {"memory_limit": "0 MB"}, ["column 'memory_limit'"]),
        (LIVECODEBENCH, {"public_test_cases": "[{]"}, ["column 'public_test_cases'", "not JSON"]),
        (
            LIVECODEBENCH,
            {"private_test_cases": "bm90IHppcA=="},
            ["column 'private_test_cases'", "neither JSON"],
        ),
        (LIVECODEBENCH, {"metadata": "{"}, ["column 'metadata'", "not JSON"]),
        (
            LIVECODEBENCH_CALL,
            {"private_test_cases": '[{"input": "{", "output": "1"}]'},
            ["private_test_cases[0].input"],
        ),
        (
            CODEFORCES,
            {"official_tests": [], "examples": []},
            ["column 'official_tests'", "at least one test"],
        ),
        (CODEFORCES, {"official_tests": [{"input": "1"}]}, ["column 'official_tests[0]'"]),
        (OWN, {"tests": []}, ["column 'tests'", "at least one test"]),
        (OWN, {"tests": [{"stdin": "1"}]}, ["column 'tests[0]'", "stdout"]),
        (OWN, {"compare": "fuzzy"}, ["column 'compare'", "'fuzzy'", "tokens, exact, float"]),
        (OWN, {"tolerance": -1}, ["column 'tolerance'"]),
        (OWN, {"level": 0}, ["column 'level'"]),
        (
            OWN,
            {"solutions": {"good": [{"language": "cobol", "source": "x"}]}},
            ["solutions.good[0].language", "cobol"],
        ),
        (OWN_CALL, {"tests": [{"input": 3, "output": 1}]}, ["column 'tests[0].input'", "arguments"]),
        (OWN, {"question": {"fr": "Ajoute."}}, ["column 'question'", "en, zh"]),
        (BUG_FIX, {"tests": {}}, ["column 'tests'", "at least one file of unit tests"]),
        (BUG_FIX, {"files": {"../x.py": ""}}, ["column 'files'", "relative paths"]),
        (BUG_FIX, {"files": {"/etc/x": ""}}, ["column 'files'", "relative paths"]),
        (BUG_FIX, {"tests": {"tail.py": "x"}}, ["column 'tests.tail.py'", "in `files` too"]),
        (BUG_FIX, {"solutions": {"good": [{}]}}, ["column 'solutions.good[0]'"]),
    ],
)
def test_a_bad_row_is_named_with_file_row_and_key_and_skipped_when_asked(
    tmp_path: Path, good: dict[str, Any], change: dict[str, Any], words: list[str]
) -> None:
    text = refusal(tmp_path, {**good, **change})
    for word in (str(tmp_path / "data.jsonl"), "row 1", "--skip-bad-rows", *words):
        assert word in text
    source = load(write(tmp_path / "mixed.jsonl", good, {**good, **change}), skip=True)
    assert source.size == 1
    assert sum(source.skipped.values()) == 1


def test_a_number_of_many_thousand_digits_is_a_bad_row_not_a_crash(tmp_path: Path) -> None:
    held = json.dumps({"fn_name": "f", "inputs": [[1]], "outputs": [2]}).replace("2", "9" * 5000)
    assert "it cannot be read" in refusal(tmp_path, {**APPS_CALL, "input_output": held})


def test_an_unknown_layout_shows_the_columns_and_the_mapping_to_write(tmp_path: Path) -> None:
    row = {"prompt": "Add.", "test_cases": [{"input": "1 2", "output": "3"}], "canonical_solution": SUM}
    text = refusal(tmp_path, row, verifier="code")
    assert "Columns there: prompt, test_cases, canonical_solution" in text
    assert "APPS and TACO (question, input_output)" in text
    fragment = text.partition("`?`:\n")[2]
    assert fragment == (
        "  - file: data.jsonl\n"
        "    verifier: code\n"
        "    code:\n"
        "      columns: {question: prompt, tests: test_cases, solutions: canonical_solution}"
    )
    columns = {"question": "prompt", "tests": "test_cases", "solutions": "canonical_solution"}
    prompt = only(tmp_path, row, verifier="code", code={"columns": columns})
    assert prompt.extra["tests"] == [{"stdin": "1 2", "stdout": "3"}]
    assert prompt.answer == f"```python\n{SUM}\n```"


def test_what_cannot_be_guessed_is_left_as_a_question_mark(tmp_path: Path) -> None:
    assert "{question: ?, tests: ?}" in refusal(tmp_path, {"a": 1, "b": 2}, verifier="code")
    assert "{issue: problem_statement, files: ?, tests: ?}" in refusal(
        tmp_path, {"problem_statement": "x", "base_commit": "1"}, verifier="patch"
    )
    assert "SWE-bench" in refusal(tmp_path, {"problem_statement": "x", "base_commit": "1"}, verifier="patch")


def test_inputs_and_outputs_may_be_columns_of_their_own(tmp_path: Path) -> None:
    row = {"statement": "Add.", "ins": ["1 2", "3 4"], "outs": ["3", "7"]}
    columns = {"question": "statement", "inputs": "ins", "outputs": "outs"}
    assert len(only(tmp_path, row, code={"columns": columns}).extra["tests"]) == 2
    text = refusal(tmp_path, {**row, "outs": ["3"]}, code={"columns": columns})
    assert "column 'ins'" in text
    assert "2 inputs and 1 outputs" in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"verifier": "math", "code": {}}, ["prompts[0].verifier", "code, patch, code_io"]),
        ({"verifier": "patch"}, ["prompts[0].verifier", "contest problems", "expected code"]),
        (
            {"code": {"columns": {"question": "qestion", "tests": "tests"}}},
            ["no column 'qestion'", "`question`"],
        ),
        ({"code": {"columns": {"questoin": "question"}}}, ["unknown name 'questoin'", "`question`"]),
        ({"code": {"columns": {"tests": "tests", "question": "id"}, "layout": "apps"}}, ["layout: apps"]),
        ({"code": {"layout": "apps"}}, ["code.layout", "'input_output'"]),
        ({"verifier": "code", "question": "question"}, ["prompts[0].question", "code.columns"]),
        ({"verifier": "code", "level_column": "levels"}, ["level_column", "`level`"]),
        ({"code": {"max_tests": 0}}, ["max_tests", "1"]),
        ({"code": {"io": "outputs"}}, ["io", "output"]),
    ],
)
def test_keys_that_contradict_each_other_or_the_table_are_refused(
    tmp_path: Path, settings: dict[str, Any], words: list[str]
) -> None:
    text = refusal(tmp_path, None, **settings)
    for word in words:
        assert word in text


def test_a_table_with_code_columns_is_plain_questions_where_the_recipe_says_so(tmp_path: Path) -> None:
    prompt = only(tmp_path, APPS, question="question", verifier="none")
    assert (prompt.verifier, prompt.question, prompt.extra) == ("none", APPS["question"], {})


def test_functions_are_left_out_where_only_cpp_is_asked_for(tmp_path: Path) -> None:
    source = load(write(tmp_path / "data.jsonl", OWN, OWN_CALL), code={"language": "cpp"}, language="en")
    assert source.skipped == {"functions are tested in Python only": 1}
    assert "C++17" in source.prompt(0).question
    assert source.prompt(0).answer is None


def test_parquet_rows_read_as_json_rows_do(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    other = {**BUG_FIX, "files": {"other.py": "x = 1\n"}, "solutions": None}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([BUG_FIX, other]), tmp_path / "bugs.parquet")
    source = load(tmp_path / "bugs.parquet")
    # Arrow gives every row the paths of all rows, as null.
    assert [list(source.prompt(index).extra["files"]) for index in range(2)] == [["tail.py"], ["other.py"]]
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([OWN, {**OWN, "level": 2}]), tmp_path / "own.parquet"
    )
    assert load(tmp_path / "own.parquet", language="en").prompt(0).extra["tests"] == OWN["tests"]


@pytest.mark.parametrize(("name", "verifier", "least"), [("contest", "code", 200), ("bugs", "patch", 10)])
def test_the_bundled_sets_are_entries_with_splits_that_do_not_overlap(
    name: str, verifier: str, least: int
) -> None:
    def prompts(split: str, **settings: Any) -> list[Prompt]:
        (entry,) = validate_prompts([{"builtin": name, "split": split, **settings}], "r.yaml")
        source = build_source(entry, 0, where="r.yaml: prompts[0]")
        assert source.size is not None
        return [source.prompt(index) for index in range(source.size)]

    everything, train, held_out = prompts("all"), prompts("train"), prompts("held_out")
    assert len(everything) == len(train) + len(held_out) >= least
    assert 0 < len(held_out) < len(everything) / 3
    assert not {prompt.id for prompt in train} & {prompt.id for prompt in held_out}
    assert {prompt.verifier for prompt in everything} == {verifier}
    assert {prompt.language for prompt in everything} == {"en", "zh"}
    assert all(prompt.answer for prompt in everything)
    assert {prompt.language for prompt in prompts("all", language="zh")} == {"zh"}
    assert {prompt.level for prompt in prompts("all", levels=[1])} == {1}
    with pytest.raises(UserError, match="levels"):
        prompts("all", levels=[999])


def test_the_bundled_set_makes_questions_about_inputs_and_outputs() -> None:
    (entry,) = validate_prompts([{"builtin": "contest", "code": {"io": "both"}}], "r.yaml")
    source = build_source(entry, 0, where="r.yaml: prompts[0]")
    assert source.size is not None
    assert source.size > 250


def test_large_columns_of_parquet_are_mapped_from_disk_and_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{**APPS, "question": f"Add, please ({number})."} for number in range(300)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "apps.parquet")
    small = load(tmp_path / "apps.parquet")
    monkeypatch.setattr("ahalab.prompts.files.IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    mapped = load(tmp_path / "apps.parquet")
    assert set(tmp_path.iterdir()) == before
    assert [mapped.prompt(index) for index in range(300)] == [small.prompt(index) for index in range(300)]


def test_few_first_rows_are_looked_at_where_they_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow
    import pyarrow.parquet

    from ahalab.prompts.files import JsonlTable, ParquetTable

    rows = [{**APPS, "question": "Add. " * 200}] * 50
    table = JsonlTable(write(tmp_path / "a.jsonl", *rows))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet", compression="none")
    packed = ParquetTable(tmp_path / "a.parquet")
    assert len(table.head()) == len(packed.head()) == 50
    monkeypatch.setattr("ahalab.prompts.files.HEAD_BYTES", 10_000)
    assert 1 <= len(table.head()) < 10
    monkeypatch.setattr("ahalab.prompts.files.HEAD_BYTES", 1)
    assert len(table.head()) == len(packed.head()) == 1
