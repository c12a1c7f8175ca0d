"""Who sends what to which: commands and events differ, and a command has one receiver."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from demo_pipeline.report.message_map import MappedTopic, message_map
from tests.demo_pipeline.report.counting import counted
from tests.demo_pipeline.report.showing import line_with, page, printed

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.sdk.metrics.export import MetricsData

    from demo_pipeline.report import RunResult
    from tests.demo_pipeline.report.recording import Recorder

SENT = "messaging.client.sent.messages"
CONSUMED = "messaging.client.consumed.messages"
FAULT = (
    "commands in payment.commands are read by 2 groups, and each carries them out: audit, payment"
)


def _labels(topic: str, **more: str) -> dict[str, str]:
    named = {name.replace("_", "."): value for name, value in more.items()}
    return {"messaging.destination.name": topic, **named}


def _reading(service: str, topic: str, kind: str) -> MetricsData:
    labels = _labels(topic, message_kind=kind)
    return counted(service, (CONSUMED, 3, {**labels, "messaging.consumer.group.name": service}))


def _metrics() -> tuple[MetricsData, ...]:
    charge = _labels("payment.commands", message_kind="command", message_type="ChargeCard")
    charged = _labels("payment.events", message_kind="event", message_type="PaymentCharged")
    declined = {**charged, "message.type": "PaymentDeclined"}
    dead = _labels("x.dlq", messaging_operation_name="dead_letter")
    return (
        counted("orders", (SENT, 3, charge), (SENT, 0, _labels("unused"))),
        counted("payment", (SENT, 2, charged), (SENT, 1, declined), (SENT, 1, dead)),
        _reading("payment", "payment.commands", "command"),
        _reading("orders", "payment.events", "event"),
        _reading("analytics", "payment.events", "event"),
    )


def _result(recorder: Recorder, *more: MetricsData) -> RunResult:
    recorder.order("a")
    return replace(recorder.result("a"), metrics=(*_metrics(), *more))


def test_topics_have_their_kind_types_senders_and_readers() -> None:
    commands, events = message_map(_metrics())

    assert commands == MappedTopic(
        "payment.commands", "command", (("ChargeCard", 3),), ("orders",), ("payment",), ("payment",)
    )
    assert events == MappedTopic(
        "payment.events",
        "event",
        (("PaymentCharged", 2), ("PaymentDeclined", 1)),
        ("payment",),
        ("analytics", "orders"),
        ("analytics", "orders"),
    )
    assert (None, None) == (commands.fault, events.fault)


def test_the_terminal_draws_commands_solid_and_events_dashed(recorder: Recorder) -> None:
    text = printed(_result(recorder), 140)

    command = line_with("payment.commands", text)
    assert ["orders", "──>", "payment.commands", "──>", "payment", "ChargeCard", "3"] == (
        command.split()
    )
    event = line_with("──> payment.events".replace("─", "╌"), text)
    assert "╌╌> analytics, orders" in event
    assert "PaymentCharged 2, PaymentDeclined 1" in event


def test_a_second_group_on_a_topic_of_commands_is_reported(
    recorder: Recorder, tmp_path: Path
) -> None:
    result = _result(recorder, _reading("audit", "payment.commands", "command"))

    assert FAULT in " ".join(printed(result, 140).split())
    assert FAULT in page(result, tmp_path).text


def test_the_page_has_the_map_and_no_fault_where_there_is_none(
    recorder: Recorder, tmp_path: Path
) -> None:
    text = page(_result(recorder), tmp_path).text

    assert "PaymentCharged 2, PaymentDeclined 1" in text
    assert "several receivers" not in text


def test_without_messages_there_is_no_map(recorder: Recorder, tmp_path: Path) -> None:
    recorder.order("a")

    assert "Messages" not in printed(recorder.result("a"), 120)
    assert "Messages" not in page(recorder.result("a"), tmp_path).text
