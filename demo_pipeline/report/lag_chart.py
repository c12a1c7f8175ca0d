"""End-to-end lag over time as an SVG chart, with one row per hop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demo_pipeline.report.wording import counted, escaped, milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo_pipeline.report.hops import HopLag, LagsOverTime

_TITLE: Final = "lags-title"
_NS: Final = 1_000_000_000
_MOST_HOPS: Final = 24
_LABEL_PX: Final = 290
_PLOT_PX: Final = 600
_VALUE_PX: Final = 110
_ROW_PX: Final = 34
_BAR_PX: Final = 26
_AXIS_PX: Final = 24
_TICKS: Final = 5
_LONGEST_LABEL: Final = 40


def lag_section(lags: LagsOverTime | None) -> str:
    """Return the section of the page; empty if no span has a lag."""
    if lags is None:
        return ""
    # The hops with the highest lag, in the order of the flow.
    kept = sorted(lags.hops, key=lambda hop: -hop.highest_ns)[:_MOST_HOPS]
    hops = [hop for hop in lags.hops if hop in kept]
    highest_ns = max(1, *(hop.highest_ns for hop in hops))
    left_out = len(lags.hops) - len(hops)
    more = f" {counted(left_out, 'hop')} with less lag not shown." if left_out else ""
    return (
        f'<section aria-labelledby="{_TITLE}"><h2 id="{_TITLE}">Lag over time</h2>'
        '<p class="quiet">The highest end-to-end lag of the records that each hop finished in each '
        f"{_seconds(_slot_ns(lags))} of the run. All rows share one scale: a bar of full height is "
        f"{milliseconds(highest_ns)} ms.{more}</p>"
        f'<div class="scroll" role="region" aria-labelledby="{_TITLE}" tabindex="0">'
        f"{_drawing(lags, hops, highest_ns)}</div></section>"
    )


def _drawing(lags: LagsOverTime, hops: Sequence[HopLag], highest_ns: int) -> str:
    width = _LABEL_PX + _PLOT_PX + _VALUE_PX
    height = len(hops) * _ROW_PX + _AXIS_PX
    described = "; ".join(f"{escaped(hop.name)}: {milliseconds(hop.highest_ns)} ms" for hop in hops)
    rows = "".join(_row(hop, number, highest_ns) for number, hop in enumerate(hops))
    return (
        f'<svg class="lags" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="lags-name lags-text">'
        '<title id="lags-name">Lag over time</title>'
        f'<desc id="lags-text">Highest end-to-end lag by hop. {described}</desc>'
        f"{rows}{_axis(lags, len(hops) * _ROW_PX)}</svg>"
    )


def _row(hop: HopLag, number: int, highest_ns: int) -> str:
    base = (number + 1) * _ROW_PX - 4
    slot_px = _PLOT_PX / len(hop.worst_ns)
    bars = ""
    for slot, lag_ns in enumerate(hop.worst_ns):
        if lag_ns is not None:
            # Never so low that it is invisible: something ended there.
            tall = max(1.0, lag_ns / highest_ns * _BAR_PX)
            bars += f"M{_LABEL_PX + (slot + 0.5) * slot_px:.1f} {base}v-{tall:.1f}"
    name = hop.name if len(hop.name) <= _LONGEST_LABEL else f"{hop.name[: _LONGEST_LABEL - 1]}…"
    return (
        f'<text x="{_LABEL_PX - 12}" y="{base - 6}" text-anchor="end">{escaped(name)}</text>'
        f'<path class="ground" d="M{_LABEL_PX} {base}h{_PLOT_PX}"/>'
        f'<path class="bars" stroke-width="{max(1.0, slot_px - 1):.1f}" d="{bars}"/>'
        f'<text x="{_LABEL_PX + _PLOT_PX + 12}" y="{base - 6}">'
        f"max {milliseconds(hop.highest_ns)} ms</text>"
    )


def _axis(lags: LagsOverTime, top: int) -> str:
    span_ns = lags.end_ns - lags.start_ns
    ticks = range(_TICKS) if span_ns else range(1)
    return "".join(
        f'<text class="tick" text-anchor="middle" y="{top + 16}" '
        f'x="{_LABEL_PX + _PLOT_PX * tick // (_TICKS - 1)}">'
        f"{_seconds(span_ns * tick // (_TICKS - 1))}</text>"
        for tick in ticks
    )


def _slot_ns(lags: LagsOverTime) -> int:
    return (lags.end_ns - lags.start_ns) // max(1, len(lags.hops[0].worst_ns))


def _seconds(duration_ns: int) -> str:
    """Format a time of the run: `0.25 s`, `12.5 s`, `1,200 s`."""
    value = duration_ns / _NS
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"  # noqa: PLR2004 - three digits
