"""The language-consistency reward of R1's reinforcement learning (first RL stage; ablation in appendix B.6)."""

from __future__ import annotations

from collections.abc import Sequence

from ahalab.errors import UserError
from ahalab.records import Prompt, Response
from ahalab.text.language import language_share


def language_reward(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float | None]:
    """The share of target-language words among the words of the thinking, 0 to 1.

    Paper: `Num(words in the target language) / Num(words)` over the chain of thought, added directly to the final
    reward. Our choices, because the paper does not say: the target is the prompt's own language, words are counted
    by `ahalab.text.language`, and a response without thinking, or whose thinking has no words, gives None: formulas
    alone are neither consistent nor mixed.

    Raises:
        UserError: a prompt's language is unknown, or needs the extra `languages` while it is not installed.
        ValueError: the columns differ in length.
    """
    if len(prompts) != len(responses):
        raise ValueError(f"a reward needs columns of one length, not {[len(prompts), len(responses)]}")
    return [_share(prompt, response.thinking) for prompt, response in zip(prompts, responses, strict=True)]


def _share(prompt: Prompt, thinking: str | None) -> float | None:
    if thinking is None:
        return None
    try:
        return language_share(thinking, prompt.language)
    except UserError as error:
        raise UserError(f"prompt {prompt.id}: {error}") from None
