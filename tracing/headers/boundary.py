"""The context that may cross a topic between parties that do not share everything."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """The rule for one topic, in both directions.

    Attributes:
        baggage: Patterns (`*` and `?` as in a shell) of the baggage names that may cross; the
            rest is neither written to nor read from the topic.
        trace_context: Whether `traceparent` and `tracestate` cross. Without them the two sides
            have separate traces.

    Raises:
        TypeError: `baggage` is no tuple of texts.
    """

    baggage: tuple[str, ...] = ("pipeline.*",)
    trace_context: bool = True

    def __post_init__(self) -> None:
        if not _are_patterns(self.baggage):
            raise TypeError(
                f"baggage must be a tuple of patterns, as ('pipeline.*',), not {self.baggage!r}"
            )

    def allowed(self, entries: Mapping[str, object]) -> Mapping[str, object]:
        """Keep the baggage entries that may cross."""
        return {
            name: value
            for name, value in entries.items()
            if any(fnmatchcase(name, pattern) for pattern in self.baggage)
        }


def strictest(boundaries: Sequence[Boundary]) -> Boundary | None:
    """Return the boundary that allows only what all of these allow; `None` for none."""
    if not boundaries:
        return None
    common = set.intersection(*(set(boundary.baggage) for boundary in boundaries))
    return Boundary(
        baggage=tuple(sorted(common)),
        trace_context=all(boundary.trace_context for boundary in boundaries),
    )


def _are_patterns(patterns: object) -> bool:
    # A text would be taken for patterns of one character, and `*` alone lets everything cross.
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        return False
    return all(isinstance(pattern, str) for pattern in patterns)


OPEN: Final = Boundary(baggage=("*",))
"""Everything crosses, as without a boundary."""
