"""The fields that a request may have. Each is read into what the control matches, or refused: none is passed through.

A field that would bring text past the filter, change what is generated without being seen, or show more of a reply than
what was checked, is refused with a 400, unless its value is the one that changes nothing (`n: 1`, `tools: null`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ahalab.guard.records import Role, Turn
from ahalab.serving.errors import Refusal, bad
from ahalab.serving.settings import GatewaySettings

_ONE = "one reply is given to a request, so that all that is generated is checked"
_LOGPROBS = "log-probabilities show tokens that no filter has seen"
_TEMPLATE = "the template of the model decides who speaks; a client cannot replace it"
_TOKENS = "text is sent as text: token ids cannot be matched"
_TOOLS = "tools are not offered: names, descriptions and arguments would be text that nobody reviews"
_MEDIA = "only text can be checked"
_FORMAT = "a format or grammar forces text that the filter would have to foresee"
_STEERING = "it steers single tokens around the filter"

Neutral = tuple[Any, ...]
REFUSED: Mapping[str, tuple[str, Neutral]] = {
    "n": (_ONE, (1,)),
    "best_of": (_ONE, (1,)),
    "use_beam_search": (_ONE, (False,)),
    "logprobs": (_LOGPROBS, (False,)),
    "top_logprobs": (_LOGPROBS, (0,)),
    "prompt_logprobs": (_LOGPROBS, ()),
    "return_token_ids": (_LOGPROBS, (False,)),
    "return_tokens_as_token_ids": (_LOGPROBS, (False,)),
    "echo": ("the prompt would come back as if the model had said it", (False,)),
    "suffix": ("a reply between two texts cannot be reviewed as a dialogue", ("",)),
    "logit_bias": (_STEERING, ({},)),
    "bad_words": (_STEERING, ([],)),
    "allowed_token_ids": (_STEERING, ()),
    "stop_token_ids": (_STEERING, ([],)),
    "logits_processors": (_STEERING, ([],)),
    "prompt_token_ids": (_TOKENS, ()),
    "prompt_embeds": (_TOKENS, ()),
    "input_ids": (_TOKENS, ()),
    "context": (_TOKENS, ()),
    "chat_template": (_TEMPLATE, ()),
    "chat_template_kwargs": (_TEMPLATE, ({},)),
    "template": (_TEMPLATE, ()),
    "system": (_TEMPLATE, ()),
    "raw": (_TEMPLATE, (False,)),
    "documents": (_TEMPLATE, ([],)),
    "add_generation_prompt": (_TEMPLATE, (True,)),
    "continue_final_message": (_TEMPLATE, (False,)),
    "add_special_tokens": (_TEMPLATE, (False,)),
    "skip_special_tokens": (_TEMPLATE, (True,)),
    "tools": (_TOOLS, ([],)),
    "tool_choice": (_TOOLS, ("none", "auto")),
    "parallel_tool_calls": (_TOOLS, (False, True)),
    "functions": (_TOOLS, ([],)),
    "function_call": (_TOOLS, ("none", "auto")),
    "web_search_options": (_TOOLS, ()),
    "mcp_servers": (_TOOLS, ([],)),
    "response_format": (_FORMAT, ({"type": "text"},)),
    "format": (_FORMAT, ()),
    "structured_outputs": (_FORMAT, ()),
    "guided_json": (_FORMAT, ()),
    "guided_regex": (_FORMAT, ()),
    "guided_choice": (_FORMAT, ()),
    "guided_grammar": (_FORMAT, ()),
    "grammar": (_FORMAT, ()),
    "json_schema": (_FORMAT, ()),
    "prediction": ("text of the client would be taken for the model's", ()),
    "modalities": (_MEDIA, (["text"],)),
    "audio": (_MEDIA, ()),
    "images": (_MEDIA, ([],)),
    "store": ("nothing is kept for a client", (False,)),
    "metadata": ("nothing is kept for a client", ({},)),
}
"""Field → why it is refused, and the values that change nothing. Null never changes anything."""

_IN_MESSAGE: Mapping[str, tuple[str, Neutral]] = {
    "tool_calls": (_TOOLS, ([],)),
    "function_call": (_TOOLS, ()),
    "tool_call_id": (_TOOLS, ()),
    "name": ("a name is text that the filter does not read", ()),
    "prefix": ("the model speaks for itself: a client cannot begin its reply", (False,)),
    "partial": ("the model speaks for itself: a client cannot begin its reply", (False,)),
    "audio": (_MEDIA, ()),
    "images": (_MEDIA, ([],)),
    "annotations": ("it is text that the filter does not read", ([],)),
    "refusal": ("send it as `content`", ()),
}
MEDIA_PARTS = frozenset(
    {"image_url", "input_image", "image", "input_audio", "audio_url", "audio", "video_url", "video", "file"}
)
"""Kinds of message parts that are no text."""
_NOISE = frozenset({"str", "list", "int", "float"})


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TextPart(_Body):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Message(_Body):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart]
    reasoning_content: str | None = None


class StreamOptions(_Body):
    """Of a streamed reply."""

    include_usage: bool | None = None


class _Generation(_Body):
    """What both ways of asking share."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: (
        Annotated[str, Field(min_length=1, max_length=64)]
        | Annotated[
            list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=4)
        ]
        | None
    ) = None
    user: Annotated[str, Field(max_length=256)] | None = None


