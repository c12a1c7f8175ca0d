"""Links to the spans that created messages, made on demand.

A span about many messages is linked to each. Few readers look at a link before it is exported, and
an exporter of OTLP needs only bytes: so what a message brought is kept, and what its links share.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, overload

from opentelemetry.trace import Link, SpanContext, TraceFlags

from tracing.core.otlp_wire import (
    HIGHEST,
    INT,
    KEY,
    LINK_ATTRIBUTE,
    attribute,
    delimited,
    int64,
    link_flags,
    prefix_of,
    read_own_ids,
    varint,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tracing.core.semconv import Attributes

_SAMPLED: Final = b"13579bdf"
_FLAGS: Final = tuple(TraceFlags(bits) for bits in range(256))
_FLAGS_AT: Final = 54
# The tag of `links` in a span, and how a link begins.
_LINK: Final = b"\x6a"
_TRACE_ID: Final = b"\x0a\x10"
_IDS_SIZE: Final = len(b"\x0a\x10") + 16 + len(b"\x12\x08") + 8


class LinkPlan:
    """What links to the messages of one type in one lane share. Do not change it.

    Args:
        before: The attributes before the number.
        number: The name of the attribute that differs, such as the offset.
        after: The attributes after it.
    """

    __slots__ = ("_after", "_around", "_before", "_number")

    def __init__(self, before: Attributes, number: str, after: Attributes) -> None:
        self._before = before
        self._number = number
        self._after = after
        self._around: dict[int, tuple[bytes, bytes, bytes]] = {}

    def attributes(self, number: int) -> Attributes:
        """Return the attributes of one link."""
        return {**self._before, self._number: number, **self._after}

    def around(self, size: int) -> tuple[bytes, bytes, bytes]:
        """Return what a link of OTLP has before its ids, and before and after its number.

        Args:
            size: How many bytes the number has as a varint, 1 to 10.
        """
        known = self._around.get(size)
        if known is None:
            number = prefix_of(delimited(KEY, self._number.encode()), INT, size, LINK_ATTRIBUTE)
            before = _attributes(self._before) + number
            after = _attributes(self._after) + link_flags(is_remote=True)
            whole = _IDS_SIZE + len(before) + size + len(after)
            known = self._around[size] = _LINK + varint(whole) + _TRACE_ID, before, after
        return known


# A link, or what it is made of: the header, what it shares with others, and its number.
_Entry = Link | tuple[bytes, LinkPlan, int]


class MessageLinks(Sequence[Link]):
    """Links, in order. Once a span has it, it must not change.

    Args:
        links: The first links; by default none.
    """

    __slots__ = ("_entries", "_made")

    def __init__(self, links: Iterable[_Entry] = ()) -> None:
        self._entries: list[_Entry] = list(links)
        self._made: tuple[Link, ...] | None = None

    def add(self, traceparent: bytes, plan: LinkPlan, number: int) -> None:
        """Add a link to the span that a header names, which is well-formed and of version 00."""
        self._entries.append((traceparent, plan, number))

    def append(self, link: Link) -> None:
        """Add a link."""
        self._entries.append(link)

    def followed_by(self, link: Link) -> MessageLinks:
        """Return these links and another one."""
        return MessageLinks((*self._entries, link))

    def deciding(self) -> SpanContext | None:
        """Return the context of the first link to a sampled span, else that of the first link.

        With the sampling decision of a sampled one, no trace that is kept breaks off where several
        meet, and spans of several messages are no more than the messages whose traces are kept.
        The others' links lead nowhere.
        """
        for entry in self._entries:
            if isinstance(entry, tuple):
                if entry[0][_FLAGS_AT] in _SAMPLED:
                    return _context(entry[0])
            elif entry.context.trace_flags.sampled:
                return entry.context
        return _link(self._entries[0]).context if self._entries else None

    def encode(self, fields: list[bytes], encode_link: Callable[[Link], bytes]) -> None:
        """Append the links as a span of OTLP has them.

        Args:
            fields: The span's fields.
            encode_link: Writes a link that was made already.

        Raises:
            Exception: A link cannot be written so: the SDK has to.
        """
        for entry in self._entries:
            if isinstance(entry, tuple):
                traceparent, plan, number = entry
                content = varint(number) if 0 <= number <= HIGHEST else int64(number)
                start, before, after = plan.around(len(content))
                ids = unhexlify(b"%b1208%b" % read_own_ids(traceparent))
                fields += (start, ids, before, content, after)
            else:
                fields.append(encode_link(entry))

    @overload
    def __getitem__(self, index: int) -> Link: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Link, ...]: ...

    def __getitem__(self, index: Any) -> Any:
        made = self._made
        if made is None:
            # Two threads make equal links.
            made = self._made = tuple(map(_link, self._entries))
        return made[index]

    def __len__(self) -> int:
        return len(self._entries)


def _attributes(attributes: Attributes) -> bytes:
    return b"".join(attribute(LINK_ATTRIBUTE, name, value) for name, value in attributes.items())


def _link(entry: _Entry) -> Link:
    if not isinstance(entry, tuple):
        return entry
    traceparent, plan, number = entry
    return Link(_context(traceparent), plan.attributes(number))


def _context(traceparent: bytes) -> SpanContext:
    return SpanContext(
        int(traceparent[3:35], 16),
        int(traceparent[36:52], 16),
        is_remote=True,
        trace_flags=_FLAGS[int(traceparent[53:55], 16)],
    )
