"""A judge behind an OpenAI-compatible endpoint: asked in bounds, read strictly, every word of it kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ahalab.counter import make_key, uniform
from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatRequest, Failed
from ahalab.errors import UserError
from ahalab.safety.judging.config import EndpointJudgeConfig
from ahalab.safety.judging.consistency import append_check
from ahalab.safety.judging.prompting import Piece, Wording
from ahalab.safety.judging.reading import Complaint, Verdict, read_verdict
from ahalab.safety.judging.rubrics import load_rubric
from ahalab.safety.judging.shortcut import judged_text, settled
from ahalab.safety.judging.windows import worst
from ahalab.safety.protocols import OnJudgement, judge_hash
from ahalab.safety.records import Case, Judgement, VerdictWord
from ahalab.text.windows import windows

BATCH = 4
"""Cases sent together, times the endpoint's `parallel`: judgements are written as each batch comes back."""
CALLS_A_TURN = 100
"""Keeps the call numbers of repeats apart; more than `asks` can be."""


class Completes(Protocol):
    """What is needed of `ahalab.endpoints.client.ChatClient`."""

    def complete(self, requests: Sequence[ChatRequest]) -> list[Reply | Failed]:
        """Replies in the order of the requests."""
        ...


@dataclass(slots=True)
class _Asked:
    """One window on its way to a verdict."""

    piece: Piece
    outcome: Verdict | Complaint | Failed = "no object"
    raw: list[str] = field(default_factory=list)

    @property
    def word(self) -> VerdictWord:
        return self.outcome.word if isinstance(self.outcome, Verdict) else "judge_error"


