"""The config of alignment RL: preference rewards, the window of steps they apply in, and the reward-hacking watch.

The paper's last stage (§2.7, B.5): rewards are composed by the type of the prompt, general prompts are judged by a
helpful or a safety reward model, and both join only in the last 400 of 1,700 steps, because longer use of a
model-based reward led to reward hacking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ahalab.prompts.config import BuiltinEntry, PromptEntry, TaskEntry, WorldEntry
from ahalab.rewards.functions import GENERAL_VERIFIERS
from ahalab.validation import StrictModel, told
from ahalab.world.corpus import DOMAINS

PREFERENCES = ("helpful", "safety")
"""The two reward models. Each is a reward part of its own name; a prompt has at most one of them."""

GENERAL_DOMAINS = tuple(name for name, domain in DOMAINS.items() if domain.verifier in GENERAL_VERIFIERS)
"""Domains of the tiny world without a right answer: the world's own score of them is measured, never rewarded."""

RULED_DOMAINS = tuple(name for name in DOMAINS if name not in GENERAL_DOMAINS)
"""Domains of the tiny world that rules reward; no reward model may be asked about them."""

PAPER_WINDOW = "400/1700"


def preference_input(name: str) -> str:
    """Name of the stage input that is the reward model `name`."""
    return f"preference.{name}"


class PreferenceModel(StrictModel):
    """A reward model and the prompts it judges."""

    from_: str = Field(alias="from", min_length=1, description="Stage that trained the reward model.")
    domains: list[str] = Field([], description="Domains of the prompts that it judges.")
    sources: list[str] = Field(
        [],
        description="Names of the prompt sources that it judges, whatever their domain (the paper: by the data set "
        "a prompt comes from).",
    )
    weight: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="Weight of its reward, which its own calibration maps to 0 … 1 (our choice).",
        json_schema_extra={"paper": "not said", "paper_note": ""},
    )

    @model_validator(mode="after")
    def _judges_something(self) -> PreferenceModel:
        if not self.domains and not self.sources:
            raise told("say which prompts this reward model judges: `domains`, or `sources`, or both")
        rule_checked = [domain for domain in self.domains if domain in RULED_DOMAINS]
        if rule_checked:
            raise told(
                f"domains: {', '.join(rule_checked)} is rewarded by rules, never by a reward model (the paper, §2.7). "
                "Name general domains only, such as instructions or safety"
            )
        return self


class PreferenceConfig(StrictModel):
    """Preference rewards of general prompts: helpful or safety, by the data set the prompt comes from."""

    helpful: PreferenceModel | None = Field(
        None, description="Helpful reward model, scoring the final summary."
    )
    safety: PreferenceModel | None = Field(
        None, description="Safety reward model, scoring the whole response."
    )

    @model_validator(mode="after")
    def _one_judge_a_prompt(self) -> PreferenceConfig:
        if not self.models():
            raise told("name a reward model: `helpful`, or `safety`, or both")
        if self.helpful is not None and self.safety is not None:
            for key in ("domains", "sources"):
                both = sorted(set(getattr(self.helpful, key)) & set(getattr(self.safety, key)))
                if both:
                    raise told(
                        f"{key}: {', '.join(both)} is in both `helpful` and `safety`: a prompt has one judge"
                    )
        return self

    def models(self) -> dict[str, PreferenceModel]:
        """The reward models that are there, by the name of their reward part."""
        return {name: model for name in PREFERENCES if (model := getattr(self, name)) is not None}


class WindowConfig(StrictModel):
    """The last steps of a run: general prompts and preference rewards join only here."""

    last: int | str = Field(
        PAPER_WINDOW,
        description="How many steps: a whole number, a share of all steps such as 400/1700 (rounded to whole rollouts, "
        "at least one), or `all` for preference rewards from the first step.",
        json_schema_extra={"paper": PAPER_WINDOW, "paper_note": "R1's second RL stage"},
    )
    prompts: list[PromptEntry] = Field(
        [], description="Prompt sources that join the others in the window, with their weights."
    )

    @field_validator("last")
    @classmethod
    def _a_number_a_share_or_all(cls, value: int | str) -> int | str:
        if value == "all":
            return value
        if isinstance(value, str) and not re.fullmatch(r"\d{1,9}/0*[1-9]\d{0,8}", value):
            raise told(
                f"{value!r} is no window: expected a number of steps, a share such as {PAPER_WINDOW}, or `all`"
            )
        if Fraction(value) <= 0:
            raise told(f"a window of {value} steps is empty: leave `window` out, or give it at least 1 step")
        return value

    def steps_of(self, steps: int, updates_per_rollout: int) -> int:
        """The window's length in policy updates, in a run of `steps`; whole rollouts.

        Raises:
            PydanticCustomError: it exceeds the steps, or a number of steps cuts a rollout in two.
        """
        if self.last == "all":
            return steps
        if isinstance(self.last, int):
            if self.last > steps:
                raise told(
                    f"window.last ({self.last}) exceeds steps ({steps}): a window is the last part of a run. Write "
                    f"{PAPER_WINDOW} for the paper's share, or `all`"
                )
            if self.last % updates_per_rollout:
                raise told(
                    f"window.last ({self.last}) must be a multiple of updates_per_rollout ({updates_per_rollout}): "
                    "it begins where a rollout does"
                )
            return self.last
        share = Fraction(self.last)
        if share > 1:
            raise told(
                f"window.last ({self.last}) is more than all steps ({steps}): it would be {float(share * steps):g}"
            )
        rollouts = steps // updates_per_rollout
        return max(1, round(share * rollouts)) * updates_per_rollout


