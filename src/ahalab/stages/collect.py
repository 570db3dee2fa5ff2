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
from ahalab.rewards.compose import compose
from ahalab.rewards.functions import accuracy_reward, format_reward
from ahalab.rollout.engine import Engine, PromptTokens, RolloutKey, Sampling
from ahalab.runs.faults import fault_point
from ahalab.text.language import is_mixed
from ahalab.text.reflection import count_reflective
from ahalab.text.renderer import Renderer


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
            "error": self.verdict.error,
            "reflective": dict(self.reflective),
            "mixed": self.mixed,
        }


@dataclass(frozen=True, slots=True)
class RewardRules:
    """Which parts make the reward, and how they are summed."""

    weights: Mapping[str, float]
    accuracy_needs_format: bool


@dataclass(slots=True)
class CollectTimes:
    """Seconds of one rollout; kept apart from anything that must be reproducible."""

    sampling: float = 0.0
    waiting_for_graders: float = 0.0


class Collector:
    """Owns the path from prompts to graded samples for one policy."""

    def __init__(
        self, policy: Policy, renderer: Renderer, engine: Engine, pool: GraderPool, rules: RewardRules
    ):
        self.policy, self.renderer, self.engine, self.pool, self.rules = policy, renderer, engine, pool, rules
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
            PromptTokens(prompt.id, tuple(self.renderer.prompt_ids(prompt.question))) for prompt in prompts
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
            responses[number] = self.renderer.parse(self.renderer.decode(sample.token_ids), sample.finish)
            self._submit(number, prompt, responses[number])
            on_sample(len(samples))
        sampled = time.perf_counter()
        fault_point("grading")
        verdicts = self.pool.drain()
        self.times = CollectTimes(sampled - started, time.perf_counter() - sampled)
        return [
            [
                self._graded(prompt, tokens[p].token_ids, samples[n], responses[n], verdicts[n])
                for n in range(p * samples_per_prompt, (p + 1) * samples_per_prompt)
            ]
            for p, prompt in enumerate(prompts)
        ]

    def grade_text(self, prompt: Prompt, text: str) -> tuple[Response, Verdict, Reward]:
        """Parse and grade one given completion (preflight's gold and empty rows)."""
        response = self.renderer.parse(text, "stop")
        self._submit(0, prompt, response)
        verdict = self.pool.drain()[0]
        return response, verdict, self._reward(prompt, response, verdict)

    def _submit(self, number: int, prompt: Prompt, response: Response) -> None:
        request = GradeRequest(prompt.verifier, response.answer, prompt.answer, dict(prompt.extra))
        self.pool.submit(number, request)

    def _reward(self, prompt: Prompt, response: Response, verdict: Verdict) -> Reward:
        parts: dict[str, float | None] = {}
        if "accuracy" in self.rules.weights:
            parts["accuracy"] = accuracy_reward([prompt], [response], verdicts=[verdict])[0]
        if "format" in self.rules.weights:
            parts["format"] = format_reward([prompt], [response])[0]
        if verdict.error is not None:
            return Reward(parts, None, verdict.error)
        total = compose(
            parts,
            self.rules.weights,
            accuracy_needs_format=self.rules.accuracy_needs_format,
            well_formed=response.well_formed,
        )
        return Reward(parts, total)

    def _graded(
        self,
        prompt: Prompt,
        prompt_ids: tuple[int, ...],
        sample: Sample,
        response: Response,
        verdict: Verdict,
    ) -> GradedSample:
        thinking = response.thinking or ""
        encoded = self.policy.tokenizer(thinking, add_special_tokens=False)["input_ids"] if thinking else []
        return GradedSample(
            prompt,
            prompt_ids,
            sample,
            response,
            verdict,
            self._reward(prompt, response, verdict),
            len(encoded),
            count_reflective(response.text),
            is_mixed(thinking, prompt.language),
        )
