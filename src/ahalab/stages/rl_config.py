"""The config of an `rl` stage: every field documented, ranged, and set beside the paper's value.

Presets fill what the user leaves out. `modern` is what peers converged on (token-level mean, no KL, clip-higher, one
update per rollout). `paper` is R1-Zero's own, as far as it is printed, `paper-r1-reasoning` and `paper-r1-alignment`
those of R1's two RL stages; what the paper leaves open is marked "our choice". A field's `paper` is the paper's value
in the same form, `paper_note` what qualifies it, `paper_roles` what it is for a stage in another of the paper's roles.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from ahalab.policy.forward import Precision
from ahalab.policy.forward.mixed import ComputeDtype
from ahalab.prompts.config import PromptEntry
from ahalab.stages.alignment_config import (
    HackingConfig,
    PreferenceConfig,
    WindowConfig,
    check_alignment,
    preference_input,
)
from ahalab.stages.inputs import InputRef, Said, StageConfig, paper_field
from ahalab.validation import StrictModel, suggestion, told

RuleReward = Literal["accuracy", "format", "language"]
REWARDS: tuple[RuleReward, ...] = get_args(RuleReward)

ZERO, FIRST, SECOND = "R1-Zero", "R1's first RL stage", "R1's second RL stage"
"""The paper's three uses of RL: a stage of a recipe stands for one of them."""

_PAPER: dict[str, Any] = {
    "prompts_per_step": 32,
    "samples_per_prompt": 16,
    "updates_per_rollout": 16,
    "learning_rate": 3e-6,
    "clip_low": 10.0,
    "clip_high": 10.0,
    "kl_coefficient": 0.001,
    "reference_every": 400,
    "aggregate": "output",
    "drop_zero_gradient_groups": False,
    "accuracy_needs_format": False,
    "max_new_tokens": 32768,
}
_THREE = {"accuracy": 1.0, "format": 1.0, "language": 1.0}
_WITH_LANGUAGE = {"rewards": _THREE}
_EPSILON = {ZERO: Said("not said", f"10 in {FIRST}")}

PRESETS: dict[str, dict[str, Any]] = {
    "modern": {},
    "paper": {**_PAPER, "steps": 10400},
    # How many steps the first RL stage took is not printed: 100 rollouts are our choice.
    "paper-r1-reasoning": {**_PAPER, **_WITH_LANGUAGE, "steps": 1600},
    # 1,700 steps are no whole number of rollouts of 16 updates; 1,696 are 106 of them, the window's 400 are 25.
    "paper-r1-alignment": {**_PAPER, **_WITH_LANGUAGE, "temperature": 0.7, "steps": 1696},
}
"""`modern` is the fields' own defaults; `paper` is §1.2 of the facts (R1-Zero; ε from R1's first RL stage)."""


class StopRules(StrictModel):
    """When a run ends itself, with a reason, because going on is pointless."""

    dead_rollouts: Annotated[int, Field(ge=1)] = paper_field(
        20,
        "Stop after so many rollouts in a row without one effective group (all rewards in each group equal).",
    )
    collapse_accuracy: Annotated[float, Field(ge=0, le=1)] = paper_field(
        0.1,
        "Stop when accuracy has fallen below this share of its best value while format stays at least 0.95.",
    )
    collapse_rollouts: Annotated[int, Field(ge=1)] = paper_field(5, "… in so many rollouts in a row.")


