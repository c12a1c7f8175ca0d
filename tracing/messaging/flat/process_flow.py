"""The baggage of records on the flat path: read once for each form, not for each record.

The records of a service mostly differ in their flow's origin alone. So a header is looked up by
what is around the digits of its origin. What cannot be read in this way, or is not plausible, is
for the general code, which counts it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tracing.core import semconv
from tracing.core.text import is_name
from tracing.headers.flow import MAX_ORIGIN, NO_FLOW
from tracing.headers.w3c import format_baggage, parse_baggage

if TYPE_CHECKING:
    from collections.abc import Mapping

_ORIGIN: Final = semconv.ORIGIN.encode() + b"="
_MAX_HEADER: Final = 2048
_MAX_FORMS: Final = 256


class ReadFlow(NamedTuple):
    """What a record's baggage says.

    Attributes:
        entries: The baggage. Records share it: it never changes.
        origin_ms: The flow's origin, unix ms; `None` without one. Whether it is plausible depends
            on the record.
        header: The header, if a sender would write the same for these entries; else `None`.
    """

    entries: Mapping[str, object]
    origin_ms: int | None
    header: bytes | None


class _Form(NamedTuple):
    """What the headers have in common that differ in the digits of their origin."""

    entries: Mapping[str, object]
    canonical: bool


class FlowReader:
    """Reads the baggage of the records of one consumer. For one event loop.

    Args:
        pipeline: The service's own pipeline.

    Attributes:
        header: The header that a plan has read last.
        last: Its entries, its origin, and the header if a sender would write the same; see
            `ReadFlow`.
    """

    __slots__ = ("_forms", "_pipeline", "header", "last")

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self.header: bytes | None = None
        self.last: tuple[Mapping[str, object], int | None, bytes | None] = NO_FLOW, None, None
        self._forms: dict[tuple[bytes, bytes | None], _Form | None] = {}

    def read(self, header: bytes) -> ReadFlow | None:
        """Read a header; `None` where the general code has to. Without side effects."""
        if len(header) > _MAX_HEADER:
            return None
        head, name, tail = header.partition(_ORIGIN)
        digits, comma, rest = tail.partition(b",")
        if not name:
            form = self._form(header, None)
            return None if form is None else ReadFlow(form.entries, None, None)
        if not digits.isdigit() or len(digits) > MAX_ORIGIN:
            return None
        form = self._form(head, comma + rest)
        if form is None:
            return None
        entries = {**form.entries, semconv.ORIGIN: digits.decode()}
        return ReadFlow(entries, int(digits), header if form.canonical else None)

    def _form(self, head: bytes, rest: bytes | None) -> _Form | None:
        try:
            return self._forms[head, rest]
        except KeyError:
            pass
        if len(self._forms) >= _MAX_FORMS:
            self._forms.clear()
        form = self._forms[head, rest] = self._parsed(head, rest)
        return form

    def _parsed(self, head: bytes, rest: bytes | None) -> _Form | None:
        """Read a form with `0` as its origin; `rest` is `None` of headers without an origin."""
        header = head if rest is None else head + _ORIGIN + b"0" + rest
        entries = parse_baggage(header)
        if entries is None or not is_name(entries.get(semconv.PIPELINE, self._pipeline)):
            return None
        if rest is None:
            return None if semconv.ORIGIN in entries else _Form(entries, canonical=False)
        if (
            entries.get(semconv.ORIGIN) != "0"
            or (head and not head.endswith(b","))
            # Where there are two, the last one counts.
            or semconv.ORIGIN.encode() in rest
        ):
            return None
        written, dropped = format_baggage(entries)
        # A sender writes the name first in a flow of the service's own without other entries.
        others = entries.keys() - {semconv.ORIGIN}
        own = others == {semconv.PIPELINE} and entries[semconv.PIPELINE] == self._pipeline
        canonical = written == header and not dropped and (not own or bool(head))
        return _Form(entries, canonical)
