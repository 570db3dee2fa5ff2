"""The first of each group stays, every row that goes is named with the one it repeats, and disk makes no difference."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ahalab.datatools import buckets, near, reading, twins
from ahalab.datatools.dedup import Deduplicated, dedup
from ahalab.datatools.near import _Crowd
from ahalab.datatools.reading import Watch
from ahalab.datatools.sketches import Shape, Sketcher, exact_key, formula_key, jaccard
from ahalab.datatools.twins import Twin
from ahalab.errors import Interrupted, UserError
from data_files import read_lines, write_lines
from synthetic_data import write_synthetic

BASE = (
    "A farmer has three fields of wheat and every field gives him twenty sacks in a good summer but only half of "
    "that when the rain stays away for long so how many sacks does he have after two good summers and a dry one"
)


def run(path: Path, **options: Any) -> tuple[Deduplicated, list[dict[str, Any]], list[dict[str, Any]]]:
    output = path.parent / "out" / "clean.jsonl"
    output.parent.mkdir(exist_ok=True)
    shape = options.pop("shape", Shape())
    done = dedup(path, Watch(), output=output, shape=shape, overwrite=True, **options)
    return done, read_lines(output), read_lines(output.parent / "clean.dropped.jsonl")


def test_exact_twins_go_and_the_first_stays_as_it_was(tmp_path: Path) -> None:
    lines = [
        '{"id": "a", "question": "What is it?",   "answer": "1"}',
        '{"id": "b", "question": "what  IS it?", "answer": "1"}',
        '{"id": "c", "question": "小明有３个？", "answer": "3"}',
        '{"id": "d", "question": "What is it?", "answer": "2"}',
        '{"id": "e", "question": "小明有3个？", "answer": "3"}',
    ]
    path = write_lines(tmp_path / "a.jsonl", lines)
    done, _, dropped = run(path)
    assert (tmp_path / "out" / "clean.jsonl").read_text().splitlines() == [lines[0], lines[2]]
    assert dropped == [
        {"row": 2, "id": "b", "kept_row": 1, "how": "exact", "text": "what  IS it?"},
        {"row": 4, "id": "d", "kept_row": 1, "how": "exact", "other_answer": True, "text": "What is it?"},
        {"row": 5, "id": "e", "kept_row": 3, "how": "exact", "text": "小明有3个？"},
    ]
    assert (done.rows, done.exact, done.other_gold, done.groups) == (5, 3, 1, 2)
    assert dict(done.languages) == {"en": 2, "zh": 1}
    assert done.largest[0][:2] == (1, 2)


def test_near_twins_go_in_english_and_chinese(tmp_path: Path) -> None:
    chinese = (
        "一个农民有三块麦田，每块麦田在好年景的夏天能收二十袋小麦，可是天旱的时候只能收一半，"
        "那么两个好年景和一个旱年一共收多少袋小麦呢"
    )
    rows = [
        {"question": BASE, "answer": "1"},
        {
            "question": "Something else entirely, with words enough to make some grams of its own",
            "answer": "2",
        },
        {"question": f"{BASE} in all", "answer": "1"},
        {"question": chinese, "answer": "3"},
        {"question": f"请问：{chinese}？", "answer": "3"},
    ]
    done, kept, dropped = run(write_lines(tmp_path / "a.jsonl", rows))
    assert [row["answer"] for row in kept] == ["1", "2", "3"]
    assert [(one["row"], one["kept_row"], one["how"]) for one in dropped] == [(3, 1, "near"), (5, 4, "near")]
    assert all(0.8 <= one["likeness"] < 1 for one in dropped)
    assert done.near is not None
    assert done.near.twins == 2


def test_other_numbers_or_signs_are_another_problem_unless_they_may_differ(tmp_path: Path) -> None:
    texts = [f"{BASE} if he sells {number} sacks {sign} 5" for number, sign in ((3, "+"), (4, "+"), (3, "-"))]
    path = write_lines(tmp_path / "a.jsonl", [{"question": text, "answer": "1"} for text in texts])
    done, kept, _ = run(path)
    assert (len(kept), done.dropped) == (3, 0)
    done, kept, dropped = run(path, any_numbers=True)
    assert (len(kept), [one["kept_row"] for one in dropped]) == (1, [1, 1])


def test_a_row_goes_only_for_one_that_stays_and_is_like_it(tmp_path: Path) -> None:
    words = BASE.split()
    # a ~ b ~ c, but c is not like a: c stays when b goes for a.
    shape = Shape(0.6, 3)
    a, b, c = (" ".join(words[start : start + 30]) for start in (0, 6, 12))
    done, kept, dropped = run(
        write_lines(tmp_path / "a.jsonl", [{"question": text, "answer": "1"} for text in (a, b, c)]),
        shape=shape,
    )
    assert [one["row"] for one in dropped] == [2]
    assert (len(kept), done.groups) == (2, 1)


def plain(texts: list[str], shape: Shape) -> list[int | None]:
    """What `dedup` promises, the plain way: each row with every earlier one that stays, in memory."""
    sketcher, stays, found = Sketcher(shape), [], []
    sketches = [sketcher.sketch([text]).numbers for text in texts]
    for place, text in enumerate(texts):
        exact = next((one for one in range(place) if exact_key(texts[one]) == exact_key(text)), None)
        if exact is not None:
            # The first of its kind may itself go for another: the one that stays is named.
            found.append(exact if found[exact] is None else found[exact])
            continue
        twin = next(
            (
                one
                for one in stays
                if formula_key(texts[one]) == formula_key(text)
                and jaccard(sketches[one], sketches[place]) >= shape.near
            ),
            None,
        )
        found.append(twin)
        if twin is None:
            stays.append(place)
    return found


def made_up(seed: int) -> list[str]:
    """Texts of which some repeat others exactly, some but for a few words, some by half."""
    chosen = random.Random(seed)
    vocabulary = ["".join(chosen.choices("abcdefgh", k=5)) for _ in range(3000)]
    texts = [" ".join(chosen.choices(vocabulary, k=120)) for _ in range(40)]
    for _ in range(160):
        words = chosen.choice(texts).split()
        for _ in range(chosen.choice((0, 1, 2, 60))):
            words[chosen.randrange(len(words))] = chosen.choice(vocabulary)
        texts.append(" ".join(words) + chosen.choice(("", "", " 7")))
    chosen.shuffle(texts)
    return texts


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("small", [False, True])
def test_the_disk_finds_what_memory_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, small: bool
) -> None:
    if small:  # every bound far below the data
        monkeypatch.setattr(buckets, "HELD_BYTES", 256)
        monkeypatch.setattr(buckets, "LOAD_BYTES", 320)
        monkeypatch.setattr(twins, "BATCH_ROWS", 7)
        monkeypatch.setattr(near, "BATCH_ROWS", 7)
        monkeypatch.setattr(near, "BATCH_TEXT", 2000)
    texts = made_up(seed)
    path = write_lines(tmp_path / "a.jsonl", [{"question": text, "answer": "1"} for text in texts])
    _, kept, dropped = run(path, shape=Shape(0.7))
    expected = plain(texts, Shape(0.7))
    found: list[int | None] = [None] * len(texts)
    for one in dropped:
        found[one["row"] - 1] = one["kept_row"] - 1
    assert found == expected
    assert len(kept) == found.count(None) < 130
    assert sum(one["how"] == "near" for one in dropped) > 30


def test_a_text_that_is_there_a_million_times_spans_blocks_and_keeps_its_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "LOAD_BYTES", 96)
    rows = [{"question": ("same", "other")[place % 3 == 0], "answer": "1"} for place in range(60)]
    _, kept, dropped = run(write_lines(tmp_path / "a.jsonl", rows), shape=None)
    assert len(kept) == 2
    assert {(one["kept_row"], rows[one["row"] - 1]["question"]) for one in dropped} == {
        (1, "other"),
        (2, "same"),
    }


def test_a_crowd_is_compared_with_its_first_and_last_members() -> None:
    crowd = _Crowd(1)
    assert [len(crowd.join(row)) for row in range(40)] == [*range(33), *[32] * 7]
    assert crowd.join(40) == [*range(16), *range(24, 40)]


def test_twins_survive_packing() -> None:
    for twin in (Twin(0), Twin(0, 0.8), Twin(2**43, 1.0, True), Twin(5, None, True)):
        assert Twin.read(twin.packed()) == twin
    assert Twin.read(0) is None


def test_worked_answers_to_one_question_are_no_twins_unless_they_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"question": "q?", "thinking": "let me see", "answer": "3"},
        {"question": "q?", "thinking": "another way", "answer": "3"},
        {"question": "q?", "thinking": "Let me see", "answer": "3"},
    ]
    done, kept, _ = run(write_lines(tmp_path / "a.jsonl", rows))
    assert done.by == ["question", "thinking", "answer"]
    assert len(kept) == 2
    done, kept, _ = run(tmp_path / "a.jsonl", by=["question"])
    assert len(kept) == 1


def test_columns_that_cannot_be_told_or_are_not_there_are_asked_for(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"foo": "x", "bar": "y"}] * 2)
    with pytest.raises(
        UserError, match=r"which column is the question. Columns there: foo, bar\. Say so with --by"
    ):
        run(path)
    with pytest.raises(UserError, match=r"--by: .* has no column 'fo'; did you mean `foo`"):
        run(path, by=["fo"])
    done, kept, _ = run(path, by=["foo,bar"])
    assert (done.by, len(kept)) == (["foo", "bar"], 1)


class Stopping(Watch):
    """Ctrl-C at a given look at the clock."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = looks

    def check(self) -> None:
        self.left -= 1
        self.interrupt.asked = self.left <= 0
        super().check()


