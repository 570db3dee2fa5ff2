"""`aha chat`: talk in the terminal, to a run's model or to a server; thinking folded, what is withdrawn taken away."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.prompt import Prompt

from ahalab.cli.chat_screen import ReplyScreen, print_thinking
from ahalab.cli.console import output
from ahalab.cli.gateway_options import with_path
from ahalab.errors import UserError
from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from ahalab.endpoints.config import EndpointConfig
    from ahalab.endpoints.dialogue import Dialogue
    from ahalab.records import Response

_HELP = (
    "An empty line or Ctrl-D ends, Ctrl-C stops a reply. /thinking shows or folds thinking, /clear begins anew, "
    "/help says this again."
)
Answer = Callable[[str, bool], None]
"""Answers a question; the second argument: thinking is folded."""


def chat(
    model: Annotated[
        str | None, typer.Argument(help="A run folder, a model folder, builtin:tiny, or a Hugging Face id.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Instead: an OpenAI-compatible server, such as http://127.0.0.1:8000, streamed."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--model", help="With --url: the model's name; the first listed one otherwise."),
    ] = None,
    key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="With --url: NAME of the variable that holds the key.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="0 takes the likeliest token.")] = 0.6,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest reply; 256 for a model here, else the server's own.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed and questions give the same replies (0 here).")
    ] = None,
    thinking: Annotated[bool, typer.Option(help="Show thinking instead of folding it.")] = False,
) -> None:
    """Ask a model; an empty line or Ctrl-D ends. A model here answers each question alone, as in training; a server is
    sent the dialogue so far."""
    if (model is None) == (url is None):
        raise UserError("aha chat: name a model, or a server with --url; one of the two.")
    if url is None and (name or key_env):
        raise UserError("aha chat: --model and --api-key-env belong to --url.")
    if url is None:
        assert model is not None
        _talk(*_local(model, temperature, max_new_tokens or 256, seed or 0), folded=not thinking)
        return
    config = _server(url, name, key_env, temperature, max_new_tokens)
    _talk_to_server(config, seed, folded=not thinking)


def _talk(title: str, answer: Answer, clear: Callable[[], None], *, folded: bool) -> None:
    output.print(f"[dim]{escape(make_visible(title))}. {_HELP}[/]", highlight=False)
    while True:
        try:
            question = Prompt.ask("[bold]you[/]", console=output).strip()
        except (EOFError, KeyboardInterrupt):
            output.print()
            return
        if not question:
            return
        if question == "/thinking":
            folded = not folded
            output.print(f"[dim]thinking is {'folded' if folded else 'shown'}[/]", highlight=False)
        elif question == "/clear":
            clear()
            output.print("[dim]a new conversation[/]", highlight=False)
        elif question == "/help":
            output.print(f"[dim]{_HELP}[/]", highlight=False)
        else:
            try:
                answer(question, folded)
            except UserError as error:
                # One question that cannot be asked ends nothing.
                output.print(f"[yellow]{escape(make_visible(str(error)))}[/]", highlight=False)
            except KeyboardInterrupt:
                output.print("[yellow]stopped[/]", highlight=False)


def _local(
    model: str, temperature: float, max_new_tokens: int, seed: int
) -> tuple[str, Answer, Callable[[], None]]:
    from ahalab.stages.converse import Conversation, find_speaker

    conversation = Conversation(find_speaker(model), temperature, max_new_tokens, seed)
    turns = itertools.count()

    def answer(question: str, folded: bool) -> None:
        began = time.monotonic()
        response = conversation.ask(question, next(turns))
        show(response, folded, time.monotonic() - began if output.is_terminal else None)

    def clear() -> None:
        nonlocal turns
        turns = itertools.count()

    return conversation.name, answer, clear


def show(response: Response, folded: bool = False, seconds: float | None = None) -> None:
    """Thinking dimmed or folded, answer bold; what was badly formatted is shown as it came.

    Args:
        seconds: for the whole reply, which a model here gives at once.
    """
    if response.well_formed:
        print_thinking(output, response.thinking or "", folded, seconds)
        output.print(f"[bold]{escape(make_visible((response.answer or '').strip()))}[/]", highlight=False)
    else:
        output.print(escape(make_visible(response.text.strip())), highlight=False)
        output.print(f"[yellow]badly formatted: {escape(response.fault or '')}[/]", highlight=False)


def _talk_to_server(config: EndpointConfig, seed: int | None, *, folded: bool) -> None:
    from ahalab.endpoints.asynchronous import AsyncChat, ChatFailed
    from ahalab.endpoints.dialogue import Dialogue

    connection = AsyncChat("chat", config)
    dialogue = Dialogue(connection, {} if seed is None else {"seed": seed})

    def answer(question: str, folded: bool) -> None:
        try:
            runner.run(_ask(dialogue, question, folded))
        except ChatFailed as error:
            rest = f" The server asks to wait {error.rest:.0f} s." if error.rest else ""
            told = make_visible(f"no reply: {error.trouble.reason}: {error.trouble.detail}.{rest}")
            output.print(f"[yellow]{escape(told)}[/]", highlight=False)

    # One loop for all questions: a connection stays open between them.
    with asyncio.Runner() as runner:
        try:
            _talk(f"{config.model} at {config.url}", answer, dialogue.rounds.clear, folded=folded)
        finally:
            runner.run(connection.aclose())


async def _ask(dialogue: Dialogue, question: str, folded: bool) -> None:
    with ReplyScreen(output, folded=folded) as screen:
        await dialogue.ask(question, screen)


def _server(
    url: str, name: str | None, key_env: str | None, temperature: float, max_new_tokens: int | None
) -> EndpointConfig:
    """UserError or EnvironmentFailure where the server cannot be asked."""
    from ahalab.endpoints.config import EndpointConfig
    from ahalab.serving.upstream import listed_models
    from ahalab.validation import validate

    settings = {
        "url": with_path(url),
        "model": name or "?",
        "api_key_env": key_env,
        "temperature": temperature,
        "max_tokens": max_new_tokens,
        "timeout_seconds": 3600.0,
    }
    config = validate(EndpointConfig, settings, "aha chat")
    return config if name else config.model_copy(update={"model": listed_models(config)[0]})
