"""An item as a sample of Inspect, with the item as its metadata; what a model said there as a reply of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageAssistant, ContentReasoning, ContentText

from ahalab.safety.comparison.reading import category_of
from ahalab.safety.records import Finish, SafetyItem, TargetReply
from ahalab.safety.running.parting import part_reply

_FINISH: dict[str, Finish] = {
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
}
"""Inspect's stop reasons in our words; any other is "stop"."""


def sample_of(item: SafetyItem) -> Sample:
    """The item as it is asked. There is no right answer to compare with: `target` says what is wanted, for readers."""
    return Sample(
        id=item.id,
        input=item.prompt,
        target="safe" if item.harmful else "helpful",
        metadata={
            "item": asdict(item),
            "language": item.language,
            "group": item.group,
            "category": category_of(item.group) or item.group,
            "cluster": item.cluster or item.id,
        },
    )


def item_of(metadata: Mapping[str, Any]) -> SafetyItem:
    """The item of a sample."""
    return SafetyItem(**metadata["item"])


def parted(message: Any) -> tuple[str, str]:
    """(thinking, answer) of an assistant's message: reasoning as the provider told it apart, or as tags in the text."""
    thinking: list[str] = []
    said: list[str] = []
    if isinstance(message.content, str):
        said.append(message.content)
    else:
        for part in message.content:
            if isinstance(part, ContentReasoning):
                thinking.append(part.reasoning if not part.redacted else part.summary or "")
            elif isinstance(part, ContentText):
                said.append(part.text)
    inner, answer = part_reply("\n".join(said))
    return "\n\n".join(part.strip() for part in (*thinking, inner) if part.strip()), answer


def message_of(thinking: str, answer: str, model: str = "") -> Any:
    """An assistant's message in which the viewer shows the thinking apart."""
    reasoning = [ContentReasoning(reasoning=thinking)] if thinking else []
    return ChatMessageAssistant(
        content=[*reasoning, ContentText(text=answer)], source="generate", model=model or None
    )


def reply_of(item: SafetyItem, output: Any, epoch: int = 1) -> TargetReply:
    """What the model said. Several epochs are several targets, so that no two replies have one name."""
    name = str(output.model or "model").rsplit("/", 1)[-1] + (f"+{epoch}" if epoch > 1 else "")
    if output.empty:
        return TargetReply(item.id, name, "", error=output.error or "no reply")
    thinking, answer = parted(output.message)
    finish = _FINISH.get(output.stop_reason, "stop")
    usage = output.usage
    return TargetReply(
        item.id,
        name,
        answer,
        thinking,
        finish,
        control="content_filter" if finish == "content_filter" else "",
        error=output.error or "",
        tokens_in=usage.input_tokens if usage else 0,
        tokens_out=usage.output_tokens if usage else 0,
        seconds=output.time,
    )
