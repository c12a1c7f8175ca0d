"""Whether Prometheus accepts a regular expression: a wrong one disables a whole file of rules."""

from __future__ import annotations

import re
from math import prod
from typing import Final

from promql_parser import parse

_CLASS_OR_ESCAPE: Final = re.compile(r"\\[^uU]|\[\^?\]?(?:\\.|[^\]\\])*\]")
# What the regular expressions of Rust have and those of Go do not: the parser is in Rust.
_UNPORTABLE: Final = re.compile(r"\\[uU]|\(\?(?!P?<|:)[imsU-]*[^imsU:)-]")
_DIFFERENCE: Final = re.compile(r"\[[^\]]*--")
_COUNT: Final = r"\{\d+(?:,\d*)?\}"
_REPEATED_TWICE: Final = re.compile(rf"(?:[*+?]|{_COUNT})(?:\?[?*+]|\?{_COUNT}|[*+]|{_COUNT})")
_COUNTS: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MOST_REPEATED: Final = 1000
"""Go's limit, also of a group that is repeated and has repetitions in it."""


class PatternError(ValueError):
    """What is wrong with a regular expression."""


def check_pattern(pattern: str) -> None:
    """Check that Prometheus accepts a regular expression.

    Raises:
        PatternError: It would not.
    """
    escaped = pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    try:
        parse(f'{{a=~"{escaped}", b="c"}}')
    except ValueError as error:
        raise _unknown(pattern) from error
    plain = _CLASS_OR_ESCAPE.sub("x", pattern)
    counts = [int(most or least) for least, most in _COUNTS.findall(plain)]
    most = prod(filter(None, counts)) if "){" in plain else max(counts, default=0)
    if (
        most > _MOST_REPEATED
        or _UNPORTABLE.search(plain)
        or _REPEATED_TWICE.search(plain)
        or _DIFFERENCE.search(pattern)
    ):
        raise _unknown(pattern)


def _unknown(pattern: str) -> PatternError:
    return PatternError(f"{pattern!r} is not a regular expression that Prometheus knows")
