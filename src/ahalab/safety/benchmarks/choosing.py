"""Which items of a set: by language, by group, and a limit that is the same every time and keeps the set's shape."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from ahalab.errors import UserError
from ahalab.safety.records import SafetyItem
from ahalab.validation import suggestion


def of_languages(
    items: Sequence[SafetyItem], languages: Sequence[str] | None, where: str
) -> list[SafetyItem]:
    """The items in these languages. UserError for a language that the set does not have."""
    if languages is None:
        return list(items)
    there = sorted({item.language for item in items})
    for language in languages:
        if language not in there:
            raise UserError(
                f"{where}: no item is in the language {language!r}; {suggestion(language, there)}"
            )
    return [item for item in items if item.language in languages]


def of_groups(items: Sequence[SafetyItem], groups: Sequence[str] | None, where: str) -> list[SafetyItem]:
    """The items of these groups. UserError for a group that the set does not have."""
    if not groups:
        return list(items)
    there = sorted({item.group for item in items})
    for group in groups:
        if group not in there:
            raise UserError(f"{where}: no item is of the group {group!r}; {suggestion(group, there)}")
    return [item for item in items if item.group in groups]


def limited(items: Sequence[SafetyItem], limit: int | None, where: str) -> list[SafetyItem]:
    """`limit` items, in the set's order: from each group and language its share of them.

    The same ones every time; a smaller limit takes some of a larger one's; translations of a question come together as
    far as the limit allows. Within a group a hash decides, so the order of the file does not.
    """
    if limit is None or limit >= len(items):
        return list(items)
    if limit < 1:
        raise UserError(f"{where}: a limit of {limit} leaves no item; expected at least 1")
    strata: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        strata[item.group, item.language].append(place)
    ranked: list[tuple[float, str, int]] = []
    for (group, _), places in strata.items():
        places = _spread(items, places)
        # The middle of each item's slot within its stratum: cutting the merged order anywhere cuts all alike.
        ranked += [((rank + 0.5) / len(places), _draw(group), place) for rank, place in enumerate(places)]
    taken = {place for _, _, place in sorted(ranked)[:limit]}
    return [item for place, item in enumerate(items) if place in taken]


def _spread(items: Sequence[SafetyItem], places: list[int]) -> list[int]:
    """The items of one group and language in the order in which a limit takes them: by a hash of the cluster, the first
    of every cluster before the second of any."""
    seen: Counter[str] = Counter()
    order: list[tuple[int, str, str, int]] = []
    for place in sorted(places, key=lambda place: _draw(items[place].id)):
        cluster = items[place].cluster or items[place].id
        order.append((seen[cluster], _draw(cluster), items[place].id, place))
        seen[cluster] += 1
    return [place for *_, place in sorted(order)]


def counts(items: Sequence[SafetyItem]) -> dict[tuple[str, str], int]:
    """Items by group and language, in the set's order of groups."""
    return dict(Counter((item.group, item.language) for item in items))


def _draw(cluster: str) -> str:
    return hashlib.sha256(cluster.encode("utf-8", "backslashreplace")).hexdigest()
