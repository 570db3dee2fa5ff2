"""Trained reward models: what they read, how their scores become rewards in 0 … 1, and how they are loaded.

Paper §3.1: the helpful reward model judges the final summary only, the safety one the whole response, thinking
included. How that is written for the model is our choice: the policy's own prompt and response format, with nothing
in the thinking where only the summary is judged. The end token is left out: transformers pools on the last token
that is not padding, and many models pad with their end token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedTokenizerBase

from ahalab.errors import UserError
from ahalab.policy.calibration import LogisticMap
from ahalab.policy.load import default_device
from ahalab.policy.scalar_head import ScalarModel, load_scalar_model
from ahalab.records import Response
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.hashing import config_hash
from ahalab.text import Renderer, TemplateChoice
from ahalab.text.template import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN

RewardKind = Literal["pairwise", "pointwise"]
Scope = Literal["summary", "response"]

SCOPES: dict[RewardKind, Scope] = {"pairwise": "summary", "pointwise": "response"}
FILE_NAME = "reward_model.json"
FORMAT = 1
"""Version of `reward_model.json` and of how a response is written for the model."""

NOTHING = -math.inf
"""Raw score where there is nothing to judge: its reward is 0, below that of any text."""

TOKENS_PER_CHUNK = 4096
"""Most tokens of one forward pass; a longer sequence is alone in its own."""


@dataclass(frozen=True, slots=True)
class RewardModelCard:
    """What `reward_model.json` keeps beside the weights."""

    kind: RewardKind
    template: Literal["chat", "table1"]
    calibration: LogisticMap
    calibrated_by: str
    """How the calibration was found, in words."""
    vocabulary: str
    """`vocabulary_hash` of the tokenizer it was trained with."""

    @property
    def scope(self) -> Scope:
        """ "summary" for the pairwise kind, "response" for the point-wise one (paper §3.1)."""
        return SCOPES[self.kind]

    def write(self, folder: Path) -> None:
        """Write `folder/reward_model.json`. EnvironmentFailure on a full disk."""
        write_json(
            folder / FILE_NAME,
            {
                "format": FORMAT,
                "kind": self.kind,
                "scope": self.scope,
                "template": self.template,
                "calibration": {
                    "slope": self.calibration.slope,
                    "intercept": self.calibration.intercept,
                    "by": self.calibrated_by,
                },
                "vocabulary": self.vocabulary,
            },
        )

    @staticmethod
    def read(folder: Path) -> RewardModelCard:
        """What `write` wrote. UserError when it is missing or is not of this form."""
        path = folder / FILE_NAME
        if not path.is_file():
            raise UserError(
                f"{folder} is not a reward model: it has no {FILE_NAME}. Name the checkpoint of a `reward_model` stage."
            )
        content = read_json(path)
        try:
            if content["format"] != FORMAT:
                raise UserError(
                    f"{path} is of format {content['format']}; this version reads format {FORMAT}."
                )
            kind, template, calibration = content["kind"], content["template"], content["calibration"]
            if kind not in SCOPES or template not in ("chat", "table1"):
                raise ValueError(f"kind {kind!r} with template {template!r}")
            return RewardModelCard(
                kind,
                template,
                LogisticMap(float(calibration["slope"]), float(calibration["intercept"])),
                str(calibration["by"]),
                str(content["vocabulary"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} is not what a `reward_model` stage writes ({error!r}). Put it back."
            ) from error


class ResponseFormat:
    """Writes a question and a response as the tokens that a reward model reads."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: TemplateChoice) -> None:
        self.renderer = Renderer(tokenizer, template=template)

    @property
    def template(self) -> Literal["chat", "table1"]:
        """The template in use."""
        return self.renderer.template

    def summary_ids(self, question: str, summary: str) -> tuple[list[int], list[int]]:
        """(prompt ids, completion ids) of a final summary alone: the thinking is left empty."""
        return self._ids(question, self._written("", summary))

    def response_ids(self, question: str, thinking: str, answer: str) -> tuple[list[int], list[int]]:
        """(prompt ids, completion ids) of a whole response."""
        return self._ids(question, self._written(thinking, answer))

    def judged_ids(
        self, scope: Scope, question: str, response: Response
    ) -> tuple[list[int], list[int]] | None:
        """(prompt ids, completion ids) of what `scope` sees of a sampled response; None where that is nothing.

        A summary must be there and be finished: a truncated one is nothing. A whole response counts as it is
        written, also outside its tags or cut off, so that nothing in it goes unseen.
        """
        if scope == "summary":
            if response.answer is None or response.fault == "truncated":
                return None
            return self.summary_ids(question, response.answer)
        if not response.text.strip():
            return None
        if response.well_formed or (response.fault == "empty thinking" and response.answer is not None):
            return self.response_ids(question, response.thinking or "", response.answer or "")
        text = response.text.strip()
        if self.renderer.prefilled:  # the prompt ends in `<think>` already
            text = text.removeprefix(THINK_OPEN)
        elif self.template == "table1":
            text = f" {text}"
        return self._ids(question, text)

    def _written(self, thinking: str, answer: str) -> str:
        # Not `Renderer.render_response`: what is judged may be hostile, tags included, and is never refused.
        lead = (
            "" if self.renderer.prefilled else f" {THINK_OPEN}" if self.template == "table1" else THINK_OPEN
        )
        inside = f" {thinking.strip()}" if thinking.strip() else ""
        return f"{lead}{inside} {THINK_CLOSE} {ANSWER_OPEN} {answer.strip()} {ANSWER_CLOSE}"

    def _ids(self, question: str, completion: str) -> tuple[list[int], list[int]]:
        return self.renderer.prompt_ids(question), self.renderer.completion_ids(completion)


