"""Which figures a training has: one function a subject, which curves and which words under them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ahalab.analysis.curves import Curve
from ahalab.report.ablation import language_panel
from ahalab.report.difficulty import effort_panel, level_panel, levels_over_steps
from ahalab.report.figures import Mark
from ahalab.report.health import health_panels
from ahalab.report.panel import Drawn, Panel, large
from ahalab.report.paper import Correspondence, correspondences
from ahalab.report.reflection import helps, per_thousand, reflection, right_and_wrong, word_over_steps
from ahalab.report.summary import Summary, Training
from ahalab.report.wording import change, interval, listing, number

DOMAINS = 6
"""Lines of the figure of domains at most: there are six colours."""


@dataclass(frozen=True, slots=True)
class Panels:
    """Every figure of the page."""

    of_stage: Mapping[str, tuple[list[Panel], list[Panel]]]
    """Training stage → (what changed over its steps, whether the training itself is well)."""
    levels: Panel | None
    """Held-out accuracy by level."""
    effort: Panel | None
    """Thinking tokens against difficulty."""
    language: Panel | None
    """Language consistency of several stages."""

    @property
    def paper(self) -> list[Correspondence]:
        """The paper's figures among them."""
        whole_run = [one for one in (self.language, self.effort) if one]
        return correspondences(
            [*(one for learning, _ in self.of_stage.values() for one in learning), *whole_run]
        )

    @classmethod
    def draw(cls, summary: Summary) -> Panels:
        """All that the run's data allow."""
        return cls(
            {
                training.stage: (learning_panels(training, summary), health_panels(training))
                for training in summary.training
            },
            level_panel(summary.compared[0]) if summary.comparisons else None,
            effort_panel(summary.compared[0], summary.efforts) if summary.comparisons else None,
            language_panel(summary),
        )


def learning_panels(training: Training, summary: Summary) -> list[Panel]:
    """What changed over the steps: accuracy, length, reflection, rewards. Curves that are absent leave no panel."""
    made = [
        _accuracy(training, summary),
        _length(training),
        levels_over_steps(training),
        _by_domain(training),
        _hacking(training),
        _language(training),
        reflection(training),
        word_over_steps(training),
        per_thousand(training),
        right_and_wrong(training),
        helps(training),
        _rewards(training),
        _loss(training),
    ]
    return [panel for panel in made if panel]


def _accuracy(training: Training, summary: Summary) -> Panel | None:
    """With the vote of each prompt's samples: the paper draws pass@1 and cons@16 of AIME."""
    curves, groups = training.curves, training.groups
    vote = f"vote of a prompt's samples (cons@{groups.k})"
    marks, held_out = _held_out(training, summary)
    lines: list[Drawn] = [
        (1, "accuracy", curves.get("accuracy"), False),
        (3, vote, groups.curve("cons", groups.voted), True),
        (2, "format followed", curves.get("format"), False),
    ]
    return large(
        training,
        "accuracy",
        "Accuracy and format",
        "share of the samples of a step",
        lines,
        share=True,
        marks=marks,
        more=[*_vote_sentence(training), *held_out],
        paper="1a" if curves.get("accuracy") and _is_rl(training) else None,
    )


def _vote_sentence(training: Training) -> list[str]:
    """Vote and single samples over the same prompts: prompts of code and prose are in the accuracy, not in the vote."""
    groups = training.groups
    single, voted = groups.curve("pass@1", groups.single), groups.curve("cons", groups.voted)
    if single is None or voted is None:
        return []
    last = f"over the last steps {number(single.end)} and {number(voted.end)}"
    return [
        f"Of the prompts that can be voted on: pass@1 {number(single.first)} and cons@{groups.k} "
        f"{number(voted.first)} at step {single.steps[0]}" + (f", {last}." if len(single) > 1 else ".")
    ]


