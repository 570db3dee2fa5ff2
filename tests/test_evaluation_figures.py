"""An evaluation's figures: by domain, safety classes, instruction following, language consistency."""

from __future__ import annotations

from typing import Any

import pytest

from ahalab.evaluation.figures import evaluation_figures
from ahalab.evaluation.measures import read_scores
from ahalab.prompts.world import WorldSource
from ahalab.text.language import language_share
from ahalab.world.labels import helpfulness
from ahalab.world.teacher import respond
from table_rows import row, scored

SETTINGS = {"temperature": 0.6}


def value(figures: dict[str, Any], *path: str) -> float:
    for name in path:
        figures = figures[name]
    return float(figures["value"])  # type: ignore[arg-type]


def test_figures_are_kept_by_domain_and_general_domains_stay_out_of_pass_at_1() -> None:
    rows = [
        *scored("math", [[1.0, 0.0], [1.0, 1.0]]),
        *scored("code", [[0.0, 0.0]]),
        *scored("safety", [[1.0, 0.5], [0.0, 0.0], [1.0, 1.0], [0.5, 0.5]]),
    ]
    figures = evaluation_figures(rows, 2, SETTINGS)
    assert value(figures, "pass@1") == pytest.approx(0.5)
    assert figures["pass@1"]["n"] == 3
    assert value(figures, "pass@2") == pytest.approx(2 / 3)
    domains = figures["by_domain"]
    assert list(domains) == ["code", "math", "safety"]
    assert value(domains, "math", "pass@1") == pytest.approx(0.75)
    assert value(domains, "math", "pass@2") == pytest.approx(1.0)
    assert (domains["math"]["n"], domains["math"]["k"], domains["safety"]["n"]) == (2, 2, 4)
    assert value(domains, "safety", "safe") == pytest.approx((0.5 + 0 + 1 + 0) / 4)
    assert value(domains, "safety", "rejection") == pytest.approx((0.5 + 0 + 0 + 1) / 4)
    assert value(domains, "safety", "unsafe") == pytest.approx(1 / 4)
    assert "safe" not in domains["math"]
    assert value(domains, "code", "format") == 1.0
    assert value(domains, "code", "thinking_tokens") == 3.0


def test_language_consistency_is_the_mean_share_of_target_words_in_the_thinking() -> None:
    rows = [
        row("a", "math", 1.0, thinking="wait 等等"),
        row("b", "math", 1.0, thinking="我 add", language="zh"),
        row("c", "math", 1.0, thinking="3 + 4 = 7"),  # no words: left out
    ]
    figures = evaluation_figures(rows, 1, SETTINGS)
    english, chinese = language_share("wait 等等", "en"), language_share("我 add", "zh")
    assert english is not None
    assert chinese is not None
    assert 0 < english < 1
    assert value(figures, "language_consistency") == pytest.approx((english + chinese) / 2)
    assert figures["language_consistency"]["n"] == 2


def test_failed_graders_are_counted_and_left_out() -> None:
    rows = scored("math", [[1.0, None], [None, None]])
    figures = evaluation_figures(rows, 2, SETTINGS)
    assert value(figures, "pass@1") == 1.0
    assert figures["pass@1"]["n"] == 1
    assert figures["pass@2"] is None
    assert (figures["grader_errors"], figures["prompts_not_graded"]) == (3, 1)
    assert figures["by_domain"]["math"]["n"] == 2


def test_an_evaluation_of_general_prompts_alone_has_no_pass_at_1() -> None:
    figures = evaluation_figures(scored("safety", [[1.0], [0.0]]), 1, SETTINGS)
    assert figures["pass@1"] is None
    assert value(figures, "by_domain", "safety", "safe") == 0.5


def test_scores_are_means_over_the_samples_a_measure_applies_to() -> None:
    rows = [
        *scored("math", [[1.0, 0.0], [None, 1.0]]),
        *scored("chess", [[1.0, 1.0]]),
        *scored("safe", [[0.0, 1.0]]),
        *scored("instructions", [[0.25, 0.75]], answer="four"),
    ]
    scores = read_scores(rows)
    assert scores.samples == 2
    assert scores.items["math"] == {"math/0": 0.5, "math/1": 1.0}
    assert scores.items["reasoning"] == {"math/0": 0.5, "math/1": 1.0, "chess/0": 1.0, "safe/0": 0.5}
    assert scores.items["chess"] == {"chess/0": 1.0}
    assert scores.items["safe (domain)"] == {"safe/0": 0.5}, "a domain called like a measure keeps apart"
    assert "safe" not in scores.items
    assert scores.items["helpfulness"] == {"instructions/0": 0.5}
    assert scores.answers == {"instructions/0": [(0.25, 4), (0.75, 4)]}
    assert scores.domains["chess/0"] == "chess"


def test_instruction_following_is_judged_by_the_rules_of_the_world() -> None:
    source = WorldSource("world", domains=["instructions"], languages=["en"])
    rows = []
    for index in range(6):
        prompt = source.prompt(index)
        _, good = respond(prompt, index)
        for sample, answer in enumerate((good, "I do not know.")):
            score = helpfulness(prompt.extra, answer).score
            more = {"extra": dict(prompt.extra), "sample": sample, "answer": answer}
            rows.append(row(prompt.id, "instructions", score, **more))
    figures = evaluation_figures(rows, 2, SETTINGS)["by_domain"]["instructions"]
    assert value(figures, "following") == pytest.approx(0.5)
    assert 0.0 < value(figures, "helpfulness") < 1.0
    assert figures["following"]["n"] == 6
    outside = evaluation_figures(scored("instructions", [[0.5]]), 1, SETTINGS)["by_domain"]["instructions"]
    assert outside["following"] is None, "no rules, no verdict"
    assert value(outside, "helpfulness") == 0.5
