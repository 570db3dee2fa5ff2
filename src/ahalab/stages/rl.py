"""The `rl` stage: GRPO or PPO, one rollout at a time, resumable after a kill at any moment.

prompts ─► engine ─► graders, reward models ─► advantages ─► learner, one or more steps ─► the same weights
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ahalab.counter import permutation, row_key
from ahalab.errors import Interrupted, RunStopped
from ahalab.learning.learner import Learner
from ahalab.learning.losses.grpo import GRPOLoss
from ahalab.policy.load import Policy, load_policy, load_weights, save_policy
from ahalab.rollout.engine import RolloutKey, Sampling
from ahalab.runs.readers import read_metrics
from ahalab.stages.collect import GradedSample
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.estimation import FixedLogprobs, RolloutOutput, build_estimator
from ahalab.stages.hacking_guard import HackingGuard
from ahalab.stages.ledger import Ledger
from ahalab.stages.preference import load_preferences
from ahalab.stages.rl_config import RLConfig
from ahalab.stages.sample_metrics import mean, reasoning_accuracy, sample_metrics
from ahalab.stages.setup import build_collector, reward_rules
from ahalab.stages.watch import DeadRunWatch
from ahalab.stages.window import PromptFeed

VERSION = 3
"""Raised whenever the same inputs would give other bytes."""

FIGURES = ("accuracy", "format", "language", "preference")
"""Metrics of the last step that a stage's manifest repeats, where it has them."""


def run_rl(config: RLConfig, context: StageContext) -> StageResult:
    """Train; leaves `checkpoint/` (a plain transformers folder plus the optimizer) and the logs.

    Raises:
        RunStopped: the run ended itself (dead, collapsed, hacking its reward model); the state is saved.
        Interrupted: Ctrl-C; the state is saved.
    """
    trainer = _Trainer(config, context)
    try:
        return trainer.run()
    finally:
        trainer.close()


