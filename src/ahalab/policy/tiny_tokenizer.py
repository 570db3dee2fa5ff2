"""The bilingual tokenizer of the bundled base: byte-level BPE, digits one by one, the template as one token.

The paper's base template is about ninety tokens of fixed text before every question. Held as ONE added token it
costs a tiny model one position instead of ninety, and decodes to the same text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ahalab.text.template import TABLE1_PREAMBLE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END = "<|end|>"
PADDING = "<|pad|>"
FORMAT_TAGS = (" <think>", " </think>", " <answer>", " </answer>")
"""With their leading space, so that text survives encode and decode unchanged."""

PIECES = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+ ?|\s+"
"""Digits alone (arithmetic needs place values), words with their leading space, punctuation with both."""


def build_tiny_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer on `texts`. Bytes are its alphabet, so any text can be encoded.

    Deterministic: the same texts in the same order give the same vocabulary.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    fixed = [TABLE1_PREAMBLE, *FORMAT_TAGS]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(fixed),
        min_frequency=20,
        special_tokens=[PADDING, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # The fixed texts are added afterwards; cut out here, so that no merge is spent on them.
    tokenizer.train_from_iterator((_without(text, fixed) for text in texts), trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in fixed])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PADDING,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def _without(text: str, fixed: list[str]) -> str:
    for piece in fixed:
        text = text.replace(piece, "")
    return text
