"""One rollout, collected: prompts → samples → parse → verdicts → rewards. Grading overlaps sampling.

Used by every stage that samples. Everything comes back in (prompt, sample) order, whatever finished first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.grading.pool import GraderPool
from ahalab.policy.load import Policy
from ahalab.records import GradeRequest, Prompt, Response, Reward, Sample, Verdict
from ahalab.rewards.compose import RewardRules
from ahalab.rewards.functions import accept_empty_thinking, accuracy_reward, format_reward
from ahalab.rewards.language import language_reward
from ahalab.rollout.engine import Engine, PromptTokens, RolloutKey, Sampling
from ahalab.runs.faults import fault_point
from ahalab.stages.preference import Preferences
from ahalab.text.language import is_mixed
from ahalab.text.reflection import count_reflective
from ahalab.text.renderer import Renderer

NOT_JUDGED = Verdict(None)
"""In place of a reward model's verdict where none was asked."""


@dataclass(frozen=True, slots=True)
class GradedSample:
    """A sample with all that is known of it."""

    prompt: Prompt
    prompt_ids: tuple[int, ...]
    sample: Sample
    response: Response
    verdict: Verdict
    reward: Reward
    thinking_tokens: int
    reflective: Mapping[str, int]
    mixed: bool | None
    """The thinking uses another language than the prompt's; None when it has no words."""
    general: bool = False
    """No right answer: its rule's score is measured and never rewarded."""

    def row(self, step: int, rollout: int, advantage: float | None) -> dict[str, Any]:
        """The line of `samples/*.jsonl`."""
        return {
            "step": step,
            "rollout": rollout,
            "prompt_id": self.prompt.id,
            "sample": self.sample.index,
            "domain": self.prompt.domain,
            "language": self.prompt.language,
            "level": self.prompt.level,
            "question": self.prompt.question,
            "gold": self.prompt.answer,
            "text": self.response.text,
            "thinking_tokens": self.thinking_tokens,
            "tokens": len(self.sample.token_ids),
            "finish": self.sample.finish,
            "well_formed": self.response.well_formed,
            "fault": self.response.fault,
            "answer": self.response.answer,
            "correct": self.verdict.score,
            "reward": dict(self.reward.parts),
            "total": self.reward.total,
            "advantage": advantage,
            "error": self.verdict.error or self.reward.error,
            **({} if self.verdict.note is None else {"note": self.verdict.note}),
            "reflective": dict(self.reflective),
            "mixed": self.mixed,
        }


@dataclass(slots=True)
class CollectTimes:
    """Seconds of one rollout; kept apart from anything that must be reproducible."""

    sampling: float = 0.0
    waiting_for_graders: float = 0.0


