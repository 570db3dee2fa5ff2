"""One object owns prompt, prefilled `<think>`, stop tokens and parse, so that they cannot disagree."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from ahalab.errors import UserError
from ahalab.records import FinishReason, Messages, Response
from ahalab.text.parse import parse_response
from ahalab.text.template import SYSTEM_PROMPT, TAGS, THINK_OPEN, table1_prompt

TemplateChoice = Literal["auto", "chat", "table1"]

# Turn ends of published model families: a model tuned for chat often ends a turn with one of these although
# its tokenizer names another token as the end of the text, and then never stops.
_TURN_ENDS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
    "<turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
)

_PROBE_SYSTEM = "Be brief."
_OPEN_THINK_AT_END = re.compile(re.escape(THINK_OPEN) + r"\s*\Z")


class Tokenizer(Protocol):
    """What the renderer needs of a `transformers` tokenizer."""

    eos_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...
    def decode(
        self, token_ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> str: ...
    def get_added_vocab(self) -> dict[str, int]: ...
    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> Any: ...


class Renderer:
    """Renders questions into prompts and reads completions back.

    Args:
        tokenizer: a `transformers` tokenizer.
        template: "table1" is the paper's base-model prompt, "chat" the tokenizer's own template, "auto" chat
            where there is one.
        system_prompt: asks for the format, with chat templates only; None for none. A template that takes no
            system turn gets it at the start of the user's turn.
        think_prefill: end the prompt in `<think>`; `parse` puts it back. A template that does so by itself is
            noticed.
        extra_stop_ids: further stop tokens, such as `generation_config.eos_token_id`.

    Raises:
        UserError: template "chat" for a tokenizer without one, or a chat template that cannot render a plain
            question.
    """

    template: Literal["chat", "table1"]
    """The template in use."""
    notice: str | None
    """What the person should know about the choice, or None."""
    stop_ids: tuple[int, ...]
    """Sorted ids of all tokens that end a completion."""
    stop_id: int | None
    """The one that a written reply ends in: the chat template's turn end, or else the tokenizer's end of text."""
    prefilled: bool
    """Whether prompts end in an open `<think>`, by `think_prefill` or by the chat template itself."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        template: TemplateChoice = "auto",
        system_prompt: str | None = SYSTEM_PROMPT,
        think_prefill: bool = False,
        extra_stop_ids: Sequence[int] = (),
    ) -> None:
        self._tokenizer = tokenizer
        self._name = str(getattr(tokenizer, "name_or_path", "") or "the base model")
        self._system_prompt = system_prompt
        self._system_in_user_turn = False
        self._think_prefill = think_prefill
        self.notice = None
        has_chat = bool(getattr(tokenizer, "chat_template", None))
        if template == "chat" and not has_chat:
            raise UserError(
                f"template: chat was asked for, but the tokenizer of {self._name} has no chat template. "
                "Set `template: table1` (the paper's prompt for base models) or choose a chat model."
            )
        self.template = "chat" if has_chat and template != "table1" else "table1"
        if template == "auto" and not has_chat:
            self.notice = "the base has no chat template: using the paper's Table 1 prompt for base models"
        self.prefilled = think_prefill
        if self.template == "chat":
            self._probe_chat_template()
        added = tokenizer.get_added_vocab()
        turn_ends = self._turn_end_of_template(added) if self.template == "chat" else set()
        self.stop_ids = self._find_stop_ids(extra_stop_ids, added, turn_ends)
        eos = set() if tokenizer.eos_token_id is None else {int(tokenizer.eos_token_id)}
        self.stop_id = min(turn_ends or eos or self.stop_ids, default=None)

    def prompt_text(self, question: str, messages: Messages = ()) -> str:
        """The prompt as text, special tokens of a chat template included.

        `messages` are the turns of a dialogue, of which `question` is the plain form: a chat template renders the
        turns, Table 1 its own form of them (`table1_prompt`).

        Raises:
            UserError: the chat template cannot render these turns.
        """
        if self.template == "chat":
            text = self._render_turns(question, messages)
            prefill = THINK_OPEN
        else:
            text = table1_prompt(question, messages)
            prefill = f" {THINK_OPEN}"
        if self.prefilled and not _OPEN_THINK_AT_END.search(text[-64:]):
            text += prefill
        return text

    def prompt_ids(self, question: str, messages: Messages = ()) -> list[int]:
        """The prompt as token ids, with the tokenizer's own start token; arguments as for `prompt_text`.

        Raises:
            UserError: the question cannot be encoded (a lone surrogate), or its turns not be rendered.
        """
        text = self.prompt_text(question, messages)
        # A chat template writes the start token itself; adding special tokens again would double it.
        ids = self._encode(text, add_special_tokens=self.template == "table1")
        while ids and ids[-1] in self.stop_ids and self.template == "table1":
            ids.pop()  # some tokenizers end every text with the stop token: nothing could follow
        return ids

    def completion_ids(self, text: str) -> list[int]:
        """Token ids of a completion's text without special tokens and without the stop token."""
        return self._encode(text, add_special_tokens=False)

    def decode(self, token_ids: Sequence[int]) -> str:
        """A completion's text, stop tokens at its end removed. Other special tokens stay visible: in some
        vocabularies `<think>` is one."""
        end = len(token_ids)
        while end and token_ids[end - 1] in self.stop_ids:
            end -= 1
        return self._decode(token_ids[:end])

    def parse(self, text: str, finish: FinishReason) -> Response:
        """Read a completion as `decode` gives it; see `parse_response` for the rules."""
        if self.prefilled:
            text = f"{THINK_OPEN}{text}"
        return parse_response(text, finish)

    def render_response(self, thinking: str, answer: str) -> str:
        """The completion's text that `parse` reads as well formed, without the stop token.

        A blank thinking gives `<think> </think>`, for queries that need none: `parse` finds its answer, and the
        fault "empty thinking".

        Raises:
            ValueError: the answer is blank or a part contains a tag, so that no completion could be read back.
        """
        if not answer.strip():
            raise ValueError("the answer is blank")
        for part, text in (("thinking", thinking), ("answer", answer)):
            if any(tag in text for tag in TAGS):
                raise ValueError(f"the {part} contains one of the tags {', '.join(TAGS)}")
        start = "" if self.prefilled else THINK_OPEN
        thought = f" {thinking.strip()}" if thinking.strip() else ""
        lead = " " if self.template == "table1" and not self.prefilled else ""
        return f"{lead}{start}{thought} </think> <answer> {answer.strip()} </answer>"

    def reply_ids(self, thinking: str, answer: str) -> list[int]:
        """Token ids of `render_response` and the stop token: what a policy is to say after `prompt_ids`.

        Raises:
            ValueError: as `render_response`; there is no stop token, or one stands inside the text.
            UserError: the text cannot be encoded (a lone surrogate).
        """
        if self.stop_id is None:
            raise ValueError("there is no stop token")
        ids = self.completion_ids(self.render_response(thinking, answer))
        if not set(self.stop_ids).isdisjoint(ids):
            raise ValueError("the text contains a stop token")
        return [*ids, self.stop_id]

    def check_round_trip(self, question: str, answer: str, messages: Messages = ()) -> None:
        """Render, encode, decode and parse one real question and its gold answer.

        Raises:
            UserError: naming what broke: no stop token, a question or tag that the tokenizer loses, a stop
                token inside the completion, or a parse that does not give the answer back.
        """
        if not self.stop_ids:
            raise UserError(
                f"the tokenizer of {self._name} names no end-of-sequence token, so a completion could never "
                "stop. Set `eos_token` in its tokenizer_config.json."
            )
        prompt = self._decode(self.prompt_ids(question, messages))
        if any(_plain(said) not in _plain(prompt) for said in [said for _, said in messages] or [question]):
            raise UserError(
                f"the tokenizer of {self._name} does not give the question back: {_short(question)} came "
                f"back in {_short(prompt[-200:])}. Use a tokenizer that covers the question's characters."
            )
        try:
            written = self.render_response("let me think.", answer)
        except ValueError as error:
            raise UserError(
                f"the gold answer {_short(answer)} does not fit the response format: {error}."
            ) from error
        ids = self.completion_ids(written)
        inside = sorted(set(ids) & set(self.stop_ids))
        if inside:
            names = ", ".join(repr(self._decode([token])) for token in inside)
            raise UserError(
                f"the response {_short(written)} contains the stop token {names} of {self._name}: every "
                "completion would end there. Remove it from the stop tokens or change the template."
            )
        read = self.decode([*ids, self.stop_ids[0]])
        response = self.parse(read, "stop")
        lost = [tag for tag in TAGS if tag in written and tag not in read]
        if lost:
            raise UserError(
                f"the tokenizer of {self._name} does not give {', '.join(lost)} back ({_short(written)} came "
                f"back as {_short(read)}), so no response could ever be well formed."
            )
        if not response.well_formed:
            raise UserError(
                f"a response written for {self._name} is not read back as well formed ({response.fault}): "
                f"{_short(written)} came back as {_short(read)}."
            )
        if _plain(response.answer or "") != _plain(answer):
            raise UserError(
                f"the tokenizer of {self._name} changes the gold answer: {_short(answer)} came back as "
                f"{_short(response.answer or '')}. Use a tokenizer that covers the answer's characters."
            )

    def _probe_chat_template(self) -> None:
        probe = "What is 1 + 1?"
        try:
            told = _PROBE_SYSTEM in self._render_chat(probe, (("system", _PROBE_SYSTEM), ("user", probe)))
        except Exception:  # jinja errors have no common base that can be named without importing jinja
            told = False
        if not told:
            self._system_in_user_turn = True
        try:
            rendered = self._render_chat(probe)
        except Exception as error:
            raise UserError(
                f"the chat template of {self._name} cannot render a plain question "
                f"({type(error).__name__}: {error}). "
                "Set `template: table1`, or mend the template in its tokenizer_config.json."
            ) from error
        if probe not in rendered:
            raise UserError(
                f"the chat template of {self._name} loses the question: it renders {_short(rendered)}. "
                "Set `template: table1`, or mend the template in its tokenizer_config.json."
            )
        if _OPEN_THINK_AT_END.search(rendered) and not self.prefilled:
            self.prefilled = True
            self.notice = (
                f"the chat template of {self._name} opens <think> in the prompt: it is put back in the parse"
            )

    def _render_turns(self, question: str, messages: Messages) -> str:
        if not messages:
            return self._render_chat(question)
        try:
            return self._render_chat(question, messages)
        except (
            Exception
        ) as error:  # jinja errors have no common base that can be named without importing jinja
            raise UserError(
                f"the chat template of {self._name} cannot render a dialogue of {len(messages)} turns that begins "
                f"{_short(messages[0][1], 60)} ({type(error).__name__}: {error}). Set `template: table1`, or leave "
                "such dialogues out of the data."
            ) from error

    def _render_chat(self, question: str, messages: Messages = ()) -> str:
        turns = [{"role": role, "content": said} for role, said in messages or (("user", question),)]
        told = [turns.pop(0)["content"]] if turns[0]["role"] == "system" else []
        system = "\n\n".join([*([self._system_prompt] if self._system_prompt else []), *told])
        if system and self._system_in_user_turn:
            turns[0]["content"] = f"{system}\n\n{turns[0]['content']}"
        elif system:
            turns.insert(0, {"role": "system", "content": system})
        # As text, then encoded here: what tokenize=True returns differs between transformers versions.
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def _find_stop_ids(
        self, extra: Sequence[int], added: Mapping[str, int], turn_ends: set[int]
    ) -> tuple[int, ...]:
        found = turn_ends | {int(token) for token in extra}
        if self._tokenizer.eos_token_id is not None:
            found.add(int(self._tokenizer.eos_token_id))
        found.update(added[name] for name in _TURN_ENDS if name in added)
        return tuple(sorted(found))

    def _turn_end_of_template(self, added: Mapping[str, int]) -> set[int]:
        said = "the answer is two"
        turns = [{"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": said}]
        try:
            text = str(
                self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=False)
            )
        except Exception:  # a template that writes no assistant turns still serves for prompts
            return set()
        tail = text.rpartition(said)[2].lstrip() if said in text else ""
        return {token for name, token in added.items() if name and tail.startswith(name)}

    def _encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UserError(
                f"the text {_short(text[max(0, error.start - 40) : error.end + 40])} holds half a surrogate "
                f"pair (U+{ord(text[error.start]):04X}), which is no character. Mend it in the data."
            ) from error
        return [int(token) for token in self._tokenizer.encode(text, add_special_tokens=add_special_tokens)]

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(
                list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )


def _plain(text: str) -> str:
    """Tokenizers may normalise width and white space; a round trip that keeps all else is sound."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _short(text: str, limit: int = 120) -> str:
    return repr(text if len(text) <= limit else f"{text[:limit]}…")
