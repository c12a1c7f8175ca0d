"""One order's waterfall for the terminal: a tree of spans beside bars on one time axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.text import Text

from demo_pipeline.report.model import Breakdown, OrderReport, Role, SpanFacts
from demo_pipeline.report.tree import Row, longest, rows
from demo_pipeline.report.wording import RARE_PARTS, counted, human, printable, shares

_WAIT: Final = ("░", "yellow")
_DATABASE: Final = ("┈", "yellow")
_SEND: Final = ("▒", "magenta")
_PROCESSING: Final = ("█", "green")
_BACKOFF: Final = ("╌", "yellow")
_RETRY: Final = ("▓", "cyan")
_DEAD_LETTER: Final = ("✕", "red")
_SAGA: Final = ("═", "bright_blue")
_SAGA_STEP: Final = ("▄", "bright_blue")
_OTHER: Final = ("─", "blue")
_LEGEND: Final = (
    (_WAIT, "wait in the broker", None),
    (_DATABASE, "wait for the database, drawn first", None),
    (_PROCESSING, "processing", None),
    (_SEND, "send", None),
    (_BACKOFF, "backoff", Role.RETRY),
    (_RETRY, "retry", Role.RETRY),
    (_DEAD_LETTER, "dead letter", Role.DEAD_LETTER),
    (_SAGA, "saga", Role.SAGA),
    (_SAGA_STEP, "saga step", Role.SAGA_STEP),
    (_OTHER, "HTTP and other", None),
)
_STYLES: Final = {
    Role.SEND: _SEND,
    Role.PROCESS: _PROCESSING,
    Role.RETRY: _RETRY,
    Role.DEAD_LETTER: _DEAD_LETTER,
    Role.SAGA: _SAGA,
    Role.SAGA_STEP: _SAGA_STEP,
}

_MOST_ROWS: Final = 60
_WIDE: Final = 100
_FIGURES: Final = 10
_GAP: Final = 3


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps unix ns to columns."""

    start_ns: int
    length_ns: int
    columns: int

    def column(self, moment_ns: int) -> int:
        if self.length_ns <= 0:
            return 0
        at = (moment_ns - self.start_ns) * self.columns // self.length_ns
        return min(max(at, 0), self.columns)


def order_part(
    title: str, report: OrderReport, width: int, most_rows: int = _MOST_ROWS
) -> list[RenderableType]:
    """Show an order's waterfall, and where its time went; nothing for an order without timing.

    Args:
        title: What the order is an example of.
        report: The order.
        width: The columns to use.
        most_rows: The most spans to show.
    """
    timing = report.timing
    if timing is None:
        return []
    spans = [span for trace in report.order.traces for span in trace.spans]
    traces = ", ".join(f"{trace.trace_id:032x}" for trace in report.order.traces[:2])
    return [
        Text.assemble(
            (f"{title} ", "bold"),
            (printable(report.order.order_id), "bold"),
            f" · {human(timing.duration_ns)}",
        ),
        Text(f"trace {traces}", "dim"),
        *waterfall(spans, width, most_rows),
        *legend(spans, width),
        _where_it_went(timing.breakdown),
    ]


