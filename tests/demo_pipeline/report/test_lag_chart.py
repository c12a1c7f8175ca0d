"""The chart of lag over time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from demo_pipeline.report.facts import read_span
from demo_pipeline.report.hops import lags_over_time
from demo_pipeline.report.lag_chart import lag_section

if TYPE_CHECKING:
    from demo_pipeline.report.model import SpanFacts
    from tests.demo_pipeline.report.recording import Recorder

MS = 1_000_000
S = 1000 * MS


@pytest.fixture
def handled(recorder: Recorder) -> SpanFacts:
    """A process span, as a template for others."""
    recorder.process("payment", "orders.events", "a", 0, 1, None)
    (span,) = recorder.spans
    return read_span(span)


def _handled_at(
    span: SpanFacts, at_ns: int, lag_ns: int | None, topic: str = "orders.events"
) -> SpanFacts:
    return replace(span, end_ns=span.start_ns + at_ns, end_to_end_ns=lag_ns, topic=topic)


def _drawing(*spans: SpanFacts) -> ET.Element:
    section = lag_section(lags_over_time(spans))
    return ET.fromstring(section[section.index("<svg") : section.index("</svg>") + 6])  # noqa: S314 - our own


def _texts(drawing: ET.Element) -> list[str]:
    return [text.text or "" for text in drawing.iter("text")]


def _bars(drawing: ET.Element) -> list[str]:
    return [path.get("d", "") for path in drawing.iter("path") if path.get("class") == "bars"]


def test_without_lag_there_is_no_chart(handled: SpanFacts) -> None:
    assert lags_over_time([]) is None
    assert lags_over_time([_handled_at(handled, 0, None)]) is None
    assert "" == lag_section(None)


def test_each_hop_has_a_row_with_its_name_and_its_highest_lag(handled: SpanFacts) -> None:
    drawing = _drawing(
        _handled_at(handled, 0, 50 * MS),
        _handled_at(handled, 4 * S, 1500 * MS),
        _handled_at(handled, 2 * S, 100 * MS, "payment.events"),
    )

    assert [
        "payment ← orders.events", "max 1,500 ms", "payment ← payment.events", "max 100 ms",
        "0 s", "1 s", "2 s", "3 s", "4 s",
    ] == _texts(drawing)  # fmt: skip
    assert 2 == _bars(drawing)[0].count("M")


def test_the_highest_bar_has_full_height_and_the_smallest_one_is_visible(
    handled: SpanFacts,
) -> None:
    drawing = _drawing(_handled_at(handled, 0, 10_000 * MS), _handled_at(handled, S, 0))

    assert [["26.0", "1.0"]] == [
        [bar.partition("v-")[2] for bar in bars.split("M")[1:]] for bars in _bars(drawing)
    ]


def test_one_record_is_enough_for_a_chart(handled: SpanFacts) -> None:
    assert ["payment ← orders.events", "max 7.00 ms", "0 s"] == _texts(
        _drawing(_handled_at(handled, 0, 7 * MS))
    )


def test_text_from_an_event_is_escaped(handled: SpanFacts) -> None:
    evil = "</text><script>alert(1)</script>&"
    drawing = _drawing(_handled_at(handled, 0, MS, evil))

    assert not list(drawing.iter("script"))
    assert f"payment ← {evil}"[:39] + "…" == _texts(drawing)[0]


def test_many_records_and_hops_do_not_enlarge_the_chart(handled: SpanFacts) -> None:
    section = lag_section(
        lags_over_time(
            [
                _handled_at(handled, number * MS, number * MS, f"t{number % 50}")
                for number in range(20_000)
            ]
        )
    )

    assert len(section) < 60_000
    assert "26 hops with less lag not shown." in section
