"""What the bundled keyword list catches in disguise, in messages and in streams cut at every position; and what it
flags in harmless sentences.

    .venv/bin/python -m benchmarks.guard_evasion [--harmless FILE.txt …] [--save]

FILE.txt holds harmless sentences, one a line, from anywhere; their number and share flagged are reported by file.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from ahalab.evaluation.intervals import wilson
from ahalab.guard.matcher import Matcher
from ahalab.guard.stream import Stream, StreamList
from ahalab.guard.term import load_terms
from benchmarks.guard_variants import REPORTED, TARGETED, variants
from benchmarks.harness import arguments, report, table

WANTED = 0.98


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--terms", type=int, default=120, help="terms drawn, half of them Chinese")
    parser.add_argument("--harmless", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    listed = load_terms()
    matcher, streams = Matcher(listed), StreamList(listed)
    rng = random.Random(7)
    chinese = sorted(one.text for one in listed.terms if ord(one.text[0]) >= 0x2E80)
    english = sorted(one.text for one in listed.terms if one.text.isascii() and len(one.text) >= 4)
    drawn = [(one, True) for one in rng.sample(chinese, options.terms // 2)]
    drawn += [(one, False) for one in rng.sample(english, options.terms // 2)]
    caught: dict[str, Counter[str]] = defaultdict(Counter)
    for variant in variants(drawn):
        count = caught[variant.kind]
        count["all"] += 1
        count["message"] += bool(matcher.find(variant.sentence))
        cuts = range(1, len(variant.sentence))
        count["cuts"] += len(cuts)
        count["stream"] += sum(_streamed(streams, variant.sentence, cut) for cut in cuts)
    rows, figures = [], dict[str, Any]()
    for kind in (*TARGETED, *REPORTED):
        count = caught[kind]
        share = count["message"] / max(1, count["all"])
        low, high = wilson(share, max(1, count["all"]))
        split = count["stream"] / max(1, count["cuts"])
        figures[kind] = {"variants": count["all"], "caught": share, "caught_split": split}
        target = f"≥ {WANTED}" if kind in TARGETED else "none"
        rows.append([kind, count["all"], f"{share:.3f} [{low:.3f}, {high:.3f}]", f"{split:.3f}", target])
    targeted = [caught[kind] for kind in TARGETED]
    figures["targeted"] = sum(one["message"] for one in targeted) / sum(one["all"] for one in targeted)
    figures["variants"] = sum(one["all"] for one in caught.values())
    lines = [f"## Disguised terms ({figures['variants']} variants of {len(drawn)} terms)\n"]
    lines.append(
        table(["class", "variants", "caught in a message", "caught in a stream cut in two", "target"], rows)
    )
    lines.append(f"\nThe six classes with a target together: {figures['targeted']:.3f}.\n")
    harmless, texts = _harmless(matcher, options.harmless)
    figures["harmless"] = harmless
    lines.append(texts)
    report("guard_evasion", options.threads, "\n".join(lines), figures, save=options.save)


def _streamed(streams: StreamList, sentence: str, cut: int) -> bool:
    stream = Stream(streams)
    stream.feed(sentence[:cut])
    stream.feed(sentence[cut:])
    stream.finish()
    return bool(stream.hits)


def _harmless(matcher: Matcher, files: list[Path]) -> tuple[dict[str, Any], str]:
    """Shares flagged, by file; the terms that flagged, never the sentences."""
    found, rows = dict[str, Any](), []
    for path in files:
        sentences = [one.strip() for one in path.read_text("utf-8").splitlines() if one.strip()]
        terms = Counter(hit.term.text for one in sentences for hit in matcher.find(one)[:1])
        share = sum(terms.values()) / len(sentences)
        found[path.stem] = {
            "sentences": len(sentences),
            "flagged": share,
            "terms": dict(terms.most_common(20)),
        }
        often = ", ".join(f"{term} {count}" for term, count in terms.most_common(6))
        rows.append([path.stem, len(sentences), f"{100 * share:.2f} %", often or "none"])
    together = [one for name, one in found.items() if not name.startswith("xstest")]
    if together:
        count = sum(one["sentences"] for one in together)
        flagged = sum(one["flagged"] * one["sentences"] for one in together)
        found["together"] = {"sentences": count, "flagged": flagged / count}
        rows.append(["all but XSTest (at most 0.5 %)", count, f"{100 * flagged / count:.2f} %", ""])
    return (
        found,
        f"## Harmless sentences\n\n{table(['file', 'sentences', 'flagged', 'by the terms'], rows)}"
        if rows
        else "",
    )


if __name__ == "__main__":
    main()
