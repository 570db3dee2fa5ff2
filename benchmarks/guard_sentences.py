"""Harmless sentences for `guard_evasion --harmless`, in both languages, one a line; half of them not of this project.

    .venv/bin/python -m benchmarks.guard_sentences FOLDER --gsm8k gsm8k_train.jsonl --deb manpages-zh*.deb \\
        gimp-help-zh-cn*.deb --xstest xstest_prompts.csv

Theirs: questions of GSM8K, and the prose of Debian's Chinese packages (`apt-get download NAME`); nothing of them is
kept in the repository. Ours: this project's pages and the statements of its contest set. Each source is shuffled and
parted: `*-tune.txt` may be looked at to mend the terms, `*-report.txt` is what a result reports.
"""

from __future__ import annotations

import csv
import gzip
import html
import json
import random
import re
import subprocess
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_HAN = re.compile("[\u4e00-\u9fff]")


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gsm8k", type=Path, help="rows with `question`")
    parser.add_argument(
        "--deb", type=Path, nargs="*", default=[], help="packages with Chinese manual pages or HTML"
    )
    parser.add_argument("--xstest", type=Path, help="XSTest's prompts; the 250 safe ones are written")
    parser.add_argument("--most", type=int, default=1_400, help="sentences of a source, both halves together")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sources: dict[str, Iterable[str]] = {"ours-docs-en": _pages(), **_contest()}
    if options.gsm8k:
        sources["theirs-gsm8k-en"] = _questions(options.gsm8k)
    for package in options.deb:
        sources[f"theirs-{package.name.partition('_')[0]}"] = _package(package)
    for name, sentences in sources.items():
        different = sorted(set(sentences))
        random.Random(5).shuffle(different)
        kept = different[: options.most]
        for half, part in (("tune", kept[::2]), ("report", kept[1::2])):
            (options.folder / f"{name}-{half}.txt").write_text("".join(f"{one}\n" for one in part), "utf-8")
        print(f"{name}: {len(kept)} of {len(different)}")
    if options.xstest:
        with options.xstest.open(encoding="utf-8", newline="") as file:
            safe = [
                row["prompt"].replace("\n", " ") for row in csv.DictReader(file) if row["label"] == "safe"
            ]
        (options.folder / "xstest-safe.txt").write_text("".join(f"{one}\n" for one in safe), "utf-8")
        print(f"xstest-safe: {len(safe)}")


def _parted(text: str) -> Iterator[str]:
    """Sentences of prose; lines that are no sentence are left out."""
    for one in re.split(r"(?<=[。！？])|(?<=[.?!])\s+|\n", text):
        sentence = " ".join(one.split())
        long_enough = len(_HAN.findall(sentence)) >= 8 or len(sentence.split()) >= 5
        if long_enough and len(sentence) <= 300 and sentence[-1] in "。！？.?!":
            yield sentence


def _questions(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as rows:
        for row in rows:
            yield from _parted(json.loads(row)["question"])


def _package(path: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", str(path), folder], check=True)
        for page in sorted(Path(folder).rglob("zh_CN/*/*.gz")):
            text = gzip.decompress(page.read_bytes()).decode("utf-8", "replace")
            text = re.sub(r"^[.'].*$", "\n", text, flags=re.M)
            text = re.sub(r"\\f.|\\-|\\&", "", text)
            yield from (one for one in _parted(re.sub(r"\n(?!\n)", "", text)) if len(_HAN.findall(one)) >= 8)
        for page in sorted(Path(folder).rglob("*.html")):
            text = re.sub(r"<(script|style|pre).*?</\1>", "", page.read_text("utf-8", "replace"), flags=re.S)
            for paragraph in re.findall(r"<p[^>]*>(.*?)</p>", text, re.S):
                prose = html.unescape(re.sub(r"<[^>]+>", "", paragraph))
                yield from (one for one in _parted(" ".join(prose.split())) if len(_HAN.findall(one)) >= 8)


def _pages() -> Iterator[str]:
    """Prose of our pages; those on safety speak of the very words and are left out."""
    for path in sorted(ROOT.glob("docs/**/*.md")):
        if not re.match("safety|guard", path.stem):
            text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.S)
            lines = "\n".join(line for line in text.splitlines() if not line.startswith(("|", "#")))
            yield from _parted(re.sub(r"\n(?![\n-])", " ", lines))


def _contest() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"ours-contest-en": [], "ours-contest-zh": []}
    for row in (ROOT / "src/ahalab/world/contest/contest.jsonl").read_text("utf-8").splitlines():
        for language, text in json.loads(row)["question"].items():
            found[f"ours-contest-{language}"] += _parted(text)
    return found


if __name__ == "__main__":
    main()
