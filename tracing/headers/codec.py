"""The header codec: functions that accept whatever a record carries.

A client hands headers over as a sequence of `(str, bytes | None)` pairs, in any order, with
duplicates; some hand over worse. Nothing here raises, and at most `MAX_SCANNED` headers of a record
are looked at.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from tracing.core.text import counted

Header = tuple[str, bytes | None]

MAX_SCANNED: Final = 256
"""How many headers of a record are looked at, from the end, where instrumentation appends."""

_SHOWN: Final = 100


class Record(Protocol):
    """A record with a place in a log. aiokafka's record is one."""

    @property
    def topic(self) -> str:
        """Its topic."""

    @property
    def partition(self) -> int:
        """Its partition."""

    @property
    def offset(self) -> int:
        """Its offset."""

    @property
    def headers(self) -> Any:
        """Its headers, as pairs of a name and bytes."""


def latest(headers: object) -> Mapping[str, bytes | None]:
    """Map each header name to its last value, of the last `MAX_SCANNED` headers.

    Values can be of any type if the sender's client let them through; check before use.
    """
    try:
        if len(headers) <= MAX_SCANNED:  # type: ignore[arg-type]  # anything may come in
            return dict(headers)  # type: ignore[call-overload, no-any-return]  # as above
    except (TypeError, ValueError):
        pass
    found: dict[str, bytes | None] = {}
    for name, value in reversed_pairs(headers):
        found.setdefault(name, value)
    return found


def reversed_pairs(headers: object) -> Iterator[Header]:
    """Yield the well-formed pairs among the last `MAX_SCANNED` headers, last one first."""
    try:
        tail = headers[-MAX_SCANNED:]  # type: ignore[index]  # anything may come in
    except Exception:
        return
    for pair in reversed(tail):
        try:
            name, value = pair
        except (TypeError, ValueError):
            continue
        if isinstance(name, str):
            yield name, value


def last_value(headers: object, name: str) -> object:
    """Return the last value of one header, as `latest(headers).get(name)`, without the map."""
    try:
        if (type(headers) is tuple or type(headers) is list) and len(headers) <= MAX_SCANNED:
            for each, value in reversed(headers):
                if each == name:
                    return value
            return None
    except Exception:
        # The other way knows what to do about headers that are none.
        return latest(headers).get(name)
    return latest(headers).get(name)


def text(value: object, limit: int) -> str | None:
    """Decode a header value of at most `limit` bytes; `None` when absent, longer or not UTF-8."""
    if not isinstance(value, bytes) or len(value) > limit:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def key_text(key: object) -> str | None:
    """Return a key as text, at most 256 characters; `None` where it is not text."""
    if isinstance(key, bytes):
        return text(key, 256)
    return key[:256] if isinstance(key, str) else None


def listed(headers: Iterable[Header] | None) -> list[Header]:
    """Copy headers into a new list, so that the caller's own is never changed.

    Raises:
        Whatever iterating over `headers` raises: that is the caller's mistake to see.
    """
    return [] if headers is None else list(headers)


def header_fault(headers: object) -> str | None:
    """Return which header cannot be sent, and why; `None` where all can. Never raises.

    Values are not in the text: they may be private.
    """
    if isinstance(headers, Mapping) or not isinstance(headers, Iterable):
        return (
            "headers must be pairs of a str and bytes or None, as [('name', b'value')], not "
            f"{type(headers).__name__}"
        )
    for number, header in enumerate(headers):
        match header:
            case (str(), (bytes() | None)):
                continue
            case (str() as name, value):
                kind = type(value).__name__
                return f"header {name[:_SHOWN]!r} must be bytes or None, not {kind}: encode it"
            case (name, _):
                return f"header number {number} must have a str as its name, not {_kind(name)}"
        return (
            f"header number {number} must be a pair of a str and bytes or None, not {_kind(header)}"
        )
    return None


def explain(error: BaseException, headers: object) -> None:
    """Note on a client's error which header caused it, if one did. Never raises."""
    if isinstance(error, TypeError | ValueError) and (fault := header_fault(headers)) is not None:
        error.add_note(fault)


def without(headers: list[Header], names: frozenset[str]) -> list[Header]:
    """Leave out the named headers; entries that are no pairs stay, for the client to judge."""
    return [pair for pair in headers if not _named(pair, names)]


def _kind(value: object) -> str:
    if isinstance(value, tuple):
        return counted(len(value), "value")
    return type(value).__name__


def _named(pair: object, names: frozenset[str]) -> bool:
    try:
        return pair[0] in names  # type: ignore[index]  # anything may come in
    except (TypeError, IndexError, KeyError):
        return False