def test_stopped_work_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "NOTE_ROWS", 20)
    monkeypatch.setattr(near, "BATCH_ROWS", 10)
    monkeypatch.setattr(reading, "TICK_ROWS", 16)
    texts = made_up(3)
    path = write_lines(tmp_path / "a.jsonl", [{"question": text, "answer": "1"} for text in texts])
    whole, _, _ = run(path)
    expected = [(tmp_path / "out" / name).read_bytes() for name in ("clean.jsonl", "clean.dropped.jsonl")]
    output = tmp_path / "stopped" / "clean.jsonl"
    output.parent.mkdir()
    told: list[str] = []
    notes: dict[str, Any] = {}
    for looks in range(20, 900, 30):
        try:
            dedup(path, Stopping(looks), output=output, shape=Shape())
        except Interrupted as error:
            told.append(str(error))
        else:
            break
        (folder,) = output.parent.iterdir()
        notes |= json.loads((folder / "notes.json").read_text()) if (folder / "notes.json").exists() else {}
    assert all(f"kept in {folder}" in one for one in told)
    done = dedup(path, Watch(), output=output, shape=Shape(), overwrite=True)
    assert len(told) > 5
    assert {"exact", "sketched", "paired"} <= notes.keys()
    assert [
        (output.parent / name).read_bytes() for name in ("clean.jsonl", "clean.dropped.jsonl")
    ] == expected
    assert sorted(one.name for one in output.parent.iterdir()) == ["clean.dropped.jsonl", "clean.jsonl"]
    assert (done.exact, done.groups, done.near) == (whole.exact, whole.groups, whole.near)


