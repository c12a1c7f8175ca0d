"""The dead letters of other systems are read from their headers, whatever bytes these hold."""

from __future__ import annotations

import struct
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracing.dlq import other_systems
from tracing import Provenance
from tracing.headers.codec import MAX_SCANNED
from tracing.headers.dead_letter import ERROR_HEADERS
from tracing.headers.dead_letter_formats import FORMATS, ORIGIN_FIELDS, DeadLetterFormats
from tracing.headers.dead_letter_systems import SYSTEMS

AT_MS = 1_700_000_500_000
CAUSE = "java.lang.IllegalStateException"
OURS = Provenance(
    topic="orders", partition=1, offset=7, timestamp_ms=1, group="payment", exception="E",
    message="", attempts=1, first_failed_at_ms=1, failed_at_ms=1,
)  # fmt: skip


def read(headers: Any, formats: DeadLetterFormats = FORMATS, topic: str = "dead") -> Any:
    return formats.provenance(headers, topic=topic, timestamp_ms=AT_MS)


def facts(provenance: Provenance | None) -> dict[str, Any]:
    """Return what a dead letter says, without what it leaves unknown."""
    assert provenance is not None
    unknown = {"", -1, 0, None, ()}
    return {
        name: value
        for name, value in asdict(provenance).items()
        if value not in unknown and name not in {"topic", "partition", "offset", "stacktrace"}
    }


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            other_systems.streams("orders"),
            {"written_by": "kafka-streams", "exception": CAUSE, "message": "no such order",
             "failed_at_ms": AT_MS},
        ),
        (
            other_systems.share_group("orders"),
            {"written_by": "share-group", "group": "workers", "attempts": 5,
             "message": "Offset delivery count exceeded the threshold.", "failed_at_ms": AT_MS},
        ),
        (
            other_systems.connect("orders"),
            {"written_by": "kafka-connect", "group": "connect-orders-sink",
             "exception": "org.apache.kafka.common.DataException", "message": "not JSON",
             "failed_at_ms": AT_MS,
             "details": (("class", "org.apache.kafka.connect.json.JsonConverter"),
                         ("connector", "orders-sink"), ("stage", "VALUE_CONVERTER"),
                         ("task", "0"))},
        ),
        (
            other_systems.spring("orders"),
            {"written_by": "spring-kafka", "group": "billing", "exception": CAUSE, "attempts": 3,
             "message": "Listener failed; no such order", "timestamp_ms": 1_700_000_000_000,
             "failed_at_ms": AT_MS},
        ),
        (
            other_systems.spring_retry_topics("orders"),
            {"written_by": "spring-kafka", "group": "billing", "exception": CAUSE, "attempts": 3,
             "message": "Listener failed; no such order", "timestamp_ms": 1_700_000_000_000,
             "failed_at_ms": AT_MS},
        ),
        (
            OURS.headers(),
            {"written_by": "pipeline-tracing", "group": "payment", "exception": "E", "attempts": 1,
             "timestamp_ms": 1, "first_failed_at_ms": 1, "failed_at_ms": 1},
        ),
    ],
    ids=["streams", "share", "connect", "spring", "spring-retry-topics", "ours"],
)  # fmt: skip
def test_the_headers_of_each_system_are_read(headers: Any, expected: dict[str, Any]) -> None:
    provenance = read(headers)

    assert ("orders", 1, 7) == (provenance.topic, provenance.partition, provenance.offset)
    assert expected == facts(provenance)


@pytest.mark.parametrize(
    "write",
    [other_systems.streams, other_systems.connect, other_systems.spring,
     other_systems.spring_retry_topics],
)  # fmt: skip
def test_a_replay_keeps_the_headers_of_the_record_and_no_others(write: Any) -> None:
    headers = write("orders")
    provenance = read(headers)

    assert "4711" in (provenance.stacktrace or "")
    assert other_systems.MINE == FORMATS.without_errors(headers, provenance)


def test_the_system_that_wrote_last_is_the_one_that_failed() -> None:
    spring, connect = other_systems.spring("orders"), other_systems.connect("orders-dlt")

    assert "kafka-connect" == read([*spring, *connect]).written_by
    # Given up while it was read from the dead-letter topic of another system: goes back there.
    again = read([*connect, *spring])
    assert ("spring-kafka", "orders") == (again.written_by, again.topic)
    assert ("pipeline-tracing", "orders") == (
        read([*spring, *OURS.headers()]).written_by,
        read([*spring, *OURS.headers()]).topic,
    )
    kept = FORMATS.without_errors([*spring, *connect], read([*spring, *connect]))
    assert spring == [pair for pair in kept if pair in spring][: len(spring)]


