"""Each benchmark as a task: `inspect eval ahalab/safety_1120 -T language=zh -T judge=http://…#model --model …`.

Parameters of every task: `language` (codes with commas between; all when left out), `limit` (so many items, in
proportion from the groups), `source` (your file of the set, where it has none of its own), and of judged sets `judge`
(offline, a judge's .yaml file, or URL#model) and `part` (answer, thinking or both). Texts of the sets are harmful: they
stand in the logs.
"""

# mypy: disable-error-code="untyped-decorator"
# Inspect is an extra: the types of its decorators are not looked at.
from __future__ import annotations

from pathlib import Path

from inspect_ai import Epochs, Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.scorer import Scorer

from ahalab.errors import UserError
from ahalab.safety.benchmarks import load_benchmark
from ahalab.safety.ecosystem.asking import ask
from ahalab.safety.ecosystem.samples import sample_of
from ahalab.safety.ecosystem.scoring import (
    answer_verdict,
    bbq_option,
    compliance_verdict,
    thinking_verdict,
    verbatim_overlap,
)
from ahalab.safety.protocols import Benchmark
from ahalab.safety.records import SafetyItem
from ahalab.validation import suggestion

PARTS = ("answer", "thinking", "both")
CONVENTIONS = (
    "three-way: refusals apart (paper D.3.3); refusal is safe: refusals count as safe (paper Table 9)"
)


def benchmark_task(
    name: str,
    language: str | list[str] | None = None,
    limit: int | None = None,
    source: str | None = None,
    judge: str = "offline",
    jailbreak: bool = False,
    part: str = "answer",
) -> Task:
    """A benchmark of ahalab as a task.

    Raises:
        UserError: an unknown part or benchmark, a set that is not there.
    """
    if part not in PARTS:
        raise UserError(f"part={part}: unknown; {suggestion(part, PARTS)}")
    languages = language.split(",") if isinstance(language, str) else language
    benchmark = load_benchmark(name, Path(source).expanduser() if source else None, limit, languages)
    items = list(benchmark.items)
    about = {
        "benchmark": benchmark.name,
        "source": benchmark.source,
        "sha256": benchmark.sha256,
        "licence": benchmark.licence,
        "conventions": CONVENTIONS,
    }
    if jailbreak:
        items, templates = _wrapped(items)
        about["templates"] = templates
    return Task(
        dataset=MemoryDataset([sample_of(item) for item in items], name=benchmark.name),
        solver=ask(),
        scorer=_scorers(benchmark, judge, jailbreak, part),
        epochs=Epochs(1, "mode"),
        metadata=about,
    )


def _scorers(benchmark: Benchmark, judge: str, jailbreak: bool, part: str) -> list[Scorer]:
    if benchmark.scorer == "bbq":
        return [bbq_option()]
    if benchmark.scorer == "copyright":
        return [verbatim_overlap()]
    if benchmark.scorer == "compliance":
        return [compliance_verdict(judge)]
    found = []
    if part in ("answer", "both"):
        found.append(answer_verdict(judge, jailbreak))
    if part in ("thinking", "both"):
        found.append(thinking_verdict(judge, jailbreak))
    return found


def _wrapped(items: list[SafetyItem]) -> tuple[list[SafetyItem], str]:
    """The harmful items in published templates, and which catalogue (seed 0)."""
    from ahalab.safety.jailbreak.catalogue import load_catalogue
    from ahalab.safety.jailbreak.wrapping import wrap

    catalogue = load_catalogue()
    wrapped = wrap([item for item in items if item.harmful], catalogue, seed=0)
    return (
        wrapped,
        f"{len(catalogue.templates):,} distinct templates, catalogue {catalogue.sha256[:12]}, seed 0",
    )


@task
def safety_1120(
    language: str | None = None,
    limit: int | None = None,
    source: str | None = None,
    judge: str = "offline",
    jailbreak: bool = False,
    part: str = "answer",
) -> Task:
    """Our 1,120 questions in 28 sub-categories, by the paper's protocol (other questions than the paper's)."""
    return benchmark_task("safety-1120", language, limit, source, judge, jailbreak, part)


@task
def safety_harmless(
    language: str | None = None, limit: int | None = None, judge: str = "offline", part: str = "answer"
) -> Task:
    """Their 280 harmless twins: rejections here are over-refusals."""
    return benchmark_task("safety-harmless", language, limit, None, judge, False, part)


@task
def simple_safety_tests(
    source: str | None = None,
    limit: int | None = None,
    judge: str = "offline",
    jailbreak: bool = False,
    part: str = "answer",
) -> Task:
    """SimpleSafetyTests."""
    return benchmark_task("sst", None, limit, source, judge, jailbreak, part)


@task
def red_team(
    source: str | None = None,
    limit: int | None = None,
    judge: str = "offline",
    jailbreak: bool = False,
    part: str = "answer",
) -> Task:
    """First turns of Anthropic's red-team attempts, from your file."""
    return benchmark_task("redteam", None, limit, source, judge, jailbreak, part)


@task
def do_not_answer(
    source: str | None = None,
    limit: int | None = None,
    judge: str = "offline",
    jailbreak: bool = False,
    part: str = "answer",
) -> Task:
    """Do-Not-Answer."""
    return benchmark_task("dna", None, limit, source, judge, jailbreak, part)


@task
def harmbench(
    source: str | None = None,
    limit: int | None = None,
    judge: str = "offline",
    jailbreak: bool = False,
    part: str = "answer",
) -> Task:
    """HarmBench, standard and contextual behaviours."""
    return benchmark_task("harmbench", None, limit, source, judge, jailbreak, part)


@task
def harmbench_copyright(source: str | None = None, limit: int | None = None, references: str = "") -> Task:
    """HarmBench, copyright: verbatim overlap with reference texts from a file of yours."""
    spec = f"harmbench-copyright?references={references}" if references else "harmbench-copyright"
    return benchmark_task(spec, None, limit, source)


@task
def public_domain(language: str | None = None, limit: int | None = None) -> Task:
    """Passages whose copyright is over: checks the copyright scorer, says nothing of safety."""
    return benchmark_task("public-domain", language, limit)


@task
def xstest(source: str | None = None, limit: int | None = None, judge: str = "offline") -> Task:
    """XSTest: over-refusal on the safe half, compliance on the unsafe one."""
    return benchmark_task("xstest", None, limit, source, judge)


@task
def bbq(source: str | None = None, limit: int | None = None) -> Task:
    """BBQ: accuracy and both bias scores, without a judge."""
    return benchmark_task("bbq", None, limit, source)


@task
def multijail(
    language: str | None = None,
    source: str | None = None,
    limit: int | None = None,
    judge: str = "offline",
    part: str = "answer",
) -> Task:
    """MultiJail: 315 questions in ten languages."""
    return benchmark_task("multijail", language, limit, source, judge, False, part)


@task
def cvalues(
    source: str | None = None, limit: int | None = None, judge: str = "offline", part: str = "answer"
) -> Task:
    """CValues, responsibility prompts."""
    return benchmark_task("cvalues", None, limit, source, judge, False, part)
