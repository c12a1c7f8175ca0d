"""Print the figures as tables of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.overhead.figures import shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.overhead.figures import Result, Spread

_WIDTH = 36


def tables(results: Sequence[Result]) -> str:
    """Return all tables; parts that were not measured are left out."""
    sections = (
        _ratios(results),
        _phases(results),
        _throughput(results),
        _flat_paths(results),
        _shares(results),
    )
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section)))


def _ratios(results: Sequence[Result]) -> Iterator[str]:
    yield (
        f"{'CPU µs per message':<{_WIDTH}}{'bare':>7}{'ours +':>8}  {'compared with':<27}"
        f"{'+':>6}{'ratio':>7}  {'quartiles':<11} goal"
    )
    for result in results:
        title, bare, ours = result.row.title, number(result.bare_us), number(result.ours_us)
        goal = "" if result.row.goal is None else f"{result.row.goal:.2f} {_held(result)}"
        for other in result.compared:
            yield (
                f"{title:<{_WIDTH}}{bare:>7}{ours:>8}  {other.name:<27}"
                f"{number(other.added_us):>6}{number(other.ratio, 2):>7}  "
                f"{quartiles(other.ratio):<11} {goal}"
            ).rstrip()
            title = bare = ours = goal = ""


def _held(result: Result) -> str:
    return {True: "held", False: "missed", None: ""}[result.held]


def _phases(results: Sequence[Result]) -> Iterator[str]:
    yield f"{'added by ours, CPU µs':<{_WIDTH}}{'send':>7}{'receive':>9}{'both':>7}{'flat off':>10}"
    for result in results:
        sent, received = (result.phases_us.get(phase) for phase in ("send", "receive"))
        yield (
            f"{result.row.title:<{_WIDTH}}{number(sent):>7}{number(received):>9}"
            f"{number(result.ours_us):>7}{number(result.flat_off_us):>10}"
        )


def _throughput(results: Sequence[Result]) -> Iterator[str]:
    yield f"{'messages per second, share of bare':<{_WIDTH}}{'ours':>7}  quartiles"
    for result in results:
        yield (
            f"{result.row.title:<{_WIDTH}}{number(result.throughput, 2):>7}  "
            f"{quartiles(result.throughput)}"
        )


def _flat_paths(results: Sequence[Result]) -> Iterator[str]:
    measured = [(result.row.title, result.flat) for result in results if result.flat is not None]
    if not measured:
        return
    yield f"{'flat path':<{_WIDTH}}{'share':>7}  taken, and fallbacks by reason"
    for title, flat in measured:
        taken = ", ".join(f"{what} {count:,}" for what, count in flat.taken.items() if count)
        fallbacks = ", ".join(f"{why} {count:,}" for why, count in flat.fallbacks.items() if count)
        yield f"{title:<{_WIDTH}}{flat.share:>7.0%}  {taken}; {fallbacks or 'no fallbacks'}"


def _shares(results: Sequence[Result]) -> Iterator[str]:
    parts = shares(results)
    if not parts:
        return
    yield f"{'added by ours, all sampled':<{_WIDTH}}{'send':>7}{'receive':>9}"
    for part, phases in parts.items():
        yield f"{part:<{_WIDTH}}{phases['send']:>7.1f}{phases['receive']:>9.1f}"


def number(spread: Spread | None, digits: int = 1) -> str:
    """Return the median as text; a dash without one."""
    return "-" if spread is None else f"{spread.median:.{digits}f}"


def quartiles(spread: Spread | None) -> str:
    """Return both quartiles as text; a dash without them."""
    return "-" if spread is None else f"{spread.low:.2f}-{spread.high:.2f}"
