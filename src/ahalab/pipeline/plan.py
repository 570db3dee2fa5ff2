"""What one invocation is to make: what is done and stays, what the recipe outdated, what `--from` makes again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ahalab.errors import UserError
from ahalab.pipeline.graph import ancestors, dependants
from ahalab.pipeline.identity import artifact_hash, compare, identify
from ahalab.pipeline.recipe import Recipe, Stage
from ahalab.pipeline.remake import Remake
from ahalab.pipeline.trust import check_files, check_trusted, find_recorded
from ahalab.runs.differences import differences
from ahalab.runs.folder import PARTIAL, RunFolder
from ahalab.runs.manifest import Manifest
from ahalab.stages.inputs import BASES
from ahalab.validation import suggestion


@dataclass(slots=True)
class Plan:
    """Made from the recipe and what lies in the run folder; nothing is changed by making it."""

    scope: dict[str, Stage]
    """What is to be there at the end, in order: everything, or what `--until` needs."""
    hashes: dict[str, str]
    """Hash of each base and of what each finished stage that stays hands on."""
    done: dict[str, Manifest] = field(default_factory=dict)
    """Finished, current and checked."""
    begun: set[str] = field(default_factory=set)
    """Unfinished, and current as far as is known."""
    outdated: dict[str, str] = field(default_factory=dict)
    """Stage there is something of → what the recipe changed about it."""
    removed: list[str] = field(default_factory=list)
    """Stages in the folder that the recipe no longer names."""
    remake: Remake | None = None
    recipe_changed: bool = False

    @property
    def to_make(self) -> dict[str, Stage]:
        """Stages of the scope that are not known to be done."""
        return {name: stage for name, stage in self.scope.items() if name not in self.done}

    def lines(self, recipe: Recipe, run: RunFolder) -> list[str]:
        """What is made again and why, for the person at the keyboard."""
        lines = []
        if self.outdated:
            reasons = ", ".join(f"{name} ({why})" for name, why in self.outdated.items())
            line = f"the recipe changed; made again: {reasons}"
            after = [name for name in dependants(recipe.stages, self.outdated) if name not in self.outdated]
            if after:
                after.sort(key=list(recipe.stages).index)
                line += f"; and where their inputs come out different: {', '.join(after)}"
            lines.append(f"{line}. What was there is kept in {run.attempts_path}.")
        if self.removed:
            names = ", ".join(self.removed)
            lines.append(f"no longer in the recipe, kept in {run.attempts_path}: {names}.")
        if self.remake is not None and self.remake.stages:
            names = ", ".join(self.remake.stages)
            if self.remake.to_move:
                kept = f"What was there is kept in {run.attempts_path}."
                lines.append(f"as asked with --from {self.remake.start}, made again: {names}. {kept}")
            else:
                lines.append(f"going on with --from {self.remake.start}, still to be made again: {names}.")
        return lines


def make_plan(
    recipe: Recipe,
    run: RunFolder | None,
    hashes: Mapping[str, str],
    start: str | None = None,
    until: str | None = None,
) -> Plan:
    """What to do; `hashes` are those of the bases, `start` and `until` the options `--from` and `--until`.

    Raises:
        UserError: an unknown stage in an option; a stage that other code or other files made.
    """
    plan = Plan(scope_of(recipe, until), dict(hashes))
    again = _cone(recipe, start, plan.scope)
    if run is None:
        return plan
    before = run.recipe()
    plan.recipe_changed = any(True for _ in differences(before, recipe.resolved()))
    plan.remake = Remake.of(run, start, again, recipe.stages)
    plan.removed = sorted(_folders(run) - set(recipe.stages))
    renamed = frozenset(
        base for base in BASES if before.get(base, recipe.base_of(base)) != recipe.base_of(base)
    )
    for stage in recipe.stages.values():
        _look_at(stage, recipe, run, before, renamed, plan)
    return plan


def scope_of(recipe: Recipe, until: str | None) -> dict[str, Stage]:
    """The stages that `--until` needs, in order; all when it is not given. UserError for an unknown stage."""
    if until is None:
        return dict(recipe.stages)
    if until not in recipe.stages:
        raise UserError(f"--until {until}: no such stage; {suggestion(until, list(recipe.stages))}")
    names = ancestors(recipe.stages, until) | {until}
    return {name: stage for name, stage in recipe.stages.items() if name in names}


def _cone(recipe: Recipe, start: str | None, scope: Mapping[str, Stage]) -> list[str]:
    """The stages of `scope` that `--from` makes again, in order."""
    if start is None:
        return []
    known = [*recipe.used_bases, *recipe.stages]
    if start not in known:
        raise UserError(f"--from {start}: no such stage; {suggestion(start, known)}")
    names = dependants(recipe.stages, [start]) | {start}
    found = [name for name in scope if name in names]
    if not found:
        raise UserError(
            f"--from {start} and --until {list(scope)[-1]} leave nothing to make again: "
            f"{list(scope)[-1]} does not depend on {start}."
        )
    return found


def _folders(run: RunFolder) -> set[str]:
    if not run.stages_path.is_dir():
        return set()
    return {path.name.removesuffix(PARTIAL) for path in run.stages_path.glob("[!.]*") if path.is_dir()}


def _look_at(
    stage: Stage,
    recipe: Recipe,
    run: RunFolder,
    before: Mapping[str, Any],
    renamed: frozenset[str],
    plan: Plan,
) -> None:
    """Where one stage stands. A stage below one whose result is not known yet is left for when it is."""
    if plan.remake is not None and stage.name in plan.remake.to_move:
        return
    found = find_recorded(run, stage, before)
    if found is None:
        return
    comparison = compare(stage, identify(stage, recipe, plan.hashes), found, renamed)
    if comparison.recipe:
        plan.outdated[stage.name] = "; ".join(comparison.recipe)
        return
    if comparison.inputs or any(source not in plan.hashes for source in stage.inputs.values()):
        return
    manifest = run.finished_stage(stage.name)
    if stage.name in plan.scope:
        check_trusted(run, stage, comparison, finished=manifest is not None)
    if manifest is None:
        plan.begun.add(stage.name)
        return
    if stage.name in plan.scope:
        check_files(run.stage_dir(stage.name), stage, manifest)
        plan.done[stage.name] = manifest
    plan.hashes[stage.name] = artifact_hash(manifest, stage.makes)