def test_of_repeated_headers_the_last_holds() -> None:
    twice = [*other_systems.connect("orders"), *other_systems.connect("payments", 2, 8)]

    provenance = read(twice)

    assert ("payments", 2, 8) == (provenance.topic, provenance.partition, provenance.offset)


def test_the_first_kafka_streams_wrote_the_text_of_the_error_behind_its_class() -> None:
    headers = [
        ("__streams.errors.exception", b"java.lang.IllegalStateException: card 4711"),
        ("__streams.errors.message", None),
        ("__streams.errors.topic", b"orders"),
    ]

    assert CAUSE == read(headers).exception


def test_a_failure_outside_any_record_is_a_dead_letter_without_a_topic() -> None:
    provenance = read(other_systems.streams(None, -1, -1))

    assert ("", -1, -1) == (provenance.topic, provenance.partition, provenance.offset)


def test_binary_numbers_have_a_sign_and_exactly_the_length_of_javas() -> None:
    negative = other_systems.spring("orders", -1, -1)
    short = [
        (header, value[1:] if header.endswith(("-partition", "-offset")) and value else value)
        for header, value in other_systems.spring("orders")
    ]

    for headers in (negative, short):
        assert (-1, -1) == (read(headers).partition, read(headers).offset)


def test_long_texts_are_cut() -> None:
    headers = [
        ("__connect.errors.topic", b"orders"),
        ("__connect.errors.exception.message", b"\xc3\xa4" * 5000 + b"\xff"),
        ("__connect.errors.exception.stacktrace", b"x" * 100_000),
    ]

    provenance = read(headers)

    assert ("ä" * 512, 65_536) == (provenance.message, len(provenance.stacktrace or ""))


def test_an_error_of_a_key_alone_is_named() -> None:
    headers = [
        ("kafka_dlt-key-exception-fqcn", b"DeserializationException"),
        ("kafka_dlt-key-exception-message", b"bad key"),
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-partition", struct.pack(">i", 0)),
        ("kafka_dlt-original-offset", struct.pack(">q", 2**40)),
    ]

    provenance = read(headers)

    assert ("DeserializationException", "bad key", 2**40, "") == (
        provenance.exception, provenance.message, provenance.offset, provenance.group
    )  # fmt: skip


@pytest.mark.parametrize("system", ["streams", "share_group", "connect", "spring"])
def test_a_record_that_names_its_own_topic_was_sent_back_and_is_no_dead_letter(
    system: str,
) -> None:
    assert read(getattr(other_systems, system)("orders"), topic="orders") is None


@pytest.mark.parametrize(
    "headers", [[], None, 7, other_systems.MINE, [("retry_topic-attempts", b"\x02")]]
)
def test_other_records_are_no_dead_letters(headers: Any) -> None:
    assert read(headers) is None


def test_own_headers_are_read_as_text_or_as_binary_numbers() -> None:
    formats = DeadLetterFormats(
        headers={
            "topic": "x-topic", "partition": "x-partition", "offset": "x-offset",
            "group": "x-group", "error": "x-error", "failed-at": "x-at", "timestamp": "x-ts",
        }
    )  # fmt: skip
    record = [*other_systems.MINE, ("x-topic-2", b"kept")]
    text = [
        *record,
        ("x-topic", b"orders"),
        ("x-partition", b"1"),
        ("x-offset", b"12345678"),
        ("x-group", b"billing"),
        ("x-error", b"ValueError"),
        ("x-at", b"2026-11-23T03:00:00Z"),
        ("x-ts", b"1700000000000"),
    ]
    binary = [
        ("x-topic", b"orders"),
        ("x-partition", struct.pack(">i", 1)),
        ("x-offset", struct.pack(">q", 2**33)),
    ]

    provenance = read(text, formats)

    assert {
        "written_by": "own", "group": "billing", "exception": "ValueError",
        "timestamp_ms": 1_700_000_000_000, "failed_at_ms": 1_795_402_800_000,
    } == facts(provenance)  # fmt: skip
    assert ("orders", 1, 12345678) == (provenance.topic, provenance.partition, provenance.offset)
    assert record == formats.without_errors(text, provenance)
    assert (1, 2**33) == (read(binary, formats).partition, read(binary, formats).offset)
    assert read(text) is None


