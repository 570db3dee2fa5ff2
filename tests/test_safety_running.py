"""The safety runner: every item ends in one state, nothing is asked or judged twice, settings hold."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import AhaError, EnvironmentFailure, Interrupted, UserError
from ahalab.runs.lock import RunLock
from ahalab.safety.folder import read_items, read_judgements, read_replies, target_names
from ahalab.safety.records import Judgement, TargetReply
from ahalab.safety.running.parting import part_reply
from ahalab.safety.running.plan import plan
from ahalab.safety.running.rows import OnceRows
from ahalab.safety.running.run import SafetyRun
from ahalab.safety.running.settings import read_part
from safety_runs import StandIn, Told, made, made_items, made_set


def run(folder: Path, judge: Any = None, **changes: Any) -> SafetyRun:
    return SafetyRun(folder, judge, changes.pop("parts", ("answer",)), **changes)


def test_every_item_is_answered_and_judged_once_by_every_target(tmp_path: Path) -> None:
    asked, judge, targets = made(made_set(5)), StandIn(), [Told("a"), Told("b", lambda _item: "bad")]
    for _ in range(2):
        run(tmp_path, judge).ask(asked, targets)
    assert read_items(tmp_path) == list(asked.items)
    assert target_names(tmp_path) == ["a", "b"]
    for target in targets:
        assert target.asked == [item.id for item in asked.items]
        assert sorted(row.item for row in read_replies(tmp_path, target.name)) == sorted(target.asked)
    assert len(judge.seen) == 10
    assert {row.verdict for row in read_judgements(tmp_path, judge.hash, "a")} == {"safe"}
    assert {row.verdict for row in read_judgements(tmp_path, judge.hash, "b")} == {"unsafe"}
    assert all(row.judge == judge.hash for row in read_judgements(tmp_path, judge.hash, "b"))


def test_what_stopped_halfway_goes_on_with_the_rest(tmp_path: Path) -> None:
    class Stops(Told):
        def replies(self, items: Any, on_reply: Any) -> None:
            super().replies(items[:2], on_reply)
            raise EnvironmentFailure("the server went away")

    asked = made(made_set(5))
    with pytest.raises(EnvironmentFailure, match="went away"):
        run(tmp_path).ask(asked, [Stops("a"), other := Told("b")])
    assert len(other.asked) == 5, "one target's trouble must not stop another"
    again = Told("a")
    run(tmp_path).ask(asked, [again, Told("b")])
    assert again.asked == [item.id for item in asked.items[2:]]


def test_a_half_written_row_of_a_killed_process_is_asked_again(tmp_path: Path) -> None:
    asked = made(made_set(3))
    run(tmp_path).ask(asked, [Told("a")])
    path = tmp_path / "targets/a/replies.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    again = Told("a")
    run(tmp_path).ask(asked, [again])
    assert again.asked == ["made-0002"]
    assert len(read_replies(tmp_path, "a")) == 3


def test_judging_that_stopped_halfway_goes_on_with_the_rest(tmp_path: Path) -> None:
    class Stops(StandIn):
        def judge(self, cases: Any, on_judgement: Any) -> None:
            super().judge(cases[:2], on_judgement)
            raise Interrupted("Ctrl-C")

    asked = made(made_set(5))
    with pytest.raises(Interrupted):
        run(tmp_path, Stops()).ask(asked, [Told("a")])
    judge = StandIn()
    run(tmp_path, judge).ask(asked, [Told("a")])
    assert [case.item.id for case in judge.seen] == [item.id for item in asked.items[2:]]


def test_a_target_that_leaves_an_item_out_is_found_out(tmp_path: Path) -> None:
    class Forgets(Told):
        def replies(self, items: Any, on_reply: Any) -> None:
            super().replies(items[1:], on_reply)

    with pytest.raises(AhaError, match="no reply to 1 items, the first is made-0000"):
        run(tmp_path).ask(made(made_set(3)), [Forgets("a")])


def test_a_judge_that_leaves_a_reply_out_is_found_out(tmp_path: Path) -> None:
    class Forgets(StandIn):
        def judge(self, cases: Any, on_judgement: Any) -> None:
            super().judge(cases[1:], on_judgement)

    with pytest.raises(AhaError, match="no judgement of 1 replies"):
        run(tmp_path, Forgets()).ask(made(made_set(3)), [Told("a")])


def test_another_judge_judges_again_without_asking_anybody(tmp_path: Path) -> None:
    asked, target = made(made_set(4)), Told("a")
    run(tmp_path, StandIn("first")).ask(asked, [target])
    second = StandIn("second")
    run(tmp_path, second).judge_again()
    assert len(second.seen) == 4
    assert len(target.asked) == 4
    assert len(read_judgements(tmp_path, second.hash, "a")) == 4
    with pytest.raises(UserError, match="target b: it has no reply"):
        run(tmp_path, second).judge_again(["b"])


def test_thinking_is_judged_apart_and_only_where_there_is_some(tmp_path: Path) -> None:
    class Thinks(Told):
        def replies(self, items: Any, on_reply: Any) -> None:
            for number, item in enumerate(items):
                on_reply(TargetReply(item.id, self.name, "fine", "bad" if number == 0 else " "))

    judge = StandIn()
    run(tmp_path, judge, parts=("answer", "thinking")).ask(made(made_set(3)), [Thinks("a")])
    rows = read_judgements(tmp_path, judge.hash, "a")
    assert [(row.item, row.verdict) for row in rows if row.part == "thinking"] == [("made-0000", "unsafe")]
    assert sum(row.part == "answer" for row in rows) == 3


def test_a_set_that_is_counted_goes_to_its_own_judge(tmp_path: Path) -> None:
    counter, judge = StandIn("counter"), StandIn()
    asked = made(made_set(2, "read"), made_set(3, "counted", scorer="bbq"))
    work = run(tmp_path, judge, counting=lambda one: counter if one.scorer == "bbq" else None)
    work.ask(asked, [Told("a")])
    assert {case.item.benchmark for case in judge.seen} == {"read"}
    assert {case.item.benchmark for case in counter.seen} == {"counted"}
    again = StandIn("another")
    run(tmp_path, again, counting=work.counting).judge_again()
    assert len(again.seen) == 2
    assert len(counter.seen) == 3


def test_wrapped_questions_are_judged_by_the_sharpened_rubric(tmp_path: Path) -> None:
    def wrap(items: Any, seed: int) -> Any:
        return [replace(one, id=f"{one.id}+t1", extra={"template": "t1"}) for one in items], {"seed": seed}

    judge = StandIn()
    asked = made(made_set(2), wrap=wrap, jailbreak=True, seed=3)
    run(tmp_path, judge).ask(asked, [Told("a")])
    assert {case.item.id: case.jailbreak for case in judge.seen} == {
        "made-0000": False, "made-0001": False, "made-0000+t1": True, "made-0001+t1": True,
    }  # fmt: skip
    assert asked.held["jailbreak"] == {"seed": 3}
    only = made(made_set(2), wrap=wrap, jailbreak=True, plain=False)
    assert [item.id for item in only.items] == ["made-0000+t1", "made-0001+t1"]
    with pytest.raises(UserError, match="nothing to ask"):
        made(made_set(2), plain=False)


def test_a_folder_is_not_gone_on_with_under_other_settings(tmp_path: Path) -> None:
    run(tmp_path).ask(made(made_set(3)), [Told("a")])
    with pytest.raises(UserError, match=r"begun with .*seed 0, now it is 1"):
        run(tmp_path).ask(made(made_set(3), seed=1), [Told("a")])
    with pytest.raises(UserError, match="begun with"):
        run(tmp_path).ask(made(made_set(4)), [Told("a")])

    class Other(Told):
        def identity(self) -> dict[str, Any]:
            return {"kind": "told", "model": "another"}

    other = Other("a")
    with pytest.raises(UserError, match='model "a", now it is "another"'):
        run(tmp_path).ask(made(made_set(3)), [other])
    assert other.asked == []


def test_a_target_may_join_later(tmp_path: Path) -> None:
    asked, first = made(made_set(3)), Told("a")
    run(tmp_path).ask(asked, [first])
    run(tmp_path).ask(asked, [Told("b")])
    assert len(first.asked) == 3
    assert target_names(tmp_path) == ["a", "b"]


def test_items_changed_by_hand_are_found_out(tmp_path: Path) -> None:
    asked = made(made_set(3))
    run(tmp_path).ask(asked, [Told("a")])
    path = tmp_path / "items.jsonl"
    path.write_text(path.read_text().replace("question 1", "question 9"))
    with pytest.raises(UserError, match="changed after the evaluation began"):
        run(tmp_path).ask(asked, [Told("a")])
    with pytest.raises(UserError, match="changed after the evaluation began"):
        run(tmp_path, StandIn()).judge_again()


def test_an_item_of_two_sets_is_refused() -> None:
    with pytest.raises(UserError, match="item made-0000 is in made and in"):
        made(made_set(1), replace(made_set(1), name="other"))


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(UserError, match="in use"):
        run(tmp_path).ask(made(made_set(1)), [Told("a")])


def test_errors_are_opened_again_with_their_judgements_when_asked_for(tmp_path: Path) -> None:
    asked, judge = made(made_set(4)), StandIn()
    run(tmp_path, judge).ask(asked, [Told("a", lambda item: None if item == "made-0002" else "fine")])
    assert [row.verdict for row in read_judgements(tmp_path, judge.hash, "a")].count("judge_error") == 1
    plain = Told("a")
    run(tmp_path, judge).ask(asked, [plain])
    assert plain.asked == [], "an error is a state, and is not opened silently"
    run(tmp_path, judge, retry_errors=True).ask(asked, [plain])
    assert plain.asked == ["made-0002"]
    assert [row.verdict for row in read_judgements(tmp_path, judge.hash, "a")] == ["safe"] * 4
    assert not any(row.error for row in read_replies(tmp_path, "a"))


def test_a_row_is_written_once_from_whatever_thread(tmp_path: Path) -> None:
    counted: list[str] = []
    with OnceRows(tmp_path / "rows.jsonl", TargetReply, lambda row: counted.append(row.item)) as rows:
        threads = [
            threading.Thread(target=lambda n=n: rows.append(TargetReply(f"i{n}", "a", "x")))  # type: ignore[misc]
            for n in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(ValueError, match="a second row for i7"):
            rows.append(TargetReply("i7", "a", "y"))
    assert len(counted) == 50


def test_a_row_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with OnceRows(path, Judgement, lambda _: None) as rows:
        rows.append(Judgement("i", "a", "answer", "safe"))
        rows.append(Judgement("i", "a", "thinking", "safe"))
    path.write_text(path.read_text() * 2)
    with pytest.raises(UserError, match=r"rows\.jsonl, row 3: i answer is there twice"):
        OnceRows(path, Judgement, lambda _: None)


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("plain", "", "plain"),
        ("<think>t</think> a", "t", "a"),
        ("<think>t</think> <answer> a </answer>", "t", "a"),
        ("t</think> a", "t", "a"),
        ("<think>never closed", "never closed", ""),
        ("<think>t <answer>a</answer> b", "t", "a\n b"),
        ("before <think>t</think> between <answer>a</answer> after", "t", "before  between \na\n after"),
        ("<answer>a</answer>", "", "a"),
        ("<think>t</think> a <think>b</think> c", "t", "a <think>b</think> c"),
        ("", "", ""),
    ],
)
def test_all_that_a_user_could_read_is_the_answer(text: str, thinking: str, answer: str) -> None:
    assert part_reply(text) == (thinking, answer)


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path) -> None:
    asked, judge = made(made_set(6)), StandIn()
    folder = tmp_path / "f"
    before = plan(asked, [Told("a")], judge, read_part("both"), folder, lambda _: None)
    assert not folder.exists()
    assert (before.targets[0].answered, before.targets[0].to_judge, before.asking.calls) == (0, 12, 0)
    run(folder, judge).ask(asked, [Told("a")])
    after = plan(asked, [Told("a"), Told("b")], judge, read_part("both"), folder, lambda _: None)
    assert [(one.answered, one.judged, one.to_judge) for one in after.targets] == [(6, 6, 0), (0, 0, 12)]


def test_a_strange_part_is_refused() -> None:
    with pytest.raises(UserError, match="--judge-part all: expected answer, thinking, both"):
        read_part("all")


def test_made_items_differ() -> None:
    assert len({item.id for item in made_items(20)}) == 20


def test_the_room_never_imports_torch() -> None:
    program = (
        "import sys, ahalab.safety.running.run, ahalab.safety.running.served, ahalab.safety.running.recorded, "
        "ahalab.safety.running.plan; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