def waterfall(
    spans: Sequence[SpanFacts], width: int, most_rows: int = _MOST_ROWS
) -> tuple[Text, ...]:
    """Draw a trace in lines of at most `width` columns, without the shortest of too many spans."""
    if not spans:
        return ()
    shown = rows(longest(spans, most_rows))
    indent = 2 if width >= _WIDE else 1
    labels = [_tree_lines(row, indent) + _name(row.span) for row in shown]
    services = [printable(row.span.service) for row in shown]
    service_width = min(max(map(cell_len, (*services, "service"))), max(7, width // 6))
    room = width - service_width - 2 * _FIGURES - 4
    label_width = min(max(map(cell_len, (*labels, "span"))), room - room // 3)
    axis = _axis(spans, room - label_width)

    def line(label: str, service: str, bar: Text, wait: str, took: str) -> Text:
        return Text.assemble(
            _cell(label, label_width),
            " ",
            (_cell(service, service_width), "cyan"),
            "  ",
            bar,
            " ",
            wait.rjust(_FIGURES),
            took.rjust(_FIGURES),
            no_wrap=True,
            overflow="ignore",
        )

    head = line("span", "service", Text(_ruler(axis)), "wait", "took")
    head.stylize("bold")
    lines = [head]
    for row, label, service in zip(shown, labels, services, strict=True):
        span = row.span
        wait = human(span.lead_ns) if span.lead_ns is not None else ""
        drawn = line(label, service, _bar(span, axis), wait, human(span.duration_ns))
        if span.failed:
            drawn.stylize("red", 0, label_width)
        lines.append(drawn)
    if len(spans) > len(shown):
        lines.append(Text(f"... and {counted(len(spans) - len(shown), 'shorter span')}", "dim"))
    return tuple(lines)


def legend(spans: Sequence[SpanFacts], width: int) -> tuple[Text, ...]:
    """Explain the glyphs in lines of at most `width` columns; rare ones only if they occur."""
    roles = {span.role for span in spans}
    lines: list[Text] = []
    for sign, meaning, role in _LEGEND:
        if role is not None and role not in roles:
            continue
        if sign is _DATABASE and not any(span.connection_ns for span in spans):
            continue
        entry = Text.assemble(sign, f" {meaning}")
        if lines and lines[-1].cell_len + _GAP + entry.cell_len <= width:
            lines[-1].append(" " * _GAP).append_text(entry)
        else:
            lines.append(entry)
    return tuple(lines)


def _where_it_went(breakdown: Breakdown) -> Text:
    """Show where the time on the critical path went, in ms and in percent."""
    parts = breakdown.parts()
    percent = shares([duration for _, duration in parts])
    return Text.assemble(
        (f"Critical path {human(breakdown.total_ns)}: ", "bold"),
        ", ".join(
            f"{name} {human(duration)} ({share} %)"
            for (name, duration), share in zip(parts, percent, strict=True)
            if duration or name not in RARE_PARTS
        ),
    )


def _axis(spans: Sequence[SpanFacts], columns: int) -> _Axis:
    start = min(span.start_ns - (span.lead_ns or 0) for span in spans)
    # A record that had waited for days before this trace would flatten everything else.
    first = min(span.start_ns for span in spans)
    end = max(span.end_ns for span in spans)
    start = max(start, first - (end - first))
    return _Axis(start, end - start, max(1, columns))


def _ruler(axis: _Axis) -> str:
    end = human(axis.length_ns)
    middle = human(axis.length_ns // 2)
    left = ("0".ljust(axis.columns // 2) + middle)[: axis.columns]
    if len(left) + len(end) + _GAP > axis.columns:
        left = "0"
    return (left + end.rjust(axis.columns - len(left)))[-axis.columns :]


def _bar(span: SpanFacts, axis: _Axis) -> Text:
    waited = axis.column(span.start_ns - (span.lead_ns or 0))
    first = min(axis.column(span.start_ns), axis.columns - 1)
    # Every span is visible, however short, and so is every wait if there is room.
    after = max(first + 1, axis.column(span.end_ns))
    begun = min(max(first, axis.column(span.start_ns + (span.connection_ns or 0))), after - 1)
    waited = max(0, min(waited, first - 1)) if span.lead_ns else first
    lead, lead_style = _BACKOFF if span.role is Role.RETRY else _WAIT
    glyph, style = _STYLES.get(span.role, _OTHER)
    return Text.assemble(
        " " * waited,
        (lead * (first - waited), lead_style),
        (_DATABASE[0] * (begun - first), _DATABASE[1]),
        (glyph * (after - begun), "red" if span.failed else style),
        " " * (axis.columns - after),
    )


def _name(span: SpanFacts) -> str:
    name = f"! {printable(span.title)}" if span.failed else printable(span.title)
    return f"{name} ({span.mark})" if span.mark else name


def _tree_lines(row: Row, indent: int) -> str:
    if not row.more:
        return ""
    outer = "".join(("│" if more else " ").ljust(indent) for more in row.more[:-1])
    return outer + ("├" if row.more[-1] else "└").ljust(indent, "─")


def _cell(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(0, width - 1)) + "…"
