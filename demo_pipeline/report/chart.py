"""Values over the time of a run as an SVG chart, with one row of bars per hop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.wording import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_ROWS: Final = 24
"""More rows are not drawn."""

_NS: Final = 1_000_000_000
_LABEL_PX: Final = 290
_PLOT_PX: Final = 600
_VALUE_PX: Final = 110
_ROW_PX: Final = 34
_BAR_PX: Final = 26
_AXIS_PX: Final = 24
_TICKS: Final = 5
_LONGEST_LABEL: Final = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a chart.

    Attributes:
        name: What it is about.
        values: Its values in equal slots of the run; `None` for a slot without one.
    """

    name: str
    values: tuple[int | None, ...]

    @property
    def highest(self) -> int:
        """The highest value of all slots."""
        return max((value for value in self.values if value is not None), default=0)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart; its rows share one scale.

    Attributes:
        key: The beginning of its element ids.
        title: Its name.
        about: What the values are, for people who do not see it.
        rows: Its rows; the highest of them are drawn, in this order.
        duration_ns: How long the run took, in ns.
        shown: Formats a value.
    """

    key: str
    title: str
    about: str
    rows: Sequence[Row]
    duration_ns: int
    shown: Callable[[int], str]

    @property
    def drawn(self) -> Sequence[Row]:
        """The rows that are drawn."""
        kept = sorted(self.rows, key=lambda row: -row.highest)[:MOST_ROWS]
        return [row for row in self.rows if row in kept]

    @property
    def highest(self) -> int:
        """The highest value, which has a bar of full height; at least 1."""
        return max(1, *(row.highest for row in self.rows))


def chart_section(chart: Chart, note: str) -> str:
    """Return a chart as a section of the page.

    Args:
        chart: The chart.
        note: What it shows, as markup.
    """
    title = f"{chart.key}-title"
    return (
        f'<section aria-labelledby="{title}"><h2 id="{title}">{chart.title}</h2>'
        f'<p class="quiet">{note}</p>'
        f'<div class="scroll" role="group" aria-labelledby="{title}" tabindex="0">'
        f"{_drawing(chart)}</div></section>"
    )


def seconds(duration_ns: int) -> str:
    """Format a time of the run: `0.25 s`, `12.5 s`, `1,200 s`."""
    value = duration_ns / _NS
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"  # noqa: PLR2004 - three digits


def _drawing(chart: Chart) -> str:
    rows = chart.drawn
    width = _LABEL_PX + _PLOT_PX + _VALUE_PX
    height = len(rows) * _ROW_PX + _AXIS_PX
    described = "; ".join(f"{escaped(row.name)}: {chart.shown(row.highest)}" for row in rows)
    drawn = "".join(_row(chart, row, number) for number, row in enumerate(rows))
    return (
        f'<svg class="lags" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="{chart.key}-name {chart.key}-text">'
        f'<title id="{chart.key}-name">{chart.title}</title>'
        f'<desc id="{chart.key}-text">{chart.about} {described}</desc>'
        f"{drawn}{_axis(chart.duration_ns, len(rows) * _ROW_PX)}</svg>"
    )


def _row(chart: Chart, row: Row, number: int) -> str:
    base = (number + 1) * _ROW_PX - 4
    slot_px = _PLOT_PX / len(row.values)
    bars = ""
    for slot, value in enumerate(row.values):
        if value is not None:
            # Never so low that it is invisible: something was there.
            tall = max(1.0, value / chart.highest * _BAR_PX)
            bars += f"M{_LABEL_PX + (slot + 0.5) * slot_px:.1f} {base}v-{tall:.1f}"
    name = row.name if len(row.name) <= _LONGEST_LABEL else f"{row.name[: _LONGEST_LABEL - 1]}…"
    return (
        f'<text x="{_LABEL_PX - 12}" y="{base - 6}" text-anchor="end">{escaped(name)}</text>'
        f'<path class="ground" d="M{_LABEL_PX} {base}h{_PLOT_PX}"/>'
        f'<path class="bars" stroke-width="{max(1.0, slot_px - 1):.1f}" d="{bars}"/>'
        f'<text x="{_LABEL_PX + _PLOT_PX + 12}" y="{base - 6}">'
        f"max {chart.shown(row.highest)}</text>"
    )


def _axis(duration_ns: int, top: int) -> str:
    ticks = range(_TICKS) if duration_ns else range(1)
    return "".join(
        f'<text class="tick" text-anchor="middle" y="{top + 16}" '
        f'x="{_LABEL_PX + _PLOT_PX * tick // (_TICKS - 1)}">'
        f"{seconds(duration_ns * tick // (_TICKS - 1))}</text>"
        for tick in ticks
    )
