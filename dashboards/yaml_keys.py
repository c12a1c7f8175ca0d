"""Keys that stand in a mapping of YAML twice: readers take the last one and drop the others."""

from __future__ import annotations

import yaml


class RepeatedKeyError(ValueError):
    """A key that stands in a mapping twice; the message says where."""


def check_keys(text: str) -> None:
    """Check that no mapping of a document has a key twice.

    What cannot be read at all is left to the reader.

    Raises:
        RepeatedKeyError: One has.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return
    waiting = [] if root is None else [root]
    seen = set()
    while waiting:
        node = waiting.pop()
        # An alias may lead back to a mapping that it is in.
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _check(node)
            waiting.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)


def _check(mapping: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in lines:
            raise RepeatedKeyError(
                f"{key.value!r} is there twice, in lines {lines[key.value]} and {line}: only "
                "the last one would count"
            )
        lines[key.value] = line