def test_the_name_of_a_topic_can_say_what_no_header_says() -> None:
    formats = DeadLetterFormats(["(?P<topic>.+)-failed-(?P<group>.+)", "parked"])

    provenance = read([("mine", b"v")], formats, topic="orders-failed-billing")

    assert ("own", "orders", "billing", -1, -1) == (
        provenance.written_by, provenance.topic, provenance.group, provenance.partition,
        provenance.offset,
    )  # fmt: skip
    # Headers know better.
    connect = read(other_systems.connect("orders"), formats, topic="orders-failed-billing")
    assert "kafka-connect" == connect.written_by
    assert read([("mine", b"v")], formats, topic="parked") is None


def test_dead_letter_topics_are_known_by_their_names() -> None:
    formats = DeadLetterFormats(["connect-.+", "(?P<topic>.+)-failed"])
    known = ("dlq.orders", "orders-dlt", "orders.DLT")

    assert all(FORMATS.is_dead_letter_topic(topic) for topic in known)
    assert not any(
        FORMATS.is_dead_letter_topic(topic) for topic in ("orders", "dlq", "x.dlq.y", "connect-x")
    )
    assert formats.is_dead_letter_topic("connect-x")
    assert not formats.is_dead_letter_topic("my-connect-x")
    assert ("orders", "") == FORMATS.origin_in_name("orders-dlt")
    assert ("orders", "") == FORMATS.origin_in_name("orders.DLT")
    assert ("orders", "") == formats.origin_in_name("orders-failed")
    assert FORMATS.origin_in_name("dlq.orders") is None


@pytest.mark.parametrize(
    ("topics", "headers", "message"),
    [
        (["("], {}, "is not a regular expression"),
        (["(?P<cluster>.+)"], {}, "the groups"),
        ([], {"host": "x-host"}, "host"),
        ([], {"topic": ""}, "empty name"),
    ],
)
def test_a_wrong_description_is_refused(
    topics: list[str], headers: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DeadLetterFormats(topics, headers)


OWN = DeadLetterFormats(
    ["(?P<topic>.+)-failed", ".*"], {field: f"x-{field}" for field in ORIGIN_FIELDS}
)
HEADER_NAMES = sorted(
    ERROR_HEADERS
    | {header for system in SYSTEMS for sources in system.fields.values() for header, _ in sources}
    | {header for system in SYSTEMS for sources in system.details.values() for header, _ in sources}
    | {f"x-{field}" for field in ORIGIN_FIELDS}
)
VALUES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"orders", b"1", b"-1", b"9" * 19, b"\xff", b"x" * 200_000, b"", None]),
    st.sampled_from([7, "text", ()]),
    st.text(max_size=4).map(str.encode),
    st.sampled_from([b"0001-01-01T00:00:00", b"9999-12-31T23:59:59+00:00", b"2026-W01"]),
)
HEADERS = st.one_of(
    st.lists(st.tuples(st.sampled_from(HEADER_NAMES), VALUES), max_size=12),
    st.lists(st.one_of(st.integers(), st.tuples(st.sampled_from(HEADER_NAMES), VALUES, VALUES))),
    st.none(),
    st.integers(),
)


@settings(deadline=None)
@given(headers=HEADERS, topic=st.sampled_from(["orders", "orders-failed", "dlq.x", ""]))
def test_any_headers_are_read_without_an_error(headers: Any, topic: str) -> None:
    for formats in (FORMATS, OWN):
        provenance = formats.provenance(headers, topic=topic, timestamp_ms=-1)

        if provenance is not None:
            assert provenance.topic != topic
            assert len(provenance.message) <= 4096
            assert len(provenance.stacktrace or "") <= 65_536
            numbers = ("partition", "offset", "timestamp_ms", "attempts", "failed_at_ms")
            assert {int} == {type(getattr(provenance, number)) for number in numbers}
            formats.without_errors(headers if isinstance(headers, list) else [], provenance)


def test_only_the_last_headers_are_looked_at() -> None:
    many = [("padding", b"v")] * MAX_SCANNED

    assert read([*other_systems.connect("orders"), *many]) is None
    assert read([*many, *other_systems.connect("orders")]) is not None