def test_a_file_that_changed_is_no_work_to_go_on_with(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"question": f"q {n}", "answer": "1"} for n in range(2000)])
    with pytest.raises(Interrupted):
        dedup(path, Stopping(12), output=tmp_path / "b.jsonl", shape=None)
    write_lines(path, [{"question": "q", "answer": "1"}] * 2)
    assert dedup(path, Watch(), output=tmp_path / "b.jsonl", shape=None).exact == 1


def test_without_an_output_only_the_report_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_lines(tmp_path / "a.jsonl", [{"question": "q", "answer": "1"}] * 3)
    done = dedup(path, Watch(), shape=Shape())
    assert (done.exact, done.output, done.dropped_file) == (2, None, None)
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]
    assert json.loads(json.dumps(done.as_dict()))["kept"] == 1


def test_no_text_leaves_no_text_in_the_side_file(tmp_path: Path) -> None:
    done, _, dropped = run(
        write_lines(tmp_path / "a.jsonl", [{"question": "secret", "answer": "1"}] * 2), no_text=True
    )
    assert dropped == [{"row": 2, "kept_row": 1, "how": "exact"}]
    assert done.largest == [(1, 1, "")]


def test_what_was_planted_in_a_big_file_is_found(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "big.jsonl", 3_000_000)
    done, kept, _ = run(tmp_path / "big.jsonl")
    assert done.rows == made.rows
    # A planted near twin of a planted near twin may be the same text again.
    assert done.dropped == made.exact + made.near
    assert len(kept) == made.rows - made.exact - made.near
