"""What the YAML files of BBQ call: our rows, our prompt, our reader and our figures, within lm-eval's harness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.safety.benchmarks.bbq import Read, figures_of, named_option
from ahalab.safety.benchmarks.loading import load_benchmark
from ahalab.safety.records import SafetyItem


def rows(bbq: str | None = None, bbq_limit: int | None = None, **_: Any) -> dict[str, Any]:
    """lm-eval's data set: the items of a file or folder of BBQ, or of a spec such as `bbq?hub=true`.

    The keys come from `--metadata '{"bbq": "FILE"}'`, among those of the model, which are passed over.
    """
    from datasets import Dataset

    if not bbq:
        raise UserError('say where BBQ lies: --metadata \'{"bbq": "FILE or FOLDER"}\', or "bbq?hub=true"')
    spec, source = (bbq, None) if bbq.startswith("bbq?") else ("bbq", Path(bbq))
    items = load_benchmark(spec, source, limit=bbq_limit).items
    keys = ("options", "right", "unknown", "target", "condition", "polarity")
    return {
        "test": Dataset.from_list(
            [
                {"id": item.id, "prompt": item.prompt, "group": item.group, "cluster": item.cluster}
                | {key: item.extra[key] for key in keys}
                for item in items
            ]
        )
    }


def chosen(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """Of log-likelihoods of the three letters: the likeliest is the answer."""
    likelihoods = [one[0] if isinstance(one, tuple | list) else one for one in results]
    return _metrics(doc, max(range(len(likelihoods)), key=likelihoods.__getitem__))


def written(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Of a written answer: the option it names, strictly read."""
    return _metrics(doc, named_option(results[0], doc["options"]))


def _metrics(doc: Mapping[str, Any], option: int | None) -> dict[str, Any]:
    pair = (dict(doc), option)
    return {
        "acc": float(option == doc["right"]),
        "acc_ambiguous": pair,
        "acc_disambiguated": pair,
        "bias_ambiguous": pair,
        "bias_disambiguated": pair,
        "no_option_named": float(option is None),
    }


def _aggregation(figure: str) -> Callable[[Iterable[Any]], float]:
    def aggregate(pairs: Iterable[Any]) -> float:
        found = figures_of([Read(_item(doc), option) for doc, option in pairs])[figure]
        return float("nan") if found is None else float(found["value"])

    return aggregate


def _item(doc: Mapping[str, Any]) -> SafetyItem:
    return SafetyItem(
        doc["id"], "bbq", "en", doc["group"], doc["prompt"], cluster=doc["cluster"], extra=dict(doc)
    )


accuracy_ambiguous = _aggregation("accuracy_ambiguous")
accuracy_disambiguated = _aggregation("accuracy_disambiguated")
bias_ambiguous = _aggregation("bias_ambiguous")
bias_disambiguated = _aggregation("bias_disambiguated")
