"""Targets of a safety evaluation: how they are named, what a bad file is told, what a server's reply becomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.safety.records import TargetReply
from ahalab.safety.running.plan import plan
from ahalab.safety.running.recorded import Recorded, read_recorded
from ahalab.safety.running.served import Served
from ahalab.safety.running.targets import (
    Given,
    LocalTarget,
    RecordedTarget,
    ServedTarget,
    read_targets,
)
from endpoint_server import EndpointServer, Step, endpoint_alone, error, say  # noqa: F401
from safety_runs import StandIn, made, made_items, made_set, write_jsonl


def test_a_target_is_named_by_its_url_file_or_model() -> None:
    given = Given({"parallel": 9, "temperature": 0.0}, {"max_new_tokens": 7})
    found = read_targets(
        [
            "http://h/v1#org/model-x",
            "r1=http://h/v1?x=1#m".replace("?x=1", ""),
            "old.jsonl",
            "t=builtin:tiny",
            "runs/x",
        ],
        given,
        ["r1=old"],
    )
    assert list(found) == ["org-model-x", "r1", "old", "t", "x"]
    served = found["org-model-x"]
    assert isinstance(served, ServedTarget)
    assert (served.model, served.parallel, served.temperature) == ("org/model-x", 9, 0.0)
    assert isinstance(found["old"], RecordedTarget)
    local = found["t"]
    assert isinstance(local, LocalTarget)
    assert (local.local, local.max_new_tokens) == ("builtin:tiny", 7)
    assert found["r1"].control_of == "old"


def test_a_yaml_file_names_targets_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        "targets:\n"
        "  bare: {url: 'http://h/v1', model: m, system_prompt: Be brief., price_in: 1, price_out: 2}\n"
        "  guarded: {url: 'http://g/v1', model: m, control_of: bare, control: {reviewer: {model: r}}}\n"
        "  old: {recorded: old.jsonl, model: m0}\n"
        "  tiny: {local: 'builtin:tiny', max_new_tokens: 5}\n"
    )
    found = read_targets([str(tmp_path / "t.yaml")])
    assert list(found) == ["bare", "guarded", "old", "tiny"]
    old = found["old"]
    assert isinstance(old, RecordedTarget)
    assert old.recorded == str(tmp_path / "old.jsonl"), "a relative path is the YAML file's neighbour"
    guarded = found["guarded"]
    assert isinstance(guarded, ServedTarget)
    identity = Served("guarded", guarded, tmp_path, 0, lambda: False).identity()
    assert identity["control"] == {"reviewer": {"model": "r"}}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["http://h/v1"], "expected URL#MODEL"),
        (["http://u:p@h/v1#m"], "plain address"),
        (["a=builtin:tiny", "a=x.jsonl"], "two targets are called a"),
        (["a=list.yaml"], "names its targets itself"),
        (["none.yaml"], "a YAML file of targets was expected"),
    ],
)
def test_a_target_that_cannot_be_is_refused_in_words(
    texts: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("targets: {}")
    with pytest.raises(UserError, match=words):
        read_targets(texts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "one key `targets`"),
        ("targets: {}", "one key `targets`"),
        ("targets: {a: {model: m}}", r"targets\.a: expected one of `url`"),
        ("targets: {a: {url: 'http://h', recorded: x}}", r"targets\.a: expected one of `url`"),
        ("targets: {a: {recorded: x, modle: m}}", "modle"),
        ("targets: {a/b: {recorded: x}}", "a/b"),
        ("targets: {a: {recorded: x, control_of: a}}", "its own bare target"),
        ("targets: [", "a YAML file of targets was expected"),
    ],
)
def test_a_yaml_file_that_is_none_of_targets_is_refused_in_words(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        read_targets([str(tmp_path / "t.yaml")])


def test_a_control_names_two_targets() -> None:
    with pytest.raises(UserError, match="--control b=a: expected CONTROLLED=BARE"):
        read_targets(["a=x.jsonl"], None, ["b=a"])


def test_recorded_replies_are_read_with_what_is_known_of_them(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "r.jsonl",
        [
            {"item": "i1", "answer": "<think>t</think>a", "prompt": "known elsewhere"},
            {
                "id": "i2",
                "reply": "回答",
                "thinking": "想",
                "finish": "length",
                "tokens_out": 5,
                "seconds": 1.5,
            },
            {"item_id": "i3", "response": "", "finish": "content_filter"},
            {"item": "i4", "error": "time-out"},
        ],
    )
    rows = {item: row for item, (_, row) in read_recorded(path, "t").items()}
    assert rows == {
        "i1": TargetReply("i1", "t", "a", "t"),
        "i2": TargetReply("i2", "t", "回答", "想", "length", tokens_out=5, seconds=1.5),
        "i3": TargetReply("i3", "t", "", "", "content_filter", "content_filter"),
        "i4": TargetReply("i4", "t", "", error="time-out"),
    }


def test_recorded_replies_may_be_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes('\ufeffitem,answer,tokens_out\ni1,"two\nlines, 回答",7\ni2,,\n'.encode())
    rows = {item: row for item, (_, row) in read_recorded(path, "t").items()}
    assert rows == {
        "i1": TargetReply("i1", "t", "two\nlines, 回答", tokens_out=7),
        "i2": TargetReply("i2", "t", ""),
    }


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"answer": "a"}], r"row 1: it has no item or id; expected `item`"),
        ([{"item": " ", "answer": "a"}], "row 1: item is empty"),
        ([{"item": 7, "answer": "a"}], "row 1: item is int; expected text"),
        ([{"item": "i"}], "row 1: it has no answer or reply"),
        ([{"item": "i", "answer": None}], "row 1: answer is NoneType"),
        ([{"item": "i", "answer": "a", "reply": "b"}], "row 1: it has answer and reply"),
        ([{"item": "i", "answer": "a"}, {"id": "i", "answer": "b"}], "row 2: item 'i' has a reply in row 1 already"),
        ([{"item": "i", "anwser": "a"}], "row 1: unknown key 'anwser'; did you mean"),
        ([{"item": "i", "answer": "a", "finish": "done"}], "row 1: finish is 'done'"),
        ([{"item": "i", "answer": "a", "tokens_in": -1}], "row 1: tokens_in is -1"),
        ([{"item": "i", "answer": "a", "seconds": "soon"}], "row 1: seconds is 'soon'"),
        ([{"item": "i", "answer": "a", "thinking": ["x"]}], "row 1: thinking is list"),
        ([], "holds no reply"),
    ],
)  # fmt: skip
def test_a_bad_row_of_recorded_replies_is_named_by_file_row_and_key(
    tmp_path: Path, rows: list[dict[str, Any]], words: str
) -> None:
    path = write_jsonl(tmp_path / "r.jsonl", rows)
    with pytest.raises(UserError, match=words) as caught:
        read_recorded(path, "t")
    assert "r.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("r.jsonl", b'{"item": "i", "answer": "a"}\n{"item": "j", "answer": "\xe9"}\n', "row 2"),
        ("r.jsonl", b'{"item": "i", "answer": "a"}\n{"item": "j", "ans', "row 2: the last line is cut off"),
        ("r.jsonl", '{"item": "i", "answer": "a"}'.encode("utf-16"), "row 1|holds no reply"),
        ("r.csv", b"item,answer\ni,a\nj,\xe9\n", "line 3: byte 0xe9 is not UTF-8"),
        ("r.csv", b"item,answer\ni,a,b\n", "row 2: it has not as many cells"),
        ("r.csv", b"item,answer\ni\n", "row 2: it has not as many cells"),
        ("r.csv", b'item,answer\ni,"a\n', "no CSV"),
    ],
)
def test_a_file_in_mixed_encodings_or_cut_off_is_told_by_line(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=words):
        read_recorded(tmp_path / name, "t")


def recorded(tmp_path: Path, ids: Sequence[str], **how: Any) -> Recorded:
    path = write_jsonl(tmp_path / "r.jsonl", [{"item": one, "answer": "a"} for one in ids])
    return Recorded("t", RecordedTarget(recorded=str(path)), **how)


def test_items_without_a_row_and_rows_without_an_item_are_refused_or_counted(tmp_path: Path) -> None:
    items = made_items(3)
    ids = [item.id for item in items]
    assert recorded(tmp_path, ids).check(items) == ""
    with pytest.raises(UserError, match=r"row 4: item 'made-0009' is not asked here"):
        recorded(tmp_path, [*ids, "made-0009"]).check(items)
    with pytest.raises(UserError, match=r"1 of 3 items have no row, the first is made-0002"):
        recorded(tmp_path, ids[:2]).check(items)
    assert "1 rows of items that are not asked" in recorded(tmp_path, [*ids, "x"], whole=False).check(items)
    lenient = recorded(tmp_path, [*ids[:2], "x"], skip_bad_rows=True)
    assert "1 rows of items that are not asked and 1 items without a row" in lenient.check(items)
    rows: list[TargetReply] = []
    lenient.replies(items, rows.append)
    assert [row.error for row in rows] == ["", "", "not recorded"]


def asked_of(server: EndpointServer, tmp_path: Path, count: int = 1, **changes: Any) -> list[TargetReply]:
    config = ServedTarget(**{"url": server.url, "model": "fake", "parallel": 1, "retries": 1, **changes})
    rows: list[TargetReply] = []
    Served("t", config, tmp_path, 0, lambda: False).replies(made_items(count), rows.append)
    return sorted(rows, key=lambda row: row.item)


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        (say("a"), {"answer": "a"}),
        (say("<think>t</think>a"), {"answer": "a", "thinking": "t"}),
        (say("a", "length"), {"answer": "a", "finish": "length"}),
        (say(None), {"answer": ""}),
        (say(None, "content_filter"), {"finish": "content_filter", "control": "content_filter"}),
        (error(400, "content management policy"), {"finish": "content_filter", "control": "content_filter"}),
        (Step(body=b'{"choices": [{"message": {"content": "a", "reasoning_content": "t"}}]}'), {"thinking": "t"}),
        (Step(body=b'{"choices": [{"message": {"content": null, "refusal": "no"}}]}'), {"answer": "no"}),
        (Step(body=b'{"choices": [{"message": {"content": "n"}}], "ahalab": {"control": "r", "reviewer_calls": 2}}'),
         {"answer": "n", "control": "r", "reviewer_calls": 2}),
        (error(413), {"error": "refused: too long"}),
    ],
)  # fmt: skip
def test_what_a_server_says_becomes_a_row(tmp_path: Path, step: Step, wanted: dict[str, Any]) -> None:
    with EndpointServer([step]) as server:
        (row,) = asked_of(server, tmp_path)
    assert {key: getattr(row, key) for key in wanted} == wanted
    assert bool(row.error) == ("error" in wanted)


def test_a_row_tells_tokens_and_seconds(tmp_path: Path) -> None:
    with EndpointServer([say("a", usage=(7, 5), wait=0.05)]) as server:
        (row,) = asked_of(server, tmp_path)
    assert (row.tokens_in, row.tokens_out) == (7, 5)
    assert row.seconds is not None
    assert row.seconds >= 0.05


def test_a_system_prompt_goes_before_the_question_and_another_seed_asks_again(tmp_path: Path) -> None:
    with EndpointServer([say("a")]) as server:
        config = ServedTarget(url=server.url, model="fake", system_prompt="Be brief.")
        for seed in (0, 0, 1):
            Served("t", config, tmp_path, seed, lambda: False).replies(made_items(1), lambda _row: None)
    assert len(server.bodies) == 2
    assert [turn["role"] for turn in server.bodies[0]["messages"]] == ["system", "user"]


def test_another_schema_from_the_first_reply_on_stops_the_target_and_writes_no_error(tmp_path: Path) -> None:
    rows: list[TargetReply] = []
    with EndpointServer([Step(body=b'{"output": "x"}')]) as server:
        config = ServedTarget(url=server.url, model="fake", retries=0, parallel=1)
        target = Served("t", config, tmp_path, 0, lambda: False)
        with pytest.raises(EnvironmentFailure, match="unreadable reply"):
            target.replies(made_items(3), rows.append)
    assert rows == []


def test_a_plan_counts_calls_what_is_paid_and_what_the_rest_costs(tmp_path: Path) -> None:
    asked = made(made_set(10))
    config = ServedTarget(
        url="http://127.0.0.1:9/v1", model="m", max_tokens=100, price_in=1000, price_out=10_000
    )
    target = Served("t", config, tmp_path, 0, lambda: False)
    first = plan(asked, [target], StandIn(), ("answer",), tmp_path, lambda _: None).targets[0].asking
    assert (first.calls, first.tokens_in, first.tokens_out, first.at_most) == (10, 30, 1000, True)
    assert first.cost == pytest.approx(0.03 + 10)
    assert list(tmp_path.iterdir()) == []
    with EndpointServer([say("a", usage=(3, 40))]) as server:
        here = config.model_copy(update={"url": server.url})
        paid = Served("t", here, tmp_path, 0, lambda: False)
        paid.replies(made_items(4), lambda _row: None)  # as if killed before a row was written
        found = plan(asked, [paid], None, ("answer",), tmp_path, lambda _: None).targets[0]
    assert (found.paid, found.asking.calls, found.to_judge) == (4, 6, 0)


def test_an_unset_key_is_told_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    config = ServedTarget(url="http://127.0.0.1:9/v1", model="m", api_key_env="NO_SUCH_KEY")
    with pytest.raises(UserError, match="NO_SUCH_KEY"):
        Served("t", config, tmp_path, 0, lambda: False).check(())


def test_a_row_of_the_paid_file_names_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_KEY", "top-secret-key")
    with EndpointServer([say("a")]) as server:
        asked_of(server, tmp_path, api_key_env="T_KEY")
    texts = [path.read_text() for path in tmp_path.rglob("*.jsonl")]
    assert texts
    assert not any("top-secret" in text for text in texts)
    assert json.loads(texts[0])["reply"]["text"] == "a"