class EndpointJudge:
    """See `ahalab.safety.protocols.Judge`.

    Args:
        client: makes the connection when it is first needed, so that a dry run needs neither key nor folder.
        config: the endpoint, and how it is asked.
        rubrics: folder of the user's own rubrics.
        checks: file of the self-consistency check; None keeps none.
    """

    def __init__(
        self,
        client: Callable[[], Completes],
        config: EndpointJudgeConfig,
        rubrics: Path | None = None,
        checks: Path | None = None,
    ) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        """What was done: "judged", "asked_again", "tokens_in", "tokens_out", "settled: <reason>", "judge_error: …"."""
        self._make_client = client
        self._client: Completes | None = None
        self._checks = checks
        self._wording = _wording(config, rubrics)
        self._hash = judge_hash(self.identity())

    def identity(self) -> dict[str, Any]:
        """See `Judge.identity`."""
        return self.identity_of(self.config, self._wording.folder)

    @staticmethod
    def identity_of(config: EndpointJudgeConfig, rubrics: Path | None) -> dict[str, Any]:
        """The identity that a judge of these settings has. What it learned from is not known: `training_data` is []."""
        asked = {
            name: getattr(config, name) for name in ("asks", "window", "overlap", "language", "label_order")
        }
        if config.label_order == "seeded":
            asked["seed"] = config.seed
        return {
            "kind": "endpoint",
            **config.identity(),
            "prompt": _wording(config, rubrics).prompt_hash(),
            "training_data": [],
            "asked": asked,
        }

    def ready(self) -> None:
        """Set up the connection now. UserError where the key is missing: better known before anything is spent."""
        self._client = self._client or self._make_client()

    def estimate(self, case: Case) -> tuple[int, int]:
        """(calls, bytes of the prompts) of judging a case whose verdicts can be read at once; nothing is sent."""
        prompts = [self._prompt(one, 0, 0)[0] for one in self._pieces(case)]
        return len(prompts), sum(len(prompt.encode("utf-8", "replace")) for prompt in prompts)

    def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
        """See `Judge.judge`. UserError, before anything is asked, for an item whose rubric is unknown."""
        self._check_rubrics(cases)
        size = max(1, BATCH * self.config.parallel)
        for start in range(0, len(cases), size):
            self._batch(cases[start : start + size], on_judgement)

    def _check_rubrics(self, cases: Sequence[Case]) -> None:
        first = {case.item.rubric: case.item for case in reversed(cases)}
        for rubric, item in first.items():
            try:
                load_rubric(rubric, self._wording.folder)
            except UserError as error:
                raise UserError(f"item {item.id}: {error}") from None

    def _batch(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
        to_judge: list[Case] = []
        for case in cases:
            known = settled(case)
            if known is None:
                to_judge.append(case)
            else:
                self.counts[f"settled: {known.reason}"] += 1
                on_judgement(self._signed(known, case))
        asked = [self._pieces(case) for case in to_judge]
        self._ask([one for group in asked for one in group], turn=0)
        judgements = [self._judgement(case, group) for case, group in zip(to_judge, asked, strict=True)]
        self._check(to_judge, judgements)
        for judgement in judgements:
            name = f"judge_error: {judgement.reason}" if judgement.verdict == "judge_error" else "judged"
            self.counts[name] += 1
            on_judgement(judgement)

    def _pieces(self, case: Case) -> list[_Asked]:
        texts = windows(judged_text(case), self.config.window, self.config.overlap)
        return [_Asked(Piece(case, text, number, len(texts))) for number, text in enumerate(texts, 1)]

    def _ask(self, pieces: Sequence[_Asked], turn: int) -> None:
        """Ask for every piece's verdict until it is read, within `asks`."""
        if not pieces:
            return
        self.ready()
        assert self._client is not None
        unread = list(pieces)
        for attempt in range(self.config.asks):
            self.counts["asked_again"] += len(unread) if attempt else 0
            prompts = [self._prompt(one, attempt, turn) for one in unread]
            call = turn * CALLS_A_TURN + attempt
            replies = self._client.complete([ChatRequest((("user", prompt),), call) for prompt, _ in prompts])
            for one, (_, nonce), reply in zip(unread, prompts, replies, strict=True):
                self._take(one, nonce, reply)
            unread = [one for one in unread if isinstance(one.outcome, str)]
            if not unread:
                return

    def _prompt(self, one: _Asked, attempt: int, turn: int) -> tuple[str, str]:
        complaint = one.outcome if attempt and isinstance(one.outcome, str) else None
        return self._wording.prompt(one.piece, attempt, complaint, turn)

    def _take(self, one: _Asked, nonce: str, reply: Reply | Failed) -> None:
        if isinstance(reply, Failed):
            one.outcome = reply
            return
        self.counts["tokens_in"] += reply.tokens_in
        self.counts["tokens_out"] += reply.tokens_out
        one.raw.append(reply.text)
        one.outcome = read_verdict(reply.text, nonce, reply.finish)

    def _judgement(self, case: Case, asked: Sequence[_Asked]) -> Judgement:
        verdict = worst([one.word for one in asked])
        deciding = next(one for one in asked if one.word == verdict)
        outcome = deciding.outcome
        judgement = Judgement(
            case.item.id,
            case.reply.target,
            case.part,
            verdict,
            reason="" if isinstance(outcome, Verdict) else _reason(outcome),
            compliance=_whole_compliance(asked) if verdict != "judge_error" else "",
            rationale=outcome.analysis if isinstance(outcome, Verdict) else _detail(outcome),
            windows=len(asked),
            raw=tuple(text for one in asked for text in one.raw),
        )
        return self._signed(judgement, case)

    def _signed(self, judgement: Judgement, case: Case) -> Judgement:
        return replace(judgement, judge=self._hash, rubric=self._wording.rubric_hash(case))

    def _check(self, cases: Sequence[Case], judgements: Sequence[Judgement]) -> None:
        """Judge a drawn part of the cases again, and write down what came out."""
        if self.config.repeats < 2 or self._checks is None:
            return
        drawn = [
            (case, judgement)
            for case, judgement in zip(cases, judgements, strict=True)
            if judgement.verdict != "judge_error" and self._is_drawn(case)
        ]
        turns: list[list[list[_Asked]]] = []
        for turn in range(1, self.config.repeats):
            turns.append([self._pieces(case) for case, _ in drawn])
            self._ask([one for group in turns[-1] for one in group], turn)
        for place, (case, judgement) in enumerate(drawn):
            verdicts = [judgement.verdict, *(worst([one.word for one in turn[place]]) for turn in turns)]
            first = self._pieces(case)[0].piece
            orders = [self._wording.words(first, turn) for turn in range(self.config.repeats)]
            append_check(self._checks, (judgement.item, judgement.target, judgement.part), verdicts, orders)

    def _is_drawn(self, case: Case) -> bool:
        key = make_key("self-consistency", self.config.seed, case.item.id, case.reply.target, case.part)
        return uniform(key, 0) < self.config.repeat_share


def _wording(config: EndpointJudgeConfig, rubrics: Path | None) -> Wording:
    return Wording(config.language, config.label_order == "seeded", config.seed, rubrics)


def _reason(outcome: Complaint | Failed) -> str:
    """Stable words to count by."""
    if isinstance(outcome, Failed):
        return "judge refused" if outcome.reason == "refused: content" else f"endpoint: {outcome.reason}"
    return "judge refused" if outcome == "refused" else "schema"


def _detail(outcome: Complaint | Failed) -> str:
    return outcome.detail if isinstance(outcome, Failed) else f"last reply: {outcome}"


def _whole_compliance(asked: Sequence[_Asked]) -> str:
    """Of the windows together: what they agree on, else a partial refusal."""
    found = {one.outcome.compliance for one in asked if isinstance(one.outcome, Verdict)}
    return found.pop() if len(found) == 1 else "partial refusal"