class ChatBody(_Generation):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None


class CompletionBody(_Generation):
    """POST /v1/completions."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]


class ModerationBody(_Body):
    """POST /v1/moderations."""

    input: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=32)]
        | Annotated[list[TextPart], Field(min_length=1, max_length=32)]
    )
    model: Annotated[str, Field(max_length=200)] | None = None


Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is left of a request: nothing else of it goes on."""

    model: str
    turns: tuple[Turn, ...]
    stream: bool
    include_usage: bool
    options: Mapping[str, Any]
    """Sampling settings, by OpenAI's names."""
    user: str = ""
    """The client's word for its own user; audited as a hash, never sent on."""


def read_chat(data: Mapping[str, Any], settings: GatewaySettings) -> Asked:
    """A chat request. Refusal 400 names the field."""
    kept = _without_refused(data)
    messages = kept.get("messages")
    if isinstance(messages, list):
        if len(messages) > settings.messages:
            raise bad(f"`messages` has {len(messages)} entries; {settings.messages} are taken.", "messages")
        kept["messages"] = [_message(one, f"messages.{at}") for at, one in enumerate(messages)]
    body = parsed(ChatBody, kept)
    turns = tuple(
        Turn(_role(one.role), text_of(one.content), one.reasoning_content or "") for one in body.messages
    )
    if turns[-1].role == "assistant":
        raise _refused("messages", "the model speaks for itself: the last message cannot be the assistant's")
    if all(one.role != "user" for one in turns):
        raise bad("`messages` has no message of the user.", "messages")
    if body.max_tokens and body.max_completion_tokens and body.max_tokens != body.max_completion_tokens:
        raise bad("`max_tokens` and `max_completion_tokens` differ: send one.", "max_tokens")
    return _asked(body, turns, body.max_completion_tokens or body.max_tokens, settings)


def read_completion(data: Mapping[str, Any], settings: GatewaySettings) -> Asked:
    """A text completion: the prompt is the one user turn of a dialogue. Refusal 400 names the field.

    A raw prompt could hold a whole template, and so forge any turn; that is why it never reaches the model raw.
    """
    if data.get("logprobs") is not None:  # 0 asks for them too, and so does False for some servers
        raise _refused("logprobs", _LOGPROBS)
    kept = _without_refused(data)
    prompt = kept.get("prompt")
    if isinstance(prompt, list) and any(not isinstance(one, str) for one in prompt):
        raise _refused("prompt", _TOKENS)
    if isinstance(prompt, list) and len(prompt) > 1:
        raise _refused("prompt", _ONE)
    body = parsed(CompletionBody, kept)
    text = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    return _asked(body, (Turn("user", text),), body.max_tokens, settings)


