"""Events with state beside notices: what each costs its readers, as the report shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from demo_pipeline.report.coupling import Coupling, couplings
from demo_pipeline.report.facts import read_spans
from tests.demo_pipeline.report.showing import line_with, page, printed

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.trace import Span

    from tests.demo_pipeline.report.recording import Recorder

NASTY = "<script>alert(1)</script>\x1b[31m"


def _ask(
    recorder: Recorder, reading: Span, start: float, end: float, error: BaseException | None = None
) -> None:
    """Record a call-back, and the span that answers it unless it fails."""
    attributes = {"http.request.method": "GET"}
    request = recorder.span(
        "receipts", "GET /orders/{id}", SpanKind.CLIENT, start, end,
        parent=reading, attributes=attributes, error=error,
    )  # fmt: skip
    if error is None:
        recorder.span(
            "orders", "GET /orders/{id}", SpanKind.SERVER, start + 1, end - 1,
            parent=request, attributes=attributes,
        )  # fmt: skip


def _place(
    recorder: Recorder,
    order: str,
    at: float,
    *,
    fails: int = 0,
    moved: bool = False,
    notice: str = "Notice",
) -> None:
    """Place an order with an event of 300 bytes for two readers, and a notice of 40 for one."""
    request = recorder.request(at, at + 5)
    event = recorder.send(
        "orders", "orders.events", order, at, at + 2, request, message_type="Placed"
    )
    thin = recorder.send(
        "orders", "orders.notices", order, at, at + 2, request, message_type=notice
    )
    for service in ("payment", "analytics"):
        recorder.process(
            service, "orders.events", order, at + 5, at + 8, event,
            message_type="Placed", body_size=300,
        )  # fmt: skip
    if moved:
        recorder.process(
            "orders", "payment.events", order, at + 6, at + 9, event, message_type="Charged"
        )
    end = at + 30 + 100 * fails
    reading = recorder.process(
        "receipts", "orders.notices", order, at + 10, end, thin,
        message_type=notice, body_size=40, attempts=1 + fails,
    )  # fmt: skip
    within = reading
    for number in range(fails):
        _ask(recorder, within, at + 11 + 100 * number, at + 20 + 100 * number, ConnectionError())
        start = at + 110 + 100 * number
        within = recorder.retry(
            "receipts", "orders.notices", order, start, start + 20, reading, backoff=90
        )
    _ask(recorder, within, end - 15, end - 5)


def test_both_patterns_are_compared_the_one_with_fewer_call_backs_first(
    recorder: Recorder,
) -> None:
    _place(recorder, "a", 0)
    _place(recorder, "b", 1000, fails=2, moved=True)

    full, thin = couplings(read_spans(recorder.spans))

    assert ("Placed", "orders.events", 2, ("analytics", "payment")) == (
        full.message_type, full.topic, full.events, full.readers
    )  # fmt: skip
    assert (0, 0.0, 0, 0, ()) == (
        full.call_backs, full.call_backs_per_event, full.failed, full.newer, full.asked
    )  # fmt: skip
    assert ("Notice", "orders.notices", 2, ("receipts",)) == (
        thin.message_type, thin.topic, thin.events, thin.readers
    )  # fmt: skip
    assert (4, 2.0, 2, 1, ("orders",)) == (
        thin.call_backs, thin.call_backs_per_event, thin.failed, thin.newer, thin.asked
    )  # fmt: skip
    assert [(300, 300), (40, 40)] == [_range(each) for each in (full, thin)]
    # From the start of handling to the end of the last answer.
    assert full.added is not None
    assert thin.added is not None
    assert (0, 0) == (full.added.p50, full.added.p95)
    assert (15_000_000, 215_000_000) == (thin.added.p50, thin.added.p95)


def _range(coupling: Coupling) -> tuple[int, int]:
    assert coupling.size is not None
    return coupling.size.p50, coupling.size.p95


def test_an_event_that_is_sent_twice_counts_once(recorder: Recorder) -> None:
    _place(recorder, "a", 0)
    _place(recorder, "a", 100)

    assert [1, 1] == [each.events for each in couplings(read_spans(recorder.spans))]


def test_where_no_reader_calls_back_there_is_nothing_to_compare(
    recorder: Recorder, tmp_path: Path
) -> None:
    recorder.order("a")
    # A request that belongs to no message.
    recorder.span("orders", "GET", SpanKind.CLIENT, 0, 1, attributes={"http.request.method": "GET"})

    assert () == couplings(read_spans(recorder.spans))
    assert "Coupling" not in printed(recorder.result("a"), 140)
    assert "Coupling" not in page(recorder.result("a"), tmp_path).text


def test_the_terminal_and_the_page_show_both_patterns(recorder: Recorder, tmp_path: Path) -> None:
    _place(recorder, "a", 0, fails=1, moved=True)
    result = recorder.result("a")

    text = printed(result, 160)
    full, thin = (" ".join(line_with(f"{each} ←", text).split()) for each in ("Placed", "Notice"))
    assert "Placed ← orders.events 1 2 0 0 300 300 0 0 0 -" == full
    assert "Notice ← orders.notices 1 1 2.00 1 40 40 115 115 1 orders" == thin
    shown = page(result, tmp_path).text
    assert "Placed ← orders.events1200300300000-" in shown
    assert "Notice ← orders.notices112.00140401151151orders" in shown


def test_nothing_of_a_message_becomes_markup_or_a_control_character(
    recorder: Recorder, tmp_path: Path
) -> None:
    _place(recorder, "a", 0, notice=NASTY)

    assert "\x1b" not in printed(recorder.result("a"), 160)
    tags = [tag for tag, _ in page(recorder.result("a"), tmp_path).elements]
    assert 2 == tags.count("script")
