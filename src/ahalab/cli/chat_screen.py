"""A reply in the terminal while it comes. Text that may still be withdrawn does not reach the scrollback.

On a terminal the newest lines stand in a place that is cleared when the reply ends; only then the whole reply is
printed, or the withdrawal instead of it. A pipe or a file gets nothing before that. A reply that a person stops, or
that breaks off, is printed as far as it came, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.markup import escape
from rich.text import Text

from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from ahalab.endpoints.dialogue import Withdrawal

_REFRESHES = 8
"""A second."""


class ReplyScreen:
    """Shows one reply. Use as a context: leaving it early prints what came, marked as stopped, and nothing is cleared.

    Args:
        folded: thinking is one line with its time.
    """

    def __init__(
        self, console: Console, *, folded: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._folded, self._clock = console, folded, clock
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._began: float | None = None
        self._seconds = 0.0
        self._ended = False
        self._live = Live(
            self, console=console, transient=True, refresh_per_second=_REFRESHES, auto_refresh=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if not self._ended and (self._content or self._thinking):
            self._print_reply()
            self._console.print("[yellow]this reply has no end: it is not sent on[/]", highlight=False)

    def begin(self) -> None:
        """The question was sent."""
        if self._console.is_terminal:
            self._live.start()

    def show(self, content: str, thinking: str) -> None:
        """Further text."""
        if thinking:
            self._began = self._began if self._began is not None else self._clock()
            self._thinking.append(thinking)
        if self._began is not None and not self._content:
            self._seconds = self._clock() - self._began
        if content:
            self._content.append(content)

    def end(self, withdrawal: Withdrawal | None) -> None:
        """The whole reply, or what stands instead of it."""
        self._ended = True
        if withdrawal is not None:
            self._content.clear()
            self._thinking.clear()
        self._live.stop()
        if withdrawal is None:
            self._print_reply()
            return
        text = withdrawal.text.strip() or "The server withdrew this reply because of its content."
        self._console.print(f"[bold yellow]withdrawn:[/] {_safe(text)}", highlight=False)
        category = "" if withdrawal.category == "default" else withdrawal.category
        facts = {"category": category, "decision": withdrawal.verdict_id}
        named = [f"{name} {_safe(value)}" for name, value in facts.items() if value]
        self._console.print(
            f"[dim]{'; '.join([*named, 'neither question nor reply is sent on'])}[/]", highlight=False
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The newest lines that fit, for `Live`."""
        rows = max(2, options.size.height - 3)
        content, thinking = "".join(self._content), "".join(self._thinking)
        if not content and self._began is not None:
            yield Text(f"thinking… {self._clock() - self._began:.0f} s", style="dim")
        elif not content:
            yield Text("…", style="dim")
        if content or not self._folded:
            # A row shows at most so many characters: what lies before the last rows need not be laid out.
            tail = make_visible((content or thinking)[-rows * options.max_width :])
            lines = Text(f"{tail}▍", style="" if content else "dim").wrap(console, options.max_width)
            yield from lines[-rows:]

    def _print_reply(self) -> None:
        print_thinking(
            self._console,
            "".join(self._thinking),
            self._folded,
            self._seconds if self._console.is_terminal else None,
        )
        self._console.print(_safe("".join(self._content).strip()), highlight=False)


def print_thinking(console: Console, thinking: str, folded: bool, seconds: float | None = None) -> None:
    """Dimmed; folded to one line. The time is said on a terminal only: a file of the same replies stays the same."""
    if not thinking.strip():
        return
    if folded:
        time_said = f" for {seconds:.1f} s" if seconds is not None else ""
        console.print(f"[dim]thought{time_said} (/thinking shows it)[/]", highlight=False)
    else:
        console.print(f"[dim]{_safe(thinking.strip())}[/]", highlight=False)


def _safe(text: str) -> str:
    return escape(make_visible(text))