def _held_out(training: Training, summary: Summary) -> tuple[list[Mark], list[str]]:
    """Held-out pass@1 of the weights this stage began with and of those it ended with."""
    marks, words = [], []
    steps = max((curve.steps[-1] for curve in training.curves.by_name.values()), default=0) + 1
    for evaluation in next(iter(summary.comparisons), []):
        figure = evaluation.figures.get("pass@1")
        if figure and evaluation.of in (training.source, training.stage):
            ended = evaluation.of == training.stage
            marks.append(Mark(steps if ended else 0, figure, 1))
            words.append(f"{interval(figure)} {'after the last update' if ended else 'before the first'}")
    return marks, [f"Diamonds: held-out pass@1, {listing(words)}."] if words else []


def _by_domain(training: Training) -> Panel | None:
    """The rules' score of each domain; of general domains it is measured, never rewarded."""
    found = sorted(training.curves.starting_with("accuracy/").items())[:DOMAINS]
    lines: list[Drawn] = [
        (1 + i, name.removeprefix("accuracy/"), curve, False) for i, (name, curve) in enumerate(found)
    ]
    return large(
        training, "domains", "Rule score by domain", "mean score of the samples of a step", lines, share=True
    )


def _hacking(training: Training) -> Panel | None:
    """The reward models' opinion of held-out prompts beside the rules': apart, they tell of reward hacking."""
    curves = training.curves
    reward = curves.get("hacking/preference")
    rules: list[Drawn] = [
        (1, "rules, general prompts", curves.get("hacking/rule_general"), False),
        (3, "rules, reasoning prompts", curves.get("hacking/rule_reasoning"), True),
    ]
    told = _hacking_sentences(reward, [(label, curve) for _, label, curve, _ in rules if curve])
    there = "; ".join(
        f"{label} {change(curve)}"
        for _, label, curve, _ in ((2, "Preference reward", reward, False), *rules)
        if curve
    )
    return large(
        training,
        "hacking",
        "Preference reward and the rules, held out",
        "mean over held-out prompts",
        [(2, "preference reward", reward, False), *rules],
        share=True,
        more=told,
        paper="6",
        seen=f"{there}. {told[-1]}",
    )


def _hacking_sentences(reward: Curve | None, rules: list[tuple[str, Curve]]) -> list[str]:
    """What the two did together; whether it is hacking is for the watch's test to say."""
    said = ["A preference reward that rises while a rule's score falls is reward hacking."]
    if reward is None or len(reward) < 2:
        return said
    up = reward.last > reward.first
    fallen = [label for label, curve in rules if len(curve) > 1 and curve.last < curve.first]
    if up and fallen:
        said.append(
            f"Here the reward ended higher and the score of {listing(fallen)} lower than at the start."
        )
    elif up:
        said.append("Here the reward ended higher, and no rule's score lower, than at the start.")
    else:
        said.append("Here the reward did not end higher than at the start.")
    return said


def _language(training: Training) -> Panel | None:
    curves = training.curves
    return large(
        training,
        "language",
        "Language consistency",
        "share of the thinking's words in the prompt's language",
        [(1, "language consistency", curves.get("language"), False)],
        share=True,
        paper="7",
    )


def _length(training: Training) -> Panel | None:
    curves = training.curves
    return large(
        training,
        "length",
        "Length of thinking",
        "tokens",
        [
            (1, "thinking tokens", curves.get("thinking_tokens"), False),
            (6, "tokens per answer, all parts", curves.get("tokens_per_answer"), True),
        ],
        paper="1b" if _is_rl(training) else None,
    )


def _rewards(training: Training) -> Panel | None:
    curves = training.curves
    lines: list[Drawn] = [(1, "total", curves.get("reward"), False)]
    for i, (name, curve) in enumerate(sorted(curves.starting_with("reward/").items())[:5]):
        lines.append((2 + i, name.removeprefix("reward/"), curve, True))
    return large(training, "reward", "Reward and its parts", "mean reward of the samples of a step", lines)


def _loss(training: Training) -> Panel | None:
    """The loss of stages that imitate; an RL loss says nothing to a reader (its mean is zero by design)."""
    if _is_rl(training):
        return None
    return large(
        training, "loss", "Loss", "nats per token", [(1, "loss", training.curves.get("loss"), False)]
    )


def _is_rl(training: Training) -> bool:
    """Whether the stage earns rewards; others have metrics of the same names that the paper does not draw."""
    return training.curves.get("reward") is not None