class Collector:
    """Owns the path from prompts to graded samples for one policy."""

    def __init__(
        self,
        policy: Policy,
        renderer: Renderer,
        engine: Engine,
        pool: GraderPool,
        rules: RewardRules,
        preferences: Preferences | None = None,
    ):
        self.policy, self.renderer, self.engine, self.pool, self.rules = policy, renderer, engine, pool, rules
        self.preferences = preferences or Preferences({})
        self.times = CollectTimes()

    def collect(
        self,
        prompts: Sequence[Prompt],
        samples_per_prompt: int,
        sampling: Sampling,
        key: RolloutKey,
        on_sample: Callable[[int], None] = lambda _done: None,
    ) -> list[list[GradedSample]]:
        """Sample and grade; returns [P][G] in prompt and sample order. `on_sample` hears how many are sampled."""
        tokens = [
            PromptTokens(prompt.id, tuple(self.renderer.prompt_ids(prompt.question, prompt.messages)))
            for prompt in prompts
        ]
        place = {prompt.id: number for number, prompt in enumerate(prompts)}
        samples: dict[int, Sample] = {}
        responses: dict[int, Response] = {}
        started = time.perf_counter()
        for sample in self.engine.generate(tokens, samples_per_prompt, sampling, key):
            fault_point("rollout")
            number = place[sample.prompt_id] * samples_per_prompt + sample.index
            prompt = prompts[place[sample.prompt_id]]
            samples[number] = sample
            text = self.renderer.decode(sample.token_ids)
            responses[number] = self._accepted(prompt, self.renderer.parse(text, sample.finish))
            self._submit(number, prompt, responses[number])
            on_sample(len(samples))
        sampled = time.perf_counter()
        fault_point("grading")
        verdicts = self.pool.drain()
        self.times = CollectTimes(sampled - started, time.perf_counter() - sampled)
        scores = self._preference_scores(prompts, samples_per_prompt, responses)
        return [
            [
                self._graded(
                    prompt,
                    tokens[p].token_ids,
                    samples[n],
                    responses[n],
                    verdicts[n],
                    scores.get(n, NOT_JUDGED),
                )
                for n in range(p * samples_per_prompt, (p + 1) * samples_per_prompt)
            ]
            for p, prompt in enumerate(prompts)
        ]

    def grade_text(self, prompt: Prompt, text: str) -> tuple[Response, Verdict, Reward]:
        """Parse and grade one given completion by the rules alone (preflight's gold and empty rows)."""
        response = self._accepted(prompt, self.renderer.parse(text, "stop"))
        self._submit(0, prompt, response)
        verdict = self.pool.drain()[0]
        return response, verdict, self._reward(prompt, response, verdict, NOT_JUDGED)

    def _accepted(self, prompt: Prompt, response: Response) -> Response:
        return accept_empty_thinking(response) if self.rules.is_general(prompt) else response

    def _submit(self, number: int, prompt: Prompt, response: Response) -> None:
        request = GradeRequest(prompt.verifier, response.answer, prompt.answer, dict(prompt.extra))
        self.pool.submit(number, request)

    def _preference_scores(
        self, prompts: Sequence[Prompt], samples_per_prompt: int, responses: Mapping[int, Response]
    ) -> dict[int, Verdict]:
        """Sample number → verdict of the reward model, for the samples that a loaded one judges."""
        asked: list[tuple[int, str]] = []
        for p, prompt in enumerate(prompts):
            judge = self.rules.preference_of(prompt)
            if judge is not None and judge in self.preferences.judges:
                asked += [(p * samples_per_prompt + index, judge) for index in range(samples_per_prompt)]
        scores = self.preferences.score(
            [judge for _, judge in asked],
            [prompts[number // samples_per_prompt].question for number, _ in asked],
            [responses[number] for number, _ in asked],
        )
        return {number: score for (number, _), score in zip(asked, scores, strict=True)}

    def _reward(self, prompt: Prompt, response: Response, verdict: Verdict, judged: Verdict) -> Reward:
        rules = self.rules
        parts: dict[str, float | None] = {}
        for name in rules.weights:
            value: float | None = None
            if not rules.applies(name, prompt):
                pass
            elif name == "accuracy":
                value = accuracy_reward([prompt], [response], verdicts=[verdict])[0]
            elif name == "format":
                value = format_reward([prompt], [response])[0]
            elif name == "language":
                value = language_reward([prompt], [response])[0]
            else:
                value = judged.score
            parts[name] = value
        # The rule of a general answer is measured only: where it fails, the sample is still rewarded.
        error = judged.error if rules.is_general(prompt) else verdict.error
        if error is not None:
            return Reward(parts, None, error)
        return Reward(parts, rules.total(parts, response.well_formed))

    def _graded(
        self,
        prompt: Prompt,
        prompt_ids: tuple[int, ...],
        sample: Sample,
        response: Response,
        verdict: Verdict,
        judged: Verdict,
    ) -> GradedSample:
        thinking = response.thinking or ""
        encoded = self.policy.tokenizer(thinking, add_special_tokens=False)["input_ids"] if thinking else []
        return GradedSample(
            prompt,
            prompt_ids,
            sample,
            response,
            verdict,
            self._reward(prompt, response, verdict, judged),
            len(encoded),
            count_reflective(response.text),
            is_mixed(thinking, prompt.language),
            self.rules.is_general(prompt),
        )
