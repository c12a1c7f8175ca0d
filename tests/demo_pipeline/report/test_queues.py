"""Outboxes and consumer lag, from spans to the page and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_pipeline.report.analysis import analyse
from tests.demo_pipeline.report.recording import MS
from tests.demo_pipeline.report.showing import line_with, page, printed

if TYPE_CHECKING:
    from pathlib import Path

    from demo_pipeline.report import RunResult
    from tests.demo_pipeline.report.recording import Recorder


def waiting(recorder: Recorder) -> RunResult:
    """Three messages, all created at 10 ms and sent one after the other; one is never handled."""
    for number, order in enumerate("abc"):
        request = recorder.request(0, 5)
        at = 50 + 100 * number
        sent = recorder.send("orders", "orders.events", order, at - 2, at, request)
        if order != "c":
            recorder.process(
                "payment", "orders.events", order, at + 40, at + 45, sent,
                wait=40, publish=at - 10,
            )  # fmt: skip
    return recorder.result("a", "b", "c")


def test_an_outbox_is_measured_by_its_delay_and_by_what_was_pending_at_once(
    recorder: Recorder,
) -> None:
    (outbox,) = analyse(waiting(recorder)).outboxes

    assert ("orders", "orders.events", 2) == (outbox.service, outbox.topic, outbox.messages)
    assert (40 * MS, 140 * MS) == (outbox.delay.p50, outbox.delay.max)
    assert 2 == outbox.most_pending


def test_what_a_group_never_handled_is_left(recorder: Recorder) -> None:
    assert {"payment ← orders.events": 1} == analyse(waiting(recorder)).left_behind


def test_the_page_and_the_terminal_have_both(recorder: Recorder, tmp_path: Path) -> None:
    result = waiting(recorder)

    text, shown = printed(result, 120), page(result, tmp_path)

    _, after = text.split("Outbox\n")
    row = line_with("orders → orders.events", after).split()
    assert ["2", "2", "40.0", "ms", "140", "ms", "140", "ms"] == row[3:]
    _, after = after.split("Consumer lag\n")
    assert ["2", "1", "1", "40.0", "ms"] == line_with("payment ← orders.events", after).split()[3:]
    assert "orders → orders.events2240.0 ms140 ms140 ms" in shown.text
    assert "payment ← orders.events21140.0 ms" in shown.text


def test_without_messages_there_is_no_section(recorder: Recorder, tmp_path: Path) -> None:
    assert "queues-title" not in {
        attributes.get("id") for _, attributes in page(recorder.result(), tmp_path).elements
    }
