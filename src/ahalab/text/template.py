"""The words around a question: the paper's base-model prompt, and the instruction for chat models."""

from __future__ import annotations

from ahalab.records import Messages

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


def table1_prompt(question: str, messages: Messages = ()) -> str:
    """The paper's base-model prompt, ending in "Assistant:".

    Table 1 prints `User: {prompt}. Assistant:`; the full stop is added only where the question has no
    sentence end of its own (our choice: "…?. Assistant:" is text no base model has seen).

    A dialogue goes on in the template's own words, `User: …`, `Assistant: …`, `User: …`, with a blank line between;
    what its system turn says begins the user's first turn (our choice: the paper's prompts have one turn).
    """
    if messages:
        told = "\n\n".join(said for role, said in messages if role == "system")
        turns = [turn for turn in messages if turn[0] != "system"]
        first = (turns[0][0], f"{told}\n\n{turns[0][1]}" if told else turns[0][1])
        question = written_turns((first, *turns[1:])).removeprefix("User: ")
    question = question.strip()
    stop = "" if question.endswith(tuple(SENTENCE_ENDS)) else "."
    return f"{TABLE1_PREAMBLE} {question}{stop} Assistant:"


def written_turns(messages: Messages) -> str:
    """A dialogue in plain words: a question of one turn as it is, of several with their speakers.

    This is what reports show, what teachers, judges and reward models read, and what ids are made of.
    """
    if len(messages) == 1:
        return messages[0][1]
    return "\n\n".join(f"{role.capitalize()}: {said}" for role, said in messages)


def rounds(messages: Messages) -> int:
    """Turns of the user in a dialogue; 1 where there is none, as in a plain question."""
    return max(1, sum(role == "user" for role, _ in messages))