class HackingConfig(StrictModel):
    """The reward-hacking watch: does the preference reward rise while the rules' score on held-out prompts falls?

    Inside the window, every so many steps, the same held-out prompts are answered with the same random numbers.
    Each prompt's means are compared with its own at the window's start; "rises" and "falls" mean that the 95 %
    bootstrap interval of the mean difference, over prompts, lies beyond zero. The statistic is our choice; the paper
    shows the two curves (B.5, Fig. 6).
    """

    every: Annotated[int, Field(ge=1)] = Field(
        20, description="Steps between checks (made where a rollout ends; always at the last step)."
    )
    prompts: Annotated[int, Field(ge=8, le=100_000)] = Field(64, description="Held-out prompts per check.")
    sources: list[PromptEntry] | None = Field(
        None,
        min_length=1,
        description="Where they come from (default: the stage's own world and reasoning-gym entries, split held_out; "
        "half of the prompts are general ones).",
    )
    k: Annotated[int, Field(ge=1)] = Field(1, description="Samples per prompt.")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="Sampling temperature of the checks (default: the stage's); 0 is greedy."
    )
    patience: Annotated[int, Field(ge=1)] = Field(
        2, description="Checks in a row that must show it before the run is marked."
    )
    min_drop: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="The mean fall of the rules' score must also be at least this large."
    )
    action: Literal["warn", "stop"] = Field("warn", description="Mark the run and go on, or mark and stop.")

    @model_validator(mode="after")
    def _greedy_once(self) -> HackingConfig:
        if self.temperature == 0 and self.k > 1:
            raise told("temperature 0 gives k equal samples: set k to 1, or a temperature above 0")
        return self


def check_alignment(
    preference: PreferenceConfig | None,
    window: WindowConfig | None,
    hacking: HackingConfig | None,
    prompts: Sequence[PromptEntry],
    steps: int,
    window_steps: int,
) -> None:
    """What must hold between these parts of an `rl` stage, beyond each of them alone.

    Raises:
        PydanticCustomError: a part without the one it needs, or general prompts that nothing would reward.
    """
    if window is None and preference is not None:
        raise told(
            "`preference` needs a `window`: preference rewards hold only for the last steps, because longer use led "
            f"to reward hacking. Write `window: {{last: {PAPER_WINDOW}, prompts: […]}}`, or `last: all` to see it"
        )
    if window is not None and preference is None:
        raise told("`window` needs `preference`: without a reward model nothing would change in the window")
    if hacking is not None and window is None:
        raise told("`hacking` needs a `window`: it watches the preference rewards, which apply only there")
    if window is not None and not window.prompts and window_steps < steps:
        raise told(
            f"window.prompts is empty, so that nothing would be judged in the last {window_steps} of {steps} steps: "
            "give the general prompts that join there"
        )
    inside = window.prompts if window is not None else []
    for entry in [*prompts, *inside]:
        for domain, source in _general_domains(entry):
            if not _judged(domain, source, preference):
                raise told(
                    f"prompts: no rule rewards the world's {domain}, and no reward model does: add {domain} to "
                    "preference.helpful.domains or preference.safety.domains, or leave these prompts out"
                )
    outside = [domain for entry in prompts for domain, _ in _general_domains(entry)]
    if outside and window_steps < steps:
        raise told(
            f"prompts: before the window (the last {window_steps} of {steps} steps) only rules reward, and none "
            f"rewards {', '.join(dict.fromkeys(outside))}: move them to window.prompts, or set window.last to `all`"
        )
    if hacking is not None and hacking.sources is None and not held_out([*prompts, *inside]):
        raise told(
            "hacking: files and data sets have no held-out part of their own: name prompts in hacking.sources"
        )


def held_out(entries: Sequence[PromptEntry]) -> list[PromptEntry]:
    """The same sources, but problems that are never trained on; entries that have none are left out."""
    return [
        entry.model_copy(
            update={"split": "held_out", "seed": None}
            if isinstance(entry, TaskEntry)
            else {"split": "held_out"}
        )
        for entry in entries
        if isinstance(entry, WorldEntry | TaskEntry)
        or (isinstance(entry, BuiltinEntry) and entry.split != "all")  # of all of it, no part is held out
    ]


def _general_domains(entry: PromptEntry) -> list[tuple[str, str]]:
    """(general domain, name of the source) of an entry of the tiny world."""
    if not isinstance(entry, WorldEntry):
        return []
    domains = [entry.world] if isinstance(entry.world, str) else entry.world
    name = entry.name or "-".join(["world", *domains])
    return [(domain, name) for domain in domains if domain in GENERAL_DOMAINS]


def _judged(domain: str, source: str, preference: PreferenceConfig | None) -> bool:
    models = preference.models().values() if preference is not None else ()
    return any(domain in model.domains or source in model.sources for model in models)
