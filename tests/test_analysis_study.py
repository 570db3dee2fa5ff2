"""Samples from anywhere: a run folder, a stage, files of other trainers; bad files are refused in clear words."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ahalab.analysis.sources import find_columns, parse_columns
from ahalab.analysis.study import analyse
from ahalab.analysis.tally import ALL_WORDS
from ahalab.errors import UserError
from ahalab.text.reflection import ReflectiveWords
from conftest import Aha
from synthetic_run import flat_samples, make_run, write_rows


def trl() -> list[dict[str, Any]]:
    """As TRL logs completions: conversational, one reward function a column."""
    return [
        {
            "step": step,
            "prompt": [{"role": "user", "content": f"question {prompt}"}],
            "completion": [{"role": "assistant", "content": "Wait, no." if sample else "So it is 4."}],
            "accuracy_reward": float(sample),
            "advantage": 0.0,
        }
        for step in (10, 20)
        for prompt in range(6)
        for sample in (0, 1)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_rows(path, rows)
    return path


def test_a_run_folder_counts_what_the_run_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=30)
    before, zero, after = analyse(run)
    assert [before.name, zero.name, after.name] == ["before", "zero", "after"]
    rows = list(flat_samples(run / "stages" / "zero"))
    assert zero.tally.samples == len(rows)
    assert sorted(zero.tally.steps) == list(range(30)), "step 0 is the base, before any update"
    words: Counter[str] = Counter()
    for row in rows:
        words.update(row["reflective"])
    assert zero.tally.over().words == words
    first = [row for row in rows if row["step"] == 1]
    right = [row for row in first if row["correct"] == 1.0]
    side = zero.tally.over([0], "right")
    assert (side.answers, side.tokens) == (len(right), sum(row["tokens"] for row in right))
    assert zero.tally.over([0]).per_1k == pytest.approx(
        1000 * sum(sum(row["reflective"].values()) for row in first) / sum(row["tokens"] for row in first)
    )
    assert analyse(run / "stages" / "zero")[0].tally.steps == zero.tally.steps


def test_another_word_list_is_counted_in_the_texts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=5, evaluations=False)
    (found,) = analyse(run, ReflectiveWords(("guess",), ()))
    texts = [row["text"] for row in flat_samples(run / "stages" / "zero")]
    assert found.tally.over().words == {"guess": sum(text.count("guess") for text in texts)}


def test_trl_logs(tmp_path: Path) -> None:
    (found,) = analyse(write(tmp_path / "completions.jsonl", trl()))
    assert found.columns is not None
    assert found.columns.names == {
        "text": "completion",
        "correct": "accuracy_reward",
        "step": "step",
        "prompt": "prompt",
    }
    assert sorted(found.tally.steps) == [10, 20]
    assert found.tally.over(side="right").words == {"wait": 12}
    assert found.tally.over(side="wrong").words == {}
    assert len(found.tally.groups) == 12, "two steps of six prompts"
    assert any("no column for tokens" in notice for notice in found.notices)


def test_verls_dumped_rollouts_are_a_folder_of_files_one_a_step(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        rows = [
            {"input": f"q{i}", "output": "but check", "gts": "1", "score": 1.0 if i else -1.0, "step": step}
            for i in range(3)
        ]
        write_rows(tmp_path / f"{step}.jsonl", rows)
    (found,) = analyse(tmp_path)
    assert list(found.tally.steps) == [1, 2, 10], "in the order of numbers"
    assert found.tally.over(side="right").answers == 6
    assert found.tally.over(side="wrong").words == {"but": 3, "check": 3}


def test_open_r1_rows_hold_several_generations(tmp_path: Path) -> None:
    rows = [
        {
            "problem": "p",
            "generations": ["wait", "so", "check"],
            "correctness_math_verify": [True, False, None],
        }
    ]
    (found,) = analyse(write(tmp_path / "r.jsonl", rows))
    assert found.tally.samples == 3
    assert found.tally.over(side="right").words == {"wait": 1}
    assert found.tally.over(side="not graded").words == {"check": 1}


def test_columns_can_be_named_also_inside_objects(tmp_path: Path) -> None:
    rows = [{"a": {"said": "wait"}, "text": "but", "n": 3, "ok": "true"}]
    path = write(tmp_path / "x.jsonl", rows)
    (found,) = analyse(path, columns=parse_columns("text=a.said,correct=ok,tokens=n"))
    assert found.tally.over(side="right").words == {"wait": 1}
    assert found.tally.over().per_1k == pytest.approx(1000 / 3)
    with pytest.raises(UserError, match=r"--columns step=when, but .*Found: a, text, n, ok"):
        find_columns(path, {"step": "when"})
    with pytest.raises(UserError, match="expected KEY=COLUMN"):
        parse_columns("txt=a")
    write_rows(path, [{"said": "wait", "score": 1}])
    with pytest.raises(UserError, match=r"Looked for text, completion.*found said, score.*--columns text="):
        analyse(path)


def test_a_gzipped_file_is_the_same(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.jsonl", trl())
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert analyse(packed)[0].tally.over() == analyse(plain)[0].tally.over()
    packed.write_bytes(packed.read_bytes()[:-30])
    (found,) = analyse(packed)
    assert found.tally.samples < 24 or found.notices
    assert any("half-written" in notice for notice in found.notices)


def test_a_half_written_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", trl())
    path.write_bytes(path.read_bytes()[:-20])
    (found,) = analyse(path)
    assert found.tally.samples == 23
    assert "a half-written last line was left out of a.jsonl" in " ".join(found.notices)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], '{"step": ', *lines[1:4]]) + "\n")
    with pytest.raises(UserError, match=r"a\.jsonl, row 2: .*mend or remove this line"):
        analyse(path)


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-16", r"byte 0 of the file \(0xff\) shows UTF-16 text.*iconv -f UTF-16 -t UTF-8"),
        ("utf-16-le", r"byte 1 of the file \(0x00\) shows UTF-16 text"),
        ("utf-32", r"byte 0 of the file .* shows UTF-32 text"),
        ("latin-1", r"row 2: byte 48 of the file \(0xe9\) is not UTF-8.*iconv -f WINDOWS-1252"),
    ],
)
def test_other_encodings_are_refused_with_the_byte_and_what_to_do(
    tmp_path: Path, encoding: str, told: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        '{"text": "wait"}\n{"text": "a naïve caf\\u00e9 café"}\n'.replace("ï", "i").encode(encoding)
    )
    with pytest.raises(UserError, match=told):
        analyse(path)


def test_a_byte_order_mark_of_utf8_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"text": "wait 等等"}\n'.encode("utf-8-sig"))
    assert analyse(path)[0].tally.over().words == {"wait": 1, "等等": 1}


def test_nothing_to_read_is_said(tmp_path: Path, aha: Aha) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="has no rows"):
        analyse(tmp_path / "empty.jsonl")
    with pytest.raises(UserError, match="is not there"):
        analyse(tmp_path / "missing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="holds no samples"):
        analyse(tmp_path / "folder")
    run = make_run(tmp_path / "run", steps=3, evaluations=False, finished=False, samples=0)
    with pytest.raises(UserError, match=r"no stage has written samples yet \(stages begun: zero\)"):
        analyse(run)
    assert aha("analyse", tmp_path / "folder").code == 2


def test_a_half_written_run_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=6, finished=False, evaluations=False)
    (run / "run.json").unlink(missing_ok=True)
    last = max((run / "stages" / "zero.partial" / "samples").glob("*.jsonl"))
    last.write_bytes(last.read_bytes()[:-10])
    (found,) = analyse(run)
    assert found.name == "zero"
    assert found.tally.samples == 6 * 16 - 1
    assert any("half-written" in notice for notice in found.notices)
    last.write_text("{\n")
    (found,) = analyse(run)
    assert found.tally.samples == 5 * 16
    assert any("read only in part" in notice and "row 1" in notice for notice in found.notices)


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "wait", "step": 1, "correct": 0.5, "tokens": "many"},
        {"text": None, "step": 1, "correct": 0.5},
        {"text": "wait", "step": "soon", "correct": True},
        {"text": 5, "step": [2], "correct": {}},
    ]
    path = write(tmp_path / "a.jsonl", rows)
    (found,) = analyse(path)
    assert found.tally.samples == 2
    said = " ".join(found.notices)
    assert "2 rows without a text in text" in said
    assert "1 rows without a whole number in step" in said
    write_rows(path, rows[:1])
    assert any("no value of correct reaches 1 (highest 0.5)" in one for one in analyse(path)[0].notices)


HOSTILE = "\u202ewait \x1b[31m<script>alert(1)</script> [bold]x[/] `|` \u0000 \ud83d"


def test_hostile_text_is_shown_and_never_run(tmp_path: Path, aha: Aha) -> None:
    rows = [
        {"text": HOSTILE, "correct": 1, "step": s, "level": "\x1b[2J|`<b>", "\u202e\x1b[31m": 1}
        for s in range(9)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = aha("analyse", path, "--output", tmp_path / "out")
    assert done.code == 0, done.err
    markdown = (tmp_path / "out" / "analysis.md").read_text(encoding="utf-8")
    for text in (done.out, done.err, markdown):
        assert not {"\x1b", "\u202e", "\u0000"} & set(text)
    assert "[bold]x[/]" in done.out, "as written"
    assert "\\u{202E}wait" in done.out
    for line in markdown.splitlines():
        assert "<script>" not in line or line.startswith("    "), "a block that Markdown shows as it is"
    data = json.loads((tmp_path / "out" / "analysis.json").read_text(encoding="utf-8"))
    assert data["studies"][0]["first_right_with_a_word"]["text"] == HOSTILE
    refused = aha("analyse", path, "--columns", "text=nowhere")
    assert refused.code == 2
    assert not {"\x1b", "\u202e"} & set(refused.err)


def test_the_command_writes_a_table_and_both_files(tmp_path: Path, aha: Aha) -> None:
    run = make_run(tmp_path / "run", steps=120)
    done = aha("analyse", run)
    assert done.code == 0, done.err
    assert "onset at step" in done.out
    assert "Inside the same prompt at the same step" in done.out
    assert "Simpson's paradox" in done.out
    assert "zero: " in done.err, "progress"
    data = json.loads((run / "analysis.json").read_text(encoding="utf-8"))
    zero = next(one for one in data["studies"] if one["name"] == "zero")
    assert [row["step"] for row in zero["steps"]] == list(range(120))
    assert zero["onsets"][ALL_WORDS]["step"] is not None
    assert zero["reflection_helps"]["within_prompts"]["low"] > 0.5
    written = (run / "analysis.md").read_bytes()
    assert aha("analyse", run).code == 0
    assert (run / "analysis.md").read_bytes() == written


def test_the_report_tells_the_same_onset_and_help(tmp_path: Path) -> None:
    from ahalab.report.html import write_report

    run = make_run(tmp_path / "run", steps=120)
    page = write_report(run)
    twin = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["training"][0]
    zero = next(study for study in analyse(run) if study.name == "zero")
    assert twin["onsets"]["wait"]["step"] == zero.tally.onsets()["wait"].step is not None
    assert any("onset at step" in sentence for sentence in twin["captions"]["word"])
    assert any("onset at step" in sentence for sentence in twin["captions"]["reflection"])
    assert any("Simpson" in sentence for sentence in twin["captions"]["helps"])
    assert twin["reflection_helps"]["within_prompts"]["n"] > 0
    assert "Do reflections help" in page.read_text(encoding="utf-8")
