"""Sample panels. Every character of a sample is untrusted: shown, never interpreted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from ahalab.analysis.samples import SampleScan, ShownSample
from ahalab.report.markup import SCROLLING, Safe, element, highlight, join
from ahalab.report.summary import Summary
from ahalab.report.wording import listing, number, whole

TAGS = r"</?(?:think|answer)>"
_LATIN = "A-Za-zÀ-ÖØ-öø-ɏ0-9_"


def samples_section(summary: Summary) -> Safe:
    """The first right answer that reflects, and one prompt then and now; what was not found is said."""
    blocks: list[Safe] = []
    if summary.pair:
        blocks.append(
            _side_by_side(
                "One held-out prompt, before and after",
                "The earliest held-out prompt whose first sample was wrong before training and right, with a "
                "reflective word, after it; so it shows the change at its clearest, not on average."
                if _is_turn(summary.pair)
                else "No held-out prompt went from wrong to right with a reflective word; this is the nearest to it.",
                summary.pair,
                ("Before", "After"),
            )
        )
    for training in summary.training:
        blocks += _training_blocks(training.samples, training.stage)
    heading = element("h2", "Samples")
    if not blocks:
        return join(heading, element("p", "No samples have been written in this run yet.", class_="intro"))
    return join(
        heading,
        element(
            "p",
            "Reflective words are ",
            element("mark", "marked"),
            ". Text is shown as the model wrote it; characters that would be invisible appear as codes.",
            class_="intro",
        ),
        blocks,
    )


def _training_blocks(scan: SampleScan, stage: str) -> list[Safe]:
    blocks = []
    if scan.first_reflective:
        shown = scan.first_reflective
        blocks.append(
            join(
                element("h3", f"The first right answer with a reflective word in stage {stage}"),
                element(
                    "p",
                    f"The first in the order of the files, at step {shown.step}"
                    f"{', so from the weights before any update' if shown.step == 0 else ''}.",
                    class_="intro",
                ),
                _question(shown),
                _card(shown, None),
            )
        )
    elif scan.rows:
        sentence = (
            f"None of the {whole(scan.rows)} samples of stage {stage} is right and holds a reflective word."
        )
        blocks.append(element("p", sentence, class_="intro"))
    if scan.pair:
        first, last = scan.pair
        blocks.append(
            _side_by_side(
                f"One training prompt, its first and its last sample in stage {stage}",
                f"A prompt of the first step that was drawn again: steps {first.step} and {last.step}.",
                scan.pair,
                (f"Step {first.step}", f"Step {last.step}"),
            )
        )
    return blocks


def _side_by_side(
    heading: str, intro: str, pair: tuple[ShownSample, ShownSample], labels: tuple[str, str]
) -> Safe:
    return join(
        element("h3", heading),
        element("p", intro, class_="intro"),
        _question(pair[0]),
        element(
            "div", [_card(shown, label) for shown, label in zip(pair, labels, strict=True)], class_="pair"
        ),
    )


def _question(shown: ShownSample) -> Safe:
    gold = f"\nGold answer: {shown.gold}" if shown.gold else ""
    return element("p", f"{shown.question}{gold}", class_="question")


def _card(shown: ShownSample, label: str | None) -> Safe:
    verdict = {True: ("right", "right"), False: ("wrong", "wrong"), None: ("not graded", "ungraded")}[
        shown.correct
    ]
    total = sum(shown.reflective.values())
    facts = [
        f"{whole(shown.thinking_tokens)} thinking tokens",
        f"{total} reflective word{'' if total == 1 else 's'}",
        *([f"format: {shown.fault}"] if shown.fault else []),
        *([f"reward {number(shown.total)}"] if shown.total is not None else []),
    ]
    return element(
        "article",
        element(
            "header",
            element("h3", label) if label else "",
            element("p", element("span", verdict[0], class_=verdict[1])),
            element("p", ", ".join(facts)),
        ),
        element("div", _text(shown), class_="text", tabindex="0", role="group", aria_label="Sample text"),
        element("p", f"{shown.stage}, {shown.prompt_id}, sample {shown.index}", class_="under mono"),
        class_="sample",
    )


def _text(shown: ShownSample) -> Safe:
    pattern = marking_pattern(shown.reflective)
    if not shown.cut:
        return highlight(shown.head.strip("\n "), pattern)
    note = element("span", f"… {whole(shown.cut)} characters are left out here …", class_="cut")
    return join(highlight(shown.head, pattern), note, highlight(shown.tail, pattern))


def marking_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Matches the counted words as `count_reflective` does (whole words in Latin letters, any case), and the tags.

    The words are those the run itself counted in the sample, so a run with its own list is marked by its own list.
    """
    ordered = sorted((word for word in words if word), key=lambda word: (-len(word), word))
    latin = "|".join(re.escape(word) for word in ordered if re.search(f"[{_LATIN}]", word))
    branches = [TAGS, *(re.escape(word) for word in ordered if not re.search(f"[{_LATIN}]", word))]
    if latin:
        branches.append(rf"(?<![{_LATIN}])(?:{latin})(?![{_LATIN}])")
    return re.compile("|".join(branches), re.IGNORECASE)


def _is_turn(pair: tuple[ShownSample, ShownSample]) -> bool:
    return pair[0].correct is False and bool(pair[1].correct) and bool(pair[1].reflective)


def faults_section(summary: Summary) -> Safe:
    """Which format rule failed how often, in the first and in the last tenth of the steps."""
    blocks = [
        _faults(training.samples, training.stage) for training in summary.training if training.samples.faults
    ]
    if not blocks:
        return Safe("")
    return join(element("h2", "Where the format broke"), blocks)


def _faults(scan: SampleScan, stage: str) -> Safe:
    steps = sorted(set(scan.right) | set(scan.wrong) | set(scan.faults))
    share = max(1, len(steps) // 10)
    columns = [("First tenth", steps[:share]), ("Last tenth", steps[-share:]), ("All steps", steps)]
    counts = [_sum_faults(scan, part) for _, part in columns]
    answers = [
        sum(side[step].answers for side in (scan.right, scan.wrong) for step in part if step in side)
        for _, part in columns
    ]
    names = sorted(counts[-1], key=lambda name: (-counts[-1][name], name))
    rows = [
        element(
            "tr", element("th", name, scope="row"), [element("td", whole(count[name])) for count in counts]
        )
        for name in names[:20]
    ]
    totals = listing([f"{title.lower()}: {whole(n)}" for (title, _), n in zip(columns, answers, strict=True)])
    return element(
        "div",
        element(
            "table",
            element(
                "caption",
                f"Samples of stage {stage} by the first format rule they broke. Graded samples, {totals}.",
            ),
            element(
                "thead",
                element(
                    "tr", [element("th", title, scope="col") for title in ("Rule", *(c[0] for c in columns))]
                ),
            ),
            element("tbody", rows),
        ),
        **SCROLLING,
    )


def _sum_faults(scan: SampleScan, steps: list[int]) -> Counter[str]:
    total: Counter[str] = Counter()
    for step in steps:
        total.update(scan.faults.get(step, Counter()))
    return total
