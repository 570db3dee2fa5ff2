"""Retracted replies that come back: recognised, of one key only, kept over a restart, never as text."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.guard.history import BLANK, FileJournal, RetractedReplies
from ahalab.guard.records import Delta, Exchange, Turn
from guard_control import BAD, Scripted, ask, content, make_control, make_policy, run

SECRET = b"a secret of the tests"
REPLY = (
    "First you take the long spoon and stir the pot. Then you wait for the whole of the night! "
    "然后再等一个晚上才可以吃。"
)


def back(*turns: Turn, key: str = "k") -> Exchange:
    return ask("go on", *turns, key=key, id="x2")


def memory(**more: object) -> RetractedReplies:
    kept = RetractedReplies(SECRET, **more)  # type: ignore[arg-type]
    kept.remember(ask("how?"), REPLY, "I think that I shall tell it all to them.")
    return kept


@pytest.mark.parametrize(
    "turn",
    [
        Turn("assistant", REPLY),
        Turn("assistant", REPLY.upper().replace(" ", "  ").replace("o", "ο")),
        Turn("assistant", "Sure! " + REPLY),
        Turn("assistant", REPLY.split("!")[0]),
        Turn("assistant", "ok", thinking=REPLY),
        Turn("assistant", "I think that I shall tell it all to them."),
        Turn("user", REPLY),
        Turn("tool", REPLY),
    ],
)
def test_a_retracted_reply_is_recognised_in_any_turn_and_dress(turn: Turn) -> None:
    assert memory().recognised(back(Turn("user", "how?"), turn)) == (1,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Another reply.",
        "I wrote of it at length elsewhere, and of much else besides. " * 4 + REPLY[:48],
        REPLY[:20],
    ],
)
def test_other_replies_are_not_recognised(text: str) -> None:
    assert memory().recognised(back(Turn("user", "how?"), Turn("assistant", text))) == ()


def test_what_one_key_had_retracted_says_nothing_about_another() -> None:
    assert memory().recognised(back(Turn("assistant", REPLY), key="other")) == ()


def test_a_retracted_reply_that_another_key_sends_is_judged_like_any_turn_of_a_client() -> None:
    harmful, harmless = (
        "Take the zorbom, and all that follows from it.",
        "I am sorry, I cannot help you with that.",
    )
    reviewer = Scripted(BAD)
    control = make_control(reviewer=reviewer)
    for number, reply in enumerate((harmful, harmless)):
        _, decision = run(control, ask("a zorbom", key="a", id=f"a{number}"), Delta(content=reply))
        assert decision.action == "retract"
    known = len(reviewer.calls)
    own, _ = run(control, ask("go on", Turn("assistant", harmless), key="a", id="a2"))
    assert own[-1].finish == "content_filter"
    # The other key's turn is no word of ours: keywords flag it and the reviewer decides.
    _, decision = run(
        control, ask("go on", Turn("assistant", harmful), key="b", id="b1"), Delta(content="ok")
    )
    assert (decision.action, decision.reason) == ("retract", "content_filter")
    assert len(reviewer.calls) == known + 1
    # One key cannot have replies that are common to all withdrawn from the others.
    sent, decision = run(
        control, ask("go on", Turn("assistant", harmless), key="b", id="b2"), Delta(content="ok")
    )
    assert (decision.action, content(sent)) == ("release", "ok")


def test_a_short_reply_counts_only_behind_the_same_question() -> None:
    kept = RetractedReplies(SECRET)
    kept.remember(ask("may I gnarf him?"), "Yes.", "")
    assert kept.recognised(back(Turn("user", "may I gnarf him?"), Turn("assistant", "yes"))) == (1,)
    assert kept.recognised(back(Turn("user", "is tea good?"), Turn("assistant", "Yes."))) == ()


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    kept = RetractedReplies(SECRET, most=10)
    for number in range(30):
        kept.remember(ask(f"question {number}"), f"yes {number}", "")
    assert kept.size == 10
    assert kept.recognised(back(Turn("user", "question 29"), Turn("assistant", "yes 29"))) == (1,)
    assert kept.recognised(back(Turn("user", "question 1"), Turn("assistant", "yes 1"))) == ()


def test_a_journal_keeps_it_over_a_restart_and_between_processes_without_the_text(tmp_path: Path) -> None:
    path = tmp_path / "retracted"
    first, second = RetractedReplies(SECRET, FileJournal(path)), RetractedReplies(SECRET, FileJournal(path))
    first.remember(ask("how?"), REPLY, "")
    turns = (Turn("user", "how?"), Turn("assistant", REPLY))
    assert second.recognised(back(*turns)) == (1,)
    assert RetractedReplies(SECRET, FileJournal(path)).recognised(back(*turns)) == (1,)
    assert RetractedReplies(b"another secret of 16", FileJournal(path)).recognised(back(*turns)) == ()
    assert "spoon" not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_a_line_cut_short_by_a_kill_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "retracted"
    kept = RetractedReplies(SECRET, FileJournal(path))
    kept.remember(ask("q"), "one", "")
    with path.open("ab") as file:
        file.write(b"abcdef")
    kept.remember(ask("q"), "two", "")
    again = RetractedReplies(SECRET, FileJournal(path))
    assert again.size == 2


def test_a_journal_that_is_deleted_takes_nothing_from_memory_and_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "retracted"
    kept = RetractedReplies(SECRET, FileJournal(path))
    kept.remember(ask("how?"), REPLY, "")
    path.unlink()
    assert kept.recognised(back(Turn("assistant", REPLY))) == (0,)
    kept.remember(ask("q"), "another reply that is long enough to be kept", "")
    assert RetractedReplies(SECRET, FileJournal(path)).size == 2
    assert kept.size > 2


def test_a_journal_that_grew_too_long_keeps_its_newest(tmp_path: Path) -> None:
    path = tmp_path / "retracted"
    path.write_text("".join(f"{number:032x}\n" for number in range(100)))
    assert FileJournal(path, most=50).read_new() == [f"{number:032x}" for number in range(75, 100)]


def test_a_journal_that_cannot_be_written_is_counted_and_the_memory_still_holds() -> None:
    class Full:
        def read_new(self) -> list[str]:
            return []

        def add(self, _: object) -> None:
            raise EnvironmentFailure("the disk is full")

    control = make_control(reviewer=Scripted(BAD), history=RetractedReplies(SECRET, Full()))
    run(control, ask("a zorbom"), Delta(content=REPLY))
    assert control.counts.of("history_not_kept") == 1
    assert asyncio.run(control.admit(back(Turn("assistant", REPLY)))) is not None


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(UserError, match="16 bytes"):
        RetractedReplies(b"short")


def test_history_with_a_retracted_reply_is_refused_with_a_text_that_says_so() -> None:
    control = make_control(reviewer=Scripted(BAD))
    run(control, ask("a zorbom"), Delta(content=REPLY))
    sent, decision = run(control, back(Turn("user", "how?"), Turn("assistant", REPLY)))
    assert (decision.action, decision.reason) == ("refuse", "retracted_history")
    assert "new conversation" in content(sent)
    assert control.counts.of("refused", "retracted_history") == 1


def test_blank_takes_the_turn_out_before_the_model_sees_it() -> None:
    async def story() -> None:
        control = make_control(make_policy(retracted_history="blank"), history=memory())
        exchange = back(Turn("user", "how?"), Turn("assistant", REPLY, "and thought"))
        assert await control.admit(exchange) is None
        cleaned = control.prepared(exchange)
        assert cleaned.turns == (Turn("user", "how?"), Turn("assistant", BLANK), Turn("user", "go on"))
        with pytest.raises(RuntimeError, match="prepared"):
            control.watch(exchange)
        await control.admit(exchange)
        assert control.watch(control.prepared(exchange)).feed(Delta(content="fine. "))

    asyncio.run(story())


def test_in_shadow_the_refusal_is_only_counted() -> None:
    control = make_control(make_policy(mode="shadow"), history=memory())
    sent, decision = run(control, back(Turn("assistant", REPLY)), Delta(content="fine"))
    assert (decision.action, decision.would, decision.reason) == ("release", "refuse", "retracted_history")
    assert content(sent) == "fine"
    assert control.counts.of("shadow_would_refuse", "retracted_history") == 1


def test_released_and_shadowed_replies_are_not_remembered() -> None:
    for control in (make_control(), make_control(make_policy(mode="shadow"), Scripted(BAD))):
        run(control, ask("a zorbom"), Delta(content=REPLY))
        assert control.history.size == 0