class RLConfig(StageConfig):
    """Reinforcement learning, GRPO or PPO: rule rewards, the language reward, preference rewards in a window."""

    from_: str = Field("base", alias="from", description="Stage whose checkpoint is trained, or `base`.")
    preset: Literal["modern", "paper", "paper-r1-reasoning", "paper-r1-alignment"] = Field(
        "modern", description="Fills every field left out."
    )
    prompts: list[PromptEntry] = Field(min_length=1, description="Prompt sources with their weights.")
    rewards: dict[RuleReward, Annotated[float, Field(ge=0)]] = paper_field(
        {"accuracy": 1.0, "format": 1.0},
        "Reward parts and weights; a part of weight 0 is measured and not rewarded.",
        paper={"accuracy": 1.0, "format": 1.0},
        note="equal weight",
        roles=dict.fromkeys((FIRST, SECOND), Said(_THREE, "added directly")),
        min_length=1,
    )
    preference: PreferenceConfig | None = paper_field(
        None,
        "Reward models for general prompts, in the window.",
        roles={SECOND: Said("a helpful and a safety reward model")},
    )
    window: WindowConfig | None = paper_field(
        None, "The last steps, in which general prompts and preference rewards join."
    )
    hacking: HackingConfig | None = paper_field(None, "The reward-hacking watch inside the window.")
    accuracy_needs_format: bool = paper_field(
        True,
        "Accuracy counts only in a well-formed response (steadier lengths: our choice).",
        paper="not said",
    )
    algorithm: Literal["grpo", "ppo"] = paper_field(
        "grpo", "GRPO, or PPO with a value model of the policy's size.", paper="grpo"
    )
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = paper_field(
        1.0,
        "λ of PPO's generalised advantage estimation.",
        note="the paper's comparison: 1.0 near GRPO, 0.95 clearly worse",
        paper=1.0,
    )
    value_learning_rate: Annotated[float, Field(gt=0, le=1)] | None = paper_field(
        None, "AdamW learning rate of PPO's value model (default: learning_rate).", paper="not said"
    )
    kl_in_reward: Annotated[float, Field(ge=0)] = paper_field(
        0.0, "β of a KL to the reference in each token's reward: PPO's way.", paper="not said"
    )
    steps: Annotated[int, Field(ge=1)] = paper_field(
        200,
        "Policy updates.",
        paper=10400,
        roles={
            FIRST: Said("not said"),
            SECOND: Said(1700, "the nearest in whole rollouts of 16 updates is 1,696"),
        },
    )
    prompts_per_step: Annotated[int, Field(ge=1)] = paper_field(16, "Prompts per update.", paper=32)
    samples_per_prompt: Annotated[int, Field(ge=2)] = paper_field(8, "Group size G.", paper=16)
    updates_per_rollout: Annotated[int, Field(ge=1)] = paper_field(
        1, "Updates made from one rollout; a rollout has prompts_per_step times as many prompts.", paper=16
    )
    max_new_tokens: Annotated[int, Field(ge=1)] = paper_field(
        256, "Longest completion.", paper=32768, roles={ZERO: Said(32768, "65536 after step 8200")}
    )
    temperature: Annotated[float, Field(gt=0, le=2)] = paper_field(
        1.0, "Sampling temperature.", paper=1.0, roles={SECOND: Said(0.7)}
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] = paper_field(
        5e-5, "AdamW learning rate (constant after warm-up).", paper=3e-6
    )
    warmup_steps: Annotated[int, Field(ge=0)] = paper_field(0, "Linear warm-up.", paper="not said")
    weight_decay: Annotated[float, Field(ge=0)] = paper_field(0.0, "AdamW weight decay.", paper="not said")
    max_grad_norm: Annotated[float, Field(gt=0)] = paper_field(
        1.0, "Global gradient-norm clip.", paper="not said"
    )
    clip_low: Annotated[float, Field(gt=0)] = paper_field(
        0.2,
        "ε below: the ratio is clipped at 1 − clip_low.",
        paper=10.0,
        roles=_EPSILON,
    )
    clip_high: Annotated[float, Field(gt=0)] = paper_field(
        0.28,
        "ε above (clip-higher, DAPO).",
        paper=10.0,
        note="as clip_low: the paper has one ε",
        roles=_EPSILON,
    )
    kl_coefficient: Annotated[float, Field(ge=0)] = paper_field(
        0.0, "β of the k3 KL in the loss.", paper=0.001
    )
    reference_every: Annotated[int, Field(ge=1)] = paper_field(
        400, "Steps between swaps of the reference model (at rollout boundaries).", paper=400
    )
    aggregate: Literal["token", "output"] = paper_field(
        "token",
        "Loss mean: over all tokens of the update, or over outputs of each output's token mean.",
        paper="output",
        note="our reading of a sequence-level formula",
    )
    advantage_scale: Literal["std", "none"] = paper_field(
        "std", "Divide advantages by the group's standard deviation, or not.", paper="std"
    )
    advantage_ddof: Literal[0, 1] = paper_field(
        0, "Degrees of freedom of that std (our choice).", paper="not said"
    )
    advantage_epsilon: Annotated[float, Field(gt=0)] = paper_field(
        1e-6, "Added to that std (our choice).", paper="not said"
    )
    drop_zero_gradient_groups: bool = paper_field(
        True, "Leave out groups whose gradient is exactly zero (only possible without KL).", paper="not said"
    )
    template: Literal["auto", "chat", "table1"] = paper_field(
        "auto",
        "Prompt template: the model's chat template, the paper's Table 1, or whichever it has.",
        paper="table1",
        note="for a base without a chat template",
        roles=dict.fromkeys((FIRST, SECOND), Said("not said")),
    )
    think_prefill: bool = paper_field(False, "Put `<think>` at the end of the prompt.", paper="not said")
    tokens_per_chunk: Annotated[int, Field(ge=16)] | None = paper_field(
        None,
        "Token budget of one forward and backward. Left out: 4,096; on a CPU fewer (not below 1,024) for a model whose "
        "backward pass would keep more than 1 GiB of them.",
    )
    logprob_chunk: Annotated[int, Field(ge=16)] = paper_field(
        1024, "Positions whose logits exist at one time."
    )
    max_rows: Annotated[int, Field(ge=1)] = paper_field(128, "Rows sampled side by side.")
    rollout_weights: Precision = paper_field(
        "fp32",
        "Weights in sampling: `int8` (CPUs with AVX-512 VNNI) and `bf16` (AMX, GPUs) are quicker and sample from a "
        "slightly other policy: truncated importance sampling makes up for it, `sampler_mismatch_mean` says how much.",
        paper="not said",
    )
    compute_dtype: ComputeDtype = paper_field(
        "fp32",
        "Matrix products in learning; weights, gradients and optimizer stay fp32. `bf16` pays on a GPU and on AMX.",
        paper="not said",
    )
    importance_cap: Annotated[float, Field(ge=1, le=100)] = paper_field(
        2.0,
        "Bound of the importance weights, which are there where sampler and learner do not both compute in fp32.",
        paper="not said",
    )
    grader_workers: Annotated[int, Field(ge=1, le=64)] = paper_field(2, "Grader processes.")
    grader_cpu_seconds: Annotated[float, Field(gt=0)] = paper_field(5.0, "CPU time one answer may take.")
    checkpoint_every: Annotated[int, Field(ge=1)] = paper_field(
        20, "Steps between checkpoints (at rollout ends)."
    )
    stop: StopRules = Field(default_factory=StopRules, description="When the run ends itself.")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        preset = data.get("preset", "modern")
        filled = {**PRESETS.get(preset if isinstance(preset, str) else "", {}), **data}
        return filled

    @field_validator("rewards", mode="before")
    @classmethod
    def _names_or_weights(cls, value: Any) -> Any:
        """A list of names gives each the weight 1."""
        names = list(value) if isinstance(value, dict | list) else []
        for name in names:
            if not isinstance(name, str) or name not in REWARDS:
                raise told(f"unknown reward {name!r}; {suggestion(str(name), REWARDS)}")
        return dict.fromkeys(names, 1.0) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _check_together(self) -> RLConfig:
        if self.steps % self.updates_per_rollout:
            raise told(
                f"steps ({self.steps}) must be a multiple of updates_per_rollout ({self.updates_per_rollout}): "
                "a rollout is used whole"
            )
        if not any(self.rewards.values()):
            raise told("all weights in rewards are 0: nothing would be rewarded")
        check_alignment(
            self.preference, self.window, self.hacking, self.prompts, self.steps, self.window_steps
        )
        if self.algorithm == "grpo":
            only_ppo = {"gae_lambda": 1.0, "value_learning_rate": None, "kl_in_reward": 0.0}
            strange = [name for name, default in only_ppo.items() if getattr(self, name) != default]
            if strange:
                raise told(f"{strange[0]} is for `algorithm: ppo` only: GRPO has no value model")
        if self.algorithm == "grpo" and self.drop_zero_gradient_groups and self.kl_coefficient > 0:
            raise told(
                "drop_zero_gradient_groups needs kl_coefficient 0: with a KL term no group's gradient is exactly zero"
            )
        return self

    @property
    def paper_role(self) -> str:
        """R1-Zero, or the first RL stage of R1 (it names the language reward), or the second (it has a window)."""
        if self.window is not None:
            return SECOND
        return FIRST if "language" in self.rewards else ZERO

    @property
    def samples_exactly(self) -> bool:
        """Whether the sampler's log-probs are the learner's, so that they serve as the old ones."""
        return self.rollout_weights == "fp32" and self.compute_dtype == "fp32"

    @property
    def has_reference(self) -> bool:
        """Whether a reference model is kept."""
        return self.kl_coefficient > 0 or self.kl_in_reward > 0

    @property
    def window_steps(self) -> int:
        """Policy updates inside the window; 0 without one."""
        return 0 if self.window is None else self.window.steps_of(self.steps, self.updates_per_rollout)

    def input_refs(self) -> dict[str, InputRef]:
        """The model that is trained, and the reward models: "preference.helpful", "preference.safety"."""
        models = self.preference.models() if self.preference else {}
        judges = {
            preference_input(name): InputRef(model.from_, ("reward_model",)) for name, model in models.items()
        }
        return {"from": InputRef(self.from_), **judges}

    @property
    def prompts_per_rollout(self) -> int:
        """Prompts of one rollout."""
        return self.prompts_per_step * self.updates_per_rollout

    @property
    def outputs_per_step(self) -> int:
        """Outputs in one policy update."""
        return self.prompts_per_step * self.samples_per_prompt

    def batch_figures(self) -> dict[str, int]:
        """What the batch settings come to, in words a person knows."""
        return {
            "prompts per rollout": self.prompts_per_rollout,
            "samples per rollout": self.prompts_per_rollout * self.samples_per_prompt,
            "updates per rollout": self.updates_per_rollout,
            "outputs per update": self.outputs_per_step,
            "rollouts in all": self.steps // self.updates_per_rollout,
            "samples in all": self.steps * self.outputs_per_step,
        }
