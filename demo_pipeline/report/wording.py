"""Words and figures for people: durations, shares, and untrusted text made safe."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Final

from demo_pipeline.report.model import Distribution

NOTHING: Final = "-"
KEPT: Final = "Counts are totals in the databases; times are from this run."
"""The note beside figures of which some come from a database and some from the run."""
LIST_DEAD_LETTERS: Final = "python -m tracing dlq list --bootstrap-servers HOST:PORT"
RARE_PARTS: Final = frozenset({"database wait", "retry"})
"""Parts of a critical path that need no word where they are 0."""
_NS_PER_MS: Final = 1_000_000
_LONGEST: Final = 160
# Below the first figure, in µs, a duration is shown in this unit.
_UNITS: Final = ((999.5, 1, "µs"), (999_500, 1_000, "ms"), (99_950_000, 1_000_000, "s"))
_HOUR_S: Final = 3600


def printable(text: str) -> str:
    """Make untrusted text safe to print: no control characters, no lone surrogates, not endless."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def escaped(text: str) -> str:
    """Make untrusted text safe in HTML, as content or in a quoted attribute."""
    # Lone surrogates cannot be written as UTF-8.
    return escape(text.encode("utf-8", "replace").decode("utf-8"))


def milliseconds(duration_ns: int | None) -> str:
    """Format a duration in ms with three significant digits: 0.42, 8.31, 12.4, 104, 1,234."""
    if duration_ns is None:
        return NOTHING
    value = duration_ns / _NS_PER_MS
    for limit, digits in ((10, 2), (100, 1)):
        if round(value, digits) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def human(duration_ns: int | None) -> str:
    """Format a duration with its unit: `420 µs`, `5.35 ms`, `622 ms`, `54.3 s`, `2 min 5 s`."""
    if duration_ns is None:
        return NOTHING
    us = duration_ns / 1000
    if us <= 0:
        return "0 ms"
    for limit, unit_us, unit in _UNITS:
        if us < limit:
            value = us / unit_us
            return f"{value:.{_digits(value) if unit_us > 1 else 0}f} {unit}"
    seconds = round(us / 1_000_000)
    if seconds < _HOUR_S:
        return f"{seconds // 60} min {seconds % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def _digits(value: float) -> int:
    """Return the decimals of three significant digits."""
    return next((digits for limit, digits in ((9.995, 2), (99.95, 1)) if value < limit), 0)


def percentiles(spread: Distribution | None) -> tuple[str, str, str]:
    """Format p50, p95 and p99 in ms."""
    if spread is None:
        return NOTHING, NOTHING, NOTHING
    return milliseconds(spread.p50), milliseconds(spread.p95), milliseconds(spread.p99)


def count_or_nothing(number: int) -> str:
    """Format a count: `1,200`, or a dash for 0."""
    return f"{number:,}" if number else NOTHING


def shares(parts: Sequence[int]) -> tuple[int, ...]:
    """Return parts in whole percent that add up to 100; all are 0 if the total is 0."""
    total = sum(parts)
    if total <= 0:
        return (0,) * len(parts)
    whole = [part * 100 // total for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda i: -(parts[i] * 100 % total))
    for i in by_remainder[: 100 - sum(whole)]:
        whole[i] += 1
    return tuple(whole)


def counted(number: int, singular: str, plural: str = "") -> str:
    """Format a count with its noun: `1 order`, `1,200 orders`; a plural without `s` is given."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def class_of(error_type: str) -> str:
    """Return an error's name without its module."""
    return error_type.rpartition(".")[2] or error_type


def by_error(counts: Counter[str]) -> str:
    """Format errors with their counts, the most frequent first: `ConnectionError 12`."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{printable(class_of(error))} {count:,}" for error, count in ranked)


def per_second(number: int, duration_s: float) -> str:
    """Format a throughput; a dash for a duration of 0."""
    return f"{number / duration_s:,.1f}/s" if duration_s > 0 else NOTHING
