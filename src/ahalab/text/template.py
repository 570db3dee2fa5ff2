"""The words around a question: the paper's base-model prompt, and the instruction for chat models."""

from __future__ import annotations

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
ANSWER_OPEN = "<answer>"
ANSWER_CLOSE = "</answer>"
TAGS = (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE)
"""The four tags in the order in which a well-formed response has them, each exactly once."""

TABLE1_PREAMBLE = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with the "
    "answer. The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> "
    "tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here </answer>. User:"
)
"""Paper, Table 1 (wording of v1): the prompt of R1-Zero, up to and including "User:"."""

SYSTEM_PROMPT = (
    "You first think about the reasoning process in the mind and then provide the user with the answer. "
    "The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, "
    "respectively, i.e., <think> reasoning process here </think> <answer> answer here </answer>. "
    "Inside <answer> give only the final answer."
)
"""Our choice for chat models: Table 1 tells of a conversation, a system turn speaks to the model."""

SENTENCE_ENDS = ".?!。？！"


def table1_prompt(question: str) -> str:
    """The paper's base-model prompt, ending in "Assistant:".

    Table 1 prints `User: {prompt}. Assistant:`; the full stop is added only where the question has no
    sentence end of its own (our choice: "…?. Assistant:" is text no base model has seen).
    """
    question = question.strip()
    stop = "" if question.endswith(tuple(SENTENCE_ENDS)) else "."
    return f"{TABLE1_PREAMBLE} {question}{stop} Assistant:"
