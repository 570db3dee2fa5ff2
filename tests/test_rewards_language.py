"""The language-consistency reward on thinkings counted by hand."""

from __future__ import annotations

import pytest

from ahalab.errors import UserError
from ahalab.records import Prompt, Response
from ahalab.rewards.language import language_reward
from ahalab.text.parse import parse_response
from ahalab.text.prose import HAN_PER_WORD


def prompt(language: str = "en") -> Prompt:
    return Prompt("world/0", "What is 1+1?", "2", "math", "world", "exact", language)


def response(thinking: str, answer: str = "2") -> Response:
    return parse_response(f"<think> {thinking} </think> <answer> {answer} </answer>", "stop")


def reward(language: str, thinking: str) -> float | None:
    [value] = language_reward([prompt(language)], [response(thinking)])
    return value


def test_the_reward_is_the_share_of_words_in_the_prompts_language() -> None:
    mixed = "wait, let me check: 1+1=2. 所以2是对的"
    chinese = 5 / HAN_PER_WORD
    assert reward("en", mixed) == pytest.approx(4 / (4 + chinese))
    assert reward("zh", mixed) == pytest.approx(chinese / (4 + chinese))
    assert reward("en", "wait, let me check: 1+1=2.") == 1.0
    assert reward("zh", "wait, let me check: 1+1=2.") == 0.0
    assert reward("zh", "等等，我检查一下：1+1=2。") == 1.0


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "thinking", ["1+1=2", "$x^2$", "x, x+3. def f(x): return x+3", "```python\nx = 1\n```", "B", "5 km"]
)
def test_a_thinking_without_words_has_no_language_part_rather_than_0(language: str, thinking: str) -> None:
    assert reward(language, thinking) is None


def test_numbers_formulas_and_code_change_nothing() -> None:
    bare = reward("zh", "所以 so 对")
    padded = reward("zh", "所以 $a b c$ 1+1=2 so `print(x)` 对 \\(x y\\) C 5km")
    assert bare == pytest.approx(padded)


def test_only_the_thinking_counts() -> None:
    [value] = language_reward([prompt()], [response("so it is two", "所以答案是二")])
    assert value == 1.0


def test_a_response_without_thinking_gets_none_and_an_unclosed_one_is_counted() -> None:
    responses = [
        parse_response("<answer> so it is 2 </answer>", "stop"),
        parse_response("just words", "stop"),
        parse_response("<think> </think> <answer> hello </answer>", "stop"),
        parse_response("<think> so it is 等", "length"),
    ]
    values = language_reward([prompt()] * 4, responses)
    assert values[:3] == [None, None, None]
    assert values[3] == pytest.approx(3 / (3 + 1 / HAN_PER_WORD))


def test_each_response_is_measured_by_its_own_prompt() -> None:
    thinkings = ["so it is two", "所以是二"]
    responses = [response(one) for one in thinkings]
    assert language_reward([prompt("en"), prompt("zh")], responses) == [1.0, 1.0]
    assert language_reward([prompt("zh"), prompt("en")], responses) == [0.0, 0.0]
    assert language_reward([], []) == []


def test_an_unknown_language_names_the_prompt_and_the_nearest_language() -> None:
    with pytest.raises(
        UserError, match=r"prompt world/0: the language 'cn' cannot be counted; did you mean `zh`"
    ):
        language_reward([prompt("cn")], [response("so it is")])


def test_an_unknown_language_is_named_also_where_nothing_could_be_counted() -> None:
    with pytest.raises(UserError, match="'cn' cannot be counted"):
        language_reward([prompt("cn")], [response("1+1=2")])


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        language_reward([prompt()], [])
