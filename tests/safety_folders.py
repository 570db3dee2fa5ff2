"""Made safety evaluations of the agreed layout, with harmless texts, for tests of tables and pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ahalab.safety.folder import row_of
from ahalab.safety.records import Judgement, Label, SafetyItem, TargetReply

JUDGE = "aaaaaaaaaaaa"
JUDGE_IDENTITY = {
    "kind": "endpoint",
    "model": "judge-model",
    "prompt": "p" * 12,
    "training_data": ["t" * 12],
}


def item(id: str, **changes: Any) -> SafetyItem:
    """A question of safety-1120, its fields read off its id: D03-07-zh."""
    question, _, language = id.partition("+")[0].rpartition("-")
    group = question.partition("-")[0]
    made = SafetyItem(
        id,
        "safety-1120",
        language,
        group,
        f"What is the weather like, {id}?",
        harmful="-h" not in question,
        rubric=group,
        cluster=question,
    )
    return replace(made, **changes)


def questions(
    groups: Sequence[str], count: int = 5, languages: Sequence[str] = ("zh", "en")
) -> list[SafetyItem]:
    """So many questions of each sub-category, in each language."""
    return [
        item(f"{group}-{number:02}-{language}")
        for group in groups
        for number in range(1, count + 1)
        for language in languages
    ]


class Folder:
    """Writes a folder of `ahalab.safety.folder`'s layout, row by row."""

    def __init__(self, path: Path, items: Iterable[SafetyItem], **settings: Any) -> None:
        self.path, self.items = path, list(items)
        path.mkdir(parents=True, exist_ok=True)
        self._json("safety.json", {"claim": True, **settings})
        self._rows("items.jsonl", map(row_of, self.items))

    def judge(self, name: str = JUDGE, identity: Mapping[str, Any] | None = None) -> Folder:
        """A judge's identity."""
        self._json(f"judges/{name}/judge.json", dict(identity or JUDGE_IDENTITY))
        return self

    def target(
        self,
        name: str,
        verdicts: Mapping[str, str] | str,
        *,
        identity: Mapping[str, Any] | None = None,
        reasons: Mapping[str, str] | None = None,
        control: Mapping[str, str] | None = None,
        thinking: Mapping[str, str] | None = None,
        judge: str = JUDGE,
        reply: Mapping[str, Any] | None = None,
        judgement: Mapping[str, Any] | None = None,
    ) -> Folder:
        """A target with a reply to every item, and verdicts by item id (or one for all). None of an item: unjudged."""
        self._json(f"targets/{name}/target.json", {"kind": "recorded", "model": name, **(identity or {})})
        reasons, control, thinking = reasons or {}, control or {}, thinking or {}
        replies, judged = [], []
        for one in self.items:
            made = TargetReply(
                one.id,
                name,
                f"a reply of {name} to {one.id}",
                "a thought" if one.id in thinking else "",
                control=control.get(one.id, ""),
                tokens_in=10,
                tokens_out=20,
                seconds=1.0,
            )
            replies.append(row_of(replace(made, **(reply or {}))))
            verdict = verdicts if isinstance(verdicts, str) else verdicts.get(one.id)
            parts = (("answer", verdict, reasons.get(one.id, "")), ("thinking", thinking.get(one.id), ""))
            for part, word, reason in parts:
                if word:
                    found = Judgement(one.id, name, part, word, reason, judge=judge, rubric="r")  # type: ignore[arg-type]
                    judged.append(row_of(replace(found, **(judgement or {}))))
        self._rows(f"targets/{name}/replies.jsonl", replies)
        self._rows(f"judges/{judge}/{name}.jsonl", judged)
        return self

    def labels(self, labels: Iterable[Label], annotator: str = "adjudicated") -> Folder:
        """Labels of one annotator."""
        self._rows(f"labels/{annotator}.jsonl", map(row_of, labels))
        return self

    def _json(self, name: str, value: Any) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")

    def _rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def spread(items: Sequence[SafetyItem], *words: str) -> dict[str, str]:
    """Verdicts dealt out in turn over the items."""
    return {one.id: words[place % len(words)] for place, one in enumerate(items)}
