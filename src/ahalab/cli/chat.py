"""`aha chat`: talk to a run's model in the terminal, its thinking dimmed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.prompt import Prompt

from ahalab.cli.console import output
from ahalab.errors import UserError
from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from ahalab.records import Response


def chat(
    model: Annotated[
        str, typer.Argument(help="A run folder, a model folder, builtin:tiny, or a Hugging Face id.")
    ],
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="0 takes the likeliest token.")] = 0.6,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and questions give the same replies.")] = 0,
) -> None:
    """Ask the model; an empty line or Ctrl-D ends. Each question stands alone, as in training."""
    from ahalab.stages.converse import Conversation, find_speaker

    conversation = Conversation(find_speaker(model), temperature, max_new_tokens, seed)
    output.print(f"[dim]{escape(conversation.name)}; an empty line ends.[/]", highlight=False)
    for turn in itertools.count():
        try:
            question = Prompt.ask("[bold]you[/]", console=output).strip()
            if not question:
                return
            show(conversation.ask(question, turn))
        except UserError as error:
            # One question that cannot be asked ends nothing.
            output.print(f"[yellow]{escape(str(error))}[/]", highlight=False)
        except (EOFError, KeyboardInterrupt):
            output.print()
            return


def show(response: Response) -> None:
    """Thinking dimmed, answer bold; what was badly formatted is shown as it came."""
    if response.well_formed:
        output.print(f"[dim]{escape(make_visible((response.thinking or '').strip()))}[/]", highlight=False)
        output.print(f"[bold]{escape(make_visible((response.answer or '').strip()))}[/]", highlight=False)
    else:
        output.print(escape(make_visible(response.text.strip())), highlight=False)
        output.print(f"[yellow]badly formatted: {escape(response.fault or '')}[/]", highlight=False)
