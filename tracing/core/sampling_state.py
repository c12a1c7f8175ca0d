"""The `ot` entry of a `tracestate`, in which samplers note the randomness of a trace.

Source: https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/ and
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/.
"""

import re
from collections.abc import Mapping
from typing import Final

KEY: Final = "ot"
"""The key of the entry. Only samplers write it; instrumentation hands it on."""
RANDOMNESS: Final = "rv"
"""The sub-key of an explicit randomness value; without it, the trace id's lowest 56 bits count."""
THRESHOLD: Final = "th"
"""The sub-key of the threshold: a trace is sampled if its randomness is at least as high."""

_MAX_LENGTH: Final = 256
_DIGITS: Final = 14
_LOWEST_56_BITS: Final = (1 << 4 * _DIGITS) - 1
_ENTRY = re.compile(r"[a-z][a-z0-9]*:[A-Za-z0-9._-]*(?:;[a-z][a-z0-9]*:[A-Za-z0-9._-]*)*")
_RANDOMNESS = re.compile(r"[0-9a-f]{14}")
_THRESHOLD = re.compile(r"[0-9a-f]{1,14}")


def parse_entry(entry: str) -> dict[str, str] | None:
    """Read the sub-keys of an entry; `None` when any of it is malformed."""
    if len(entry) > _MAX_LENGTH or not _ENTRY.fullmatch(entry):
        return None
    members = entry.split(";")
    values = dict(member.split(":") for member in members)
    if len(values) != len(members):
        return None
    randomness, threshold = values.get(RANDOMNESS), values.get(THRESHOLD)
    if randomness is not None and not _RANDOMNESS.fullmatch(randomness):
        return None
    if threshold is not None and not _THRESHOLD.fullmatch(threshold):
        return None
    return values


def format_entry(values: Mapping[str, str]) -> str:
    """Write an entry; where it is too long, only its randomness and threshold."""
    entry = _joined(values)
    if len(entry) <= _MAX_LENGTH:
        return entry
    return _joined({name: values[name] for name in (RANDOMNESS, THRESHOLD) if name in values})


def randomness_of(trace_id: int) -> str:
    """Return a trace id's randomness, as an explicit value has it."""
    return f"{trace_id & _LOWEST_56_BITS:0{_DIGITS}x}"


def is_consistent(values: Mapping[str, str], trace_id: int) -> bool:
    """Return whether a sampled trace can have its threshold; true without one."""
    threshold = values.get(THRESHOLD)
    # As the specification writes them, the digits compare as the numbers do.
    randomness = values.get(RANDOMNESS) or randomness_of(trace_id)
    return threshold is None or threshold.ljust(_DIGITS, "0") <= randomness


def _joined(values: Mapping[str, str]) -> str:
    return ";".join(f"{name}:{value}" for name, value in values.items())
