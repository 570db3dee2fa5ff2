"""Gold answers through the template and the graders: where they do not score full marks, no answer ever could."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ahalab.errors import UserError
from ahalab.prompts.mixture import Mixture
from ahalab.records import Prompt, Response, Reward, Verdict
from ahalab.rewards.compose import RewardRules
from ahalab.stages.collect import Collector
from ahalab.text.languages import check_language

GOLD_PROMPTS = 32
"""Gold answers graded. Our choice: takes a second, and a broken column mapping fails on the first."""

SHOWN_FAILURES = 5

_OF_CODE = (
    " Of code problems the gold answer is a reference solution: `aha data check FILE --out GOOD.jsonl` leaves out "
    "those whose own solution fails."
)

THINKING = {"en": "this is the reference answer.", "zh": "这是参考答案。"}
"""What a gold response thinks, in the language of its question."""


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """One completion that a check looked at: its reward parts, and which rule failed."""

    what: str
    question: str
    text: str
    parts: Mapping[str, float | None]
    total: float | None
    fault: str | None


def first_prompts(mixture: Mixture) -> list[Prompt]:
    """Up to GOLD_PROMPTS different prompts. A small file may come round again here: nothing is trained.

    Raises:
        UserError: a prompt is in a language whose words cannot be counted here.
    """
    prompts = list({prompt.id: prompt for prompt in map(mixture.prompt, range(GOLD_PROMPTS))}.values())
    for language in dict.fromkeys(prompt.language for prompt in prompts):
        check_language(language)
    return prompts


def with_gold(prompts: Sequence[Prompt], rules: RewardRules) -> list[Prompt]:
    """The prompts that a rule can check and reward."""
    return [
        prompt
        for prompt in prompts
        if prompt.verifier != "none" and prompt.answer is not None and not rules.is_general(prompt)
    ]


def check_gold(collector: Collector, prompts: Sequence[Prompt], stage: str) -> list[CheckedRow]:
    """One row for each prompt of `with_gold`, all of full marks.

    Raises:
        UserError: naming each prompt whose gold answer fails, and the rule or grader that refuses it; or what
            the tokenizer loses on the way.
    """
    gold = with_gold(prompts, collector.rules)
    rows, failures = [], []
    for prompt in gold:
        answer = str(prompt.answer)
        try:
            collector.renderer.check_round_trip(prompt.question, answer, prompt.messages)
        except UserError as error:
            raise UserError(f"preflight of {stage}: prompt {prompt.id}: {error}") from error
        thinking = THINKING.get(prompt.language, THINKING["en"])
        text = collector.renderer.render_response(thinking, answer)
        response, verdict, reward = collector.grade_text(prompt, text)
        rows.append(checked_row("gold", prompt, response, reward, verdict))
        wrong = [
            f"{name} {value:g}" for name, value in reward.parts.items() if value is not None and value < 1
        ]
        if wrong or verdict.error:
            why = verdict.error or response.fault or "the grader gives it " + ", ".join(wrong)
            failures.append(
                f"  {prompt.id}: gold answer {answer[:200]!r} (verifier {prompt.verifier}): {why}"
            )
    if failures:
        raise UserError(
            f"preflight of {stage}: {len(failures)} of {len(gold)} gold answers do not score full marks through the "
            "template and the graders, so right answers would not be rewarded:\n"
            + "\n".join(failures[:SHOWN_FAILURES])
            + ("\n  …" if len(failures) > SHOWN_FAILURES else "")
            + "\nCheck the answer column, `answer_after` and the verifier of this prompt source."
            + (_OF_CODE if any(prompt.verifier in ("code", "patch") for prompt in gold) else "")
        )
    return rows


def checked_row(
    what: str, prompt: Prompt, response: Response, reward: Reward, verdict: Verdict
) -> CheckedRow:
    """A completion and its rewards as a row."""
    return CheckedRow(
        what, prompt.question, response.text, reward.parts, reward.total, verdict.error or response.fault
    )
