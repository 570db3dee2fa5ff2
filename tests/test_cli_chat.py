"""`aha chat --url`: a dialogue with a server; thinking folded, withdrawn text gone, hostile text visible."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from ahalab.cli.chat_screen import ReplyScreen
from ahalab.endpoints.dialogue import Withdrawal
from conftest import Aha
from serving_page_tools import SECRET, VERDICT, Standin, standin

TEXT = "This reply was withdrawn. Ask in another way."


@pytest.fixture
def server() -> Iterator[Standin]:
    with standin() as made:
        made.scripts["Think"] = [
            ("thinking", "a [red]thought"),
            ("content", "The answer"),
            ("finish", "stop"),
        ]
        made.scripts["Bad"] = [
            ("thinking", f"thought {SECRET}"),
            ("content", f"First {SECRET}"),
            ("withdraw", TEXT),
        ]
        yield made


def talk(aha: Aha, monkeypatch: pytest.MonkeyPatch, server: Standin, said: str, *arguments: object) -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    done = aha("chat", "--url", server.address, *arguments)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    return done.out


def test_a_dialogue_is_streamed_and_sent_on_without_thinking(
    aha: Aha, monkeypatch: pytest.MonkeyPatch, server: Standin
) -> None:
    out = talk(aha, monkeypatch, server, "Think\nAnd then?\n\nnever asked\n")
    assert f"tiny at {server.address}v1" in out
    assert "thought (/thinking shows it)" in out
    assert "a [red]thought" not in out
    assert "The answer" in out
    assert "Echo: And then?" in out
    assert [one["messages"] for one in server.asked] == [
        [{"role": "user", "content": "Think"}],
        [
            {"role": "user", "content": "Think"},
            {"role": "assistant", "content": "The answer"},
            {"role": "user", "content": "And then?"},
        ],
    ]
    assert server.asked[0]["temperature"] == 0.6
    assert not {"seed", "max_tokens"} & server.asked[0].keys()


def test_thinking_is_shown_on_request_and_clear_begins_anew(
    aha: Aha, monkeypatch: pytest.MonkeyPatch, server: Standin
) -> None:
    out = talk(
        aha,
        monkeypatch,
        server,
        "/thinking\nThink\n/clear\nOn\n/help\n",
        "--model",
        "tiny-large",
        "--seed",
        3,
    )
    assert "thinking is shown" in out
    assert "a [red]thought" in out
    assert server.asked[-1]["messages"] == [{"role": "user", "content": "On"}]
    assert (server.asked[-1]["model"], server.asked[-1]["seed"]) == ("tiny-large", 3)
    assert "a [red]thought" in talk(aha, monkeypatch, server, "Think\n", "--thinking")


def test_a_withdrawn_reply_is_shown_as_such_and_neither_printed_nor_sent_on(
    aha: Aha, monkeypatch: pytest.MonkeyPatch, server: Standin
) -> None:
    out = talk(aha, monkeypatch, server, "Bad\nNext\n", "--thinking")
    assert f"withdrawn: {TEXT}" in out
    assert f"category privacy; decision {VERDICT}" in out
    assert SECRET not in out
    assert server.asked[-1]["messages"] == [{"role": "user", "content": "Next"}]


def test_a_content_filter_without_the_extension_is_a_withdrawal_too(
    aha: Aha, monkeypatch: pytest.MonkeyPatch, server: Standin
) -> None:
    server.scripts["Other"] = [("content", SECRET), ("finish", "content_filter")]
    out = talk(aha, monkeypatch, server, "Other\n")
    assert "withdrawn: The server withdrew this reply" in out
    assert SECRET not in out


def test_hostile_text_of_a_server_is_made_visible(
    aha: Aha, monkeypatch: pytest.MonkeyPatch, server: Standin
) -> None:
    hostile = "\x1b[2J[bold]x\u202e\x07"
    server.models = (hostile,)
    server.scripts["Hostile"] = [("thinking", hostile), ("content", hostile), ("finish", "stop")]
    server.scripts["Withdraw"] = [("withdraw", hostile)]
    server.scripts["Fail"] = [("content", "part"), ("error", hostile)]
    out = talk(aha, monkeypatch, server, "Hostile\nWithdraw\nFail\n", "--thinking")
    assert not set("\x1b\u202e\x07") & set(out)
    assert out.count("\\u{001B}[2J[bold]x\\u{202E}") == 5


def test_errors_end_no_chat_and_a_broken_reply_is_not_sent_on(
    aha: Aha, monkeypatch: pytest.MonkeyPatch, server: Standin
) -> None:
    server.scripts["Break"] = [("content", "half of it"), ("end", "")]
    server.refusals = [(429, {"Retry-After": "7"}, {"error": {"message": "Too many."}})]
    out = talk(aha, monkeypatch, server, "Busy\nBreak\nOn\n")
    assert "no reply: rate limit: HTTP 429: Too many." in out
    assert "The server asks to wait 7 s." in out
    assert "half of it" in out
    assert "this reply has no end: it is not sent on" in out
    assert "no reply: broken connection" in out
    assert server.asked[-1]["messages"] == [{"role": "user", "content": "On"}]


def test_ctrl_c_stops_the_reply_and_not_the_chat(
    aha: Aha, monkeypatch: pytest.MonkeyPatch, server: Standin
) -> None:
    server.scripts["Long"] = [("content", "begun"), ("wait", "never"), ("finish", "stop")]

    def interrupt() -> None:
        while not server.asked:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    out = talk(aha, monkeypatch, server, "Long\nOn\n")
    assert "stopped" in out
    assert "Echo: On" in out
    assert server.left.wait(10), "the server saw the client go"
    assert server.asked[-1]["messages"] == [{"role": "user", "content": "On"}]


def test_the_key_comes_from_its_variable_and_is_never_shown(
    aha: Aha, monkeypatch: pytest.MonkeyPatch, server: Standin
) -> None:
    server.key = "aha-secret-key"
    monkeypatch.setenv("CHAT_KEY", "aha-secret-key")
    out = talk(aha, monkeypatch, server, "Hi\n", "--api-key-env", "CHAT_KEY")
    assert "Echo: Hi" in out
    assert "aha-secret" not in out
    monkeypatch.setenv("CHAT_KEY", "wrong-secret")
    out = talk(aha, monkeypatch, server, "Hi\n", "--api-key-env", "CHAT_KEY", "--model", "tiny")
    assert "no reply: unauthorized: HTTP 401: Unknown API key." in out
    monkeypatch.delenv("CHAT_KEY")
    done = aha("chat", "--url", server.address, "--api-key-env", "CHAT_KEY")
    assert done.code == 2
    assert "CHAT_KEY is not set" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a model, or a server with --url"),
        (["builtin:tiny", "--url", "http://127.0.0.1:1"], "one of the two"),
        (["builtin:tiny", "--model", "x"], "belong to --url"),
        (["--url", "no address"], "expected an address such as http://"),
        (["--url", "http://user:secret@127.0.0.1:1/v1"], "without user, password"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(aha: Aha, arguments: list[str], words: str) -> None:
    done = aha("chat", *arguments)
    assert done.code == 2
    assert words in done.err
    assert "secret" not in done.err


def test_a_server_that_is_not_there_is_said_at_once(aha: Aha) -> None:
    done = aha("chat", "--url", "http://127.0.0.1:1")
    assert done.code not in (0, 2)
    assert "http://127.0.0.1:1/v1/models cannot be asked" in done.err


class Terminal(io.StringIO):
    """What stands on a terminal of `height` rows after all that was written to it: `rows`, the scrollback included."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self.height, self.rows, self.at, self.most = height, [""], 0, ""

    def write(self, text: str) -> int:
        for code in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            if code == "\n":
                self.at += 1
                self.rows += [""] * (self.at + 1 - len(self.rows))
            elif code.endswith("A") and code[0] == "\x1b":
                top = max(0, len(self.rows) - self.height)
                self.at = max(top, self.at - int(code[2:-1]))
            elif code == "\x1b[2K":
                self.rows[self.at] = ""
            elif code[0] not in "\x1b\r":
                self.rows[self.at] += code
            self.most = max(self.most, "\n".join(self.rows), key=len)
        return len(text)


