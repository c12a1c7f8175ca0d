"""Finished spans as indented text, for a test to compare and a person to read."""

from __future__ import annotations

import difflib
import textwrap
from typing import TYPE_CHECKING

from opentelemetry.trace import StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

_TYPE = "cloudevents.event_type"
# From here on, tenths of a millisecond round to a second.
_SECOND_MS = 999.95
_TWO_MINUTES_S = 120


def elapsed(nanoseconds: int) -> str:
    """Return how long something took, in ms, in s, or, from two minutes on, in m."""
    milliseconds = nanoseconds / 1e6
    if milliseconds < _SECOND_MS:
        return f"{milliseconds:.1f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < _TWO_MINUTES_S else f"{seconds / 60:,.1f} m"


def span_tree(
    spans: Iterable[ReadableSpan],
    *,
    attributes: Sequence[str] = (),
    links: bool = False,
    types: bool = False,
    durations: bool = False,
) -> str:
    """Return finished spans as text: a line each, children indented two spaces below their parent.

    A line is `NAME KIND`, or `NAME · TYPE KIND`, then ` ERROR` for a span whose status is an error,
    then the attributes asked for as ` key=value`, then ` ~> NAME` for each link. Siblings and roots
    are ordered by start time, then name. Ids never appear.

    Args:
        spans: Finished spans, in any order, of any number of traces.
        attributes: The attributes to show where a span has them, in this order.
        links: Whether to show links; `?` stands for a linked span that is not among `spans`.
        types: Whether to show the type of the message after the name, as in
            `process payment.events · PaymentDeclined CONSUMER`.
        durations: Whether to show how long each span took, after its kind, for a person to read.

    Returns:
        The lines joined by newlines, without one at the end. A span whose parent is not among
        `spans` is a root marked ` (parent elsewhere)`.
    """
    by_key = {_own_key(span): span for span in spans}
    children: dict[tuple[int, int] | None, list[ReadableSpan]] = {}
    for span in by_key.values():
        parent = _parent_key(span)
        children.setdefault(parent if parent in by_key else None, []).append(span)

    lines: list[str] = []
    pending = [(span, 0) for span in _ordered(children.get(None, ()), backwards=True)]
    while pending:
        span, level = pending.pop()
        line = _line(span, by_key, attributes, links=links, types=types, durations=durations)
        lines.append("  " * level + line)
        pending += [
            (child, level + 1)
            for child in _ordered(children.get(_own_key(span), ()), backwards=True)
        ]
    return "\n".join(lines)


def assert_span_tree(
    spans: Iterable[ReadableSpan],
    expected: str,
    *,
    attributes: Sequence[str] = (),
    links: bool = False,
    types: bool = False,
) -> None:
    """Compare finished spans with a tree as text.

    Args:
        spans: Finished spans, as for `span_tree`.
        expected: The tree; common indentation and surrounding blank lines do not matter.
        attributes: As for `span_tree`.
        links: As for `span_tree`.
        types: As for `span_tree`.

    Raises:
        AssertionError: They differ; the message is a unified diff.
    """
    actual = span_tree(spans, attributes=attributes, links=links, types=types)
    wanted = textwrap.dedent(expected.strip("\n")).rstrip()
    if actual != wanted:
        difference = difflib.unified_diff(
            wanted.splitlines(), actual.splitlines(), "expected", "actual", lineterm=""
        )
        raise AssertionError("the spans differ from the expected tree\n" + "\n".join(difference))


def _line(
    span: ReadableSpan,
    by_key: dict[tuple[int, int], ReadableSpan],
    attributes: Sequence[str],
    *,
    links: bool,
    types: bool,
    durations: bool,
) -> str:
    present = span.attributes or {}
    parts = [_named(span, types=types), span.kind.name]
    if durations and span.start_time is not None and span.end_time is not None:
        parts.append(elapsed(max(0, span.end_time - span.start_time)))
    if span.status.status_code is StatusCode.ERROR:
        parts.append("ERROR")
    parts += [f"{key}={present[key]!s}" for key in attributes if key in present]
    if links:
        for link in span.links:
            target = by_key.get((link.context.trace_id, link.context.span_id))
            parts.append(f"~> {_named(target, types=types) if target else '?'}")
    parent = _parent_key(span)
    if parent is not None and parent not in by_key:
        parts.append("(parent elsewhere)")
    return " ".join(parts)


def _named(span: ReadableSpan, *, types: bool) -> str:
    message_type = (span.attributes or {}).get(_TYPE)
    return f"{span.name} · {message_type}" if types and message_type else span.name


def _own_key(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    if context is None:
        raise ValueError(f"span {span.name!r} has no context; pass spans that an SDK recorded")
    return context.trace_id, context.span_id


def _parent_key(span: ReadableSpan) -> tuple[int, int] | None:
    return None if span.parent is None else (span.parent.trace_id, span.parent.span_id)


def _ordered(spans: Iterable[ReadableSpan], *, backwards: bool) -> list[ReadableSpan]:
    return sorted(spans, key=lambda span: (span.start_time or 0, span.name), reverse=backwards)
