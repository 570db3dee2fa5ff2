"""Dialogues as prompts: by the model's own chat template, or in Table 1's own words; nothing of a turn is lost."""

from __future__ import annotations

import pytest

from ahalab.errors import UserError
from ahalab.text import SYSTEM_PROMPT, TABLE1_PREAMBLE, Renderer
from ahalab.text.template import rounds, table1_prompt, written_turns
from test_text_renderer import CHATML, DROPS_SYSTEM, NO_SYSTEM, OPENS_THINK, make_tokenizer

TURNS = (("user", "Hello."), ("assistant", "Hi!"), ("user", "Can I eat soap?"))
TOLD = (("system", "Be kind."), *TURNS)
ALTERNATES = (
    "{% for m in messages %}{% if m['role'] == 'assistant' and loop.first %}{{ raise_exception('order') }}{% endif %}"
    "{% endfor %}{% if messages|length > 3 %}{{ raise_exception('too many turns') }}{% endif %}" + CHATML
)


def plain(messages: tuple[tuple[str, str], ...]) -> str:
    return written_turns(messages)


def test_a_chat_template_renders_every_turn_under_its_own_role() -> None:
    renderer = Renderer(make_tokenizer(CHATML), system_prompt=None)
    assert renderer.prompt_text(plain(TURNS), TURNS) == (
        "<|im_start|>user\nHello.<|im_end|>\n<|im_start|>assistant\nHi!<|im_end|>\n"
        "<|im_start|>user\nCan I eat soap?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_dialogues_own_system_turn_follows_the_format_instruction_in_one_turn() -> None:
    renderer = Renderer(make_tokenizer(CHATML))
    text = renderer.prompt_text(plain(TOLD), TOLD)
    assert text.startswith(
        f"<|im_start|>system\n{SYSTEM_PROMPT}\n\nBe kind.<|im_end|>\n<|im_start|>user\nHello."
    )
    assert text.count("<|im_start|>system") == 1


@pytest.mark.parametrize("template", [NO_SYSTEM, DROPS_SYSTEM], ids=["refuses", "drops"])
@pytest.mark.parametrize("system_prompt", [SYSTEM_PROMPT, None], ids=["told", "not told"])
def test_a_template_without_a_system_turn_gets_it_in_the_users_first(
    template: str, system_prompt: str | None
) -> None:
    renderer = Renderer(make_tokenizer(template), system_prompt=system_prompt)
    text = renderer.prompt_text(plain(TOLD), TOLD)
    told = "\n\n".join([*([system_prompt] if system_prompt else []), "Be kind.", "Hello."])
    assert text.startswith(f"<|im_start|>user\n{told}<|im_end|>\n<|im_start|>assistant\nHi!")


def test_a_single_turn_is_rendered_as_before() -> None:
    for template in (CHATML, OPENS_THINK, None):
        renderer = Renderer(make_tokenizer(template))
        assert renderer.prompt_text("Why?", ()) == renderer.prompt_text("Why?")
        assert renderer.prompt_text("Why?", (("user", "Why?"),)) == renderer.prompt_text("Why?")


def test_table_1_goes_on_in_its_own_words() -> None:
    wanted = f"{TABLE1_PREAMBLE} Hello.\n\nAssistant: Hi!\n\nUser: Can I eat soap? Assistant:"
    assert Renderer(make_tokenizer()).prompt_text(plain(TURNS), TURNS) == wanted
    assert table1_prompt(plain(TOLD), TOLD) == wanted.replace(" Hello.", " Be kind.\n\nHello.")


def test_no_turn_is_lost_on_the_way_and_a_lost_one_is_named() -> None:
    for template in (CHATML, NO_SYSTEM, DROPS_SYSTEM, OPENS_THINK, None):
        Renderer(make_tokenizer(template)).check_round_trip(plain(TOLD), "no", TOLD)
    forgets = CHATML.replace("for m in messages", "for m in messages[-1:]")
    with pytest.raises(UserError, match="does not give the question back"):
        Renderer(make_tokenizer(forgets), system_prompt=None).check_round_trip(plain(TURNS), "no", TURNS)


def test_turns_that_a_template_cannot_render_are_refused_in_words() -> None:
    renderer = Renderer(make_tokenizer(ALTERNATES), system_prompt=None)
    with pytest.raises(
        UserError, match=r"cannot render a dialogue of 5 turns that begins 'Hello.'.*too many turns"
    ):
        renderer.prompt_ids("?", (*TURNS, ("assistant", "No."), ("user", "Why?")))


def test_the_plain_form_names_the_speakers_and_rounds_are_the_users_turns() -> None:
    assert plain(TOLD) == "System: Be kind.\n\nUser: Hello.\n\nAssistant: Hi!\n\nUser: Can I eat soap?"
    assert plain((("user", "Why?"),)) == "Why?"
    assert [rounds(turns) for turns in ((), TURNS[:1], TURNS, TOLD)] == [1, 1, 2, 2]
