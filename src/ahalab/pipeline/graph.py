"""The graph of a recipe's stages: who reads whom, in which order, and what cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from ahalab.errors import UserError
from ahalab.stages.inputs import BASES, ArtifactKind, InputRef
from ahalab.validation import suggestion

LEAVES: dict[ArtifactKind, str] = {
    "model": "a model",
    "dataset": "a data set",
    "reward_model": "a reward model",
    "evaluation": "an evaluation",
    "report": "a report",
}
"""Kinds of artifact in words."""


class Node(Protocol):
    """What the graph needs to know of a stage."""

    @property
    def name(self) -> str: ...
    @property
    def makes(self) -> ArtifactKind: ...
    @property
    def refs(self) -> Mapping[str, InputRef]: ...


AnyNode = TypeVar("AnyNode", bound=Node)


def ordered(nodes: Mapping[str, AnyNode], where: str) -> dict[str, AnyNode]:
    """The stages in declared order, moved after what they read.

    Raises:
        UserError: an unknown input (with the nearest name), a circle (named), an artifact of the wrong kind.
    """
    _check_known(nodes, where)
    done: dict[str, AnyNode] = {}
    waiting = dict(nodes)
    while waiting:
        ready = next((node for node in waiting.values() if not _unmet(node, done)), None)
        if ready is None:
            circle = " → ".join(_circle(waiting))
            raise UserError(
                f"{where}: stages wait for each other in a circle: {circle} (each reads the one after it). "
                "Let one of them read something else."
            )
        done[ready.name] = waiting.pop(ready.name)
    _check_kinds(done, where)
    return done


def ancestors(nodes: Mapping[str, Node], name: str) -> set[str]:
    """The stages that `name` reads, directly or through others."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for source in _stage_sources(nodes[waiting.pop()]):
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def dependants(nodes: Mapping[str, Node], sources: Iterable[str]) -> set[str]:
    """The stages that read one of `sources` (stages or bases), directly or through others.

    `nodes` are in an order in which each comes after what it reads, as `ordered` leaves them.
    """
    reached = set(sources)
    found: set[str] = set()
    for node in nodes.values():
        if any(ref.source in reached for ref in node.refs.values()):
            found.add(node.name)
            reached.add(node.name)
    return found


def root(nodes: Mapping[str, Node], source: str) -> str | None:
    """The base whose weights `source` (a stage or a base) descends from by "from"; None when there is none."""
    while source not in BASES:
        first = _parent(nodes[source])
        if first is None:
            return None
        source = first
    return source


def children(nodes: Mapping[str, Node]) -> dict[str | None, list[str]]:
    """The graph drawn as a tree: source → stages below it; None holds the trees' roots.

    A stage stands below the model it starts from, and where it has none below the one thing it reads; a stage that
    reads several things alike (a table) is a root.
    """
    found: dict[str | None, list[str]] = {None: []}
    for base in BASES:
        if any(_parent(node) == base for node in nodes.values()):
            found[None].append(base)
    for node in nodes.values():
        found.setdefault(_parent(node), []).append(node.name)
    return found


def other_inputs(node: Node) -> list[str]:
    """What a stage reads besides the one it stands below in the tree; each source once."""
    parent = _parent(node)
    return list(dict.fromkeys(ref.source for ref in node.refs.values() if ref.source != parent))


def _parent(node: Node) -> str | None:
    refs = node.refs
    named = next((ref.source for name, ref in refs.items() if name.partition("[")[0] == "from"), None)
    sources = {ref.source for ref in refs.values()}
    return named if named is not None or len(sources) != 1 else sources.pop()


def _stage_sources(node: Node) -> Iterator[str]:
    return (ref.source for ref in node.refs.values() if ref.source not in BASES)


def _unmet(node: Node, done: Mapping[str, Node]) -> list[str]:
    return [source for source in _stage_sources(node) if source not in done]


def _circle(waiting: Mapping[str, Node]) -> list[str]:
    """One circle among stages that all wait: followed from the first until a name comes back."""
    path = [next(iter(waiting))]
    while True:
        following = next(source for source in _stage_sources(waiting[path[-1]]) if source in waiting)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)


def _check_known(nodes: Mapping[str, Node], where: str) -> None:
    for node in nodes.values():
        for name, ref in node.refs.items():
            if ref.source not in BASES and ref.source not in nodes:
                bases = f"`{BASES[0]}` nor a stage" if "model" in ref.kinds else "a stage of this recipe"
                neither = "neither" if "model" in ref.kinds else "not"
                known = [
                    *(BASES if "model" in ref.kinds else ()),
                    *(one for one in nodes if one != node.name),
                ]
                raise UserError(
                    f"{where}: stages.{node.name}: {name}: {ref.source!r} is {neither} {bases}; "
                    f"{suggestion(ref.source, known)}"
                )


def _check_kinds(nodes: Mapping[str, Node], where: str) -> None:
    for node in nodes.values():
        for name, ref in node.refs.items():
            made: ArtifactKind = "model" if ref.source in BASES else nodes[ref.source].makes
            if made not in ref.kinds:
                needed = " or ".join(LEAVES[kind] for kind in ref.kinds)
                fitting = [one.name for one in nodes.values() if one.makes in ref.kinds and one is not node]
                if "model" in ref.kinds:
                    fitting = [*BASES, *fitting]
                hint = (
                    f"Here that is: {', '.join(fitting)}."
                    if fitting
                    else "No stage of this recipe leaves one."
                )
                raise UserError(
                    f"{where}: stages.{node.name}: {name}: {needed} is needed there, and {ref.source!r} leaves "
                    f"{LEAVES[made]}. {hint}"
                )
