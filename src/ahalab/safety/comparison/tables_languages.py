"""The paper's 5/4/0 score over languages (D.3.4): a line a target, then a line a language."""

from __future__ import annotations

from dataclasses import replace

from ahalab.evaluation.estimators import Estimate
from ahalab.safety.comparison import paper
from ahalab.safety.comparison.counts import count
from ahalab.safety.comparison.marking import Marks
from ahalab.safety.comparison.reading import Answered, Evaluation
from ahalab.safety.comparison.table import EMPTY, Cell, Row, Table, amount
from ahalab.safety.comparison.tables import finished, row_of, target_head
from ahalab.safety.languages.items import SUFFIX
from ahalab.safety.languages.score import HIGH_RISK, LanguageScore, Scores, language_scores
from ahalab.safety.records import Judgement, SafetyItem

NOTE = (
    f"Safe 5, rejection 4, unsafe 0, per cent of the most possible (the paper's D.3.4). Below {HIGH_RISK:.0f} a "
    "language is high-risk; a question mark: its interval reaches across. Intervals count a question once, in however "
    "many languages it was asked."
)


def multilingual_tables(
    evaluation: Evaluation, marks: Marks, name: str, *, with_paper: bool
) -> list[Table | None]:
    """Both tables of a set; translations of it that were asked as well are part of it. None for a single language."""
    original = name.removesuffix(SUFFIX)
    if (name != original and original in evaluation.sets) or evaluation.scorer(name) != "judge":
        return []
    named = dict.fromkeys((name, f"{original}{SUFFIX}"))
    items = [item for one in named for item in evaluation.set_items(one) if item.harmful]
    if len({item.language for item in items}) < 2:
        return []
    found: list[tuple[Answered, Scores, list[SafetyItem]]] = []
    for target in evaluation.targets:
        asked = [item for item in items if target.expected(item.id, "answer")]
        of_target = language_scores(asked, _answers(target, {item.id for item in asked}))
        found += [(target, scores, asked) for scores in of_target]
    if not found:
        return []
    return [
        _overview(evaluation, marks, original, found, with_paper=with_paper),
        _by_language(evaluation, marks, original, found),
    ]


def _overview(
    evaluation: Evaluation,
    marks: Marks,
    name: str,
    found: list[tuple[Answered, Scores, list[SafetyItem]]],
    *,
    with_paper: bool,
) -> Table:
    rows = []
    for target, scores, asked in found:
        risky = Cell(", ".join(scores.high_risk) or "none", figures={"high_risk": len(scores.high_risk)})
        cells = (
            _cell(scores.overall.score),
            Cell(f"{scores.mean:.1f}", figures={"mean": scores.mean}),
            amount(len(scores.languages), "languages"),
            amount(scores.overall.items, "items"),
            amount(scores.overall.judge_errors, "judge_errors"),
            risky,
        )
        rows.append(row_of(evaluation, marks, target, cells, [count(target, asked)]))
    columns = ("score", "mean of the languages", "languages", "items", "judge errors left out", "high-risk")
    theirs = paper.multilingual_rows(len(columns)) if with_paper else []
    return finished(
        Table(
            f"multilingual:{name}", f"Score over languages, {name}", columns, (*rows, *theirs), notes=(NOTE,)
        )
    )


def _by_language(
    evaluation: Evaluation, marks: Marks, name: str, found: list[tuple[Answered, Scores, list[SafetyItem]]]
) -> Table:
    scores = {
        target.name: {one.language: one for one in of_target.languages} for target, of_target, _ in found
    }
    names: dict[str, LanguageScore] = {}
    for of_target in scores.values():
        for language, one in of_target.items():
            names.setdefault(language, one)
    rows = [
        Row(_label(names[language]), tuple(_of(scores[target.name].get(language)) for target, _, _ in found))
        for language in sorted(names)
    ]
    heads = tuple(target_head(evaluation, marks, target) for target, _, _ in found)
    in_heads = [mark for target, _, _ in found for mark in marks.of(target.name)]
    table = Table(
        f"scores:{name}", f"Score by language, {name}", heads, tuple(rows), notes=(NOTE,), first="language"
    )
    return finished(table, in_heads)


def _label(one: LanguageScore) -> str:
    sample = "" if one.full else f", {one.questions:,} of {one.of:,} questions"
    return f"{one.name} ({one.language}){sample}"


def _of(one: LanguageScore | None) -> Cell:
    if one is None:
        return EMPTY
    flag = "" if not one.high_risk else " high-risk" if one.sure else " high-risk?"
    return _cell(one.score, flag)


def _cell(score: Estimate, flag: str = "") -> Cell:
    figures: dict[str, float | int | None] = {
        "score": score.value,
        "score_low": score.low,
        "score_high": score.high,
    }
    return Cell(f"{score.value:.1f}{flag}", f"[{score.low:.1f}, {score.high:.1f}]", figures)


def _answers(target: Answered, items: set[str]) -> list[Judgement]:
    found = target.judgements.get("answer", {}).values()
    return [replace(one, target=target.name) for one in found if one.item in items]
