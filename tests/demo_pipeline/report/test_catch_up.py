"""Groups that started on history are shown for themselves, and make no order late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_pipeline.report.analysis import analyse
from demo_pipeline.report.catch_up import CatchUp, catch_ups
from demo_pipeline.report.facts import read_spans
from tests.demo_pipeline.report.showing import line_with, page, printed

if TYPE_CHECKING:
    from pathlib import Path

    from demo_pipeline.report import RunResult
    from tests.demo_pipeline.report.recording import Recorder

S = 1_000_000_000


def _late_joiner(recorder: Recorder) -> RunResult:
    """Place an order, whose first event a new group reads ten seconds later."""
    request = recorder.order("a")
    for topic, start in (("orders.events", 10_001), ("shipping.events", 10_501)):
        sent = recorder.send("orders", topic, "b", 0, 1, request)
        recorder.process("loyalty", topic, "b", start, start + 500, sent, catch_up=True)
    # Of another order, and after the group's start.
    recorder.process("loyalty", "orders.events", "c", 11_001, 11_002, None)
    return recorder.result("a")


def test_history_is_summed_up_by_group(recorder: Recorder) -> None:
    _late_joiner(recorder)

    (found,) = catch_ups(read_spans(recorder.spans))
    topics = ("orders.events", "shipping.events")
    assert CatchUp("loyalty", topics, 2, age_ns=10 * S + S // 2, took_ns=S, others=1) == found
    assert 2.0 == found.per_second


def test_an_order_ends_with_its_last_processing_that_is_no_catch_up(recorder: Recorder) -> None:
    alone = analyse(_only_the_order(recorder)).end_to_end
    late = analyse(_late_joiner(recorder)).end_to_end

    assert alone is not None
    assert alone == late


def _only_the_order(recorder: Recorder) -> RunResult:
    recorder.order("z")
    return recorder.result("z")


def test_the_terminal_and_the_page_show_what_was_read_and_how_quickly(
    recorder: Recorder, tmp_path: Path
) -> None:
    result = _late_joiner(recorder)

    text = printed(result, 140)
    line = line_with("loyalty ← orders.events, shipping.events", text)
    assert ["2", "10.5", "s", "1", "s", "2", "1"] == line.split()[-7:]
    assert "in no figure of wait, end-to-end lag or objectives" in text
    shown = page(result, tmp_path)
    assert "loyalty ← orders.events, shipping.events210.5 s1 s21" in shown.text


def test_without_history_there_is_no_table(recorder: Recorder, tmp_path: Path) -> None:
    result = _only_the_order(recorder)

    assert () == catch_ups(read_spans(recorder.spans))
    assert "Catch-up" not in printed(result, 140)
    assert "Catch-up" not in page(result, tmp_path).text