class _Trainer:
    """The loop's state. One object, because a rollout, its updates and a checkpoint share all of it."""

    def __init__(self, config: RLConfig, context: StageContext) -> None:
        self.config, self.context = config, context
        self.policy = load_policy(context.inputs["from"])
        self.feed = PromptFeed(config, context)
        self.feed.settle(context)
        preferences = load_preferences(config.preference, context.inputs, self.policy.tokenizer)
        self.collector = build_collector(
            config,
            self.policy,
            reward_rules(config),
            preferences,
            weights=config.rollout_weights,
            sandbox=context.sandbox,
        )
        self.learner = Learner(
            self.policy,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            tokens_per_chunk=config.tokens_per_chunk,
            logprob_chunk=config.logprob_chunk,
            compute_dtype=config.compute_dtype,
        )
        self.estimator = build_estimator(config, context.inputs["from"])
        # PPO's policy loss is the same clipped surrogate, with an advantage for each token.
        self.loss = GRPOLoss(
            config.clip_low,
            config.clip_high,
            config.kl_coefficient,
            config.aggregate,
            config.importance_cap,
        )
        self.reference: Policy | None = None
        self.ledger = Ledger(context.folder)
        self.state = self.ledger.resume(self._load)
        self.watch = DeadRunWatch(config.stop, self.state.watch)
        self.hacking = HackingGuard(config, context, self.collector, self.state) if config.hacking else None
        self._keep_reference()
        if self.state.step:
            context.event("resumed", stage=context.name, step=self.state.step)
            context.progress.note(f"{context.name}: going on from step {self.state.step}")

    def run(self) -> StageResult:
        config, context = self.config, self.context
        context.progress.begin(context.name, config.steps, "step", self.state.step)
        try:
            self._stop_if_pointless()
            while self.state.step < config.steps:
                self._rollout()
                self._checkpoint_if_due()
                self._stop_if_pointless()
                if context.interrupt.asked and self.state.step < config.steps:
                    self._save()
                    raise Interrupted(f"{context.name}: saved at step {self.state.step} of {config.steps}.")
        finally:
            context.progress.end()
        self.ledger.finish()
        # From the file: a process that was killed after the last checkpoint made none of the rows itself.
        *_, last = read_metrics(context.folder)
        figures: dict[str, Any] = {"steps": config.steps}
        figures.update({key: last[key] for key in FIGURES if key in last})
        if self.hacking is not None:
            figures["reward_hacking"] = self.hacking.watch.figures()
        return StageResult(figures, reproducible=self.state.wall_timeouts == 0)

    def close(self) -> None:
        """Stop the graders and close the logs."""
        self.collector.pool.close()
        self.ledger.close()

    def _stop_if_pointless(self) -> None:
        reason = self.watch.reason() or (self.hacking.reason_to_stop() if self.hacking else None)
        if reason is not None:
            self._save()
            self.context.event("stopped", stage=self.context.name, step=self.state.step, reason=reason)
            raise RunStopped(f"{self.context.name} stopped at step {self.state.step}: {reason}")

    def _rollout(self) -> None:
        """One rollout and its updates."""
        config, state = self.config, self.state
        self._swap_reference_if_due()
        if self.hacking is not None:
            self.hacking.begin_if_due()
        number, inside = state.rollout + 1, self.feed.is_inside(state.position)
        groups = self._collect(number)
        fixed = self._fixed_logprobs([graded for group in groups for graded in group])
        outputs, counts = self.estimator.estimate(groups, fixed)
        splits = self._split(len(outputs), number)
        self.ledger.write_samples(
            number,
            (
                output.graded.row(state.step + splits.index_of(place) + 1, number, output.advantage)
                for place, output in enumerate(outputs)
            ),
        )
        state.rollout, state.position = number, state.position + config.prompts_per_rollout
        state.wall_timeouts += sum(output.graded.verdict.wall_timeout for output in outputs)
        rollout_figures: dict[str, Any] = {**counts}
        if config.window is not None:
            rollout_figures["window"] = inside
        for update, members in enumerate(splits.members):
            started = time.perf_counter()
            row = self._update([outputs[m] for m in members], rollout_figures)
            if update > 0:
                # From the second update on the difference is the updates' doing, not the sampler's.
                row.update(sampler_mismatch_mean=None, sampler_mismatch_max=None)
            seconds = time.perf_counter() - started
            if self.hacking is not None and update + 1 == config.updates_per_rollout:
                row.update(self.hacking.check_if_due(state.step - update - 1))
            self._log(row, seconds)
        # The window brings other prompts: what collapses is looked for among those that were there before.
        ruled = [output.graded for output in outputs if not output.graded.general]
        self.watch.saw(
            effective_groups=counts["effective_groups"],
            accuracy=reasoning_accuracy(ruled),
            format_rate=mean([graded.response.well_formed for graded in ruled]),
            truncated=mean([output.graded.sample.finish == "length" for output in outputs]),
        )
        state.watch = self.watch.state

    def _collect(self, number: int) -> list[list[GradedSample]]:
        config, context = self.config, self.context
        prompts = self.feed.take(self.state.position)
        sampling = Sampling(
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            stop_ids=self.collector.renderer.stop_ids,
        )
        return self.collector.collect(
            prompts, config.samples_per_prompt, sampling, RolloutKey(context.seed, context.name, number)
        )

    def _split(self, n_outputs: int, number: int) -> _Splits:
        updates = self.config.updates_per_rollout
        if updates == 1:
            return _Splits([list(range(n_outputs))])
        order = permutation(row_key(self.context.seed, self.context.name, number, "split", 0), n_outputs)
        size = n_outputs // updates
        return _Splits([sorted(order[u * size : (u + 1) * size]) for u in range(updates)])

    def _update(self, outputs: Sequence[RolloutOutput], rollout_figures: dict[str, Any]) -> dict[str, Any]:
        config, state = self.config, self.state
        lengths = [len(output.graded.sample.token_ids) for output in outputs if output.advantage is not None]
        step = state.step + 1
        warmth = min(1.0, step / max(1, config.warmup_steps))
        valued = self.estimator.update(outputs, warmth)
        learned = self.learner.update(
            [output.trained for output in outputs if output.trained is not None],
            self.loss,
            config.temperature,
            n_outputs=max(1, len(lengths)),
            n_tokens=max(1, sum(lengths)),
            learning_rate=config.learning_rate * warmth,
        )
        state.step = step
        metrics = sample_metrics([output.graded for output in outputs])
        return {"step": step, "rollout": state.rollout, **metrics, **rollout_figures, **learned, **valued}

    def _log(self, row: dict[str, Any], seconds_learning: float) -> None:
        times, first = self.collector.times, self.ledger.metrics_rows_of(row["rollout"]) == 0
        self.ledger.write_metrics(row)
        sampling = times.sampling if first else 0.0
        waiting = times.waiting_for_graders if first else 0.0
        self.ledger.write_timing(
            {
                "step": row["step"],
                "seconds_rollout": sampling,
                "seconds_grading_wait": waiting,
                "seconds_learn": seconds_learning,
                "tokens_per_second": row["generated_tokens"] / max(1e-9, sampling) if first else None,
            }
        )
        shown = (
            "reward",
            "accuracy",
            "format",
            "thinking_tokens",
            "reflective_per_answer",
            "effective_groups",
        )
        self.context.progress.advance(
            row["step"],
            {
                **{key: row[key] for key in shown},
                **{key: value for key, value in row.items() if key.startswith("reward/")},
                "tokens_per_second": row["generated_tokens"] / max(1e-9, sampling) if first else None,
            },
        )

    def _fixed_logprobs(self, samples: Sequence[GradedSample]) -> list[FixedLogprobs]:
        """What stays as it is for the rollout: log-probs of the sampler, the old policy and the reference."""
        config = self.config
        pairs = [(graded.prompt_ids, graded.sample.token_ids) for graded in samples]
        sampled = [torch.tensor(graded.sample.logprobs, dtype=torch.float32) for graded in samples]
        references: Sequence[Tensor | None] = [None] * len(samples)
        if self.reference is not None:
            references = self.learner.logprobs(pairs, config.temperature, policy=self.reference)
        if config.samples_exactly:
            return [FixedLogprobs(own, reference) for own, reference in zip(sampled, references, strict=True)]
        old: Sequence[Tensor | None] = [None] * len(samples)
        if config.updates_per_rollout > 1 or config.kl_in_reward > 0:
            old = self.learner.logprobs(pairs, config.temperature)
        return [FixedLogprobs(*three) for three in zip(old, references, sampled, strict=True)]

    def _keep_reference(self) -> None:
        """With a KL term the reference is a second model: the policy at the last swap."""
        if not self.config.has_reference:
            return
        self.reference = load_policy(self.context.inputs["from"])
        if self.ledger.resumed_from is not None:
            load_weights(self.reference, self.ledger.resumed_from / "reference")

    def _swap_reference_if_due(self) -> None:
        state = self.state
        if self.reference is None or state.step - state.reference_step < self.config.reference_every:
            return
        self.reference.model.load_state_dict(self.policy.model.state_dict())
        state.reference_step = state.step
        self.context.event("reference_swapped", stage=self.context.name, step=state.step)

    def _checkpoint_if_due(self) -> None:
        every, done = self.config.checkpoint_every, self.state.step
        if done >= self.config.steps or done // every > self.state.saved_step // every:
            self._save()

    def _save(self) -> None:
        if self.state.saved_step == self.state.step:
            return
        self.state.saved_step = self.state.step
        self.ledger.save(self.state, self._write)

    def _write(self, folder: Path) -> None:
        save_policy(self.policy, folder)
        self.learner.save(folder)
        self.estimator.save(folder)
        if self.reference is not None:
            save_policy(self.reference, folder / "reference")

    def _load(self, folder: Path) -> None:
        load_weights(self.policy, folder)
        self.learner.load(folder)
        self.estimator.load(folder)


class _Splits:
    """Which outputs go to which update of a rollout."""

    def __init__(self, members: list[list[int]]) -> None:
        self.members = members
        self._update_of = {place: update for update, places in enumerate(members) for place in places}

    def index_of(self, place: int) -> int:
        """Update (from 0) that output `place` goes to."""
        return self._update_of[place]
