"""Keys that stand twice in what a person wrote: YAML and JSON keep the last and lose the first without a word."""

from __future__ import annotations

from typing import Any

import yaml


class OneOfEachKey(yaml.SafeLoader):
    """YAML as it is safe, in which a key stands once: `yaml.load(text, Loader=OneOfEachKey)`."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, _twice(key.value), key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def one_of_each_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for `object_pairs_hook`. ValueError names a key that stands twice."""
    value: dict[str, Any] = {}
    for key, one in pairs:
        if key in value:
            raise ValueError(_twice(key))
        value[key] = one
    return value


def _twice(key: str) -> str:
    return f"the key {key!r} is there twice"
