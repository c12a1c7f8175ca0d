"""Records behind over the run: counted from spans, and shown where a hop is far behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_pipeline.report.backlog import HopBacklog, backlogs
from demo_pipeline.report.facts import read_spans
from tests.demo_pipeline.report.showing import line_with, page, printed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo_pipeline.report.recording import Recorder

MS = 1_000_000


def _spike(recorder: Recorder, records: int, service: str = "payment") -> None:
    """Send records at once, 10 ms after the start; they are handled one after another."""
    for number in range(records):
        order = f"o-{number}"
        sent = recorder.send("orders", "orders.events", order, 0, 10, recorder.request(0, 5))
        start = 10 + 100 * number
        recorder.process(service, "orders.events", order, start, start + 100, sent)


def _hop(recorder: Recorder) -> HopBacklog:
    found = backlogs(read_spans(recorder.spans))
    assert found is not None
    (hop,) = found.hops
    return hop


def test_the_records_that_are_sent_and_not_yet_handled_are_counted(recorder: Recorder) -> None:
    _spike(recorder, 12)

    hop = _hop(recorder)

    assert ("payment ← orders.events", 12) == (hop.name, hop.highest)
    # A tenth of the slots later, one record of twelve fewer.
    assert (12, 12, 11, 7, 1) == tuple(hop.most[slot] for slot in (0, 9, 11, 59, 119))
    assert hop.peak_ns + 1200 * MS == hop.drained_ns


def test_a_group_that_comes_later_is_behind_from_its_first_record_on(recorder: Recorder) -> None:
    for number in range(4):
        order = f"o-{number}"
        sent = recorder.send("orders", "orders.events", order, 0, 10, None)
        recorder.process("early", "orders.events", order, 10, 20, sent)
        recorder.process("late", "orders.events", order, 600 + 100 * number, 1010, sent)

    found = backlogs(read_spans(recorder.spans))

    assert found is not None
    early, late = found.hops
    assert (4, 0) == (early.highest, early.most[60])
    assert (None, 4, 4) == (late.most[60], late.most[80], late.highest)


def test_a_record_without_a_send_span_is_behind_for_as_long_as_it_waited(
    recorder: Recorder,
) -> None:
    recorder.process("payment", "orders.events", "a", 1000, 1010, None, wait=1000)

    hop = _hop(recorder)

    assert (1, hop.peak_ns + 10 * MS) == (hop.highest, hop.drained_ns)


def test_records_that_are_never_handled_are_behind_until_the_end(
    recorder: Recorder, tmp_path: Path
) -> None:
    _spike(recorder, 2)
    for number in range(50):
        recorder.send("orders", "orders.events", f"left-{number}", 0, 20, None)
    result = recorder.result("o-0", "o-1")

    hop = _hop(recorder)

    assert (52, 51, None) == (hop.highest, hop.most[-1], hop.drained_ns)
    text = printed(result, 120)
    behind = line_with("payment ← orders.events  ", text[text.index("Records behind") :])
    assert ["52", "0.01", "s", "no"] == behind.split()[-4:]
    lag = line_with("payment ← orders.events", text[text.index("Consumer lag") :])
    assert ["2", "52", "50"] == lag.split()[3:6]
    assert "payment ← orders.events25250" in page(result, tmp_path).text


def test_what_is_sent_after_the_last_record_was_handled_is_behind(recorder: Recorder) -> None:
    _spike(recorder, 1)
    recorder.send("orders", "orders.events", "left", 0, 500, None)

    hop = _hop(recorder)

    assert (1, 1, 0, 1) == (hop.highest, hop.most[0], hop.most[60], hop.most[-1])


def test_where_no_hop_is_far_behind_nothing_is_shown(recorder: Recorder, tmp_path: Path) -> None:
    _spike(recorder, 9)

    assert "Records behind" not in printed(recorder.result("o-0"), 120)
    assert "Records behind" not in page(recorder.result("o-0"), tmp_path).text
    assert None is backlogs([])


def test_a_spike_is_drawn_with_its_peak_and_the_time_until_it_was_drained(
    recorder: Recorder, tmp_path: Path
) -> None:
    _spike(recorder, 12)
    result = recorder.result("o-0", "o-1")

    text = printed(result, 120)
    line = line_with("payment ← orders.events  ", text[text.index("Records behind") :])
    assert ["12", "0", "s", "1.2", "s"] == line.split()[-5:]
    assert ("█", "▁") == (line.split()[3][0], line.split()[3][-1])
    assert "Orders were accepted within (ms): p50 5.00, p95 5.00, max 5.00" in text
    shown = page(result, tmp_path)
    assert "Records behind" in shown.text
    assert "a bar of full height is 12." in shown.text
