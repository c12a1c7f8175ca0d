"""Text from outside is printed as one harmless line."""

from __future__ import annotations

import json
import logging
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing import EventLogFilter, cloudevent
from tracing.core.text import MAX_PRINTABLE, printable

if TYPE_CHECKING:
    from tests.tracing.conftest import _InMemory

HARMFUL = {
    "NUL": "\x00",
    "ESC": "\x1b[2J",
    "CR": "\r",
    "LF": "\nERROR forged",
    "TAB": "\t",
    "DEL": "\x7f",
    "CSI of C1": "\x9b2J",
    "NEL": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right-to-left override": "\u202e",
    "isolate": "\u2066",
    "left-to-right mark": "\u200e",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "no-break space": "\u00a0",
    "Hangul filler": "\u3164",
    "variation selector": "\ufe0f",
    "tag": "\U000e0041",
    "supplementary variation selector": "\U000e0100",
    "private use": "\ue000",
    "noncharacter": "\uffff",
}


@pytest.mark.parametrize("name", HARMFUL)
def test_invisible_characters_are_escaped(name: str) -> None:
    shown = printable(f"a{HARMFUL[name]}b")

    assert shown.startswith("a\\")
    assert shown.endswith("b")
    assert shown.isprintable()
    assert 1 == len(shown.splitlines())


def test_a_lone_surrogate_can_be_printed() -> None:
    assert "a\\ud800b" == printable("a\ud800b")
    assert printable("\udfff").encode()


@pytest.mark.parametrize("text", ["order-7", "Überweisung", "注文", "заказ 7", "🙂", "a\\b", ""])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert text == printable(text)


@given(st.text(max_size=600), st.integers(1, 300))
def test_the_result_is_always_one_visible_line_within_its_bound(text: str, limit: int) -> None:
    shown = printable(text, limit)

    assert len(shown) <= limit
    assert shown.isprintable()
    assert {"Cc", "Cf", "Cs", "Zl", "Zp"}.isdisjoint(map(unicodedata.category, shown))
    assert json.loads(json.dumps(shown)) == shown.encode().decode()


def test_cut_text_is_marked() -> None:
    assert "abc…" == printable("abcdef", 4)
    assert "abcd" == printable("abcd", 4)


@pytest.mark.parametrize("name", HARMFUL)
async def test_an_event_id_cannot_forge_a_log_line(memory: _InMemory, name: str) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    headers = cloudevent(type="X", id=f"e-1{HARMFUL[name]}")
    await producer.send_and_wait(topic, b"v", headers=headers)
    consumer = await memory.consumer(topic)
    line = logging.LogRecord("n", logging.INFO, "", 0, "handled", None, None)

    async with consumer.process(await consumer.getone()):
        EventLogFilter().filter(line)

    shown = logging.Formatter("%(message)s event=%(event_id)s").format(line)
    assert shown.startswith("handled event=e-1\\")
    assert shown.isprintable()


async def test_a_long_event_id_is_cut(memory: _InMemory) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    await producer.send_and_wait(topic, b"v", headers=[("ce_id", b"\x1b" * 1000)])
    consumer = await memory.consumer(topic)
    line = logging.LogRecord("n", logging.INFO, "", 0, "handled", None, None)

    async with consumer.process(await consumer.getone()):
        EventLogFilter().filter(line)

    assert MAX_PRINTABLE == len(line.__dict__["event_id"])
