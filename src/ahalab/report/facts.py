"""The end of the report: stages and their times, the machine, versions, settings."""

from __future__ import annotations

from collections.abc import Mapping

from ahalab.report.data import other_figures
from ahalab.report.markup import SCROLLING, Safe, element, join
from ahalab.report.summary import Summary, Training
from ahalab.report.wording import counted, flatten, listing, minutes

NAMES = {
    "machine": "Machine type",
    "processor": "Processor",
    "cores": "Cores",
    "threads": "Threads",
    "dtype": "Number type",
    "python": "Python",
    "platform": "Platform",
    "device": "Device",
    "seed": "Seed",
    "reproducible": "Reproducible",
}
PARTS = {"rollout": "sampling", "grading_wait": "waiting for graders", "learn": "learning"}


def stages_section(summary: Summary) -> Safe:
    """Every stage with its state and time."""
    heading = element("h2", "Run facts")
    if not summary.stages:
        return join(heading, element("p", "No stage has begun."))
    rows = []
    for stage in summary.stages:
        state = "finished" if stage.finished else "not finished"
        if stage.stopped:
            state = f"ended early: {stage.stopped}"
        rows.append(
            element(
                "tr",
                element("th", stage.name, scope="row"),
                element("td", stage.kind),
                element("td", state),
                element("td", minutes(stage.seconds) if stage.seconds else "–"),
            )
        )
    known = [stage.seconds for stage in summary.stages if stage.seconds]
    caption = (
        f"All stages whose time is known: {minutes(sum(known))}." if known else "No times were recorded."
    )
    head = element(
        "tr", [element("th", name, scope="col") for name in ("Stage", "Kind", "State", "Wall time")]
    )
    table = element(
        "table", element("caption", caption), element("thead", head), element("tbody", rows), class_="stages"
    )
    return join(heading, element("div", table, **SCROLLING))


def facts_section(summary: Summary) -> Safe:
    """Counts, where the time went, the machine and the versions."""
    facts: list[tuple[str, str]] = []
    for training in summary.training:
        totals = training.curves.totals
        facts.append(
            (
                f"Counts, {training.stage}",
                ", ".join(
                    counted(count, one, f"{one}s")
                    for count, one in (
                        (training.curves.updates, "step"),
                        (training.samples.rows, "sample"),
                        (totals["generated_tokens"], "generated token"),
                        (totals["grader_errors"], "grader error"),
                        (totals["ungraded_groups"], "ungraded group"),
                    )
                    if count or training.curves.rollouts
                ),
            )
        )
        if training.time_shares:
            facts.append((f"Time, {training.stage}", _time_shares(training)))
    facts += [("Seed", summary.seed)] if summary.seed else []
    facts += environment_facts(summary.environment)
    rows = [
        element("tr", element("th", name, scope="row"), element("td", text))
        for name, text in dict(facts).items()
    ]
    if not rows:
        return Safe("")
    caption = element("caption", "As the run's manifests and logs state them.")
    return element("table", caption, element("tbody", rows), class_="facts")


def environment_facts(environment: Mapping[str, object]) -> list[tuple[str, str]]:
    """A manifest's environment as (name, text), known names first."""
    versions = environment.get("versions")
    plain = {name: value for name, value in environment.items() if name != "versions"}
    flat = flatten(plain)
    facts = [(label, flat.pop(name)) for name, label in NAMES.items() if name in flat]
    facts += sorted(flat.items())
    if isinstance(versions, Mapping):
        shown = [f"{name} {version}" for name, version in versions.items() if version]
        facts.append(("Versions", ", ".join(shown)))
    return facts


def settings_section(summary: Summary) -> Safe:
    """The settings of each stage as its manifest (or the recipe) has them, folded away."""
    blocks = []
    for stage in summary.stages:
        flat = flatten(stage.settings)
        if flat:
            rows = [
                element("tr", element("th", name, scope="row"), element("td", text))
                for name, text in flat.items()
            ]
            blocks.append(
                element(
                    "details",
                    element("summary", f"Settings of stage {stage.name}"),
                    element("table", element("tbody", rows), class_="facts"),
                )
            )
    return join(blocks)


def figures_section(summary: Summary) -> Safe:
    """What else the manifests of the stages say, folded away."""
    blocks = []
    for stage in summary.stages:
        flat = other_figures(stage)
        if flat:
            rows = [
                element("tr", element("th", name, scope="row"), element("td", text))
                for name, text in flat.items()
            ]
            blocks.append(
                element(
                    "details",
                    element("summary", f"Figures of stage {stage.name}"),
                    element("table", element("tbody", rows), class_="facts"),
                )
            )
    return join(blocks)


def _time_shares(training: Training) -> str:
    total = sum(training.time_shares.values())
    shares = [
        f"{PARTS.get(name.removeprefix('seconds_'), name.removeprefix('seconds_').replace('_', ' '))} "
        f"{100 * seconds / total:.0f} %"
        for name, seconds in training.time_shares.items()
        if total > 0
    ]
    return f"{minutes(total)} timed: {listing(shares)}" if shares else minutes(total)
