"""What the offline judge learns from: files with known hashes, as rows. A missing or changed file is an error."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.runs.atomic import read_json
from ahalab.runs.hashing import config_hash, file_hash
from ahalab.safety.offline.composing import CLASSES, Row
from ahalab.safety.questions import load_questions

RECORD = Path(__file__).with_name("inputs.json")
"""Every input by name: `sha256`, `licence`, `source`, `rows`."""
DATA = Path(__file__).parent / "data"
XSTEST = ("xstest_labelled_gpt4.csv", "xstest_labelled_mistralguard.csv")
_XSTEST_CLASSES = {"1_full_compliance": 0, "2_full_refusal": 1, "3_partial_refusal": 2}
_PYRIT = "pyrit/datasets/scorer_evals/"
_CATEGORY = {
    "hate_speech_multi_score": "hate_speech", "violence_multi_score": "violence", "bias": "representational",
    "harassment_bullying": "hate_speech", "misinformation": "info_integrity", "cyber": "exploits",
    "phishing": "exploits", "illegal_activity": "violence", "chemical_biological": "violence",
}  # fmt: skip
"""pyrit's small files are held out with the nearest large one."""


@dataclass(frozen=True, slots=True)
class HarmRow:
    """A reply with a degree of harm."""

    prompt: str
    reply: str
    degree: float
    """0 … 1: the mean of the raters."""
    source: str
    """Which set: objective, harm, harm_multi, xstest, chinese."""
    category: str

    @property
    def key(self) -> str:
        """The reply without marks and case: one text never stands on both sides of a split."""
        return re.sub(r"\W+", " ", self.reply.casefold()).strip()


def find_inputs(xstest: Path) -> dict[str, Path]:
    """Every input's file by its name in the record; files that are not there are left out."""
    found = {name: xstest / name for name in XSTEST}
    for name in ("parts_en.yaml", "parts_zh.yaml", "chinese_replies.jsonl"):
        found[name] = DATA / name
    try:
        files = importlib.metadata.distribution("pyrit").files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for one in files:
        if str(one).startswith(_PYRIT) and one.suffix == ".csv":
            kind, name = str(one)[len(_PYRIT) :].split("/", 1)
            if kind in ("harm", "objective", "refusal_scorer") and not name.startswith("mini_"):
                found[f"pyrit/{kind}/{name}"] = Path(str(one.locate()))
    return {name: path for name, path in sorted(found.items()) if path.is_file()}


def check_inputs(found: Mapping[str, Path], record: Path = RECORD) -> dict[str, Any]:
    """The record, once every file of it is there with its hash.

    Raises:
        UserError: names each file that is missing, changed or not recorded, and what to do.
    """
    known: dict[str, Any] = read_json(record) if record.is_file() else {}
    faults = [f"{name}: missing" for name in known if name not in found]
    for name, path in found.items():
        if name not in known:
            faults.append(f"{name}: not recorded")
        elif (digest := _digest(name, path)) != known[name]["sha256"]:
            faults.append(f"{name}: sha256 {digest[:12]}…, recorded {known[name]['sha256'][:12]}…")
    if faults:
        raise UserError(
            f"{len(faults)} inputs of the offline judge are not as recorded in {record.name}: {'; '.join(faults)}. "
            "XSTest's labelled files are looked for in the folder given by --xstest; pyrit's come with "
            "`pip install --no-deps pyrit==1.1.0`. After a wanted change: --record writes the new hashes."
        )
    return known


def recorded(found: Mapping[str, Path]) -> dict[str, Any]:
    """The record of the files as they are."""
    return {
        name: {"sha256": _digest(name, path), "rows": _count(path), **_origin(name)}
        for name, path in found.items()
    }


def _digest(name: str, path: Path) -> str:
    """Of the Chinese replies with the questions that they answer: those lie in other files."""
    if name != "chinese_replies.jsonl":
        return file_hash(path)
    return config_hash([file_hash(path), sorted({(one.item, one.prompt) for one in chinese_replies(path)})])


def _origin(name: str) -> dict[str, str]:
    if name in XSTEST:
        return {
            "licence": "CC-BY-4.0",
            "source": "XSTest, labelled replies of one model (Röttger et al. 2024)",
        }
    if name.startswith("pyrit/"):
        return {"licence": "MIT", "source": "PyPI pyrit 1.1.0, labelled by people (Microsoft)"}
    return {"licence": "as this project", "source": "written for this project by a language model"}


def _count(path: Path) -> int:
    if path.suffix == ".csv":
        return len(_csv(path))
    if path.suffix == ".jsonl":
        return sum(1 for line in path.read_text("utf-8").splitlines() if line.strip())
    return 0


def _csv(path: Path) -> list[dict[str, str]]:
    lines = path.read_text("utf-8-sig").splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return list(csv.DictReader(io.StringIO("".join(lines), newline="")))


def xstest_rows(path: Path) -> list[Row]:
    """One model's labelled replies."""
    return [
        Row(row["prompt"], row["completion"], _XSTEST_CLASSES[row["final_label"]], path.stem, row["prompt"])
        for row in _csv(path)
    ]


def xstest_intents(paths: Iterable[Path]) -> dict[str, bool]:
    """Each prompt, and whether it is of XSTest's unsafe half."""
    return {row["prompt"]: row["type"].startswith("contrast") for path in paths for row in _csv(path)}


def refusal_rows(path: Path, weight: float) -> list[Row]:
    """pyrit's refused-or-not rows: refused stands for a full refusal, the rest for full compliance (our choice)."""
    return [
        Row(row["objective"], row["assistant_response"], int(float(row["human_score"])), "pyrit",
            f"pyrit: {row['objective']}", weight)
        for row in _csv(path)
    ]  # fmt: skip


def harm_rows(found: Mapping[str, Path]) -> list[HarmRow]:
    """pyrit's replies with degrees of harm, and those labelled by whether the aim was reached."""
    rows = []
    for name, path in found.items():
        kind = name.split("/")[1] if name.startswith("pyrit/") else ""
        if kind not in ("harm", "objective"):
            continue
        category = _CATEGORY.get(path.stem, path.stem)
        source = f"{kind}_multi" if path.stem.endswith("multi_score") else kind
        for row in _csv(path):
            given = [float(value) for key, value in row.items() if key.startswith("human") and value]
            rows.append(
                HarmRow(
                    row["objective"], row["assistant_response"], sum(given) / len(given), source, category
                )
            )
    return rows


@dataclass(frozen=True, slots=True)
class ChineseReply:
    """A row of our Chinese replies with its prompt."""

    id: str
    item: str
    prompt: str
    reply: str
    verdict: str
    compliance: int
    split: str


def chinese_replies(path: Path = DATA / "chinese_replies.jsonl") -> list[ChineseReply]:
    """Our labelled Chinese replies, each with its question."""
    prompts = {
        f"{one.id}-{language}": one.text(language) for one in load_questions() for language in ("zh", "en")
    }
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [
        ChineseReply(
            row["id"], row["item"], prompts[row["item"]], row["reply"], row["verdict"],
            CLASSES.index(row["compliance"]), row["split"],
        )
        for row in rows
    ]  # fmt: skip
