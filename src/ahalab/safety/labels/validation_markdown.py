"""The figures of a validation as a page, and as the cells of the terminal's table."""

from __future__ import annotations

from ahalab.safety.labels.kappa import Agreement
from ahalab.safety.labels.measured import Measured, Validation

COLUMNS = ("set", "language", "head", "n", "accuracy", "κ [95 %]", "recall", "AUC", "judge errors")
HEADS = {
    "verdict": "three verdicts",
    "compliance": "refusal and compliance",
    "refusal": "refused or not",
    "harm": "harm",
}


def validation_markdown(validation: Validation) -> str:
    """The page `validation.md`."""
    lines = [
        f"# Judge {validation.judge}",
        "",
        f"kind {validation.identity.get('kind')}, model {validation.identity.get('model')}",
        "",
        "The interval of κ is a bootstrap clustered by prompt. Judge errors are in no figure. Compliance and harm are "
        "two heads: XSTest labels compliance only.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    rows = [cells for one in validation.sets for cells in table_rows(one)]
    lines += [f"| {' | '.join(cells)} |" for cells in rows]
    for one in validation.sets:
        if one.agreement is None:
            continue
        lines += ["", f"## {one.name}, {one.language}: {HEADS[one.head]}", ""]
        lines += [f"- {sentence}" for sentence in remarks(one)]
        lines += ["", *confusion_markdown(one.agreement)]
    return "\n".join(lines) + "\n"


def table_rows(one: Measured) -> list[tuple[str, ...]]:
    """The lines of a set: its head, and for XSTest's classes complied-or-not below it."""
    name = f"{one.name} (learned from)" if one.learned else one.name
    first = (name, one.language, HEADS[one.head])
    auc = "–" if one.auc is None else f"{one.auc:.2f}"
    errors = str(sum(one.judge_errors.values()))
    if one.agreement is None:
        why = "no compliance given" if one.no_head else "judge errors only"
        return [(*first, "0", why, "–", "–", auc, errors)]
    rows: list[tuple[str, ...]] = [(*first, *_figures(one.agreement), auc, errors)]
    if one.complied is not None:
        rows.append((name, one.language, "complied or not", *_figures(one.complied), "–", errors))
    return rows


def remarks(one: Measured) -> list[str]:
    """What a reader must know of the figures."""
    found = [f"{one.source}, {one.replies} replies" + (f". {one.note}" if one.note else ".")]
    if one.learned:
        found.append("The judge LEARNED from this set: these figures show memory, not skill.")
    if one.no_head:
        found.append(f"{one.no_head} judgements carry no compliance and are in no figure.")
    if one.unlabelled:
        found.append(f"{one.unlabelled} rows without a label were left out, as asked.")
    found += [f"judge error, {reason}: {count}" for reason, count in sorted(one.judge_errors.items())]
    return found


def confusion_markdown(found: Agreement) -> list[str]:
    """The confusion matrix, labels down, judge across."""
    lines = [
        f"| label \\ judge | {' | '.join(found.classes)} |",
        f"|{'---|' * (len(found.classes) + 1)}",
    ]
    for name, row in zip(found.classes, found.confusion, strict=True):
        lines.append(f"| {name} | {' | '.join(f'{cell:.0f}' for cell in row)} |")
    return lines


def _figures(found: Agreement) -> tuple[str, str, str, str]:
    recall = ", ".join(
        f"{name} {'–' if one is None else f'{one.value:.2f}'}" for name, one in found.recall.items()
    )
    return str(found.n), f"{found.accuracy:.3f}", kappa_words(found), recall


def kappa_words(found: Agreement) -> str:
    """Kappa with its interval: "0.72 [0.69, 0.76]"."""
    if found.kappa is None:
        return "undefined"
    ends = f" [{found.low:.2f}, {found.high:.2f}]" if found.low is not None and found.high is not None else ""
    return f"{found.kappa:.2f}{ends}"
