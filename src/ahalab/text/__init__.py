"""Text in and out of a model: renderer, parse, reflective words and languages. Never imports torch."""

from ahalab.text.language import LanguageCounts, is_mixed, language_counts, language_share
from ahalab.text.parse import FAULTS, parse_response
from ahalab.text.reflection import (
    DEFAULT_REFLECTIVE,
    REFLECTIVE_EN,
    REFLECTIVE_ZH,
    ReflectiveWords,
    count_reflective,
    load_reflective_words,
)
from ahalab.text.renderer import Renderer, TemplateChoice, Tokenizer
from ahalab.text.template import SYSTEM_PROMPT, TABLE1_PREAMBLE, TAGS, table1_prompt

__all__ = [
    "DEFAULT_REFLECTIVE",
    "FAULTS",
    "REFLECTIVE_EN",
    "REFLECTIVE_ZH",
    "SYSTEM_PROMPT",
    "TABLE1_PREAMBLE",
    "TAGS",
    "LanguageCounts",
    "ReflectiveWords",
    "Renderer",
    "TemplateChoice",
    "Tokenizer",
    "count_reflective",
    "is_mixed",
    "language_counts",
    "language_share",
    "load_reflective_words",
    "parse_response",
    "table1_prompt",
]