class RewardModel:
    """A trained reward model, for scoring only. It holds no state besides its weights."""

    def __init__(
        self, scalar: ScalarModel, card: RewardModelCard, *, tokens_per_chunk: int = TOKENS_PER_CHUNK
    ) -> None:
        self.scalar = scalar
        self.card = card
        self.tokens_per_chunk = tokens_per_chunk
        self._format = ResponseFormat(scalar.tokenizer, card.template)

    @property
    def kind(self) -> RewardKind:
        """ "pairwise" (helpful) or "pointwise" (safety)."""
        return self.card.kind

    @property
    def scope(self) -> Scope:
        """What it reads of a response."""
        return self.card.scope

    def rewards(self, questions: Sequence[str], responses: Sequence[Response]) -> list[float]:
        """Calibrated rewards in 0 … 1, one a response; 0 exactly where there is nothing to judge.

        That is the lowest: any text gets more. Pairwise: 0.5 lies between the chosen and the rejected answers held
        out. Point-wise: the chance that the response is safe. Raises ValueError for lists of different lengths.
        """
        return [self.card.calibration(score) for score in self.raw_scores(questions, responses)]

    def raw_scores(self, questions: Sequence[str], responses: Sequence[Response]) -> list[float]:
        """The head's own numbers; -inf where there is nothing to judge (see `ResponseFormat.judged_ids`).

        There is no limit on the length (paper §3.1), except that a model with learned positions reads the last
        ones it can hold. Raises ValueError for lists of different lengths.
        """
        written = [
            self._format.judged_ids(self.scope, question, response)
            for question, response in zip(questions, responses, strict=True)
        ]
        sequences = [[*parts[0], *parts[1]] for parts in written if parts is not None]
        scores = iter(score_sequences(self.scalar, sequences, self.tokens_per_chunk))
        return [NOTHING if parts is None else next(scores) for parts in written]

    def check_vocabulary(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raises UserError when `tokenizer` maps other tokens to other ids than this model's own."""
        own, other = self.scalar.tokenizer.get_vocab(), tokenizer.get_vocab()
        if own == other:
            return
        differing = sorted(
            (token for token in own.keys() | other.keys() if own.get(token) != other.get(token)),
            key=lambda token: (own.get(token, math.inf), other.get(token, math.inf), token),
        )
        examples = ", ".join(
            f"{token[:30]!r} is {_named(own.get(token))} here and {_named(other.get(token))} there"
            for token in differing[:3]
        )
        raise UserError(
            f"the reward model {self.scalar.name} has another vocabulary than the policy: {len(own)} tokens against "
            f"{len(other)}, {len(differing)} of them different ({examples}). Train the reward model from a model of "
            "the same family, such as the stage that this policy starts from."
        )


def load_reward_model(
    folder: Path | str, device: torch.device | None = None, *, tokens_per_chunk: int = TOKENS_PER_CHUNK
) -> RewardModel:
    """Load the `checkpoint/` of a `reward_model` stage.

    Raises:
        UserError: it is no reward model, its files are broken, or its tokenizer is not the one it was trained with.
    """
    folder = Path(folder)
    card = RewardModelCard.read(folder)
    scalar = load_scalar_model(folder, device or default_device())
    if vocabulary_hash(scalar.tokenizer) != card.vocabulary:
        raise UserError(
            f"{folder}: its tokenizer is not the one that the reward model was trained with. Put the folder back as "
            "the stage wrote it."
        )
    return RewardModel(scalar, card, tokens_per_chunk=tokens_per_chunk)


@torch.inference_mode()
def score_sequences(
    scalar: ScalarModel, sequences: Sequence[Sequence[int]], tokens_per_chunk: int
) -> list[float]:
    """Scores of token sequences in packed batches of at most `tokens_per_chunk`, in their order.

    Consecutive sequences share a batch, so that answers to one question are near each other and what they have in
    common is computed once. A longer sequence than the model has positions is cut at its beginning.
    """
    limit = scalar.decoder.max_positions
    if limit is not None:
        sequences = [sequence[-limit:] for sequence in sequences]
    scores: list[float] = []
    first = 0
    while first < len(sequences):
        end, total = first + 1, len(sequences[first])
        while end < len(sequences) and total + len(sequences[end]) <= tokens_per_chunk:
            total += len(sequences[end])
            end += 1
        lengths = [len(sequence) for sequence in sequences[first:end]]
        tokens = torch.tensor([token for sequence in sequences[first:end] for token in sequence])
        scores += scalar.packed_scores(tokens.to(scalar.decoder.device), lengths).tolist()
        first = end
    return scores


def vocabulary_hash(tokenizer: Any) -> str:
    """SHA-256 of the map from tokens to ids."""
    return config_hash(sorted((number, token) for token, number in tokenizer.get_vocab().items()))


def _named(token_id: int | None) -> str:
    return "missing" if token_id is None else f"id {token_id}"
