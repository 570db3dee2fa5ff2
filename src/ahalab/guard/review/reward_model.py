"""The safety reward model as a reviewer: a calibrated score below a threshold is a violation (paper §3.1, D.3.1).

It reads the whole response, thinking included, as it was trained to. It gives no reasons and knows no standards: which
one counts as violated is a setting.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ahalab.errors import AhaError, UserError
from ahalab.guard.policy import Policy
from ahalab.guard.records import Exchange, Review
from ahalab.guard.review.config import RewardReviewerConfig
from ahalab.guard.review.dialogue import Piece, pieces_of
from ahalab.guard.review.local import learned_from
from ahalab.guard.review.reviewer import TOO_LONG
from ahalab.runs.hashing import config_hash

if TYPE_CHECKING:
    from ahalab.policy.reward_model import RewardModel

NOTHING = "schema: nothing to judge"
"""Error where the assistant has written nothing: a reward model judges responses, not requests."""


class RewardModelReviewer:
    """See `ahalab.guard.protocols.Reviewer`.

    Raises:
        UserError: the folder is no point-wise reward model, or the policy has no such standard.
    """

    def __init__(self, folder: Path, policy: Policy, config: RewardReviewerConfig) -> None:
        from ahalab.policy.locate import fingerprint
        from ahalab.policy.reward_model import RewardModelCard

        card = RewardModelCard.read(folder)
        if card.kind != "pointwise":
            raise UserError(
                f"{folder} is a {card.kind} reward model, which compares answers; a reviewer needs the point-wise one "
                "of a `reward_model` stage with `kind: pointwise`"
            )
        self._folder, self._config = folder, config
        self._rule = _rule(policy, config.rule)
        self._identity: dict[str, Any] = {
            "kind": "reward model",
            "model": folder.name if folder.name != "checkpoint" else folder.parent.name,
            "weights": fingerprint(str(folder)),
            "prompt": config_hash(["reward model", card.template, card.scope]),
            "training_data": learned_from(folder),
            **config.model_dump(include={"threshold", "window", "overlap", "most_windows"}),
            "rule": self._rule,
        }
        self._hash = config_hash(self._identity)[:16]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reward-reviewer")

    def identity(self) -> dict[str, Any]:
        """See `Reviewer.identity`."""
        return dict(self._identity)

    async def review(self, exchange: Exchange, reply: str, thinking: str) -> Review:
        """See `Reviewer.review`. The first call loads the model."""
        began = time.monotonic()
        pieces = pieces_of(exchange, reply, thinking, self._config.window, self._config.overlap)
        if not pieces[0].replied:
            review = Review(error=NOTHING)
        elif len(pieces) > self._config.most_windows:
            why = f"{len(pieces)} windows, `most_windows` is {self._config.most_windows}"
            review = Review(error=TOO_LONG, reason=why)
        else:
            loop = asyncio.get_running_loop()
            try:
                review = await loop.run_in_executor(self._thread, self._judged, pieces)
            except (MemoryError, RuntimeError) as error:
                review = Review(error=f"endpoint: {type(error).__name__}", reason=str(error)[:300])
            except AhaError as error:
                review = Review(error="endpoint: settings", reason=str(error))
        seconds = time.monotonic() - began
        return replace(review, reviewer=self._hash, windows=len(pieces), seconds=seconds)

    def scores(self, pieces: list[Piece]) -> list[float] | None:
        """Calibrated scores, one a piece; None where the model cannot read one of them whole."""
        from ahalab.policy.reward_model import ResponseFormat
        from ahalab.text.parse import parse_response
        from ahalab.text.template import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN

        model, lock = _loaded(self._folder, str(self._identity["weights"]))
        questions = [f"{one.history}\n\n{one.query}" if one.history else one.query for one in pieces]
        responses = [
            parse_response(
                f"{THINK_OPEN} {one.thinking} {THINK_CLOSE} {ANSWER_OPEN} {one.reply} {ANSWER_CLOSE}", "stop"
            )
            for one in pieces
        ]
        limit = model.scalar.decoder.max_positions
        if limit is not None:  # a longer one would be cut at its beginning
            form = ResponseFormat(model.scalar.tokenizer, model.card.template)
            for question, response in zip(questions, responses, strict=True):
                ids = form.judged_ids(model.scope, question, response)
                if ids is not None and len(ids[0]) + len(ids[1]) > limit:
                    return None
        with lock:
            return model.rewards(questions, responses)

    def _judged(self, pieces: list[Piece]) -> Review:
        scores = self.scores(pieces)
        if scores is None:
            return Review(error=TOO_LONG, reason="a window has more tokens than the reward model reads")
        lowest = min(scores)
        rules = (self._rule,) if lowest < self._config.threshold else ()
        reason = f"score {lowest:.3f}, threshold {self._config.threshold:g}"
        return Review(rules, reason, calls=1)


@lru_cache(maxsize=2)
def _loaded(folder: Path, _weights: str) -> tuple[RewardModel, Lock]:
    """One copy for the reviewers of all policies, while the files are the same."""
    from ahalab.policy.reward_model import load_reward_model

    return load_reward_model(folder), Lock()


def _rule(policy: Policy, rule: int | None) -> int:
    about_content = [one.id for one in policy.standards if not one.meta]
    if rule is None:
        return about_content[0]
    if rule not in about_content:
        known = ", ".join(map(str, about_content))
        raise UserError(f"`rule` {rule}: policy {policy.name} has these standards about content: {known}")
    return rule
