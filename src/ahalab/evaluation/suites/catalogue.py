"""The suites by name. Prompts and extraction are the paper's (D.1 and its Tables 18 to 32) where it has the suite."""

from __future__ import annotations

from ahalab.evaluation.suites.suite import Suite

BOXED = {
    "en": "{question}\n\nPlease reason step by step, and put your final answer within \\boxed{}.",
    "zh": "{question}\n\n请逐步推理，并把最终答案写在 \\boxed{} 里。",
}
"""The paper's suffix for AIME, MATH and CNMO; the Chinese one is our wording of it."""

LETTER = {
    "en": "Answer the following multiple choice question. The last line of your response should be of the following "
    "format: 'Answer: $LETTER' (without quotes) where LETTER is one of {letters}. Think step by step before answering."
    "\n\n{question}",
    "zh": "请回答下面的单项选择题。先逐步思考，回答的最后一行写成“答案：X”，其中 X 是 {letters} 之一。\n\n{question}",
}
"""The zero-shot prompt of simple-evals, which the paper uses for MMLU and GPQA; the Chinese one is our wording."""

_ALL = (
    Suite("world", "problems of the tiny world that no base has seen, per domain", "world", "final"),
    Suite("gym", "a reasoning-gym task with its own difficulty knobs: gym:TASK?key=value", "gym", "final"),
    Suite(
        "gsm8k",
        "grade-school word problems",
        "columns",
        "number",
        {
            "hub": "openai/gsm8k",
            "config": "main",
            "split": "test",
            "question": "question",
            "answer": "answer",
            "answer_after": "####",
            "strip_thousands": True,
            "domain": "math",
        },
        BOXED,
        solution="answer",
    ),
    Suite(
        "math500",
        "competition mathematics, five levels (MATH-500)",
        "columns",
        "boxed",
        {
            "hub": "HuggingFaceH4/MATH-500",
            "split": "test",
            "question": "problem",
            "answer": "answer",
            "level_column": "level",
            "domain": "math",
        },
        BOXED,
        paper_k=16,
        solution="solution",
    ),
    Suite(
        "aime",
        "AIME 2024, whole numbers from 0 to 999",
        "columns",
        "boxed",
        {
            "hub": "HuggingFaceH4/aime_2024",
            "split": "train",
            "question": "problem",
            "answer": "answer",
            "domain": "math",
        },
        BOXED,
        paper_k=64,
        solution="solution",
    ),
    Suite(
        "gpqa",
        "GPQA Diamond: graduate-level science, four options in an order fixed by the question",
        "choices",
        "letter",
        {"hub": "Idavidrein/gpqa", "config": "gpqa_diamond", "split": "train"},
        LETTER,
        paper_k=64,
        solution="Explanation",
    ),
    Suite(
        "mmlu",
        "MMLU: 57 subjects, four options",
        "choices",
        "letter",
        {"hub": "cais/mmlu", "config": "all", "split": "test"},
        LETTER,
    ),
    Suite(
        "mmlu-pro",
        "MMLU-Pro: up to ten options, zero-shot as in the paper",
        "choices",
        "letter",
        {"hub": "TIGER-Lab/MMLU-Pro", "split": "test"},
        LETTER,
    ),
    Suite(
        "choice", "multiple choice from a file of your own, such as C-Eval", "choices", "letter", asks=LETTER
    ),
    Suite(
        "ifeval",
        "instruction following, all instructions of a prompt by the official rules (strict)",
        "columns",
        "whole",
        {
            "hub": "google/IFEval",
            "split": "train",
            "question": "prompt",
            "domain": "instruction_following",
            "verifier": "none",
            "extra": {"instruction_id_list": "instruction_id_list", "kwargs": "kwargs"},
        },
        verifier="ifeval",
    ),
    Suite(
        "preference",
        "pairwise win rate against reference answers, also at equal length",
        "columns",
        "whole",
        {
            "hub": "tatsu-lab/alpaca_eval",
            "config": "alpaca_eval",
            "split": "eval",
            "question": "instruction",
            "answer": "output",
            "domain": "general",
            "verifier": "none",
        },
        compared=True,
    ),
)

SUITES: dict[str, Suite] = {suite.name: suite for suite in _ALL}
"""Every suite by its name; a new one joins here."""
