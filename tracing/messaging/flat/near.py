"""What an exporter of OTLP keeps of the last spans of a plan, because the next ones are alike.

The offsets of a partition's records follow each other, and the origins of their flows are seconds
apart. So most of the octets of these numbers are those of the last record, and with them all the
bytes around: an encoder writes what differs, the last octets of seven bits each, and everything
else as constants. It replaces a part as a whole, so that two exporters never see a half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Pack = Callable[..., bytes]
"""Writes constants and numbers in one step."""

BITS: Final = 7
"""How many bits of a number an octet has."""
LOW: Final = 0x7F
"""The bits of an offset in the one octet that differs; its highest bit, the mark, is set where
further octets follow."""
ORIGINS: Final = 1 << 14
"""How many origins differ in their last two octets alone."""
UPPER: Final = 0x3F80
"""The bits of the second of two octets: `rest + (rest & UPPER) + OCTETS` is both of them."""
OCTETS: Final = 0x8080

_FAR: Final = 1 << 64
"""What nothing is near to."""

ProcessNumbers = tuple[int, int, int, str | None, bytes, bytes, bytes, Pack, Pack]
"""Of process spans: an offset's bits above the octet that differs, the mark in that octet, the
first origin, the pipeline, what comes before, between and after the octets that differ, and what
writes all that with a publish time and without."""
NO_NUMBERS: Final[ProcessNumbers] = (_FAR, 0, _FAR, None, b"", b"", b"", bytes, bytes)

SendFlow = tuple[int, object, bytes, bytes, Pack]
"""Of spans of sends: the first origin, the pipeline, what comes before and after the octets that
differ, and what writes all that."""
NO_FLOW_YET: Final[SendFlow] = (_FAR, None, b"", b"", bytes)

SendPlace = tuple[int, int, bytes, bytes, Pack]
"""Of spans of sends to one partition: an offset's bits above the octet that differs, the mark in
that octet, what comes before and after it, and what writes all that."""
NO_PLACE: Final[SendPlace] = (_FAR, 0, b"", b"", bytes)