@pytest.mark.parametrize("withdrawn", [True, False])
def test_on_a_terminal_no_row_of_a_withdrawn_reply_is_left_even_in_the_scrollback(withdrawn: bool) -> None:
    terminal = Terminal(height=10)
    console = Console(
        file=terminal, force_terminal=True, width=30, height=10, color_system=None, legacy_windows=False
    )
    with ReplyScreen(
        console, folded=True, clock=iter([float(one) for one in range(1000)]).__next__
    ) as screen:
        screen.begin()
        screen.show("", f"thought {SECRET}")
        screen._live.refresh()
        assert "thinking… " in terminal.most
        for number in range(60):
            screen.show(f"Line {number} holds {SECRET} and 中文字 wraps around.\n", "")
            screen._live.refresh()
        assert SECRET in "".join(terminal.rows).replace("\n", "")
        assert len(terminal.rows) <= 10, "nothing has scrolled away yet"
        screen.end(Withdrawal(TEXT) if withdrawn else None)
    shown = "".join(terminal.rows)
    assert (SECRET in shown) is not withdrawn
    assert (TEXT in shown.replace("\n", "")) is withdrawn
    assert bool(re.search(r"thought for \d+\.\d s", shown)) is not withdrawn
    if not withdrawn:
        assert [number for number in range(60) if f"Line {number} " in shown] == list(range(60))