def read_moderation(data: Mapping[str, Any], settings: GatewaySettings) -> tuple[str, ...]:
    """The texts to check. Refusal 400 names the field."""
    parts = data.get("input")
    for at, one in enumerate(parts if isinstance(parts, list) else ()):
        _check_part(one, f"input.{at}")
        if isinstance(one, int | list):
            raise _refused("input", _TOKENS)
    body = parsed(ModerationBody, {key: value for key, value in data.items() if value is not None})
    found = body.input
    texts = (found,) if isinstance(found, str) else tuple(text_of([one]) for one in found)
    check_size(texts, "input", settings)
    return texts


def parsed(model: type[Body], data: Any) -> Body:
    """The body of a model. Refusal 400 with the first problem."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        # Of a union every branch complains; the one that got furthest is the one that was meant.
        first = max(found, key=lambda one: len(one["loc"]))
        place = ".".join(str(one) for one in first["loc"] if not _is_branch(one))[:200]
        if first["type"] == "extra_forbidden":
            raise bad(f"Unknown field `{place}`.", place, "unknown_parameter") from None
        if first["type"] == "missing":
            raise bad(f"Missing field `{place}`.", place, "missing_required_parameter") from None
        raise bad(f"`{place}`: {first['msg']}.", place) from None


def text_of(content: str | Sequence[str | TextPart]) -> str:
    """The text of a message, its parts put together by lines as servers do."""
    if isinstance(content, str):
        return content
    return "\n".join(one if isinstance(one, str) else one.text for one in content)


def check_size(texts: Sequence[str], param: str, settings: GatewaySettings) -> None:
    """Refusal 413 where the texts together are longer than is taken."""
    size = sum(map(len, texts))
    if size > settings.characters:
        raise Refusal(
            413,
            f"The texts have {size} characters; {settings.characters} are taken.",
            "request_too_large",
            param=param,
        )


def _asked(
    body: _Generation, turns: tuple[Turn, ...], max_tokens: int | None, settings: GatewaySettings
) -> Asked:
    check_size([one.content + one.thinking for one in turns], "messages", settings)
    if max_tokens and max_tokens > settings.max_tokens:
        raise bad(f"`max_tokens` is at most {settings.max_tokens}.", "max_tokens")
    if body.stream_options and not body.stream:
        raise bad("`stream_options` is for streamed replies only.", "stream_options")
    options = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "max_tokens": max_tokens,
        "presence_penalty": body.presence_penalty,
        "frequency_penalty": body.frequency_penalty,
        "seed": body.seed,
        "stop": [body.stop] if isinstance(body.stop, str) else body.stop,
    }
    return Asked(
        model=body.model,
        turns=turns,
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        options={key: value for key, value in options.items() if value is not None},
        user=body.user or "",
    )


def _role(role: str) -> Role:
    return "system" if role == "developer" else role  # type: ignore[return-value]


def _message(message: Any, place: str) -> Any:
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    for at, part in enumerate(content if isinstance(content, list) else ()):
        _check_part(part, f"{place}.content.{at}")
    return _without_refused(message, _IN_MESSAGE, f"{place}.")


def _check_part(part: Any, place: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind in MEDIA_PARTS:
        raise _refused(place, _MEDIA)


def _without_refused(
    data: Mapping[str, Any], refused: Mapping[str, tuple[str, Neutral]] = REFUSED, place: str = ""
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in data.items():
        if value is None:
            if key not in refused:
                kept[key] = value
            continue
        if key in refused:
            reason, neutral = refused[key]
            if not any(type(value) is type(one) and value == one for one in neutral):
                raise _refused(f"{place}{key}", reason)
        else:
            kept[key] = value
    return kept


def _refused(param: str, reason: str) -> Refusal:
    return bad(f"`{param}` is not taken: {reason}.", param, "unsupported_parameter")


def _is_branch(place: int | str) -> bool:
    """Whether a part of a place names a branch of a union, not a field."""
    return isinstance(place, str) and (place in _NOISE or "[" in place)
